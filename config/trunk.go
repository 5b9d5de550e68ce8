package config

import (
	"net/netip"
	"strings"
	"time"

	"flowbridge/config/template"
)

// Trunk is one entry of `trunks`: a carrier or PBX that calls, or is called.
type Trunk struct {
	// The trunk's name in routes, records and logs. No other trunk may have it.
	Name string `key:"name" is:"trunk-name" required:"a short name for the trunk"`
	// The networks that its SIP comes from. The longest prefix wins. "local": this machine. Required without auth and
	// certificates.
	Sources []Source `key:"sources" later:""`
	// The digest credentials that its calls must show.
	Auth *Auth `key:"auth"`
	// Names, one of which its TLS client certificate must have. They need sip.tls.client_ca.
	Certificates []string `key:"certificates" is:"certificate-name"`
	// Whether its calls come from browsers, by the page's Talk and POST /api/browser-calls. Such a trunk has no sources;
	// its media is SRTP with keys by DTLS, and its routes default to session-progress.
	Browser bool `key:"browser" default:"false"`
	// Further conditions for a call, to tell trunks of one address apart.
	Match Match `key:"match"`
	// The headers of a target's answers, BYE and INVITE that it gets, perhaps converted. "X-*": all with that prefix.
	PassHeaders []Pass `key:"pass_headers" is:"header-pattern"`
	// The networks that its RTP may come from, besides the addresses of its SDP and SIP. Media goes there before a caller
	// is confirmed.
	MediaSources []netip.Prefix `key:"media_sources"`
	// How its RTP is treated.
	Media PeerMedia `key:"media"`
	// The most simultaneous calls, from it and to it together. Over it: 503 with Retry-After. 0: no cap but set-ups and
	// ports.
	MaxCalls int `key:"max_calls" default:"5000" max:"1000000"`
	// The most new calls per second, from it and to it together. Over it: 503 with Retry-After. 0: no cap.
	MaxCPS int `key:"max_cps" default:"2000" max:"1000000"`
	// The most of these for one number, or one address.
	Limits TrunkLimits `key:"limits"`
	// A call ends this long after its answer.
	MaxDuration time.Duration `key:"max_duration" default:"4h" knob:""`
	// Where requests within a dialog go: auto (its source address if Contact is private and the source is public), on (its
	// source address), off (as in RFC 3261).
	NAT NATMode `key:"nat" enum:"auto on off" default:"auto" knob:""`
	// The code ("1", "49") that makes national numbers E.164. Empty: numbers stay as received.
	Country string `key:"country" is:"country"`
	// Whether its P-Asserted-Identity and Remote-Party-ID are believed.
	Trusted bool `key:"trusted" default:"true"`
	// How the Identity headers of its calls are verified (RFC 8224, STIR/SHAKEN). Absent: they are not.
	Identity *Identity `key:"identity"`
	// Reliable provisional answers (RFC 3262).
	Rel100 Rel100Mode `key:"rel100" enum:"off supported required" default:"supported" knob:""`
	// The session timer requested of it (RFC 4028), from 90s to 24h. 0: session timers only if it asks.
	SessionExpires time.Duration `key:"session_expires" is:"timer-or-0" default:"0" knob:""`
	// The Request-URI of calls to it: "sip:{{.To.Number}}@pbx.example.com". Empty: no such calls. With registrar, empty
	// means the registered Contact as it is, and "sip:{{.To.Number}}@registered" the called number there.
	URI *template.Template `key:"uri" later:""`
	// The transport of calls to it, as for targets, and of register.
	Transport string `key:"transport" enum:"udp tcp tls auto" default:"udp"`
	// How its certificate is checked, and which one it gets, over TLS.
	TLS TargetTLS `key:"tls"`
	// The digest credentials for its 401 and 407, to calls to it and to register.
	DialAuth *Auth `key:"dial_auth"`
	// Where Flowbridge registers (RFC 3261 section 10). Its calls may come from there, besides sources.
	Register *Register `key:"register"`
	// Lets it register here with the credentials of auth. Calls to the trunk go there.
	Registrar *Registrar `key:"registrar"`
	// The calls that POST /api/calls places over the trunk. Absent: none. It needs a uri.
	Originate *Originate `key:"originate"`
	// The audio codecs that may be used in calls to it, of those that the caller offers.
	Codecs []string `key:"codecs" is:"codec" default:"PCMU, PCMA" filled:""`
	// How long it may stay silent to a call, 100 included, before the next one is tried.
	FirstResponseTimeout time.Duration `key:"first_response_timeout" default:"4s" knob:""`
	// How long it may take for its final answer to a call.
	RingTimeout time.Duration `key:"ring_timeout" default:"60s"`
	// When it is no longer called because it fails.
	Circuit Circuit `key:"circuit" knob:""`
	// OPTIONS that find out whether it can be called, without a call.
	Ping Ping `key:"ping"`
}

