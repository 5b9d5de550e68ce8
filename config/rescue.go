package config

import "time"

// callRescue is the section `routes[].rescue`: the caller stays on the line when the agent's leg dies in mid-call, and
// another agent takes over.
type callRescue struct {
	// The targets that are tried then, in this order. Empty, with trunks empty too: those of the route not yet tried for
	// the call.
	Targets []string `key:"targets" is:"target"`
	// The trunks that the call is placed to then, after targets. They need a uri.
	Trunks []string `key:"trunks" is:"callee"`
	// The number to dial (.To in the templates). Required with trunks. Empty: the number that the caller called.
	To string `key:"to" is:"dialled"`
	// How long an agent may be silent while the caller waits before it counts as dead, from 3s. 0: never. It needs
	// media.insight.
	DeadAir time.Duration `key:"dead_air" is:"dead-air" default:"0"`
}

// parseDeadAir parses a duration of at least 3 s, the minimum for dead air in the figures (media/voice/turns).
func parseDeadAir(t string) (time.Duration, complaint) {
	d, c := parseDuration(t)
	if c.none() && d < 3*time.Second {
		return 0, refuse("is as short as pauses are in a conversation", "write a duration from 3s on, or 0 for never")
	}
	return d, c
}

// parseDialled parses a number to call, or an empty text.
func parseDialled(t string) (string, complaint) {
	if t != "" && !IsDialString(t) {
		return "", refuse("is not a number", `write one like "+15075550100", or 4711`)
	}
	return t, complaint{}
}

func (r *callRescue) check(s section) {
	if len(r.Trunks) > 0 && !s.filled("to") {
		s.fail("has trunks, and no number: the number that the caller has called leads back here, and the rescue would call itself", `write to: "+15075550100", the number to call there`)
	}
}

// checkRescue checks a route's rescue against the rest of the route.
func (r *Route) checkRescue(s section) {
	if r.Rescue == nil {
		return
	}
	rescue := s.fields["rescue"]
	switch {
	case s.filled("target"):
		rescue.fail("stands beside target: the agent has placed these calls itself", "remove it")
	case len(r.Rescue.Targets)+len(r.Rescue.Trunks) == 0 && s.elements("targets")+s.elements("trunks") == 1:
		rescue.fail("leads to nobody: the route has one target", "write targets or trunks in it")
	}
}
