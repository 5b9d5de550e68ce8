package config

import (
	"regexp"
	"time"
)

// The values of routes[].ringing.
const (
	RingingImmediate = "immediate"
	RingingOnTarget  = "on-target"
	RingingNone      = "none"
	// RingingSessionProgress answers with a session description, and lets the caller hear a tone of ours.
	RingingSessionProgress = "session-progress"
)

// Route is one entry of `routes`.
type Route struct {
	// Trunk limits the route to calls of one trunk. Default: empty, any trunk.
	Trunk string
	// Target makes the route one for calls that this target places or transfers, and for no others. Default: empty, calls
	// of trunks.
	Target string
	// To is a regular expression over the called number. Default: none, any number.
	To *regexp.Regexp
	// From is a regular expression over the calling number. Default: none, any number.
	From *regexp.Regexp
	// Targets are tried in this order. A route has either Targets or Trunks.
	Targets []string
	// Trunks are tried in this order: the call is placed to them.
	Trunks []string
	// Ringing says when the caller hears ringing: immediate (180 as soon as the route is found), on-target (with the
	// target's own 18x), none, or session-progress (183 with a session description as soon as the route is found, and
	// Ringback until the target's own media or its answer). Default: immediate.
	Ringing string
	// Ringback is the tone or sound that the caller hears with session-progress, and while a transfer rings that the agent
	// does not wait for. Default: us.
	Ringback string
	// Hold is the tone or sound that a side hears while the other one holds it and sends nothing itself. Default: none.
	Hold string
	// Otherwise is the SIP status when no target took the call, 400 to 699. Default: 503.
	Otherwise int
	// Direction is whom the calls are with: inbound (the customer calls, and is the lead) or outbound (the customer was
	// called, by a PBX that hands the answered call over). Default: inbound for calls of trunks. Routes that go to trunks,
	// and those for calls that a target places, which are outbound, have none.
	Direction string
	// FailoverOn are further SIP statuses, 300 to 699, upon which the next target is tried. Default: none.
	FailoverOn []int
	// Record says whether the route's calls are recorded: off, always (from the answer on) or on_demand (when the admin
	// API asks for it). Default: off. Needs the section recording.
	Record Wanted
	// MaskDTMF says whether the keys that the caller presses are kept from the platform, recordings and logs: off,
	// always or on_demand (while the admin API asks for it). Default: off.
	MaskDTMF Wanted
	// SetupTimeout bounds the whole set-up over all targets. Default: 120s.
	SetupTimeout time.Duration
}

func (v value) route() Route {
	s := v.section("trunk", "target", "to", "from", "targets", "trunks", "ringing", "otherwise", "failover_on", "setup_timeout", "record",
		"mask_dtmf", "ringback", "hold", "direction")
	r := Route{
		Trunk: one(s, "trunk", "", func(t string) (string, complaint) {
			if t != "" && !s.l.trunks[t] {
				return "", refuse("is not the name of a trunk", "add it to trunks, or correct the name")
			}
			return t, complaint{}
		}),
		Target:       one(s, "target", "", s.l.caller),
		To:           one(s, "to", nil, parseRegexp),
		From:         one(s, "from", nil, parseRegexp),
		Ringing:      s.choice("ringing", RingingImmediate, RingingImmediate, RingingOnTarget, RingingNone, RingingSessionProgress),
		Otherwise:    s.integer("otherwise", 503, 400, 699),
		FailoverOn:   each(s, "failover_on", integerIn(300, 699)),
		SetupTimeout: s.duration("setup_timeout", 120*time.Second),
		Record:       s.record(),
		MaskDTMF:     s.wanted("mask_dtmf"),
		Ringback:     s.sound("ringback", "us"),
		Hold:         s.sound("hold", HoldNone, HoldNone),
	}
	r.Direction = s.direction()
	if s.filled("trunk") && s.filled("target") {
		s.fields["target"].fail("stands beside trunk: a call comes from one of the two", "keep one of them")
	}
	switch targets, trunks := s.elements("targets"), s.elements("trunks"); {
	case targets > 0 && trunks > 0:
		s.fields["trunks"].fail("stands beside targets", "keep one of the two")
	case trunks == 0 && s.has("targets"):
		s.notEmpty("targets")
	case targets == 0 && s.has("trunks"):
		s.notEmpty("trunks")
	case targets+trunks == 0:
		s.require("targets", "the names of the targets to try, in order, or trunks")
	}
	r.Targets = each(s, "targets", func(t string) (string, complaint) {
		if !s.l.targets[t] {
			return "", refuse("is not the name of a target", "add it to targets, or correct the name")
		}
		return t, complaint{}
	})
	r.Trunks = each(s, "trunks", func(t string) (string, complaint) {
		switch {
		case !s.l.trunks[t]:
			return "", refuse("is not the name of a trunk", "add it to trunks, or correct the name")
		case !s.l.callees[t]:
			return "", refuse("is a trunk without uri, which no call can be placed to", `write uri below the trunk, like "sip:{{.To.Number}}@pbx.example.com"`)
		}
		return t, complaint{}
	})
	return r
}

// direction reads whom a route's calls are with.
func (s section) direction() string {
	if !s.has("direction") {
		if s.filled("target") {
			return DirectionOutbound
		}
		return DirectionInbound
	}
	d := s.choice("direction", DirectionInbound, DirectionInbound, DirectionOutbound)
	switch {
	case s.filled("target"):
		s.fields["direction"].fail("stands beside target: what a target places is outbound", "remove it")
	case s.elements("trunks") > 0:
		s.fields["direction"].fail("says who a platform's lead is, and this route goes to trunks", "remove it")
	}
	return d
}

// caller takes the name of a target whose calls a route is for.
func (l *loader) caller(t string) (string, complaint) {
	switch {
	case t == "":
	case !l.targets[t]:
		return "", refuse("is not the name of a target", "add it to targets, or correct the name")
	case !l.callers[t]:
		return "", refuse("is a target that neither calls nor transfers", "write sources, call_auth or transfer below the target, or remove the route")
	}
	return t, complaint{}
}
