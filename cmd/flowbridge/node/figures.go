package node

import (
	"slices"
	"sync/atomic"
	"time"

	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/store/record"
	"flowbridge/telemetry/live"
)

// figures reads the figures of a node's parts for the admin API, Prometheus and the statistics of calls. It changes
// nothing.
type figures struct {
	node    *Node
	reloads reloads
	started time.Time
	sampled atomic.Pointer[sampled]
}

// ofNode returns the figures for the statistics of calls that are not in records.
func (f *figures) ofNode() live.Node {
	used, total := f.node.rtp.engine.Ports()
	sampled := f.sampled.Load()
	machine := sampled.machine
	machine.CPUs, machine.NoCPU = f.node.cpu.Available(), f.node.cpu.Lack()
	return live.Node{
		Certificate: sampled.certificate, Machine: machine, Calls: f.node.server.Calls(),
		Unwritten: f.node.server.Unwritten(), Limit: f.node.config().Media.Calls(),
		Ports: live.Ports{InUse: used, Limit: total}, Media: f.node.rtp.path(),
		Draining: f.node.server.Draining(), Rejected: f.node.server.Rejected().All(),
	}
}

// media returns the media quality so far of the calls that are up. A side that has not sent anything yet counts as
// mute.
func (f *figures) media() (all []record.Media) {
	f.node.rtp.engine.Each(func(s media.Stats) {
		var m record.Media
		for side, to := range []*record.MediaSide{media.SideA: &m.A, media.SideB: &m.B} {
			of := s.Of(media.Side(side))
			to.Rx, to.Lost, to.JitterMS, to.MOS = int64(of.RxPackets), int64(of.Lost), of.JitterMS, record.Score(of.MOS)
			to.LostHere, to.LateHere = int64(of.LostHere), int64(of.LateHere)
			to.Late = int64(max(of.Late, of.Dropped.Overtaken+of.Dropped.Ahead))
			if of.Silences > 0 { // then the call has no MOS
				m.Silences = append(m.Silences, record.Silence{Side: media.Side(side).String()})
			}
			if to.Rx == 0 {
				m.OneWay = media.Side(side).String()
			}
		}
		m.SetMOS()
		all = append(all, m)
	})
	return all
}

// peers returns the targets, and the trunks that can be called.
func (f *figures) peers() []live.Peer {
	cfg, open, circuits := f.node.config(), f.node.admission.Open(), f.circuits()
	var all []live.Peer
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		_, fixed := t.URI.Constant()
		all = append(all, live.Peer{
			Name: t.Name, Kind: t.Kind, Address: t.URI.String(), Fixed: fixed, Calls: open.Targets[t.Name],
			MaxCalls: f.node.admission.Part(t.MaxCalls), Circuits: circuits[t.Name], Addresses: f.addresses(t.Name),
			Shares: f.node.splits.shares(t.Name),
		})
	}
	for i := range cfg.Trunks {
		if t := &cfg.Trunks[i]; t.URI != nil {
			_, fixed := t.URI.Constant()
			all = append(all, live.Peer{
				Name: t.Name, Kind: live.KindTrunk, Address: t.URI.String(), Fixed: fixed, Calls: open.Trunks[t.Name],
				MaxCalls: f.node.admission.Part(t.MaxCalls), Circuits: circuits[t.Name], Addresses: f.addresses(t.Name),
				Shares: f.node.splits.shares(t.Name),
			})
		}
	}
	return all
}

// isPeer reports whether a target, or a trunk that can be called, has the name.
func (f *figures) isPeer(name string) bool {
	cfg := f.node.config()
	return slices.ContainsFunc(cfg.Targets, func(t config.Target) bool { return t.Name == name }) ||
		slices.ContainsFunc(cfg.Trunks, func(t config.Trunk) bool { return t.Name == name && t.URI != nil })
}
