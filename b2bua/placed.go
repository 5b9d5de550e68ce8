package b2bua

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
func newCaller(t *config.Target, n *tally) *trunk {
	c := newTrunk(&config.Trunk{
		Name: t.Name, Sources: t.Sources, Auth: t.CallAuth, MediaSources: t.MediaSources, Media: t.Media, PassHeaders: t.PassHeaders,
		Trusted: true, MaxDuration: callerDuration, NAT: config.NATAuto, TLS: t.TLS,
		Rel100: t.Rel100, SessionExpires: t.SessionExpires, MinSE: t.MinSE,
	}, n)
	c.caller = t
	return c
}

// newCallee is a trunk as one who is called. What it has open counts together,
// whoever called: its channels are the same.
func newCallee(t *trunk) *target {
	c := t.cfg
	return &target{callee: c, tally: t.tally, cfg: &config.Target{
		Name: c.Name, Kind: config.KindSIP, URI: c.URI, Transport: c.Transport, TLS: c.TLS, Auth: c.DialAuth,
		PassHeaders: c.PassHeaders, Budget: config.TrunkBudget(), Overflow: config.OverflowTrim, Codecs: c.Codecs,
		FirstResponseTimeout: c.FirstResponseTimeout, RingTimeout: c.RingTimeout, MaxCalls: c.MaxCalls, MaxCPS: c.MaxCPS,
		MediaSources: c.MediaSources, Media: c.Media, Reinvite: config.ReinviteAuto, Rel100: c.Rel100, SessionExpires: c.SessionExpires,
		MinSE: c.MinSE, DTMF: config.DTMFRelay, PassMethods: []string{"INFO"}, Transfer: config.TransferRefuse,
	}}
}

// nat says where requests within a dialog with the target go.
func (t *target) nat() config.NATMode {
	if t.callee != nil {
		return t.callee.NAT
	}
	return config.NATOff
}

// trunkName and targetName are the names of who places a call; one of the two
// is empty.
func (t *trunk) trunkName() string {
	if t.caller != nil {
		return ""
	}
	return t.cfg.Name
}

func (t *trunk) targetName() string {
	if t.caller != nil {
		return t.caller.Name
	}
	return ""
}

func (t *trunk) direction() string {
	if t.caller != nil {
		return store.DirectionOutbound
	}
	return store.DirectionInbound
}

// logged adds who places a call to what is logged of it.
func (t *trunk) logged(c zerolog.Context) zerolog.Context {
	if t.caller != nil {
		return c.Str("from_target", t.caller.Name)
	}
	return c.Str("trunk", t.cfg.Name)
}

// kindAndName says in words who places calls.
func (t *trunk) kindAndName() string {
	if t.caller != nil {
		return "target " + t.caller.Name
	}
	return "trunk " + t.cfg.Name
}

// callers are those who may call: real trunks, and targets.
func (p *snapshot) callers() (real, targets []*trunk) {
	for _, t := range p.trunks {
		if t.caller == nil {
			real = append(real, t)
		} else {
			targets = append(targets, t)
		}
	}
	return real, targets
}

// destinations are the targets, or trunks, that a route leads to.
func (p *snapshot) destinations(r *config.Route) []*target {
	all := make([]*target, 0, len(r.Targets)+len(r.Trunks))
	for _, name := range r.Targets {
		all = append(all, p.targets[name])
	}
	for _, name := range r.Trunks {
		all = append(all, p.callees[name])
	}
	return all
}

// noteDestination writes down where an attempt goes. The target of a call that
// a target has placed is that one.
func (c *Call) noteDestination(t *target) {
	switch {
	case c.trunk.caller == nil:
		c.record.Target = t.cfg.Name
	case t.callee != nil:
		c.record.Trunk = t.cfg.Name
	}
}

// maxDuration is how long the call may go on after its answer: both trunks'
// say, where there are two.
func (c *Call) maxDuration() time.Duration {
	limit := c.trunk.cfg.MaxDuration
	if t := c.attempt.target.callee; t != nil && t.MaxDuration > 0 && (limit <= 0 || t.MaxDuration < limit) {
		limit = t.MaxDuration
	}
	return limit
}

// limitDuration is maxDuration for a call that has been transferred: to a trunk
// that may have less time for it.
func (c *Call) limitDuration() {
	if t := c.target.callee; t != nil && t.MaxDuration > 0 {
		c.durationUntil = earliest(c.durationUntil, time.Now().Add(t.MaxDuration))
	}
}

// callerTLS is how who has called us is checked when we connect to it, because
// its own connection is gone.
func (s *Server) callerTLS(t *trunk) config.TargetTLS {
	if t.caller != nil || t.cfg.TLS != (config.TargetTLS{}) {
		return t.cfg.TLS
	}
	return s.trunkTLS()
}
