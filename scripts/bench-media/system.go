package main

import (
	"errors"
	"net/netip"
	"os/exec"
	"slices"
	"strings"

	"flowbridge/scripts/internal/flowbridge"
	"flowbridge/scripts/internal/process"
)

// forward is the minimum cost of a relay: a machine between the two ends that forwards their packets itself.
const forward = "forward"

// limited is the kernel engine in a process that has CAP_BPF and CAP_NET_ADMIN, but not CAP_PERFMON.
const limited = "kernel, no perfmon"

// The engines without media.insight.
const (
	noInsight       = "no-insight" // userspace
	kernelNoInsight = "kernel-no-insight"
)

// Userspace, with each call recorded as WAV.
const (
	recorded  = "recorded"
	encrypted = "recorded-encrypted"
)

// The engines of another build.
const (
	otherKernel    = "other-kernel"
	otherUserspace = "other-userspace"
)

var systemNames = []string{
	"kernel", kernelNoInsight, "userspace", noInsight, recorded, encrypted, otherKernel, otherUserspace, "rtpengine", forward,
}

// system is a running relay.
type system struct {
	network network
	relay   process.Group      // empty if there is no process
	server  *flowbridge.Server // nil if it is not Flowbridge

	speech *speech // nil: no call is transcoded
	secure *secure // nil: no end has SRTP

	// open sets up a call between two ends and returns where each end must send.
	open func(call int, a, b netip.AddrPort) (forA, forB netip.AddrPort, err error)

	ends *ends // the ends that call by SIP; nil if the system has none

	closers []func() // run in reverse
}

func (s *system) stop() {
	for _, c := range slices.Backward(s.closers) {
		c()
	}
}

// start starts a relay in a separate network, and waits until it takes calls.
func (b *bench) start(name string) (s *system, err error) {
	s = &system{speech: b.speech}
	if s.secure, err = b.secure.begin(); err != nil {
		return nil, err
	}
	if s.network, err = newNetwork(); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.network.Close)
	switch name {
	case forward:
		s.open, err = crossed, s.network.forward()
	case "kernel", kernelNoInsight, limited, "userspace", noInsight, recorded, encrypted:
		err = s.startFlowbridge(b.flowbridge, name, b.dir)
	case otherKernel, otherUserspace:
		err = s.startFlowbridge(b.other, strings.TrimPrefix(name, "other-"), b.dir)
	case "rtpengine":
		err = s.startRTPEngine(b.dir)
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// crossed makes each end send directly to the other.
func crossed(_ int, a, b netip.AddrPort) (forA, forB netip.AddrPort, err error) { return b, a, nil }

// launch starts a process in the relay's namespace, which stop will end. The process's output goes to a
// file.
func (s *system) launch(log string, c *exec.Cmd) error {
	child, err := process.Start(s.network.Relay, log, c)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, child.Kill)
	s.relay = process.Group{child.PID()}
	return nil
}

var errNoAnswer = errors.New("no answer")
