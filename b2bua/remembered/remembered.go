// Package remembered finds redirected calls by any of their ids: for their agents, which ask at
// the beginning of a call, and for reports of their platforms.
package remembered

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// Call is the memory of a redirected call, for its agent and for reports of
// its platform.
type Call struct {
	ID, SIPCallID, SynthflowCallID, ExternalID string
	Target, Direction                          string
	From, To, Lead, Diversion                  string            // numbers
	Variables                                  map[string]string // by the options of redirects
}

// The reasons why an id finds no call.
var (
	ErrUnknownCall  = errors.New("no live call has this id")
	ErrSeveralCalls = errors.New("several live calls have this id")
)

// Entry is a redirected call with its ids.
type Entry struct {
	Call     Call
	IDs      []string
	At       time.Time
	Followed bool // it will have a record
}

// The bounds of memory. An agent asks at the beginning of a call.
const (
	For  = time.Hour
	most = 10_000
)

// Calls finds redirected calls by any of their ids. Its size is bounded.
type Calls struct {
	keep time.Duration // constant: for how long

	mu    sync.Mutex
	queue []*Entry // oldest first
	byID  map[string][]*Entry
}

// New remembers calls for so long.
func New(keep time.Duration) *Calls { return &Calls{keep: keep, byID: map[string][]*Entry{}} }

// Add remembers a call and forgets old ones. A further attempt replaces the earlier one.
func (r *Calls) Add(c *Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) > 0 && (len(r.queue) >= most || c.At.Sub(r.queue[0].At) > r.keep) {
		r.forget(r.queue[0])
		r.queue[0] = nil
		r.queue = r.queue[1:]
	}
	r.queue = append(r.queue, c)
	for _, id := range c.IDs {
		if id != "" && len(id) <= maxID && !slices.Contains(r.byID[id], c) {
			others := slices.DeleteFunc(r.byID[id], func(o *Entry) bool { return o.Call.ID == c.Call.ID })
			r.byID[id] = append(others, c)
		}
	}
}

// maxID bounds an id, in bytes.
const maxID = 256

func (r *Calls) forget(c *Entry) {
	for _, id := range c.IDs {
		left := slices.DeleteFunc(r.byID[id], func(o *Entry) bool { return o == c })
		if len(left) == 0 {
			delete(r.byID, id)
		} else {
			r.byID[id] = left
		}
	}
}

// Find gives the call with an id. Its error is ErrUnknownCall or ErrSeveralCalls.
func (r *Calls) Find(id string, now time.Time) (*Entry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found *Entry
	for _, c := range r.byID[id] {
		switch {
		case now.Sub(c.At) > r.keep:
		case found != nil:
			return nil, ErrSeveralCalls
		default:
			found = c
		}
	}
	if found == nil {
		return nil, ErrUnknownCall
	}
	return found, nil
}

// Reported gives the followed call of a platform's report, or nil. The external id finds only a call that was not
// prepared.
func (r *Calls) Reported(platformID, externalID string, now time.Time) *Entry {
	if c, err := r.Find(platformID, now); err == nil && c.Call.SynthflowCallID == platformID && r.isLatest(c) {
		return c
	}
	if c, err := r.Find(externalID, now); err == nil && c.Call.SynthflowCallID == "" && c.Call.ExternalID == externalID && r.isLatest(c) {
		return c
	}
	return nil
}

// isLatest says whether this is the last attempt of a followed call.
func (r *Calls) isLatest(c *Entry) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return c.Followed && slices.Contains(r.byID[c.Call.ID], c)
}
