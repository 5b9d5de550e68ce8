package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// figures are those of one run. Times are microseconds per packet that was
// relayed; where nothing relays, per packet that was sent.
type figures struct {
	System string `json:"system"`
	Calls  int    `json:"calls"`
	Round  int    `json:"round"`

	Sent     int64   `json:"sent"`
	Lost     int64   `json:"lost"`
	Unsent   int64   `json:"unsent"` // by the generator, for want of room: part of Lost
	Seconds  float64 `json:"seconds"`
	RelayUS  float64 `json:"relay_us"` // CPU of the relay's process
	OursUS   float64 `json:"generator_us"`
	KernelUS float64 `json:"kernel_us"` // of the kernel's threads

	MarginalUS float64 `json:"marginal_us"` // all three, less what they are with nothing in between

	P50US     float64 `json:"p50_us"` // one-way delay
	P99US     float64 `json:"p99_us"`
	AddedP50  float64 `json:"added_p50_us"` // less what it is with nothing in between
	AddedP99  float64 `json:"added_p99_us"`
	LateMS    float64 `json:"generator_late_ms"` // that the measurement took longer, as others had the processors
	KBPerCall float64 `json:"kb_per_call"`
}

// take fills in what a run has shown.
func (f *figures) take(l *load, start, end usage) {
	used := end.since(start)
	f.Sent = l.sent()
	f.Lost = f.Sent - l.received()
	f.Unsent = l.side[0].unsent + l.side[1].unsent
	f.Seconds = float64(l.last-l.first) * interval.Seconds()
	each := func(d time.Duration) float64 {
		return float64(d.Nanoseconds()) / 1000 / float64(max(l.received(), 1))
	}
	f.RelayUS, f.OursUS, f.KernelUS = each(used.relay), each(used.generator), each(used.kernel)
	f.P50US, f.P99US = l.delay(0.5), l.delay(0.99)
	f.LateMS = float64(l.late) / 1e6
}

// deduct takes from each run what its round's run without a relay had.
func deduct(all []figures) {
	for i := range all {
		f := &all[i]
		at := slices.IndexFunc(all, func(d figures) bool { return d.System == direct && d.Calls == f.Calls && d.Round == f.Round })
		if at < 0 {
			continue
		}
		d := &all[at]
		f.MarginalUS = f.RelayUS + f.OursUS + f.KernelUS - d.RelayUS - d.OursUS - d.KernelUS
		f.AddedP50, f.AddedP99 = f.P50US-d.P50US, f.P99US-d.P99US
	}
}

// median is the middle of each figure of the rounds. Of what was lost it is the
// sum.
func median(all []figures, system string, calls int) figures {
	var rounds []figures
	for _, f := range all {
		if f.System == system && f.Calls == calls {
			rounds = append(rounds, f)
		}
	}
	middle := func(of func(figures) float64) float64 {
		slices.SortFunc(rounds, func(a, b figures) int { return cmp.Compare(of(a), of(b)) })
		n := len(rounds)
		return (of(rounds[(n-1)/2]) + of(rounds[n/2])) / 2
	}
	m := figures{
		System: system, Calls: calls, Round: len(rounds),
		RelayUS:    middle(func(f figures) float64 { return f.RelayUS }),
		OursUS:     middle(func(f figures) float64 { return f.OursUS }),
		KernelUS:   middle(func(f figures) float64 { return f.KernelUS }),
		MarginalUS: middle(func(f figures) float64 { return f.MarginalUS }),
		P50US:      middle(func(f figures) float64 { return f.P50US }),
		P99US:      middle(func(f figures) float64 { return f.P99US }),
		AddedP50:   middle(func(f figures) float64 { return f.AddedP50 }),
		AddedP99:   middle(func(f figures) float64 { return f.AddedP99 }),
		LateMS:     middle(func(f figures) float64 { return f.LateMS }),
		KBPerCall:  middle(func(f figures) float64 { return f.KBPerCall }),
	}
	for _, f := range rounds {
		m.Sent, m.Lost, m.Unsent = m.Sent+f.Sent, m.Lost+f.Lost, m.Unsent+f.Unsent
	}
	return m
}

const heading = "system       calls   relay µs  marginal µs  generator µs  added p50 µs  added p99 µs     lost of     sent  KB/call"

// row is a line of the table under heading.
func (f figures) row() string {
	return fmt.Sprintf("%-12s %5d %10.2f %12.2f %13.2f %13.0f %13.0f %8d %11d %8.1f",
		f.System, f.Calls, f.RelayUS, f.MarginalUS, f.OursUS, f.AddedP50, f.AddedP99, f.Lost, f.Sent, f.KBPerCall)
}
