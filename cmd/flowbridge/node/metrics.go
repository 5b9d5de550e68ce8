package node

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/telemetry"
	"flowbridge/telemetry/live"
)

// observe creates the observers of calls for the admin API and for Prometheus.
func (n *Node) observe() {
	build := cli.BuildOf()
	n.metrics = telemetry.New(telemetry.Options{
		Version: build.Version, Revision: build.Revision, IsName: n.figures.isName,
		Gauges: n.figures.gauges,
	})
	n.figures.expect()
	n.live = live.New(live.Options{
		Node: n.figures.ofNode, Media: n.figures.media, Peers: n.figures.peers, IsPeer: n.figures.isPeer,
		Troubles: n.troubles.all, Observer: n.metrics,
	})
	n.keepDay()
}

// expectedPairs bounds the pairs of a trunk and a target whose series are created in advance. Each pair has about
// twenty.
const expectedPairs = 100

// expect creates the series for the pairs of trunk and target that the routes connect.
func (f *figures) expect() {
	current, pairs := f.node.inForce.Load(), 0
	for i := range current.cfg.Routes {
		if r := &current.cfg.Routes[i]; r.Tell != nil {
			f.node.metrics.ExpectTold(cmp.Or(r.Name, fmt.Sprintf("routes[%d]", i)))
		}
	}
	for i := range current.cfg.Trunks {
		trunk := current.cfg.Trunks[i].Name
		f.node.metrics.ExpectTrunk(trunk)
		for _, r := range current.cfg.Routes {
			if r.Target != "" || r.Trunk != "" && r.Trunk != trunk {
				continue
			}
			for _, target := range slices.Concat(r.Targets, r.Trunks) {
				if pairs++; pairs <= expectedPairs {
					f.node.metrics.Expect(trunk, target, current.preparers[target] != nil)
				}
			}
		}
	}
}

// reloads holds the results of reloads of the configuration.
type reloads struct {
	at     atomic.Pointer[time.Time] // time of the last successful reload
	failed atomic.Bool               // the last reload failed
}

func (r *reloads) note(err error) {
	r.failed.Store(err != nil)
	if now := time.Now(); err == nil {
		r.at.Store(&now)
	}
}

// gauges returns the gauges for a scrape.
func (f *figures) gauges() telemetry.Gauges {
	g := telemetry.Gauges{More: f.partGauges}
	if f.node.server == nil { // the node stands by
		return g
	}
	g.Node, g.Active, g.Panics = f.ofNode(), f.node.live.Active(), f.node.server.Panics()
	g.Targets, g.Trunks, g.Troubles = f.node.live.Targets(), f.trunks(), f.node.live.Stats().Troubles
	f.node.server.Stack().Messages().Each(func(received bool, method string, status int, count uint64) {
		g.SIP = append(g.SIP, telemetry.SIPCount{Received: received, Method: method, Status: status, N: count})
	})
	t := f.node.rtp.engine.Totals()
	g.Streams = map[string]int{config.EngineUserspace: 2*t.Sessions - t.Offloaded, config.EngineKernel: t.Offloaded}
	g.RTP = map[string]telemetry.RTPCount{"a": rtpCount(&t.Sides[media.SideA]), "b": rtpCount(&t.Sides[media.SideB])}
	return g
}

// trunks returns the trunks with their open calls.
func (f *figures) trunks() []live.Peer {
	cfg, open := f.node.config(), f.node.admission.Open()
	all := make([]live.Peer, len(cfg.Trunks))
	for i := range cfg.Trunks {
		t := &cfg.Trunks[i]
		all[i] = live.Peer{Name: t.Name, Calls: open.Trunks[t.Name], MaxCalls: f.node.admission.Part(t.MaxCalls)}
	}
	return all
}

// isName reports whether a trunk or target has the name.
func (f *figures) isName(name string) bool {
	cfg := f.node.config()
	return slices.ContainsFunc(cfg.Targets, func(t config.Target) bool { return t.Name == name }) ||
		slices.ContainsFunc(cfg.Trunks, func(t config.Trunk) bool { return t.Name == name })
}

func rtpCount(s *media.SideTotals) telemetry.RTPCount {
	d := &s.Dropped
	return telemetry.RTPCount{
		RxPackets: s.RxPackets, RxBytes: s.RxBytes, TxPackets: s.TxPackets, TxBytes: s.TxBytes,
		Dropped: map[string]uint64{
			"wrong_source": d.WrongSource, "unproven": d.Unproven, "wrong_ssrc": d.WrongSSRC, "unauthentic": d.Unauthentic,
			"replayed":  d.Replayed,
			"malformed": d.Malformed, "no_destination": d.NoDestination, "oversize": d.Oversize, "send_error": d.SendError,
			"held":     d.Held,
			"diverted": d.Diverted, "replaced": d.Replaced, "discarded": d.Discarded, "unprotected": d.Unprotected,
			"masked":      d.Masked,
			"unconfirmed": d.Unconfirmed, "overtaken": d.Overtaken, "ahead": d.Ahead, "bad_check": d.BadCheck,
		},
	}
}
