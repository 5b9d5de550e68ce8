package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/batch"
	"flowbridge/scripts/internal/report"
)

// passage is the processor time for a packet between the two ends' system calls. The kernel does all of this work
// while the packet is sent. Times are nanoseconds, medians of batches.
type passage struct {
	System     string  `json:"system"`
	Calls      int     `json:"calls"`
	Batches    int     `json:"batches"`
	PacketNS   float64 `json:"packet_ns"`   // sending, passing, reading
	DirectNS   float64 `json:"direct_ns"`   // the same over the direct link
	MarginalNS float64 `json:"marginal_ns"` // of each batch, minus the next one over the direct link
	Quarter    float64 `json:"marginal_quarter_ns"`
	Ratio      float64 `json:"ratio"` // of the marginal times to forward's
	Lost       int64   `json:"lost"`
}

// passing is a system with its load, and a load over the direct link.
type passing struct {
	passage
	load, direct           *load
	took, without, between []float64
}

// forwarding compares the cost of a packet that the kernel relays with the cost of one that it forwards. All systems
// take turns, one packet of each call at a time, so that all have the same processor conditions. The time of the
// relay's process is not included.
func (b *bench) forwarding() error {
	var all []passage
	fmt.Fprintf(b.out, "%-18s %6s %10s %10s %12s %12s %7s %8s\n", "system", "calls", "packet ns", "direct ns",
		"marginal ns", "(quarter)", "ratio", "lost")
	for _, calls := range b.calls {
		got, err := b.pass(calls)
		if err != nil {
			return err
		}
		for _, p := range got {
			fmt.Fprintf(b.out, "%-18s %6d %10.0f %10.0f %12.0f %12.0f %7.2f %8d\n", p.System, p.Calls, p.PacketNS, p.DirectNS,
				p.MarginalNS, p.Quarter, p.Ratio, p.Lost)
		}
		all = append(all, got...)
	}
	return report.Write(b.json, all)
}

func (b *bench) pass(calls int) (got []passage, err error) {
	var each []*passing
	for _, name := range []string{forward, "kernel", limited} {
		p, stop, err := b.prepare(name, calls)
		if err != nil {
			return nil, err
		}
		defer stop()
		each = append(each, p)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for until := time.Now().Add(time.Duration(b.seconds) * time.Second); time.Now().Before(until); {
		for _, i := range rand.Perm(len(each)) { // random, so that no system always follows the same other one
			p := each[i]
			took, without := p.load.burst(), p.direct.burst()
			p.took, p.without, p.between = append(p.took, took), append(p.without, without), append(p.between, took-without)
		}
	}
	for _, p := range each {
		if p.load.received() == 0 {
			return nil, errors.New(p.System + ": no packet came through")
		}
		p.Calls, p.Batches, p.Lost = calls, len(p.took), p.load.sent-p.load.received()
		for _, times := range [][]float64{p.took, p.without, p.between} {
			slices.Sort(times)
		}
		p.PacketNS, p.DirectNS = report.At(p.took, 0.5), report.At(p.without, 0.5)
		p.MarginalNS, p.Quarter = report.At(p.between, 0.5), report.At(p.between, 0.25)
		p.Ratio = p.MarginalNS / each[0].MarginalNS
		got = append(got, p.passage)
	}
	return got, nil
}

// prepare starts a system with calls whose packets the kernel already relays, if it can.
func (b *bench) prepare(name string, calls int) (p *passing, stop func(), err error) {
	s, err := b.start(name)
	if err != nil {
		return nil, nil, err
	}
	p = &passing{passage: passage{System: name}}
	if p.load, p.direct, err = s.loads(calls, nil); err == nil {
		_, _, err = p.load.run(settling, 0, noUsage)
	}
	if err != nil {
		s.stop()
		return nil, nil, err
	}
	return p, s.stop, nil
}

// settling is longer than flows take to reach the kernel.
const settling = 4 * time.Second

// burst sends a packet of each call from each side and reads them, and returns this thread's time per packet in
// nanoseconds.
func (l *load) burst() float64 {
	number := l.next
	l.first, l.last, l.next = number, number+1, number+1
	l.sent += 2 * int64(l.calls)
	began := batch.Clock(unix.CLOCK_THREAD_CPUTIME_ID)
	for at := range ticks {
		for _, s := range l.side {
			s.send(at, number, 1, nil, nil)
		}
		l.read()
	}
	return float64(batch.Clock(unix.CLOCK_THREAD_CPUTIME_ID)-began) / float64(2*l.calls)
}
