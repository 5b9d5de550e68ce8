package node

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"

	"flowbridge/b2bua/peers"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/internal/local"
	"flowbridge/store/fleet"
	"flowbridge/telemetry"
)

// nodeName returns this node's name for records.
func nodeName(cfg *config.Fleet) (string, error) {
	if cfg.Node != "" {
		return cfg.Node, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("host name: %w; write fleet.node", err)
	}
	return host, nil
}

// openFleet joins the fleet, if one is configured.
func (n *Node) openFleet(ctx context.Context, cfg *config.Fleet, name string) (err error) {
	if !cfg.On() {
		return nil
	}
	n.fleet, err = fleet.Open(ctx, fleet.Options{
		URL: cfg.DSN.Reveal(), Node: name, Version: cli.Version(), Key: n.store.Key(), Outbox: n.store, Log: n.log,
		Seat: seatOptions(&cfg.Takeover), API: apiURL(n.config().Admin.Listen),
		Numbers:   func() string { return cmp.Or(n.config().Numbers.Sum(), fleet.NoNumbers) },
		Peers:     func() []netip.AddrPort { return n.config().Fleet.Nodes },
		Addresses: func() []netip.AddrPort { return apiAddresses(n.config().Admin.Listen) },
	})
	if err != nil {
		return fmt.Errorf("fleet.dsn_file: %w", err)
	}
	n.add(part{gauges: func(add telemetry.Add) { fleetGauges(add, n.fleet.Status()) }, close: n.fleet.Close})
	return nil
}

// apiURL returns the URL at which other machines reach the admin API, or "" if they can't reach it.
func apiURL(at config.AdminAddress) string {
	if at.IsLocal() || at.Addr().IsUnspecified() {
		return ""
	}
	return "http://" + at.String()
}

// apiAddresses returns the addresses at which other machines may reach the admin API, if it listens on all of them.
func apiAddresses(at config.AdminAddress) (all []netip.AddrPort) {
	if !at.IsValid() || !at.Addr().IsUnspecified() {
		return nil
	}
	addresses, _ := local.Addresses() // without them, other nodes wait for this one longer than they have to
	for _, a := range addresses {
		if !a.IsLoopback() {
			all = append(all, netip.AddrPortFrom(a, at.Port()))
		}
	}
	return all
}

// admit makes the fleet and the memory limit calls. It must be called before the first call.
func (n *Node) admit(cfg *config.Fleet) func(*peers.Admission) {
	return func(a *peers.Admission) {
		told := n.logCircuit
		n.admission = a
		a.CircuitChanged.Store(&told)
		if n.memory != nil {
			n.memory.WhenScarce(a.Scarce)
		}
		if n.fleet == nil {
			return
		}
		join := func() { n.fleet.Join(nil) }
		if cfg.Caps {
			join = func() { n.fleet.Join(a) }
		}
		if n.before != nil { // the old process may continue, and until then it is the node
			n.add(part{begin: join})
			return
		}
		join()
	}
}
