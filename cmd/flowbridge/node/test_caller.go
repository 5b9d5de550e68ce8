package node

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync"

	"github.com/rs/zerolog"

	"flowbridge/admin"
	"flowbridge/config"
	"flowbridge/sim"
)

// testCaller takes the calls of POST /api/calls with test: true. It stands in for the customer, so that an operator
// tries a target without a phone. Its trunk comes into force with the first test call: a node without test calls has
// no socket and no trunk for them.
type testCaller struct {
	node *Node

	mu    sync.Mutex // guards the fields below, and orders the changes of the configuration in force
	agent *sim.Agent
	trunk *config.Trunk
}

// testAddress is the address of the test caller. Media and SIP towards it must have local addresses, which a NAT can't
// give back. No other program has a reason to use it.
const testAddress = "127.83.84.85"

// testTrunk bounds what test calls may cost. Calls from the trunk need a secret header, so it takes none.
const testTrunk = `
trunks:
- {name: test, sources: [%[1]s/32], match: {header: "X-Test-Caller: %[2]s"}, uri: "sip:test@%[1]s:%[3]d",
   max_calls: 2, max_cps: 1, max_duration: 30s, ring_timeout: 5s, originate: {numbers: ["^"], per_hour: 60}}
`

// local returns a configuration whose test caller is on our side of a NAT.
func (t *testCaller) local(cfg *config.Config) *config.Config {
	c := *cfg
	at := netip.MustParseAddr(testAddress)
	c.SIP.LocalNetworks = append(slices.Clone(c.SIP.LocalNetworks), netip.PrefixFrom(at, at.BitLen()))
	return &c
}

// put puts a configuration into force, with the trunk of the test caller if there is one.
func (t *testCaller) put(next *inForce, to reloader) {
	t.mu.Lock()
	defer t.mu.Unlock()
	to.Reload(t.with(next.cfg), next.preparers)
	t.node.inForce.Store(next)
}

func (t *testCaller) with(cfg *config.Config) *config.Config {
	if t.trunk == nil {
		return cfg
	}
	c := *cfg
	c.Trunks = append(slices.Clone(cfg.Trunks), *t.trunk)
	return &c
}

// begin makes test calls possible. Its error is a *admin.RefusedError.
func (t *testCaller) begin(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.trunk != nil {
		return nil
	}
	current := t.node.inForce.Load()
	err := t.open(ctx, current.cfg)
	if err != nil {
		return &admin.RefusedError{
			Status: http.StatusServiceUnavailable, Problem: "there can be no test call: " + err.Error(),
			Remedy: "the test caller needs the address " + testAddress + " and a UDP listener with IPv4 in sip.listen",
		}
	}
	t.node.server.Reload(t.with(current.cfg), current.preparers)
	return nil
}

func (t *testCaller) open(ctx context.Context, cfg *config.Config) error {
	if !slices.ContainsFunc(cfg.SIP.Listen, func(l config.Listener) bool {
		return l.Transport == config.TransportUDP && l.AddrPort.Addr().Is4()
	}) {
		return fmt.Errorf("sip.listen has no UDP address with IPv4")
	}
	agent, err := sim.OpenAgent(context.WithoutCancel(ctx), sim.AgentOptions{
		Name: "flowbridge-test-caller", Listen: testAddress + ":0", Log: zerolog.Nop(),
	})
	if err != nil {
		return err
	}
	read, err := config.Parse("the test caller",
		fmt.Appendf(nil, testTrunk, testAddress, rand.Text(), agent.SIPAddr().Port()), os.LookupEnv)
	if err != nil {
		_ = agent.Close()
		return err
	}
	agent.Serve(testPlatform{})
	t.agent, t.trunk = agent, &read.Trunks[0]
	t.trunk.Name = admin.TestTrunk // a file can't have this name
	return nil
}

func (t *testCaller) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.agent == nil {
		return nil
	}
	return t.agent.Close()
}

// testPlatform answers every call. The test caller says a sentence, and repeats what the agent says when it pauses.
type testPlatform struct{}

// Challenger asks for no credentials.
func (testPlatform) Challenger(sim.Invite) *sim.Challenger { return nil }

// NewCall returns a call that is answered.
func (testPlatform) NewCall(in *sim.Incoming) sim.Handler { return testPhone{in} }

type testPhone struct{ in *sim.Incoming }

// Admit accepts the call.
func (p testPhone) Admit() (code int, reason string) {
	p.in.Greets = "test"
	return 0, ""
}

// Settle answers the call.
func (testPhone) Settle(context.Context) (code int, reason string) { return 0, "" }

// Describe adds nothing.
func (testPhone) Describe(*zerolog.Event) {}

// Over has nothing to do.
func (testPhone) Over() {}
