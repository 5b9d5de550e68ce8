package peers

// Calls that go the other way. A target that calls us, as platforms do for a
// warm transfer, is known, challenged and admitted as a trunk is; a trunk that
// is called is dialled as a target is. So there is, beside the configured ones,
// a trunk for each target that may call, and a target for each trunk that has a
// uri. A call does not see the difference but where it writes down who is who.

import (
	"time"

	"github.com/rs/zerolog"

	"flowbridge/config"
	"flowbridge/store"
)

// callerDuration ends a call that a target has placed, where the trunk that it
// goes to does not end it before.
const callerDuration = 4 * time.Hour

// newCaller is a target as one who calls. Its word for who calls is good: it
// would hide the number of its own agent otherwise. How many calls it may place
// is the called trunk's to say.
func newCaller(t *config.Target, n *Tally) *Trunk {
	c := newTrunk(&config.Trunk{
		Name: t.Name, Sources: t.Sources, Auth: t.CallAuth, MediaSources: t.MediaSources, Media: t.Media, PassHeaders: t.PassHeaders,
		Trusted: true, MaxDuration: callerDuration, NAT: config.NATAuto, TLS: t.TLS,
		Rel100: t.Rel100, SessionExpires: t.SessionExpires, MinSE: t.MinSE,
	}, n)
	c.Caller = t
	return c
}

// newCallee is a trunk as one who is called. What it has open counts together,
// whoever called: its channels are the same.
func newCallee(t *Trunk) *Target {
	c := t.Config
	return &Target{Callee: c, Tally: t.Tally, Config: &config.Target{
		Name: c.Name, Kind: config.KindSIP, URI: c.URI, Transport: c.Transport, TLS: c.TLS, Auth: c.DialAuth,
		PassHeaders: c.PassHeaders, Budget: config.TrunkBudget(), Overflow: config.OverflowTrim, Codecs: c.Codecs,
		FirstResponseTimeout: c.FirstResponseTimeout, RingTimeout: c.RingTimeout, MaxCalls: c.MaxCalls, MaxCPS: c.MaxCPS,
		MediaSources: c.MediaSources, Media: c.Media, Reinvite: config.ReinviteAuto, Rel100: c.Rel100, SessionExpires: c.SessionExpires,
		MinSE: c.MinSE, DTMF: config.DTMFRelay, PassMethods: []string{"INFO"}, Transfer: config.TransferRefuse,
	}}
}

// NAT says where requests within a dialog with the target go.
func (t *Target) NAT() config.NATMode {
	if t.Callee != nil {
		return t.Callee.NAT
	}
	return config.NATOff
}

// TrunkName and targetName are the names of who places a call; one of the two
// is empty.
func (t *Trunk) TrunkName() string {
	if t.Caller != nil {
		return ""
	}
	return t.Config.Name
}

func (t *Trunk) TargetName() string {
	if t.Caller != nil {
		return t.Caller.Name
	}
	return ""
}

func (t *Trunk) Direction() string {
	if t.Caller != nil {
		return store.DirectionOutbound
	}
	return store.DirectionInbound
}

// Logged adds who places a call to what is logged of it.
func (t *Trunk) Logged(c zerolog.Context) zerolog.Context {
	if t.Caller != nil {
		return c.Str("from_target", t.Caller.Name)
	}
	return c.Str("trunk", t.Config.Name)
}

// KindAndName says in words who places calls.
func (t *Trunk) KindAndName() string {
	if t.Caller != nil {
		return "target " + t.Caller.Name
	}
	return "trunk " + t.Config.Name
}

// Callers are those who may call: real trunks, and targets.
func (p *Snapshot) Callers() (real, targets []*Trunk) {
	for _, t := range p.Trunks {
		if t.Caller == nil {
			real = append(real, t)
		} else {
			targets = append(targets, t)
		}
	}
	return real, targets
}

// Destinations are the targets, or trunks, that a route leads to.
func (p *Snapshot) Destinations(r *config.Route) []*Target {
	all := make([]*Target, 0, len(r.Targets)+len(r.Trunks))
	for _, name := range r.Targets {
		all = append(all, p.Targets[name])
	}
	for _, name := range r.Trunks {
		all = append(all, p.Callees[name])
	}
	return all
}
