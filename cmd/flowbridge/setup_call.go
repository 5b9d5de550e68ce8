package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/sim"
	"flowbridge/store"
)

// testCall places a call through a B2BUA in this process that has the configuration, but ports and a database of its own,
// so that one that runs already is not in its way.
func (u *setup) testCall(ctx context.Context, out io.Writer, cfg *config.Config) (err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "flowbridge-call-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	own, at := aside(cfg, u.trunk, filepath.Join(dir, "call.db"))
	trace := &transport.Trace{}
	n, err := startNode(ctx, own, logger(config.Log{Level: "warn", Format: config.FormatConsole}, os.Stderr), wiring{
		tap: trace, transport: func(rt http.RoundTripper) http.RoundTripper { return tracedAPI{rt, trace} },
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	carrier, err := sim.StartCarrier(context.WithoutCancel(ctx), sim.CarrierOptions{Listen: netip.AddrPortFrom(at, 0).String(), Log: zerolog.Nop()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, carrier.Close()) }()
	to := netip.AddrPortFrom(at, n.server.Listeners()[0].AddrPort.Port())
	result, failed := carrier.Call(ctx, sim.CarrierCall{
		To: fmt.Sprintf("sip:%s@%s", u.phoneNumber, to), From: u.from, Dest: to, Hold: time.Duration(u.seconds) * time.Second,
		CancelAfter: ringLimit, Seed: 1,
	})
	record, err := recordOf(ctx, n, result.SIPCallID)
	if err := errors.Join(err, trace.Ladder(out, result.SIPCallID, record.TargetSIPCallID)); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nrecord     %s, cause %s, target %s, call id of the platform %s\n", record.Disposition, record.Cause, record.Target, orDash(record.SynthflowCallID))
	return errors.Join(report(out, result), failed)
}

// aside is a configuration as it is, but for sockets, database and senders: one UDP address with a port of the system's
// choice, and the trunk's calls come from there. at is that address.
func aside(cfg *config.Config, trunk, db string) (own *config.Config, at netip.Addr) {
	c := *cfg
	at = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	listen := netip.IPv4Unspecified()
	for _, l := range cfg.SIP.Listen {
		if l.Transport == config.TransportUDP && l.AddrPort.Addr().Is4() && !l.AddrPort.Addr().IsUnspecified() {
			listen, at = l.AddrPort.Addr(), l.AddrPort.Addr()
		}
	}
	c.SIP.Listen = []config.Listener{{Transport: config.TransportUDP, AddrPort: netip.AddrPortFrom(listen, 0)}}
	c.SIP.LocalNetworks = append(slices.Clone(cfg.SIP.LocalNetworks), netip.PrefixFrom(at, at.BitLen()))
	c.Hooks, c.Recording = config.Hooks{}, config.Recording{}
	c.Admin = config.Admin{Listen: netip.MustParseAddrPort("127.0.0.1:0")}
	c.Store.Path = db
	i := slices.IndexFunc(cfg.Trunks, func(t config.Trunk) bool { return t.Name == trunk })
	t := cfg.Trunks[i]
	t.Sources, t.Auth, t.Certificates, t.Match = []netip.Prefix{netip.PrefixFrom(at, at.BitLen())}, nil, nil, config.Match{}
	c.Trunks = []config.Trunk{t}
	c.Routes = slices.DeleteFunc(slices.Clone(cfg.Routes), func(r config.Route) bool {
		return r.Target != "" || len(r.Trunks) > 0 || r.Trunk != "" && r.Trunk != trunk
	})
	return &c, at
}

// recordOf waits until the call is over, and gives its record.
func recordOf(ctx context.Context, n *node, sipCallID string) (store.Record, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := n.server.WaitIdle(ctx); err != nil {
		return store.Record{}, fmt.Errorf("the call does not end: %w", err)
	}
	records, _, err := n.store.List(ctx, store.Filter{Limit: 10})
	for _, r := range records {
		if r.SIPCallID == sipCallID {
			return r, err
		}
	}
	return store.Record{}, errors.Join(err, errors.New("the call has no record: the B2BUA did not take it"))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
