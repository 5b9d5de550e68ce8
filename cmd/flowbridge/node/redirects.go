package node

import (
	"slices"
	"sync"
	"time"

	"flowbridge/hooks"
)

// redirected is a call that Twilio dials as the webhook answered. It does not pass through this process, but its agent
// may ask for its variables.
type redirected struct {
	call hooks.Call
	ids  []string
	at   time.Time
	// followed says that it will have a record.
	followed bool
}

// The bounds of what is remembered. An agent asks at the beginning of a call.
const (
	redirectFor  = time.Hour
	maxRedirects = 10_000
)

// redirects finds calls by any of their ids. Its size is bounded.
type redirects struct {
	keep time.Duration // constant: for how long

	mu    sync.Mutex
	queue []*redirected // oldest first
	byID  map[string][]*redirected
}

func newRedirects() *redirects {
	return &redirects{keep: redirectFor, byID: map[string][]*redirected{}}
}

// add remembers a call and forgets old ones. A call that is dialled again replaces its earlier attempt.
func (r *redirects) add(c *redirected) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) > 0 && (len(r.queue) >= maxRedirects || c.at.Sub(r.queue[0].at) > r.keep) {
		r.forget(r.queue[0])
		r.queue[0] = nil
		r.queue = r.queue[1:]
	}
	r.queue = append(r.queue, c)
	for _, id := range c.ids {
		if id != "" && len(id) <= maxRedirectID && !slices.Contains(r.byID[id], c) {
			others := slices.DeleteFunc(r.byID[id], func(o *redirected) bool { return o.call.ID == c.call.ID })
			r.byID[id] = append(others, c)
		}
	}
}

// maxRedirectID bounds an id, in bytes.
const maxRedirectID = 256

func (r *redirects) forget(c *redirected) {
	for _, id := range c.ids {
		left := slices.DeleteFunc(r.byID[id], func(o *redirected) bool { return o == c })
		if len(left) == 0 {
			delete(r.byID, id)
		} else {
			r.byID[id] = left
		}
	}
}

// find gives the call with an id. Its error is hooks.ErrUnknown or hooks.ErrSeveral.
func (r *redirects) find(id string, now time.Time) (*redirected, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found *redirected
	for _, c := range r.byID[id] {
		switch {
		case now.Sub(c.at) > r.keep:
		case found != nil:
			return nil, hooks.ErrSeveral
		default:
			found = c
		}
	}
	if found == nil {
		return nil, hooks.ErrUnknown
	}
	return found, nil
}

// reported gives the call that a platform's report is about, if its record is still to come, else nil. Only a call
// that was not prepared is found by its external id.
func (r *redirects) reported(platformID, externalID string, now time.Time) *redirected {
	if c, err := r.find(platformID, now); err == nil && c.call.SynthflowCallID == platformID && r.isLatest(c) {
		return c
	}
	if c, err := r.find(externalID, now); err == nil && c.call.SynthflowCallID == "" && c.call.ExternalID == externalID && r.isLatest(c) {
		return c
	}
	return nil
}

// isLatest says whether this is the last attempt of a followed call.
func (r *redirects) isLatest(c *redirected) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return c.followed && slices.Contains(r.byID[c.call.ID], c)
}
