package config

import (
	"time"
)

func (v value) route() Route {
	s := v.section("trunk", "target", "to", "from", "targets", "trunks", "ringing", "otherwise", "failover_on", "setup_timeout", "record",
		"mask_dtmf", "ringback", "hold")
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
