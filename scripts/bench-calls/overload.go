package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"flowbridge/scripts/internal/report"
)

// flood is the effect of twice the capacity on a system. Memory is resident, in MB.
type flood struct {
	System   string  `json:"system"`
	Capacity int     `json:"capacity"`
	Offered  figures `json:"offered"`
	Seconds  float64 `json:"seconds"`
	Goodput  float64 `json:"goodput"`    // good calls during the flood, relative to the capacity
	Recovery float64 `json:"recovery_s"` // -1 if it did not recover in time
	After    figures `json:"after"`      // calls at half the capacity after the flood

	StartedMB float64 `json:"rss_started_mb"` // of a new process, before the first call
	BeforeMB  float64 `json:"rss_before_mb"`  // at rest after ten seconds at half the capacity
	PeakMB    float64 `json:"rss_peak_mb"`
	AfterMB   float64 `json:"rss_after_mb"`
	MinuteMB  float64 `json:"rss_minute_after_mb"`

	Percent   int     `json:"sustained_percent"` // percentage of the capacity
	Sustained figures `json:"sustained"`
}

// floods is the output of overload.
type floods struct {
	Machine machine `json:"machine"`
	Floods  []flood `json:"floods"`
}

const (
	floodLasts   = 20 * time.Second
	recoverLasts = 20 * time.Second
	window       = 200 * time.Millisecond // of calls that are judged together for the recovery
	calm         = 10                     // good windows in a row that prove the recovery
	recovered95  = 100.0                  // ms
)

// overload finds each system's capacity, or takes it from the arguments, and offers twice as much.
func (b *bench) overload() error {
	all := floods{Machine: thisMachine(b.processor)}
	for _, name := range b.systems {
		capacity, err := b.capacityOf(name)
		if err != nil {
			return err
		}
		f := flood{System: name, Capacity: capacity, Seconds: floodLasts.Seconds()}
		if err := b.with(name, func(s *system) error { return b.flood(s, &f) }); err != nil {
			return err
		}
		all.Floods = append(all.Floods, f)
	}
	return report.Write(b.json, all)
}

// capacityOf returns the capacity from the arguments, or measures it with a separately started system.
func (b *bench) capacityOf(name string) (n int, err error) {
	if len(b.rates) > 0 {
		return b.rates[0], nil
	}
	err = b.with(name, func(s *system) (err error) {
		if _, err := b.round(s, first, 4*time.Second); err != nil {
			return err
		}
		if n, err = b.capacity(s); err == nil {
			fmt.Fprintf(b.out, "%s: capacity %d calls/s\n\n", name, n)
		}
		return err
	})
	return n, err
}

// flood makes a new process carry twice its capacity, and then less.
func (b *bench) flood(s *system, f *flood) (err error) {
	f.StartedMB = s.group.Resident()
	if _, err = b.round(s, f.Capacity/2, 10*time.Second); err != nil {
		return err
	}
	time.Sleep(20 * time.Second)
	f.BeforeMB = s.group.Resident()
	if err := b.offer(s, f); err != nil {
		return err
	}
	f.AfterMB = s.group.Resident()
	time.Sleep(time.Minute)
	f.MinuteMB = s.group.Resident()
	if f.show(b); b.sustain == 0 {
		return nil
	}
	f.Percent = b.percent
	if f.Sustained, err = b.round(s, f.Capacity*b.percent/100, b.sustain); err == nil {
		fmt.Fprintf(b.out, "%d %% of it for %v\n%s\n%s\n\n", b.percent, b.sustain, heading, f.Sustained.row())
	}
	return err
}

// offer offers twice the capacity, and then half of it.
func (b *bench) offer(s *system, f *flood) error {
	twice := 2 * float64(f.Capacity)
	l, err := b.run(s, plan{
		hold: time.Second, steps: []step{{twice, floodLasts}, {float64(f.Capacity) / 2, recoverLasts}},
		watch: func(time.Duration, *carrier) bool {
			f.PeakMB = max(f.PeakMB, s.group.Resident())
			return false
		},
	})
	if err != nil {
		return err
	}
	calls := l.carrier.calls
	during := begunBefore(floodLasts, calls)
	f.Offered = figures{System: f.System, Rate: int(twice), Round: 1}
	f.After = figures{System: f.System, Rate: f.Capacity / 2, Round: 1}
	f.Offered.take(l)
	f.Offered.count(calls[:during])
	f.After.count(calls[during:])
	f.Goodput = float64(f.Offered.Good) / (float64(f.Capacity) * floodLasts.Seconds())
	f.Recovery = -1
	if after, ok := recovery(calls[during:], floodLasts, recoverLasts); ok {
		f.Recovery = after.Seconds()
	}
	return nil
}

// recovery returns how long after the end of a flood calls are good and fast again: the time of the first of several
// good windows in a row. It returns false if there is no such series.
func recovery(calls []call, from, lasts time.Duration) (time.Duration, bool) {
	row := 0
	for at := from; at < from+lasts; at += window {
		n := begunBefore(at+window, calls)
		var f figures
		f.count(calls[:n])
		calls = calls[n:]
		if row++; f.Good < f.Calls || f.P95 >= recovered95 {
			row = 0
		}
		if row == calm {
			return at - (calm-1)*window - from, true
		}
	}
	return 0, false
}

// begunBefore counts the calls that started before a time. Calls are in order of their start.
func begunBefore(at time.Duration, calls []call) int {
	n, _ := slices.BinarySearchFunc(calls, at, func(c call, at time.Duration) int { return cmp.Compare(c.start, at) })
	return n
}

func (f *flood) show(b *bench) {
	o := f.Offered
	fmt.Fprintf(b.out, `%s: %d calls/s, twice the capacity, for %.0f s
offered %d: good %d, refused %d, failed %d %v, lost %d, resent %d
goodput        %.1f %% of the capacity
set-up         p50 %.0f ms, p95 %.0f ms, p99 %.0f ms of the good ones
recovery       %.1f s until calls at half the capacity are good with p95 under %.0f ms (-1: not in %v)
               of those %d: refused %d, failed %d, lost %d, p95 %.0f ms
RSS            %.0f MB started, %.0f before, %.0f at most, %.0f after, %.0f a minute after: %.2f of before
load           p99 %.1f ms late

`, f.System, o.Rate, f.Seconds, o.Calls, o.Good, o.Refused, o.Failed, o.Causes, o.Lost, o.Resent,
		100*f.Goodput, o.P50, o.P95, o.P99,
		f.Recovery, recovered95, recoverLasts, f.After.Calls, f.After.Refused, f.After.Failed, f.After.Lost, f.After.P95,
		f.StartedMB, f.BeforeMB, f.PeakMB, f.AfterMB, f.MinuteMB, f.MinuteMB/f.BeforeMB, o.LateMS)
}
