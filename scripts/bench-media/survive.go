package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// survival holds the outcome of calls whose relay was killed and restarted.
type survival struct {
	System string  `json:"system"`
	Calls  int     `json:"calls"`
	Sent   int64   `json:"sent"`
	Lost   int64   `json:"lost"`
	GapMS  float64 `json:"longest_gap_ms"` // longest time without a packet, of any call in either direction
	AwayMS float64 `json:"away_ms"`        // until the new process took calls; for an upgrade, without messages
}

const awayFor = 2 * time.Second // until the next process starts

// survive replaces Flowbridge while it relays, and counts what the calls lost.
func (b *bench) survive(replace replacement) error {
	fmt.Fprintf(b.out, "%-10s %6s %10s %8s %15s %9s\n", "engine", "calls", "sent", "lost", "longest gap ms", "away ms")
	return eachEngine(b, func(name string, calls int) (survival, error) { return b.replaced(name, calls, replace) })
}

func (s survival) row() string {
	return fmt.Sprintf("%-10s %6d %10d %8d %15.0f %9.0f", s.System, s.Calls, s.Sent, s.Lost, s.GapMS, s.AwayMS)
}

// replacement replaces the process of Flowbridge.
type replacement func(s *system, v *survival) error

// replaced makes an engine carry calls, and replaces its process after a third of the time.
func (b *bench) replaced(name string, calls int, replace replacement) (v survival, err error) {
	v = survival{System: name, Calls: calls}
	l, err := b.during(name, calls, func(s *system, _ *load) error { return replace(s, &v) })
	if err != nil {
		return v, err
	}
	v.Sent, v.Lost = l.sent, l.sent-l.received()
	v.GapMS = float64(max(slices.Max(l.side[0].gaps), slices.Max(l.side[1].gaps))) / 1e6
	return v, nil
}

// during makes an engine carry calls, and calls do after a third of the time.
func (b *bench) during(name string, calls int, do func(*system, *load) error) (*load, error) {
	s, err := b.start(name)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	l, err := newLoad(s.network, relayAddrs, calls)
	if err != nil {
		return nil, err
	}
	defer l.close()
	if err := s.connect(l); err != nil {
		return nil, err
	}
	measured := time.Duration(b.seconds) * time.Second
	done := make(chan error, 1)
	time.AfterFunc(warmUp+measured/3, func() { done <- do(s, l) })
	if _, _, err := l.run(warmUp, measured, noUsage); err != nil {
		return nil, err
	}
	return l, <-done
}

// killed kills the process without warning, and starts another one.
func killed(s *system, v *survival) error {
	begin := time.Now()
	s.server.Kill()
	time.Sleep(awayFor)
	err := s.restart()
	v.AwayMS = float64(time.Since(begin).Milliseconds())
	return err
}

// upgraded replaces the process with flowbridge upgrade.
func upgraded(s *system, v *survival) error {
	out, err := s.server.Upgrade().CombinedOutput()
	if err != nil {
		return fmt.Errorf("upgrade: %w: %s", err, out)
	}
	var done struct {
		PID     int     `json:"pid"`
		PauseMS float64 `json:"pause_ms"`
	}
	if err := json.Unmarshal(out, &done); err != nil {
		return err
	}
	s.server.PID, v.AwayMS = done.PID, done.PauseMS
	return s.server.Ready(10 * time.Second)
}
