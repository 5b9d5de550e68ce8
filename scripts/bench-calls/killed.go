package main

import (
	"fmt"
	"time"

	"flowbridge/scripts/internal/report"
)

// killed is what became of calls whose process was killed and started again.
type killed struct {
	System string  `json:"system"`
	Calls  int     `json:"calls"`   // that were up at the kill
	AwayMS float64 `json:"away_ms"` // from the kill until the new process answered
	Ended  int     `json:"ended"`   // by the other side, before the carrier hung up
	Good   int     `json:"good"`    // the carrier's BYE got its 200
	Failed int     `json:"failed"`  // another answer
	Lost   int     `json:"lost"`    // no answer
	Left   int     `json:"left"`    // calls that the agent still has: it was not told of their end
}

const killedHeading = "system      calls  away ms   ended    good  failed    lost  left at the agent"

func (k killed) row() string {
	return fmt.Sprintf("%-11s %5d %8.0f %7d %7d %7d %7d %18d",
		k.System, k.Calls, k.AwayMS, k.Ended, k.Good, k.Failed, k.Lost, k.Left)
}

const (
	beforeKill = 2 * time.Second  // all calls are up, and nothing happens
	afterKill  = 10 * time.Second // from the new process's start until the carrier hangs up
)

// kill has calls held, kills who signals for them, starts that again, and hangs up. Of Kamailio, rtpengine lives on.
func (b *bench) kill() error {
	var all []killed
	fmt.Fprintln(b.out, killedHeading)
	for _, calls := range b.rates {
		for _, name := range b.systems {
			k, err := b.killedWith(name, calls)
			if err != nil {
				return fmt.Errorf("%s with %d calls: %w", name, calls, err)
			}
			fmt.Fprintln(b.out, k.row())
			all = append(all, k)
		}
	}
	return report.Write(b.json, all)
}

func (b *bench) killedWith(name string, calls int) (k killed, err error) {
	k.System = name
	s, err := b.startSystem(name)
	if err != nil {
		return k, err
	}
	defer s.stop()
	const notYet, away, back = 0, 1, 2
	at := notYet
	again := make(chan error, 1)
	var failure error
	var since time.Duration
	ramp := time.Duration(calls) * time.Second / heldRate
	l, err := b.run(s, plan{
		hold: time.Hour, steps: []step{{heldRate, ramp}},
		watch: func(now time.Duration, c *carrier) bool {
			switch {
			case at == notYet && now >= ramp+beforeKill:
				at, k.Calls, since = away, c.up, now
				go func() { again <- s.replace() }()
			case at == away && len(again) > 0:
				at, failure = back, <-again
				k.AwayMS, since = float64((now - since).Milliseconds()), now
			case at == back && now >= since+afterKill && !c.hangUp:
				k.Ended = k.Calls - c.up
				return true
			}
			return failure != nil
		},
	})
	if err == nil {
		err = failure
	}
	if err != nil {
		return k, err
	}
	c := l.carrier
	k.Good, k.Failed, k.Lost, k.Left = c.ended[good], c.ended[failed]-k.Ended, c.ended[lost], len(l.agent.calls)
	return k, nil
}