func (t *Trunk) check(s section) {
	s.usesTLS(t.TLS, t.Transport)
	t.callee(s)
	if t.Browser {
		t.checkBrowser(s)
	} else if t.Auth == nil && len(t.Certificates) == 0 && t.Register == nil {
		s.require("sources", `the networks that the trunk calls from, like ["203.0.113.0/24"], or auth or certificates`)
		s.notEmpty("sources")
	}
	t.Sources = s.trunkSources(t)
	switch {
	case t.Browser:
	case !vouched(t, &s.l.cfg.SIP):
		s.fail("certificates are asked for, but no authority for them is configured",
			"name the authorities' PEM file in sip.tls.client_ca")
	case s.l.running != nil && !vouched(t, &s.l.running.SIP):
		s.fail("certificates are asked for, but the process runs without sip.tls.client_ca",
			"restart it: sip counts from then on")
	}
	s.pinged(t.Ping, t.URI, t.Registrar != nil)
	if t.URI != nil || t.Register != nil {
		s.callable(t.Transport)
	}
}

// callee reads how calls to the trunk are placed, and reports keys that have no effect without such calls.
func (t *Trunk) callee(s section) {
	if t.Registrar != nil && t.Auth == nil {
		s.fields["registrar"].fail("has no credentials to ask for", "write auth, the user and the password of what registers")
	}
	if r := t.Register; r != nil {
		r.Auth = t.DialAuth
		switch {
		case r.User == "" && r.Auth != nil:
			r.User = r.Auth.Username
		case r.User == "" && !s.has("dial_auth"):
			s.fields["register"].fail("has no user for its address-of-record", "write user, or dial_auth with one")
		}
	}
	switch {
	case t.Registrar != nil:
		t.URI = s.registered(t.Transport)
		s.l.callees[t.Name] = true
	case s.filled("uri"):
		t.URI, _ = s.uri(templateUse{without: noTrunkStep}, t.Transport)
		s.l.callees[t.Name] = true
	default:
		remedy := "write uri, where calls to this trunk go, or remove it"
		if t.TLS != (TargetTLS{}) && t.Register == nil {
			s.fields["tls"].fail("has no effect without uri", remedy)
		}
		if t.Originate != nil {
			s.fields["originate"].fail("has no effect without uri", remedy)
		}
		if s.has("dial_auth") && t.DialAuth != nil && t.Register == nil {
			s.fields["dial_auth"].fail("has no effect without uri", remedy)
		}
	}
}

// vouched reports whether there are authorities for the certificates that a trunk requires. It is true if the trunk
// requires none.
func vouched(t *Trunk, sip *SIP) bool { return len(t.Certificates) == 0 || sip.TLS.ClientCA != "" }

// TrunkLimits is the section `limits` of a trunk. A number counts in the form that routes match. Calls from the trunk
// and to it count together, as for max_calls.
type TrunkLimits struct {
	// The most simultaneous calls of one calling number. Over it: 403 (caller_limited). All calls without a number count
	// as one caller. 0: no limit.
	PerCallerCalls int `key:"per_caller_calls" default:"0" max:"1000000"`
	// The most simultaneous calls to one called number. Over it: 486 (destination_limited). 0: no limit.
	PerDestinationCalls int `key:"per_destination_calls" default:"0" max:"1000000"`
}

// Originate is the section `originate` of a trunk: whom POST /api/calls may call over it.
type Originate struct {
	// The numbers that may be called, as in routes: "^\\+1507[0-9]{7}$".
	Numbers []*Numbers `key:"numbers" is:"number-pattern"`
	// The calling numbers that requests may use. Absent: any, which check warns of.
	From []*Numbers `key:"from" is:"number-pattern"`
	// The most calls in an hour. Over it: 503 with Retry-After. 0: no limit.
	PerHour int `key:"per_hour" default:"100" max:"1000000"`
	// Whether to detect who answers. Absent: no.
	Answer *WhoAnswers `key:"answer"`
}

// WhoAnswers returns the trunk's settings for detecting what answers, or nil.
func (o *Originate) WhoAnswers() *WhoAnswers {
	if o == nil {
		return nil
	}
	return o.Answer
}

