package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"flowbridge/scripts/internal/flowbridge"
	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/process"
)

// endpoints are the addresses of a measurement, all in one loopback network.
type endpoints struct {
	carrier, agent, api netip.AddrPort
	network             netip.Addr
}

// at returns an address of the network.
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

// system is a running system that takes calls.
type system struct {
	name     string
	sut      netip.AddrPort
	carriers []netip.AddrPort  // addresses at which it takes calls
	media    []string          // its addresses for audio
	group    process.Group     // all its processes
	bare     bool              // it does not prepare calls: the INVITE to the agent has no X-EI
	admin    *flowbridge.Admin // only for Flowbridge
	closers  []func()          // run in reverse
}

func (s *system) stop() {
	for _, c := range slices.Backward(s.closers) {
		c()
	}
	s.closers = nil
}

// launch starts a process that stop will end, and returns when it is ready. The process's output goes to a file.
// Errors contain the name.
func (s *system) launch(name, log string, ready func() error, line ...string) (*process.Child, error) {
	c, err := process.Start(namespace.Here, log, exec.CommandContext(context.Background(), line[0], line[1:]...))
	if err == nil {
		s.closers = append(s.closers, c.Stop)
		err = process.Until(startsWithin, ready)
	}
	if err != nil {
		return nil, fmt.Errorf("%s does not start: %w; %s", name, err, process.Tail(log))
	}
	return c, nil
}

// startsWithin is the time limit for the start of a process.
const startsWithin = 10 * time.Second

// startPlatform starts the HTTP API that prepares calls.
func (b *bench) startPlatform() (*system, error) {
	s := &system{name: "platform"}
	log := filepath.Join(b.dir, "platform.log")
	_, err := s.launch("the platform", log, func() error { return dial(b.at.api) },
		"nice", "-n", strconv.Itoa(outside), b.binary, "simulate", "synthflow",
		"--http", b.at.api.String(), "--sip", b.at.agent.Addr().String()+":0", "--token", token)
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func dial(at netip.AddrPort) error {
	c, err := net.DialTCP("tcp4", nil, net.TCPAddrFromAddrPort(at))
	if err == nil {
		_ = c.Close()
	}
	return err
}

// token is the token of the platform's API.
const token = "bench"

// series returns a random part for the ids of a load's calls.
func series() string {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
