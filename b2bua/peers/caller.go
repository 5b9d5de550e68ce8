package peers

import (
	"time"

	"flowbridge/config"
)

// Caller is the configuration for calls that come from a trunk or target.
type Caller struct {
	Peer
	Sources      []config.Source
	Certificates []string
	Match        config.Match
	auth         *config.Auth
	Trusted      bool
	Country      string
	MaxDuration  time.Duration
	Limits       config.TrunkLimits
	Originate    *config.Originate // nil if API requests may not place calls over it
	Registrar    *config.Registrar // nil if its phones may not register with us
	Register     *config.Register  // nil if we do not register with it
	Identity     *config.Identity  // nil if the identity of its callers is not verified
}

// bound reports whether we register for the trunk, and it has neither credentials nor certificates: then its
// calls are recognised only by configured sources and by the registration.
func (c *Caller) bound() bool { return c.Register != nil && c.auth == nil && len(c.Certificates) == 0 }

func callerOfTrunk(t *config.Trunk) *Caller {
	return &Caller{
		Peer: peerOfTrunk(t), Sources: t.Sources, Certificates: t.Certificates, Match: t.Match, auth: t.Auth,
		Trusted: t.Trusted, Country: t.Country, MaxDuration: t.MaxDuration,
		Limits: t.Limits, Originate: t.Originate, Registrar: t.Registrar, Register: t.Register, Identity: t.Identity,
	}
}
