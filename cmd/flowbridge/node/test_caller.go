package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"sync"

	"github.com/rs/zerolog"

	"flowbridge/admin"
	"flowbridge/config"
	"flowbridge/sim/platform"
)

// testCaller answers the calls of POST /api/calls with test: true in the customer's place, so that an operator tries a
// target without a phone. Its trunk comes into force with the first test call.
type testCaller struct {
	node *Node

	mu    sync.Mutex // guards the fields below, and orders the changes of the configuration in force
	phone *platform.Platform
	trunk config.Trunk // if phone is not nil
}

// testAddress is the address of the test caller. No other program has a reason to use it, so our addresses toward it
// can be local ones, which the way through a NAT may not be.
const testAddress = "127.83.84.85"

// testTrunk bounds what test calls cost. Calls from the trunk would need a secret header.
const testTrunk = `
trunks:
- {name: test, sources: [%[1]s/32], match: {header: "X-Test-Caller: %[2]s"}, uri: "sip:test@%[3]s",
   max_calls: 2, max_cps: 1, max_duration: 30s, ring_timeout: 5s, originate: {numbers: ["^"], per_hour: 60}}
`

// put puts a configuration into force; nil: the one that is, with the weights that splits have now.
func (t *testCaller) put(next *inForce, to reloader) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next = cmp.Or(next, t.node.inForce.Load())
	to.Reload(t.with(next.cfg), next.preparers)
	t.node.inForce.Store(next)
}

// with returns a configuration whose test caller is on our side of a NAT, with its trunk if there is one, and with the
// weights of splits that are in force.
func (t *testCaller) with(cfg *config.Config) *config.Config {
	c := *cfg
	c.SIP.LocalNetworks = append(slices.Clone(cfg.SIP.LocalNetworks), netip.MustParsePrefix(testAddress+"/32"))
	t.node.browsers.addTo(&c)
	if t.phone != nil {
		c.Trunks = append(slices.Clone(c.Trunks), t.trunk)
	}
	c.Routes = t.node.splits.weighed(cfg.Routes)
	return &c
}

// begin makes test calls possible.
func (t *testCaller) begin(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.phone != nil {
		return nil
	}
	var read *config.Config
	phone, err := platform.Start(context.WithoutCancel(ctx), platform.Description{
		Name: "test-caller", Agent: platform.Agent{Transports: []string{"UDP"}, User: regexp.MustCompile("^test$")},
	}, platform.Options{SIPListen: testAddress + ":0", Log: zerolog.Nop()})
	if err == nil {
		at, _ := phone.SIPAddr()
		read, err = config.Parse("the test caller", fmt.Appendf(nil, testTrunk, testAddress, rand.Text(), at), os.LookupEnv)
	}
	if err != nil {
		return &admin.RefusedError{
			Status: http.StatusServiceUnavailable, Problem: "there can be no test call: " + err.Error(),
			Remedy: "free the address " + testAddress,
		}
	}
	t.phone, t.trunk = phone, read.Trunks[0]
	t.trunk.Name = admin.TestTrunk // which a file can't have
	current := t.node.inForce.Load()
	t.node.server.Reload(t.with(current.cfg), current.preparers)
	return nil
}

func (t *testCaller) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.phone != nil {
		return t.phone.Close()
	}
	return nil
}
