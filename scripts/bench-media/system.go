package main

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// forward is what a relay costs at least: a machine between the two ends that forwards their packets by itself.
const forward = "forward"

// limited is the kernel engine in a process that has CAP_BPF and CAP_NET_ADMIN, but not CAP_PERFMON.
const limited = "kernel, no perfmon"

var systemNames = []string{"kernel", "userspace", "rtpengine", "goroutines", forward}

// system is a relay that runs.
type system struct {
	network *network
	pid     int // 0: no process

	// open sets a call up between two ends and says where each has to send.
	open func(call int, a, b netip.AddrPort) (forA, forB netip.AddrPort, err error)

	ends *ends // that call by SIP; nil: the system has none

	closers []func() // run in reverse
}

func (s *system) stop() {
	for _, c := range slices.Backward(s.closers) {
		c()
	}
}

// start starts a relay and waits until it takes calls.
func (b *bench) start(name string) (s *system, err error) {
	s = &system{}
	if s.network, err = newNetwork(); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.network.close)
	switch name {
	case forward:
		s.open, err = crossed, s.network.forward()
	case "kernel", limited, "userspace":
		var f flowbridge
		engine, _, _ := strings.Cut(name, ",")
		if f, err = configure(b.flowbridge, engine, b.dir); err == nil {
			f.limited = name == limited
			if err = s.startFlowbridge(f); err == nil {
				err = s.callBySIP()
			}
		}
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

// crossed has each end send to the other one.
func crossed(_ int, a, b netip.AddrPort) (forA, forB netip.AddrPort, err error) { return b, a, nil }

// command is a process that launch can start.
func (s *system) command(binary string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithCancel(context.Background())
	s.closers = append(s.closers, cancel)
	return exec.CommandContext(ctx, binary, args...)
}

// launch starts a process in the relay's namespace, which stop ends. What it says goes to a file. Its thread lives as long
// as the process, because its end would be the process's, too (PR_SET_PDEATHSIG).
func (s *system) launch(c *exec.Cmd, log string) error {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	c.Stderr = out
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		var running bool
		err := s.network.relay.Do(func() error {
			if err := c.Start(); err != nil {
				return err
			}
			running = true
			started <- nil
			_ = c.Wait()
			return nil
		})
		if !running {
			started <- err
		}
		_ = out.Close()
	}()
	if err := <-started; err != nil {
		return err
	}
	s.pid = c.Process.Pid
	s.closers = append(s.closers, func() {
		_ = c.Process.Kill()
		<-ended
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
