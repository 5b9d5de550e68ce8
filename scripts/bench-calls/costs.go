package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// costs are what a call costs besides time, counted in a round of its own.
type costs struct {
	System   string  `json:"system"`
	Rate     int     `json:"rate"`
	Objects  float64 `json:"objects_per_call"` // allocated on the heap; 0: not known
	Bytes    float64 `json:"bytes_per_call"`
	Syscalls float64 `json:"syscalls_per_call"` // 0: not known
	Switches float64 `json:"switches_per_call"` // of context
}

// costs counts while a system carries calls.
func (b *bench) costs(s *system, rate int) (c costs, err error) {
	c = costs{System: s.name, Rate: rate}
	var before, after allocations
	if s.admin != "" {
		if before, err = s.allocations(); err != nil {
			return c, err
		}
	}
	stop, err := s.countSyscalls()
	if err != nil {
		return c, err
	}
	switches := s.switches()
	f, err := b.round(s, rate, time.Duration(b.seconds)*time.Second)
	if err != nil {
		return c, err
	}
	each := func(n int64) float64 { return float64(n) / float64(f.Calls) }
	c.Switches = each(s.switches() - switches)
	syscalls, err := stop()
	if err != nil {
		return c, err
	}
	c.Syscalls = each(syscalls)
	if s.admin != "" {
		after, err = s.allocations()
		c.Objects, c.Bytes = each(after.objects-before.objects), each(after.bytes-before.bytes)
	}
	return c, err
}

// countSyscalls has perf count the processes' system calls until stop. Without perf it is 0.
func (s *system) countSyscalls() (stop func() (int64, error), err error) {
	perf, err := exec.LookPath("perf")
	if err != nil {
		return func() (int64, error) { return 0, nil }, nil //nolint:nilerr // a figure is missing then
	}
	var pids []string
	for _, pid := range s.pids {
		pids = append(pids, strconv.Itoa(pid))
	}
	const event = "raw_syscalls:sys_enter"
	var out bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, perf, "stat", "-x", ",", "-e", event, "-p", strings.Join(pids, ","))
	c.Stderr = &out
	if err := c.Start(); err != nil {
		cancel()
		return nil, err
	}
	time.Sleep(500 * time.Millisecond) // until it counts
	return func() (int64, error) {
		defer cancel()
		if err := c.Process.Signal(syscall.SIGINT); err != nil {
			return 0, err
		}
		_ = c.Wait() // the signal is its status
		for lines := bufio.NewScanner(bytes.NewReader(out.Bytes())); lines.Scan(); {
			if fields := strings.Split(lines.Text(), ","); len(fields) > 2 && fields[2] == event {
				return strconv.ParseInt(fields[0], 10, 64)
			}
		}
		return 0, fmt.Errorf("%w: %s", errPerf, out.String())
	}, nil
}

var errPerf = errors.New("perf has counted nothing, which needs root")

const costsHeading = "system      rate  objects/call  KB/call  system calls/call  context switches/call"

func (c costs) row() string {
	return fmt.Sprintf("%-11s %4d %13.0f %8.1f %18.1f %22.1f", c.System, c.Rate, c.Objects, c.Bytes/1024, c.Syscalls, c.Switches)
}
