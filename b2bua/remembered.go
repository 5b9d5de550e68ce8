package b2bua

import (
	"slices"
	"sync"
	"time"
)

// RedirectedCall is the memory of a redirected call, for its agent and for reports of
// its platform.
type RedirectedCall struct {
	ID, SIPCallID, SynthflowCallID, ExternalID string
	Target, Direction                          string
	From, To, Lead, Diversion                  string            // numbers
	Variables                                  map[string]string // by RedirectOptions.Variables
}

// remembered is a redirected call with its ids.
type remembered struct {
	call     RedirectedCall
	ids      []string
	at       time.Time
	followed bool // it will have a record
}

// The bounds of memory. An agent asks at the beginning of a call.
const (
	rememberFor   = time.Hour
	maxRemembered = 10_000
)

// rememberedCalls finds redirected calls by any of their ids. Its size is bounded.
type rememberedCalls struct {
	keep time.Duration // constant: for how long

	mu    sync.Mutex
	queue []*remembered // oldest first
	byID  map[string][]*remembered
}

func newRemembered() *rememberedCalls {
	return &rememberedCalls{keep: rememberFor, byID: map[string][]*remembered{}}
}

// add remembers a call and forgets old ones. A further attempt replaces the earlier one.
func (r *rememberedCalls) add(c *remembered) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) > 0 && (len(r.queue) >= maxRemembered || c.at.Sub(r.queue[0].at) > r.keep) {
		r.forget(r.queue[0])
		r.queue[0] = nil
		r.queue = r.queue[1:]
	}
	r.queue = append(r.queue, c)
	for _, id := range c.ids {
		if id != "" && len(id) <= maxRedirectID && !slices.Contains(r.byID[id], c) {
			others := slices.DeleteFunc(r.byID[id], func(o *remembered) bool { return o.call.ID == c.call.ID })
			r.byID[id] = append(others, c)
		}
	}
}

// maxRedirectID bounds an id, in bytes.
const maxRedirectID = 256

func (r *rememberedCalls) forget(c *remembered) {
	for _, id := range c.ids {
		left := slices.DeleteFunc(r.byID[id], func(o *remembered) bool { return o == c })
		if len(left) == 0 {
			delete(r.byID, id)
		} else {
			r.byID[id] = left
		}
	}
}

// find gives the call with an id. Its error is ErrUnknownCall or ErrSeveralCalls.
func (r *rememberedCalls) find(id string, now time.Time) (*remembered, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found *remembered
	for _, c := range r.byID[id] {
		switch {
		case now.Sub(c.at) > r.keep:
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

// reported gives the followed call of a platform's report, or nil. The external id finds only a call that was not
// prepared.
func (r *rememberedCalls) reported(platformID, externalID string, now time.Time) *remembered {
	if c, err := r.find(platformID, now); err == nil && c.call.SynthflowCallID == platformID && r.isLatest(c) {
		return c
	}
	if c, err := r.find(externalID, now); err == nil && c.call.SynthflowCallID == "" && c.call.ExternalID == externalID && r.isLatest(c) {
		return c
	}
	return nil
}

// isLatest says whether this is the last attempt of a followed call.
func (r *rememberedCalls) isLatest(c *remembered) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return c.followed && slices.Contains(r.byID[c.call.ID], c)
}
