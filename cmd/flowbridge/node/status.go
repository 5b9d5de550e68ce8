package node

import (
	"flowbridge/admin"
	"flowbridge/b2bua/registration"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/store/record"
	"flowbridge/telemetry/live"
)

// status returns the node at a glance. ready says whether it takes calls.
func (n *Node) status(ready func() error) admin.Status {
	s := admin.Status{
		Node: n.name, Version: cli.Version(), StartedAt: record.TimeOf(n.figures.started), Troubles: []live.Trouble{},
		Targets: []admin.StatusPeer{}, Trunks: []admin.StatusPeer{},
	}
	err := ready()
	s.Ready = err == nil
	n.statusOfFiles(&s)
	if n.fleet != nil {
		f := n.fleet.Status()
		s.Fleet = &admin.StatusFleet{Nodes: f.Nodes, Vanished: f.Missing, Reached: f.BeatError == nil}
	}
	if n.seat != nil {
		s.Fleet.Seat = n.seat.Name()
	}
	if n.server == nil {
		if s.Troubles = append(s.Troubles, n.troubles.ofStandby()...); err != nil {
			s.Standby = err.Error()
		}
		return s
	}
	all := n.live.Stats()
	s.Troubles, s.Calls, s.Phases = all.Troubles, all.Capacity, all.Phases
	s.Answered, s.Decided = all.Answered, all.Decided
	for _, t := range n.live.Targets() {
		if t.Kind != live.KindTrunk {
			s.Targets = append(s.Targets, admin.StatusPeer{Name: t.Name, Health: t.Health, Calls: t.Calls, MaxCalls: t.MaxCalls})
		}
	}
	for _, t := range n.figures.trunks() {
		s.Trunks = append(s.Trunks, admin.StatusPeer{Name: t.Name, Calls: t.Calls, MaxCalls: t.MaxCalls})
	}
	if regs := n.server.Registrations(); len(regs) > 0 {
		s.Registrations = &admin.StatusRegistrations{All: len(regs)}
		for _, r := range regs {
			if r.State == registration.Registered {
				s.Registrations.Up++
			}
		}
	}
	return s
}

// statusOfFiles adds the disk and the certificate that ends first.
func (n *Node) statusOfFiles(s *admin.Status) {
	s.DiskFree, s.DiskSize = n.figures.disk()
	for _, c := range n.withMissing(n.figures.sampled.Load().certificates) {
		one := &admin.StatusCertificate{File: c.File}
		if c.Leaf != nil {
			one.EndsAt = record.TimeOf(c.Leaf.NotAfter)
		}
		if s.Certificate == nil || one.EndsAt.Before(s.Certificate.EndsAt.Time) {
			s.Certificate = one
		}
	}
}
