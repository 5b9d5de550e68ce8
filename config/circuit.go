package config

import (
	"time"

	"flowbridge/config/template"
)

// Circuit is the section `circuit` of a target or trunk: its circuit breaker. The API of a target's prepare step has a
// separate one with the same settings.
type Circuit struct {
	// How many attempts in a row must fail, over at least a second, to take it out of use. 0: never.
	Failures int `key:"failures" default:"3" max:"1000"`
}

// Ping is the section `ping` of a target or trunk.
type Ping struct {
	// How often it gets an OPTIONS, from 5s to 1h. After circuit.failures without an answer in a row it is out of use
	// until two answers. 0: never. The host of uri must be the same for all calls; peers that register here get none.
	Interval time.Duration `key:"interval" is:"ping-interval" default:"0"`
}

// pinged reports OPTIONS that have no destination: to a peer that registers here, or to a host that depends on the
// call.
func (s section) pinged(p Ping, uri *template.Template, registered bool) {
	if p.Interval == 0 || !s.has("ping") {
		return
	}
	if registered {
		s.fields["ping"].fail("has no effect beside registrar: what registers shows itself", "remove ping or registrar")
	} else if _, ok := uri.ConstantHost(); uri != nil && !ok {
		s.fields["ping"].fail("needs one host, and that of uri depends on the call",
			"remove ping, or write the host in uri as it is")
	}
}

// within returns the kind of a duration between two bounds. If zero is set, 0 is allowed, too.
func within(low, high time.Duration, zero bool) kind {
	remedy := "write one from " + low.String() + " to " + high.String()
	if zero {
		remedy += ", or 0 for none"
	}
	parse := func(t string) (time.Duration, complaint) {
		d, c := parseDuration(t)
		if c.none() && (d < low || d > high) {
			return 0, refuse("is out of range", remedy)
		}
		return d, c
	}
	if zero {
		return orZero(parse)
	}
	return textOf("duration", durationText, parse)
}
