package main

import (
	"sync"
	"time"

	"flowbridge/config"
	"flowbridge/hooks"
)

// redirected is a call that Twilio dials by our word. It does not come through
// us, but its agent asks for its variables all the same.
type redirected struct {
	call hooks.Call
	vars config.Vars
	ids  []string
	at   time.Time
	// followed says that it will have a record.
	followed bool
}

// The bounds of what is remembered. An agent asks when the call begins.
const (
	redirectFor  = time.Hour
	maxRedirects = 10_000
)

// redirects remembers calls by any of their ids, the latest of each.
type redirects struct {
	keep time.Duration // constant: for how long

	mu    sync.Mutex
	queue []*redirected // oldest first
	byID  map[string]*redirected
}

func newRedirects() *redirects {
	return &redirects{keep: redirectFor, byID: map[string]*redirected{}}
}

// add remembers a call, and forgets those that are too old or too many.
func (r *redirects) add(c *redirected) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) > 0 && (len(r.queue) >= maxRedirects || c.at.Sub(r.queue[0].at) > r.keep) {
		for _, id := range r.queue[0].ids {
			if r.byID[id] == r.queue[0] {
				delete(r.byID, id)
			}
		}
		r.queue[0] = nil
		r.queue = r.queue[1:]
	}
	r.queue = append(r.queue, c)
	for _, id := range c.ids {
		if id != "" {
			r.byID[id] = c
		}
	}
}

// find gives the call that has an id; nil: there is none.
func (r *redirects) find(id string, now time.Time) *redirected {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.byID[id]
	if c == nil || now.Sub(c.at) > r.keep {
		return nil
	}
	return c
}

// reported gives the call with a record to come that a platform means by its
// own id or, of one that was not prepared, by the external one; nil: there is
// none.
func (r *redirects) reported(platformID, externalID string, now time.Time) *redirected {
	if c := r.find(platformID, now); c != nil && c.call.SynthflowCallID == platformID && r.isLatest(c) {
		return c
	}
	if c := r.find(externalID, now); c != nil && c.call.SynthflowCallID == "" && c.call.ExternalID == externalID && r.isLatest(c) {
		return c
	}
	return nil
}

// isLatest says whether a followed call was dialled nowhere else afterwards.
func (r *redirects) isLatest(c *redirected) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return c.followed && r.byID[c.call.ID] == c
}
