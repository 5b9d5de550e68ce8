package config

import "time"

// Rescue is the section `routes[].rescue`: the caller stays when the agent's leg dies in mid-call, and somebody else takes over.
type Rescue struct {
	// The targets that are tried then, in this order. Empty, and trunks too: those of the route that were not tried for the call.
	Targets []string `key:"targets" is:"target"`
	// The trunks that the call is placed to then, after targets. They need a uri.
	Trunks []string `key:"trunks" is:"callee"`
	// The number to dial (.To in the templates). Required with trunks. Empty: the number that the caller has
	// called.
	To string `key:"to" is:"dialled"`
	// How soon after its answer an agent's BYE without a reason counts as a failure. A BYE with the reason of a failure (RFC 3326:
	// Q.850 27, or 32 and more) does at any time. 0: never.
	Window time.Duration `key:"window" is:"duration-or-0" default:"10s"`
	// For how long the agent may send no RTP, while the caller does, until it counts as dead. 0: it never does.
	Silence time.Duration `key:"silence" is:"silence" default:"20s"`
	// How often one call is rescued.
	Times int `key:"times" default:"1" min:"1" max:"5"`
}

// leastSilence is what platforms are silent for while nothing is wrong: between two sentences, where they send no silence.
const leastSilence = 5 * time.Second

func parseRescueSilence(t string) (time.Duration, complaint) {
	d, c := parseDurationOrZero(t)
	if c.none() && d != 0 && d < leastSilence {
		return 0, refuse("is shorter than a pause in speech may be", "write at least 5s, or 0 to keep agents that send no RTP")
	}
	return d, c
}

func parseDurationOrZero(t string) (time.Duration, complaint) {
	if isZero(t) {
		return 0, complaint{}
	}
	return parseDuration(t)
}

// parseDialled takes a number to call, or nothing.
func parseDialled(t string) (string, complaint) {
	if t != "" && !IsDialString(t) {
		return "", refuse("is not a number", `write one like "+15075550100", or 4711`)
	}
	return t, complaint{}
}

func (r *Rescue) check(s section) {
	if len(r.Trunks) > 0 && !s.filled("to") {
		s.fail("has trunks, and no number: the number that the caller has called leads back here, and the rescue would call itself", `write to: "+15075550100", the number to call there`)
	}
}

// checkRescue looks at a route's rescue beside the route.
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
