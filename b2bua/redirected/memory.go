package redirected

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// Call is what is known of a redirected call, for its agent and for its platform's reports.
type Call struct {
	ID, SIPCallID, SynthflowCallID, ExternalID string
	Target, Direction                          string
	From, To, Lead, Diversion                  string            // numbers
	Variables                                  map[string]string // variables for the agent, from Options.Variables
}

// The reasons that an id finds no call.
var (
	ErrUnknownCall  = errors.New("no live call has this id")
	ErrSeveralCalls = errors.New("several live calls have this id")
)

// entry is a redirected call with its ids.
type entry struct {
	Call     Call
	IDs      []string
	At       time.Time
	Followed bool // the call will have a record
}

// These are the limits of the memory. An agent asks at the start of a call.
const (
	rememberFor   = time.Hour
	maxRemembered = 10_000
)

// memory finds redirected calls by any of their ids. Its size is bounded.
type memory struct {
	keep time.Duration // constant: how long calls are remembered

	mu    sync.Mutex
	queue []*entry // oldest first
	byID  map[string][]*entry
}

// newMemory returns a memory that remembers calls for keep.
func newMemory(keep time.Duration) *memory { return &memory{keep: keep, byID: map[string][]*entry{}} }

// add stores a call and removes outdated calls. A later attempt of a call replaces the earlier one, and so does a call
// that its dialling party has started again.
func (r *memory) add(c *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) > 0 && (len(r.queue) >= maxRemembered || c.At.Sub(r.queue[0].At) > r.keep) {
		r.forget(r.queue[0])
		r.queue[0] = nil
		r.queue = r.queue[1:]
	}
	r.queue = append(r.queue, c)
	for _, id := range c.IDs {
		if id != "" && len(id) <= maxID && !slices.Contains(r.byID[id], c) {
			others := slices.DeleteFunc(r.byID[id], func(o *entry) bool {
				return o.Call.ID == c.Call.ID || c.Call.SIPCallID != "" && o.Call.SIPCallID == c.Call.SIPCallID
			})
			r.byID[id] = append(others, c)
		}
	}
}

// maxID bounds an id, in bytes.
const maxID = 256

func (r *memory) forget(c *entry) {
	for _, id := range c.IDs {
		left := slices.DeleteFunc(r.byID[id], func(o *entry) bool { return o == c })
		if len(left) == 0 {
			delete(r.byID, id)
		} else {
			r.byID[id] = left
		}
	}
}

// Given reports whether an id of the call comes from us, the dialling party or the platform, so that no caller can
// have written it.
func (c *Call) Given(id string) bool {
	return id != "" && slices.Contains([]string{c.ID, c.SIPCallID, c.SynthflowCallID}, id)
}

// find returns the call with an id. A call to which we or a platform gave the id comes before calls whose callers
// wrote it. The error is ErrUnknownCall or ErrSeveralCalls.
func (r *memory) find(id string, now time.Time) (found *entry, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err = ErrUnknownCall
	for _, c := range r.byID[id] {
		switch {
		case now.Sub(c.At) > r.keep, found != nil && found.Call.Given(id) && !c.Call.Given(id):
		case found != nil && found.Call.Given(id) == c.Call.Given(id):
			err = ErrSeveralCalls
		default:
			found, err = c, nil
		}
	}
	return found, err
}

// reported returns the followed call of a platform's report, or nil. The external id finds only a call that was not
// prepared.
func (r *memory) reported(platformID, externalID string, now time.Time) *entry {
	if c, err := r.find(platformID, now); err == nil && c.Call.SynthflowCallID == platformID && r.isLatest(c) {
		return c
	}
	if c, err := r.find(externalID, now); err == nil && c.Call.SynthflowCallID == "" && c.Call.ExternalID == externalID &&
		r.isLatest(c) {
		return c
	}
	return nil
}

// isLatest reports whether this is the last attempt of a followed call.
func (r *memory) isLatest(c *entry) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return c.Followed && slices.Contains(r.byID[c.Call.ID], c)
}
