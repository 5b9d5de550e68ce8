package main

import (
	"fmt"
	"time"
)

// held is what each of some calls takes while it is up, beyond what a warm
// process takes without any.
type held struct {
	System      string  `json:"system"`
	Calls       int     `json:"calls"`
	RSS         float64 `json:"rss_kb_per_call"`
	PSS         float64 `json:"pss_kb_per_call"`
	Descriptors float64 `json:"descriptors_per_call"`
}

const (
	heldRate = 200 // calls a second, until all are up
	settle   = 45 * time.Second
)

// held measures calls that are up, in a process of their own.
func (b *bench) held(name string, calls int) (h held, err error) {
	h = held{System: name, Calls: calls}
	s, err := b.startSystem(name)
	if err != nil {
		return h, err
	}
	defer s.stop()
	if _, err := b.round(s, 50, 2*time.Second); err != nil {
		return h, err
	}
	time.Sleep(8 * time.Second)
	rss, pss, err := s.memory()
	if err != nil {
		return h, err
	}
	files := s.descriptors()
	var failure error
	ramp := time.Duration(calls) * time.Second / heldRate
	l, err := b.run(s, plan{
		hold: time.Hour, steps: []step{{heldRate, ramp}},
		watch: func(at time.Duration, c *carrier) (hangUp bool) {
			if at < ramp+settle || c.hangUp {
				return c.hangUp
			}
			each := func(n int64) float64 { return float64(n) / float64(max(c.up, 1)) }
			rss2, pss2, err := s.memory()
			h.Calls, failure = c.up, err
			h.RSS, h.PSS, h.Descriptors = each(rss2-rss), each(pss2-pss), each(int64(s.descriptors()-files))
			return true
		},
	})
	if err == nil {
		err = failure
	}
	if err == nil && h.Calls < len(l.carrier.calls) {
		err = fmt.Errorf("%s holds only %d of %d calls", name, h.Calls, len(l.carrier.calls))
	}
	return h, err
}

const heldHeading = "system      held calls  RSS KB/call  PSS KB/call  descriptors/call"

func (h held) row() string {
	return fmt.Sprintf("%-11s %10d %12.1f %12.1f %17.2f", h.System, h.Calls, h.RSS, h.PSS, h.Descriptors)
}
