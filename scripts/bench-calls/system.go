package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"flowbridge/scripts/internal/process"
)

// endpoints are addresses of a measurement, all of one network of loopback.
type endpoints struct {
	carrier, agent, api netip.AddrPort
	network             netip.Addr
}

// at is an address of the network.
func (e endpoints) at(last byte) netip.Addr {
	a := e.network.As4()
	a[3] = last
	return netip.AddrFrom4(a)
}

func newEndpoints(network string) (e endpoints, err error) {
	if e.network, err = netip.ParseAddr(network + ".0"); err != nil {
		return e, err
	}
	e.carrier, e.agent = netip.AddrPortFrom(e.at(2), 5060), netip.AddrPortFrom(e.at(3), 32681)
	e.api = netip.AddrPortFrom(e.at(3), 8090)
	return e, nil
}

// system is something that runs and takes calls.
type system struct {
	name       string
	sut        netip.AddrPort
	carriers   []netip.AddrPort // that it takes calls from
	media      []string         // its addresses for audio
	pids       []int            // of all that belongs to it
	signalling []int            // those of pids that signal
	again      func() error     // starts them once more
	admin      string           // of Flowbridge
	closers    []func()         // run in reverse
}

func (s *system) stop() {
	for _, c := range slices.Backward(s.closers) {
		c()
	}
	s.closers = nil
}

// launch starts a process that stop ends. What it says goes to a file.
func (s *system) launch(log string, env []string, binary string, args ...string) (*exec.Cmd, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, binary, args...)
	c.Stderr, c.Env = out, append(os.Environ(), env...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		cancel()
		_ = out.Close()
		return nil, err
	}
	s.closers = append(s.closers, func() {
		_ = c.Process.Signal(syscall.SIGTERM)                                                    // Kamailio ends its processes then
		again := time.AfterFunc(2*time.Second, func() { _ = c.Process.Signal(syscall.SIGTERM) }) // Flowbridge its calls
		last := time.AfterFunc(5*time.Second, cancel)
		_ = c.Wait()
		again.Stop()
		last.Stop()
		cancel()
		_ = out.Close()
	})
	return c, nil
}

// until asks again and again, for at most ten seconds, and then says why not.
func until(ready func() error) error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := ready()
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// startPlatform starts the HTTP API that prepares calls.
func (b *bench) startPlatform() (*system, error) {
	s := &system{name: "platform"}
	log := filepath.Join(b.dir, "platform.log")
	_, err := s.launch(log, nil, "nice", "-n", strconv.Itoa(outside), b.binary, "simulate", "synthflow",
		"--http", b.at.api.String(), "--sip", b.at.agent.Addr().String()+":0", "--token", token)
	if err == nil {
		err = until(func() error { return dial(b.at.api) })
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("the platform does not start: %w; %s", err, process.Tail(log))
	}
	return s, nil
}

// token is that of the platform's API.
const token = "bench"

// series is a part of the ids of a load's calls.
func series() string {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
