package main

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// direct is what the others are compared with: nothing between the two ends.
const direct = "direct"

// The systems. kernel is flowbridge with media.engine kernel, the other one has userspace.
var systemNames = []string{"flowbridge", "kernel", "rtpengine", "goroutines"}

var systemAddr = netip.MustParseAddr("127.0.5.1")

// system is a relay that runs.
type system struct {
	pid int // 0: no process

	// open sets a call up between two ends and says where each has to send.
	open func(call int, a, b netip.AddrPort) (forA, forB netip.AddrPort, err error)

	closers []func() // run in reverse
}

func (s *system) stop() {
	for _, c := range slices.Backward(s.closers) {
		c()
	}
}

// start starts a relay and waits until it takes calls.
func (b *bench) start(name string) (*system, error) {
	s := &system{}
	var err error
	switch name {
	case direct:
		s.open = func(_ int, a, b netip.AddrPort) (netip.AddrPort, netip.AddrPort, error) { return b, a, nil }
	case "flowbridge":
		err = s.startFlowbridge(b.flowbridge, b.dir, "userspace")
	case "kernel":
		err = s.startFlowbridge(b.flowbridge, b.dir, "kernel")
	case "rtpengine":
		err = s.startRTPEngine(b.dir)
	case "goroutines":
		err = s.startGoroutines()
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// command is a process that launch can start.
func (s *system) command(binary string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithCancel(context.Background())
	s.closers = append(s.closers, cancel)
	return exec.CommandContext(ctx, binary, args...)
}

// launch starts a process that stop ends. What it says goes to a file.
func (s *system) launch(c *exec.Cmd, log string) error {
	out, err := os.Create(log)
	if err != nil {
		return err
	}
	c.Stderr = out
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		_ = out.Close()
		return err
	}
	s.pid = c.Process.Pid
	s.closers = append(s.closers, func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		_ = out.Close()
	})
	return nil
}

// until asks again and again, for at most ten seconds, and then says why not.
func until(ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		once, done := context.WithTimeout(ctx, time.Second)
		err := ready(once)
		done()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

var errNoAnswer = errors.New("no answer")
