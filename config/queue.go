package config

import (
	"fmt"
	"slices"
	"time"
)

// queue is the section `routes[].queue`: callers wait in order of arrival while every target of the route is full, by
// its max_calls or max_cps.
type queue struct {
	// The most callers of the route that wait at once. Further ones get 486. 0: no caller waits.
	Limit int `key:"limit" default:"20" max:"10000"`
	// How long a caller waits at most until 486. setup_timeout does not run meanwhile.
	Timeout time.Duration `key:"timeout" default:"3m"`
	// What a waiting caller hears, after 183. Empty: what ringing says, with 180 for on-target.
	Sound string `key:"sound" is:"sound"`
}

// queues warns of queues that no caller can enter.
func (d *doubts) queues() {
	for i := range d.cfg.Routes {
		r := &d.cfg.Routes[i]
		if r.Queue == nil {
			continue
		}
		if name, never := d.neverFull(r); never {
			d.warn(fmt.Sprintf("routes[%d].queue", i),
				fmt.Sprintf("is never used: %s has neither max_calls nor max_cps, and is never full", name),
				"give it max_calls, or remove the queue")
		}
	}
}

// neverFull returns a destination of a route that accepts any number of calls.
func (d *doubts) neverFull(r *Route) (name string, is bool) {
	for i := range d.cfg.Targets {
		if t := &d.cfg.Targets[i]; t.MaxCalls == 0 && t.MaxCPS == 0 && slices.Contains(r.Targets, t.Name) {
			return "target " + t.Name, true
		}
	}
	for i := range d.cfg.Trunks {
		if t := &d.cfg.Trunks[i]; t.MaxCalls == 0 && t.MaxCPS == 0 && slices.Contains(r.Trunks, t.Name) {
			return "trunk " + t.Name, true
		}
	}
	return "", false
}