// WhoAnswers is the section `answer` of `originate`: it tells a person, an answering machine, call screening, a fax and
// the tones of a network apart. The record has the result, and how clear it was. Fax and network calls are hung up.
type WhoAnswers struct {
	// What happens to a machine: bridge (the agent is called at once in any case), hangup, play (it hears the sound of
	// play after its beep, then BYE). With hangup and play, an agent is called when a person, or an unknown, has answered.
	Machine MachineMode `key:"machine" enum:"bridge hangup play" default:"bridge"`
	// The same for call screening, a phone that asks for name and reason for its owner and waits: bridge (as for a
	// person), hangup, play (at once, then BYE). If a beep follows, it is a machine after all.
	Screening MachineMode `key:"screening" enum:"bridge hangup play" default:"bridge"`
	// The sound that an answering machine, or call screening, hears.
	Play string `key:"play" is:"sound"`
}

// MachineMode says how an answering machine, or call screening, is handled.
type MachineMode string

// The values of machine and screening in trunks[].originate.answer.
const (
	MachineBridge MachineMode = "bridge"
	MachineHangup MachineMode = "hangup"
	MachinePlay   MachineMode = "play"
)

func (a *WhoAnswers) check(s section) {
	switch plays := a.Machine == MachinePlay || a.Screening == MachinePlay; {
	case plays && !s.filled("play"):
		s.require("play", "the sound that is played, one of sounds")
	case !plays && s.filled("play"):
		s.fields["play"].fail("has no effect without machine: play or screening: play", "write one of them, or remove it")
	}
}

func (o *Originate) check(s section) {
	s.require("numbers", `the numbers that may be called, like ["^\\+1507[0-9]{7}$"]`)
	s.notEmpty("numbers")
	s.notEmpty("from")
}

// NATMode says where in-dialog requests to a trunk are sent.
type NATMode string

// The values of trunks[].nat.
const (
	NATAuto NATMode = "auto"
	NATOn   NATMode = "on"
	NATOff  NATMode = "off"
)

// Rel100Mode says whether provisional answers to a side are reliable (RFC 3262).
type Rel100Mode string

// The values of trunks[].rel100 and targets[].rel100.
const (
	Rel100Off       Rel100Mode = "off"
	Rel100Supported Rel100Mode = "supported"
	Rel100Required  Rel100Mode = "required"
)

// Auth is a section of digest credentials: `auth` of a trunk or target, `dial_auth` of a trunk, `call_auth` of a
// target.
type Auth struct {
	// The digest user.
	Username string `key:"username" is:"username" required:"the digest user"`
	// The password.
	Password Secret `key:"password" env:""`
}

func (a *Auth) wanted(s section) bool {
	return s.filled("username") || s.filled("password_file") || s.filled("password_env")
}

// Match is the section `match` of a trunk. An empty key matches every call.
type Match struct {
	// The host of the Request-URI; case does not matter.
	ToDomain string `key:"to_domain" is:"domain"`
	// A header that must be present with its value: "X-Trunk: acme".
	HeaderName string `key:"header" is:"header"`
	// HeaderValue is that header's value.
	HeaderValue string
}

func (m *Match) check(section) { m.HeaderName, m.HeaderValue, _ = strings.Cut(m.HeaderName, ": ") }

// Conditions returns the number of conditions. A match with more conditions is more specific.
func (m Match) Conditions() (n int) {
	for _, set := range []bool{m.ToDomain != "", m.HeaderName != ""} {
		if set {
			n++
		}
	}
	return n
}

// isUsername reports whether a text can be a digest user.
func isUsername(t string) bool {
	return t != "" && len(t) <= 128 && !strings.ContainsFunc(t,
		func(r rune) bool { return r < ' ' || r == 0x7f || r == '"' || r == '\\' })
}

// parseHeaderLine parses "Name: value" and returns it with one space after the colon.
func parseHeaderLine(t string) (string, complaint) {
	name, val, ok := strings.Cut(t, ":")
	name, val = strings.TrimSpace(name), strings.TrimSpace(val)
	if !ok || !tokenOnly.MatchString(name) || val == "" ||
		strings.ContainsFunc(val, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", refuse("is not a header with a value", `write it like "X-Trunk: acme"`)
	}
	return name + ": " + val, complaint{}
}

// leastSE is the shortest session timer that is allowed (RFC 4028 section 5).
const leastSE = 90 * time.Second

// parseTimer parses a session timer, which is in seconds on the wire.
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
