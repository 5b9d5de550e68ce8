package main

import (
	"fmt"
	"time"
)

// held is the cost of one of a number of calls while they are up, compared with a warm process
// without calls.
type held struct {
	System      string  `json:"system"`
	Offered     int     `json:"offered"`
	Calls       int     `json:"calls"` // calls that were up
	RSS         float64 `json:"rss_kb_per_call"`
	PSS         float64 `json:"pss_kb_per_call"`
	Descriptors float64 `json:"descriptors_per_call"`
}

const (
	heldRate = 200 // calls a second, until all are up
	settle   = 45 * time.Second
)

// held measures calls that are up, in a separate process.
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
	rss, pss, err := s.group.Memory()
	if err != nil {
		return h, err
	}
	files := s.group.Descriptors()
	var failure error
	ramp := time.Duration(calls) * time.Second / heldRate
	l, err := b.run(s, plan{
		hold: time.Hour, steps: []step{{heldRate, ramp}},
		watch: func(at time.Duration, c *carrier) (hangUp bool) {
			if at < ramp+settle || c.hangUp {
				return c.hangUp
			}
			each := func(n int64) float64 { return float64(n) / float64(max(c.up, 1)) }
			rss2, pss2, err := s.group.Memory()
			h.Calls, failure = c.up, err
			h.RSS, h.PSS, h.Descriptors = each(rss2-rss)/1024, each(pss2-pss)/1024, each(int64(s.group.Descriptors()-files))
			return true
		},
	})
	if err == nil {
		err = failure
	}
	if err == nil {
		h.Offered = len(l.carrier.calls)
	}
	if err == nil && h.Calls == 0 {
		err = fmt.Errorf("%s holds none of %d calls", name, h.Offered)
	}
	return h, err
}

const heldHeading = "system      held calls  RSS KB/call  PSS KB/call  descriptors/call"

func (h held) row() string {
	row := fmt.Sprintf("%-11s %10d %12.1f %12.1f %17.2f", h.System, h.Calls, h.RSS, h.PSS, h.Descriptors)
	if h.Calls < h.Offered {
		row += fmt.Sprintf("  of %d that were offered", h.Offered)
	}
	return row
}
