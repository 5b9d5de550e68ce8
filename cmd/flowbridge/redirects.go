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
}

// The bounds of what is remembered. An agent asks when the call begins.
const (
	redirectFor  = time.Hour
	maxRedirects = 10_000
)

// redirects remembers calls by any of their ids, the latest of each.
type redirects struct {
	mu    sync.Mutex
	queue []*redirected // oldest first
	byID  map[string]*redirected
}

func newRedirects() *redirects { return &redirects{byID: map[string]*redirected{}} }

// add remembers a call, and forgets those that are too old or too many.
func (r *redirects) add(c *redirected) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) > 0 && (len(r.queue) >= maxRedirects || c.at.Sub(r.queue[0].at) > redirectFor) {
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
	if c == nil || now.Sub(c.at) > redirectFor {
		return nil
	}
	return c
}
