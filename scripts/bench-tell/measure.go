package main

import (
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"flowbridge/scripts/internal/report"
	"flowbridge/scripts/internal/rtp"
)

// atOnce is how many calls are up at the same time; unknown is how many answers Flowbridge has to see before it knows
// how long a target takes.
const (
	atOnce  = 20
	unknown = 10
)

// result is a line of the table.
type result struct {
	Answers string `json:"answers"` // how long the agent takes
	Calls   int    `json:"calls"`
	Wait    share  `json:"wait_ms"`  // from the statement's end to the agent's first word, over the agent's own time
	Stays   share  `json:"stays_ms"` // the delay of the agent's words after its first pause
	Early   int    `json:"early"`    // other packets that came within the statement
	Heard   int    `json:"heard"`    // agents that heard the caller before its end, or never
	Again   int    `json:"again"`    // statements that were said again, because they had not been sent whole
	Parts   int    `json:"parts"`    // statements that did not come whole, even so
	Cut     int    `json:"cut"`      // agents whose words did not all come in order
}

// share is how values are shared out.
type share struct {
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	Most float64 `json:"most"`
}

func shareOf(all []time.Duration) share {
	slices.Sort(all)
	ms := func(q float64) float64 { return float64(report.At(all, q)) / 1e6 }
	return share{ms(.5), ms(.95), ms(1)}
}

// measure places the calls, and prints the table.
func (b *bench) measure(out io.Writer, calls int) (all []result, err error) {
	fmt.Fprintf(out, "%-30s %6s  %24s  %24s  %6s %6s %6s %6s %6s\n", "", "", "wait ms: p50, p95, most",
		"that stays: p50, p95, most", "early", "heard", "again", "parts", "cut")
	rng := rand.New(rand.NewPCG(1, 2))
	for _, phase := range []struct {
		name, prefix string
		mean, spread time.Duration
	}{
		{".55 to 1.05 s", "+1507", 800 * time.Millisecond, 250 * time.Millisecond},
		{".5 to 2.5 s", "+1508", 1500 * time.Millisecond, time.Second},
	} {
		for _, n := range []int{unknown, calls} {
			after := make([]time.Duration, n)
			for i := range after {
				after[i] = phase.mean - phase.spread + time.Duration(rng.Int64N(int64(2*phase.spread)))
			}
			r, err := b.round(phase.prefix, after)
			if err != nil {
				return nil, err
			}
			if r.Answers = "answers in " + phase.name; len(all)%2 == 0 {
				r.Answers = "first, " + r.Answers
			}
			fmt.Fprintf(out, "%-30s %6d  %7.0f %7.0f %8.0f  %7.1f %7.1f %8.1f  %6d %6d %6d %6d %6d\n", r.Answers, r.Calls,
				r.Wait.P50, r.Wait.P95, r.Wait.Most, r.Stays.P50, r.Stays.P95, r.Stays.Most,
				r.Early, r.Heard, r.Again, r.Parts, r.Cut)
			all = append(all, r)
		}
	}
	return all, nil
}

// round places calls whose agents answer after these times.
func (b *bench) round(prefix string, after []time.Duration) (r result, err error) {
	type outcome struct {
		*call
		error
	}
	outcomes, free := make(chan outcome), make(chan struct{}, atOnce)
	go func() {
		for _, d := range after {
			free <- struct{}{}
			go func() {
				c, err := b.place(prefix, d)
				<-free
				outcomes <- outcome{c, err}
			}()
		}
	}()
	var waits, stays []time.Duration
	for range after {
		o := <-outcomes
		if err = cmp.Or(err, o.error); o.error == nil {
			wait, stay := r.note(o.call)
			waits, stays = append(waits, wait), append(stays, stay...)
		}
	}
	r.Wait, r.Stays = shareOf(waits), shareOf(stays)
	return r, err
}

// note adds a call. It returns its wait, and the delays of the words after the agent's pause.
func (r *result) note(c *call) (wait time.Duration, stay []time.Duration) {
	r.Calls++
	for _, came := range c.others {
		if c.begin < came && came < c.end {
			r.Early++
		}
	}
	if c.heard < c.end {
		r.Heard++
	}
	last := c.told[max(0, len(c.told)-told):]
	if !consecutive(last, func(i int) bool { return i < told }) {
		r.Parts++
		fmt.Fprintf(os.Stderr, "call %d: %d frames of the statement came, from %d to %d\n",
			c.number, len(c.told), slices.Min(append(last, told)), slices.Max(append(last, 0)))
	} else if len(c.told) > told {
		r.Again++
	}
	for i := 1; i < len(c.told); i++ {
		if c.told[i] != c.told[i-1]+1 {
			fmt.Fprintf(os.Stderr, "call %d: frame %d of the statement follows on %d\n", c.number, c.told[i], c.told[i-1])
		}
	}
	if !consecutive(c.words, isLoud) {
		r.Cut++
	}
	for i, word := range c.words {
		if word >= own+greets+pauses {
			stay = append(stay, c.delays[i])
		}
	}
	return time.Duration(c.first-c.end) - rtp.Interval - own*rtp.Interval, stay
}

// consecutive reports whether what came are all frames that had to come, in order.
func consecutive(came []int, had func(int) bool) bool {
	next := 0
	for i := range allWords {
		if had(i) {
			if next == len(came) || came[next] != i {
				return false
			}
			next++
		}
	}
	return next == len(came)
}
