package config

import (
	"time"

	"flowbridge/config/template"
)

// Circuit is the section `circuit` of a target or trunk: its circuit breaker. The API that a target prepares by has one
// of its own, with the same settings.
type Circuit struct {
	// How many attempts in a row must fail, over at least a second, until it is out of use. 0: never.
	Failures int `key:"failures" default:"3" max:"1000"`
}

// Ping is the section `ping` of a target or trunk.
type Ping struct {
	// How often it gets an OPTIONS, from 5s to 1h. It is out of use after circuit.failures without an answer in a row,
	// until two answers. 0: never. The host of uri must be the same for all calls; what registers here gets none.
	Interval time.Duration `key:"interval" is:"ping-interval" default:"0"`
}

// pinged reports OPTIONS that would have nowhere to go: to what registers here, or to a host that a call decides.
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

// within makes the parser of a duration between two bounds; zero also allows 0.
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
