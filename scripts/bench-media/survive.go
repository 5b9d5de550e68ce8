package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// survival is what calls went through when their relay was killed and started again.
type survival struct {
	System string  `json:"system"`
	Calls  int     `json:"calls"`
	Sent   int64   `json:"sent"`
	Lost   int64   `json:"lost"`
	GapMS  float64 `json:"longest_gap_ms"` // without a packet, of any call in any direction
	AwayMS float64 `json:"away_ms"`        // from the kill until the new process took calls; of an upgrade: while nobody handled messages
}

const awayFor = 2 * time.Second // nobody is there

// survive has Flowbridge replaced while it relays, and counts what the calls lost.
func (b *bench) survive(replace replacement) error {
	var all []survival
	fmt.Fprintf(b.out, "%-10s %6s %10s %8s %15s %9s\n", "engine", "calls", "sent", "lost", "longest gap ms", "away ms")
	for _, name := range b.engines() {
		for _, calls := range b.calls {
			s, err := b.replaced(name, calls, replace)
			if err != nil {
				return fmt.Errorf("%s with %d calls: %w", name, calls, err)
			}
			all = append(all, s)
			fmt.Fprintf(b.out, "%-10s %6d %10d %8d %15.0f %9.0f\n", s.System, s.Calls, s.Sent, s.Lost, s.GapMS, s.AwayMS)
		}
	}
	return write(b.json, all)
}

// engines are the systems that are Flowbridge.
func (b *bench) engines() []string {
	return slices.DeleteFunc(slices.Clone(b.systems), func(name string) bool { return name != "kernel" && name != "userspace" })
}

// replacement has another process take the place of Flowbridge.
type replacement func(s *system, f flowbridge, v *survival) error

// replaced has an engine carry calls, and its process replaced a third of the time in.
func (b *bench) replaced(name string, calls int, replace replacement) (v survival, err error) {
	v = survival{System: name, Calls: calls}
	l, err := b.during(name, calls, func(s *system, f flowbridge, _ *load) error { return replace(s, f, &v) })
	if err != nil {
		return v, err
	}
	v.Sent, v.Lost = l.sent, l.sent-l.received()
	v.GapMS = float64(max(slices.Max(l.side[0].gaps), slices.Max(l.side[1].gaps))) / 1e6
	return v, nil
}

// during has an engine carry calls, and does something a third of the time in.
func (b *bench) during(name string, calls int, do func(*system, flowbridge, *load) error) (*load, error) {
	s := &system{}
	var err error
	if s.network, err = newNetwork(); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.network.close)
	defer s.stop()
	f, err := configure(b.flowbridge, name, b.dir)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.startFlowbridge(f), s.callBySIP()); err != nil {
		return nil, err
	}
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
	time.AfterFunc(warmUp+measured/3, func() { done <- do(s, f, l) })
	if _, _, err := l.run(warmUp, measured, func() (usage, error) { return usage{}, nil }); err != nil {
		return nil, err
	}
	return l, <-done
}

// killed kills the process without warning, and starts another one.
func killed(s *system, f flowbridge, v *survival) error {
	begin := time.Now()
	if err := syscall.Kill(s.pid, syscall.SIGKILL); err != nil {
		return err
	}
	time.Sleep(awayFor)
	err := s.startFlowbridge(f)
	v.AwayMS = float64(time.Since(begin).Milliseconds())
	return err
}

// upgraded has the process replaced by flowbridge upgrade.
func upgraded(s *system, f flowbridge, v *survival) error {
	var out []byte
	err := s.network.carrier.Do(func() (err error) {
		out, err = exec.CommandContext(context.Background(), f.binary, "upgrade", "--url", fmt.Sprintf("http://%v:8080", systemAddr), "--token-file", filepath.Join(filepath.Dir(f.file), "token"), "--json").CombinedOutput()
		return err
	})
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
	s.closers = append(s.closers, func() { _ = syscall.Kill(done.PID, syscall.SIGKILL) })
	s.pid, v.AwayMS = done.PID, done.PauseMS
	return until(s.readyz)
}
