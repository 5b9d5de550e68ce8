package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"flowbridge/scripts/internal/process"
	"flowbridge/scripts/internal/report"
)

// bench is what is measured, and how.
type bench struct {
	calls, seconds, minutes, rest int
	json                          string
	out                           io.Writer
	all                           []figure
}

// figure is a line of the table. Without an upper share, P99 is the largest value.
type figure struct {
	What string  `json:"what"`
	Unit string  `json:"unit"`
	N    int     `json:"n"`
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	Most float64 `json:"most"`
}

// note adds a line about sorted values.
func (b *bench) note(what, unit string, sorted []float64) {
	f := figure{What: what, Unit: unit, N: len(sorted), P50: report.At(sorted, .5), P99: report.At(sorted, .99)}
	if len(sorted) > 0 {
		f.Most = slices.Max(sorted)
	}
	b.all = append(b.all, f)
	fmt.Fprintf(b.out, "%-58s %-11s %7d %9.2f %9.2f %9.2f\n", f.What, f.Unit, f.N, f.P50, f.P99, f.Most)
}

const (
	warm     = 2 * time.Second
	one      = 1  // call
	inTurn   = 20 // calls after a target that refuses
	replaced = 50 // calls while the process is replaced
	// The rhythms, in frames: a word each second, after silence; an order to talk every two seconds, and clear within it.
	wordEvery, talkEvery, hushAfter = 50, 100, 40
	sentence, speaks                = 100, 80 // frames of a sentence with its pause, and without
)

// The frames of each call: echoed, with pauses in which the bot sends silence, as people speak; quiet but for one in a
// second, each call at another time; talk that is cleared.
func echoed(call, frame int) byte {
	if (frame+7*call)%sentence < speaks {
		return echo
	}
	return pause
}

// unbroken is for gaps, to which the pauses of echoed would add.
func unbroken(int, int) byte { return echo }

func words(call, frame int) byte {
	if (frame+7*call)%wordEvery == 0 {
		return echo
	}
	return quiet
}

func cleared(_, frame int) byte {
	switch frame % talkEvery {
	case 0:
		return talk
	case hushAfter:
		return hush
	}
	return quiet
}

var errDropped = errors.New("the caller heard what clear had dropped")

// measure measures all figures, and prints them.
func (b *bench) measure(s *system) error {
	fmt.Fprintf(b.out, "%-58s %-11s %7s %9s %9s %9s\n", "what", "unit", "n", "p50", "p99", "most")
	for _, step := range []func(*system) error{b.talks, b.refused, b.replacements} {
		if err := step(s); err != nil {
			return fmt.Errorf("%w; %s", err, process.Tail(s.server.Log()))
		}
	}
	return report.Write(b.json, b.all)
}

// talks measures calls that begin at once and run at the same time.
func (b *bench) talks(s *system) error {
	took, err := s.carrier.place(b.calls, direct)
	if err != nil {
		return err
	}
	b.note(fmt.Sprintf("INVITE to 200, %d calls at once", b.calls), "ms", took)
	if _, err = s.carrier.send(warm, echoed); err != nil {
		return err
	}
	while := time.Duration(b.seconds) * time.Second
	group := process.Group{s.server.PID}
	before, _ := group.CPU() // it runs
	h, err := s.carrier.send(while, echoed)
	after, _ := group.CPU()
	if err != nil {
		return err
	}
	b.note("caller to bot", "ms", h.up)
	b.note("bot to caller, a bot that sends in real time", "ms", h.down)
	share := (after - before).Seconds() / while.Seconds() / float64(b.calls)
	b.note("CPU of a call", "% of a core", []float64{100 * share})
	missing := max(0, h.sent-len(h.down))
	b.note("frames that did not come back in time", "of sent", []float64{float64(missing) / float64(h.sent)})
	if _, err = s.carrier.send(warm, func(int, int) byte { return quiet }); err != nil {
		return err
	}
	if h, err = s.carrier.send(while, words); err != nil {
		return err
	}
	b.note("bot to caller, the first word after silence", "ms", h.down)
	if h, err = s.carrier.send(while, cleared); err != nil {
		return err
	}
	b.note("clear to what follows, instead of 1.2 s that it drops", "ms", h.down)
	if h.after > 0 {
		return fmt.Errorf("%w: %d frames", errDropped, h.after)
	}
	return s.carrier.hangUp()
}

// refused measures calls whose first target refuses the connection.
func (b *bench) refused(s *system) error {
	var all []float64
	for range inTurn {
		took, err := s.carrier.place(one, second)
		if err == nil {
			err = s.carrier.hangUp()
		}
		if err != nil {
			return err
		}
		all = append(all, took...)
	}
	slices.Sort(all)
	b.note("INVITE to 200 of the next target, the first refuses", "ms", all)
	return nil
}

// replacements measures calls while the process is killed and upgraded. A call that is lost is an error.
func (b *bench) replacements(s *system) error {
	n := min(b.calls, replaced)
	if _, err := s.carrier.place(n, direct); err != nil {
		return err
	}
	for _, way := range []struct {
		name string
		do   func() error
	}{{"kill -9 and start", s.kill}, {"upgrade", s.upgrade}} {
		if _, err := s.carrier.send(warm, unbroken); err != nil {
			return err
		}
		done := make(chan error, 1)
		time.AfterFunc(time.Second, func() { done <- way.do() })
		h, err := s.carrier.send(time.Duration(b.seconds)*time.Second, unbroken)
		if err = errors.Join(err, <-done); err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
		if h.silent > 0 {
			return fmt.Errorf("%s: %w: %d calls end in silence", way.name, errLost, h.silent)
		}
		b.note(fmt.Sprintf("%s with %d calls, none lost: longest gap", way.name, n), "ms", []float64{float64(h.gap) / 1e6})
	}
	return s.carrier.hangUp()
}

// soak places calls again and again, and prints what the process has at the end of each minute, when no call is up, and
// at rest before and after: then sockets that rest between calls are closed, too.
func (b *bench) soak(s *system) error {
	fmt.Fprintf(b.out, "%-10s %8s %11s %6s %8s\n", "minute", "calls", "goroutines", "files", "RSS MB")
	placed, minute := 0, 0
	note := func(what string) error {
		f, err := s.server.Admin.Metrics()
		group := process.Group{s.server.PID}
		fmt.Fprintf(b.out, "%4d %-5s %8d %11.0f %6d %8.1f\n",
			minute, what, placed, f["go_goroutines"], group.Descriptors(), group.Resident())
		return err
	}
	for _, phase := range []struct {
		what    string
		minutes int
		rounds  int // in a minute
	}{{"", 1, 1}, {"rest", b.rest, 0}, {"", b.minutes, 2}, {"rest", b.rest, 0}} {
		for range phase.minutes {
			end := time.After(time.Minute)
			for range phase.rounds {
				if err := b.round(s, &placed); err != nil {
					return fmt.Errorf("%w; %s", err, process.Tail(s.server.Log()))
				}
			}
			<-end
			minute++
			if err := note(phase.what); err != nil {
				return err
			}
		}
	}
	return nil
}

// round places calls of 20 s. It counts them in placed.
func (b *bench) round(s *system, placed *int) error {
	n := *placed / b.calls
	_, err := s.carrier.place(b.calls, []string{direct, second}[n%2])
	if err == nil {
		_, err = s.carrier.send(20*time.Second, []func(int, int) byte{echoed, words, cleared}[n%3])
	}
	if err == nil {
		err = s.carrier.hangUp()
	}
	*placed += b.calls
	return err
}
