package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// costs are the costs of a call other than time, counted in a separate round.
type costs struct {
	System   string  `json:"system"`
	Rate     int     `json:"rate"`
	Calls    int     `json:"calls"`
	Good     int     `json:"good"`             // if it is less than Calls, the counts are too low
	Objects  float64 `json:"objects_per_call"` // objects allocated on the heap; 0 if unknown
	Bytes    float64 `json:"bytes_per_call"`
	Syscalls float64 `json:"syscalls_per_call"` // 0 if unknown
	Switches float64 `json:"switches_per_call"` // context switches
}

// warmUp is how long a system carries calls before they are counted: until the sockets left by old calls are enough
// for new ones.
const warmUp = 5 * time.Second

// costs counts while a warmed-up system carries calls.
func (b *bench) costs(s *system, rate int) (c costs, err error) {
	c = costs{System: s.name, Rate: rate}
	if _, err = b.round(s, rate, min(warmUp, time.Duration(b.seconds)*time.Second)); err != nil {
		return c, err
	}
	var before, after allocations
	if s.admin != nil {
		if before, err = s.allocations(); err != nil {
			return c, err
		}
	}
	stop := s.countSyscalls()
	switches := s.group.Switches()
	f, err := b.round(s, rate, time.Duration(b.seconds)*time.Second)
	if err != nil {
		return c, err
	}
	c.Calls, c.Good = f.Calls, f.Good
	each := func(n int64) float64 { return float64(n) / float64(max(f.Good, 1)) }
	c.Switches = each(s.group.Switches() - switches)
	c.Syscalls = each(stop())
	if s.admin != nil {
		after, err = s.allocations()
		c.Objects, c.Bytes = each(after.objects-before.objects), each(after.bytes-before.bytes)
	}
	return c, err
}

// countSyscalls makes perf count the processes' system calls until stop is called. stop returns 0 if perf is missing
// or not allowed.
func (s *system) countSyscalls() (stop func() int64) {
	var pids []string
	for _, pid := range s.group {
		pids = append(pids, strconv.Itoa(pid))
	}
	const event = "raw_syscalls:sys_enter"
	var out bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, "perf", "stat", "-x", ",", "-e", event, "-p", strings.Join(pids, ","))
	c.Stderr = &out
	if c.Start() != nil {
		return func() int64 { cancel(); return 0 }
	}
	time.Sleep(500 * time.Millisecond) // until perf has started to count
	return func() int64 {
		defer cancel()
		_ = c.Process.Signal(syscall.SIGINT)
		_ = c.Wait() // the status only tells of the signal
		for line := range strings.Lines(out.String()) {
			if fields := strings.Split(line, ","); len(fields) > 2 && fields[2] == event {
				n, _ := strconv.ParseInt(fields[0], 10, 64)
				return n
			}
		}
		return 0
	}
}

const costsHeading = "system      rate   calls    good  objects/call  KB/call  system calls/call  context switches/call"

func (c costs) row() string {
	return fmt.Sprintf("%-11s %4d %7d %7d %13.0f %8.1f %18.1f %22.1f", c.System, c.Rate, c.Calls, c.Good, c.Objects,
		c.Bytes/1024, c.Syscalls, c.Switches)
}
