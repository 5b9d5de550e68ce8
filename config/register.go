package config

import (
	"strings"
	"time"

	"flowbridge/config/template"
)

// Register is the section `register` of a trunk: where Flowbridge registers. Its address-of-record is user@registrar.
type Register struct {
	// The registrars, by name (RFC 3263) or address. They are tried in turn.
	Registrars []string `key:"registrars" is:"host-port" filled:""`
	// The user of the address-of-record. Empty: that of dial_auth.
	User string `key:"user" is:"register-user"`
	// Auth is the trunk's dial_auth.
	Auth *Auth
	// The host that the requests are sent to instead, named in Route.
	OutboundProxy string `key:"outbound_proxy" is:"host-port-or-none"`
	// How often a NAT on the way is kept open, from 5s: by OPTIONS over UDP, by empty lines over TCP and TLS. 0: never.
	KeepAlive time.Duration `key:"keep_alive" is:"keep-alive" default:"30s" knob:""`
}

func (r *Register) check(s section) {
	s.require("registrars", "the registrar's host, like [sip.carrier.example]")
	s.notEmpty("registrars")
}

// Registrar is the section `registrar` of a trunk or target: it registers here with the credentials of its calls.
type Registrar struct {
	// The user of its address-of-record, which is in To of its REGISTER. Empty: that of its credentials.
	User string `key:"user" is:"register-user"`
}

// RegisteredHost is the host that stands for the registered Contact in the uri of a trunk with registrar.
const RegisteredHost = "registered"

// registered reads the uri of a trunk that registers here. The result is its Contact, or the called number at the
// Contact's host.
func (s section) registered(transport string) *template.Template {
	contact, _ := template.Parse("sip:" + RegisteredHost)
	if !s.filled("uri") {
		return contact
	}
	t, sample := s.uri(templateUse{without: noTrunkStep}, transport)
	if t == nil {
		return contact
	}
	if _, host, ok := strings.Cut(sample, "@"); !ok || host != RegisteredHost {
		s.fields["uri"].fail("does not lead to what registers, as registrar has it",
			`write it like "sip:{{.To.Number}}@registered", or remove it to call the Contact as it is`)
		return contact
	}
	return t
}

// parseHostPort parses a host with or without a port.
func parseHostPort(t string) (string, complaint) {
	if !isHostPort(t) {
		return "", refuse("is neither a host nor an address, with or without a port",
			"write it without sip:, like sip.carrier.example or 192.0.2.1:5080")
	}
	return strings.ToLower(t), complaint{}
}

// isRegisterUser reports whether a text can be the user of an address-of-record.
func isRegisterUser(t string) bool { return sipUser.MatchString(t) && len(t) <= 128 }

// leastKeepAlive is the shortest keep_alive other than 0. NATs keep a UDP flow for at least 20 s, so a shorter one
// would not help.
const leastKeepAlive = 5 * time.Second
