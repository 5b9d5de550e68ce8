package config

import "time"

func (v value) trunk() Trunk {
	s := v.section("name", "sources", "media_sources", "auth", "certificates", "match", "pass_headers", "max_calls",
		"max_cps", "max_duration", "nat", "country", "trusted", "uri", "transport", "tls", "dial_auth", "codecs",
		"first_response_timeout", "ring_timeout", "rel100", "session_expires", "min_se", "media")
	s.require("name", "a short name for the trunk")
	t := Trunk{
		Name:         s.name("trunk", s.l.trunks),
		MediaSources: each(s, "media_sources", parsePrefix),
		Media:        s.peerMedia(),
		MaxCalls:     s.integer("max_calls", 0, 0, maxCap),
		MaxCPS:       s.integer("max_cps", 0, 0, maxCap),
		MaxDuration:  s.duration("max_duration", 4*time.Hour),
		NAT:          NATMode(s.choice("nat", string(NATAuto), string(NATAuto), string(NATOn), string(NATOff))),
		Country:      one(s, "country", "", parseCountry),
		Trusted:      s.boolean("trusted", true),
		Rel100:       s.rel100(Rel100Supported),
	}
	t.SessionExpires, t.MinSE = s.sessionTimer()
	s.placing(&t)
	t.Auth = s.auth("auth")
	t.Certificates = each(s, "certificates", parseCertName)
	if s.has("match") {
		t.Match = s.sub("match", "to_domain", "header", "port").match()
	}
	t.PassHeaders = s.passHeaders()
	if t.Auth == nil && len(t.Certificates) == 0 {
		s.require("sources", `the networks that the trunk calls from, like ["203.0.113.0/24"], or auth or certificates`)
		s.notEmpty("sources")
	}
	t.Sources = s.trunkSources(&t)
	return t
}

// placing reads what calls that we place to the trunk need.
func (s section) placing(t *Trunk) {
	t.Transport = s.choice("transport", TransportUDP, TransportUDP, TransportTCP, TransportTLS)
	t.TLS = s.targetTLS(t.Transport)
	t.DialAuth = s.auth("dial_auth")
	t.Codecs = s.codecs()
	t.FirstResponseTimeout = s.duration("first_response_timeout", 4*time.Second)
	t.RingTimeout = s.duration("ring_timeout", 60*time.Second)
	if s.filled("uri") {
		t.URI, _ = s.uri(templateUse{trunk: true}, t.Transport)
		s.l.callees[t.Name] = true
		return
	}
	remedy := "write uri, where calls to this trunk go, or remove it"
	if t.TLS != (TargetTLS{}) {
		s.fields["tls"].fail("has no effect without uri", remedy)
	}
	if t.DialAuth != nil {
		s.fields["dial_auth"].fail("has no effect without uri", remedy)
	}
}

// codecs reads the audio codecs of a target or trunk.
func (s section) codecs() []string {
	if !s.has("codecs") {
		return []string{"PCMU", "PCMA"}
	}
	s.notEmpty("codecs")
	return each(s, "codecs", parseCodec)
}

func (s section) rel100(def Rel100Mode) Rel100Mode {
	return Rel100Mode(s.choice("rel100", string(def), string(Rel100Off), string(Rel100Supported), string(Rel100Required)))
}

// leastSE is the shortest session timer that there is (RFC 4028 section 5).
const leastSE = 90 * time.Second

// sessionTimer reads session_expires and min_se.
func (s section) sessionTimer() (expires, least time.Duration) {
	least = one(s, "min_se", leastSE, parseTimer)
	expires = one(s, "session_expires", 0, func(t string) (time.Duration, complaint) {
		if t == "0" {
			return 0, complaint{}
		}
		return parseTimer(t)
	})
	if expires != 0 && expires < least {
		s.fields["session_expires"].fail("is shorter than min_se", "write a duration that is not, like 30m, or 0 to ask for no session timer")
	}
	return expires, least
}

// parseTimer takes a session timer: seconds on the wire.
func parseTimer(t string) (time.Duration, complaint) {
	d, c := parseDuration(t)
	switch {
	case !c.none():
		return d, c
	case d < leastSE:
		return 0, refuse("is shorter than 90s, which is the least (RFC 4028)", "write 90s or more, like 30m")
	case d > day || d%time.Second != 0:
		return 0, refuse("is no whole number of seconds, or longer than a day", "write a duration like 90s or 30m")
	}
	return d, complaint{}
}
