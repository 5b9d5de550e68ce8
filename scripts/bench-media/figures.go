package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"flowbridge/scripts/internal/report"
)

// figures are the figures of one run. Times are microseconds per relayed packet or, without a relay, per sent packet.
type figures struct {
	System string `json:"system"`
	Calls  int    `json:"calls"`
	Round  int    `json:"round"`

	Sent     int64   `json:"sent"`
	Lost     int64   `json:"lost"`
	Unsent   int64   `json:"unsent"`   // packets that the generator could not send for lack of room; included in Lost
	RelayUS  float64 `json:"relay_us"` // CPU of the relay's process
	OursUS   float64 `json:"generator_us"`
	KernelUS float64 `json:"kernel_us"` // CPU of the kernel's threads

	DirectUS   float64 `json:"direct_us"`   // generator and kernel threads, over the direct link
	MarginalUS float64 `json:"marginal_us"` // all three added, minus DirectUS
	Least      float64 `json:"-"`           // lowest of the rounds
	Most       float64 `json:"-"`

	P50US     float64 `json:"p50_us"` // one-way delay
	P99US     float64 `json:"p99_us"`
	DirectP50 float64 `json:"direct_p50_us"`
	DirectP99 float64 `json:"direct_p99_us"`
	AddedP50  float64 `json:"added_p50_us"` // minus the delay over the direct link
	AddedP99  float64 `json:"added_p99_us"`
	LateMS    float64 `json:"generator_late_ms"` // extra time for the measurement, because others used the processors
	KBPerCall float64 `json:"kb_per_call"`
}

// each returns the time per packet of a load, in microseconds.
func each(d time.Duration, l *load) float64 {
	return float64(d.Nanoseconds()) / 1000 / float64(max(l.received(), 1))
}

// take fills in the figures of a run.
func (f *figures) take(l *load, used usage) {
	f.Sent = l.sent
	f.Lost = f.Sent - l.received()
	f.Unsent = l.side[0].unsent + l.side[1].unsent
	f.RelayUS, f.OursUS, f.KernelUS = each(used.relay, l), each(used.generator, l), each(used.kernel, l)
	f.P50US, f.P99US = l.delay(0.5), l.delay(0.99)
	f.LateMS = float64(l.late) / 1e6
}

// takeDirect fills in the figures of the same load without a relay. The relay's process is idle then.
func (f *figures) takeDirect(l *load, used usage) {
	f.DirectUS = each(used.generator+used.kernel, l)
	f.DirectP50, f.DirectP99 = l.delay(0.5), l.delay(0.99)
}

// deduct subtracts the figures without a relay from a run.
func (f *figures) deduct() {
	f.MarginalUS = f.RelayUS + f.OursUS + f.KernelUS - f.DirectUS
	f.AddedP50, f.AddedP99 = f.P50US-f.DirectP50, f.P99US-f.DirectP99
}

// median returns the median of each figure over the rounds. Lost packets are added up instead.
func median(all []figures, system string, calls int) figures {
	rounds := slices.DeleteFunc(slices.Clone(all), func(f figures) bool { return f.System != system || f.Calls != calls })
	m := report.Medians(rounds)
	m.System, m.Calls, m.Round = system, calls, len(rounds)
	byMargin := func(a, b figures) int { return cmp.Compare(a.MarginalUS, b.MarginalUS) }
	m.Least, m.Most = slices.MinFunc(rounds, byMargin).MarginalUS, slices.MaxFunc(rounds, byMargin).MarginalUS
	return m
}

const heading = "system       calls   relay µs   marginal µs (from, to)  generator µs  direct µs  " +
	"added p50 µs  added p99 µs     lost of     sent  KB/call"

// row returns a line of the table under heading.
func (f figures) row() string {
	return fmt.Sprintf("%-12s %5d %10.2f %11.2f (%5.2f,%6.2f) %13.2f %10.2f %13.0f %13.0f %8d %11d %8.1f",
		f.System, f.Calls, f.RelayUS, f.MarginalUS, f.Least, f.Most, f.OursUS, f.DirectUS,
		f.AddedP50, f.AddedP99, f.Lost, f.Sent, f.KBPerCall)
}
