package config

import (
	"crypto/rand"
	"fmt"
	"slices"
)

// BrowserTrunk returns the trunk of browsers, or nil.
func (c *Config) BrowserTrunk() *Trunk {
	for i := range c.Trunks {
		if c.Trunks[i].Browser {
			return &c.Trunks[i]
		}
	}
	return nil
}

// RequireBrowserProof makes the browser trunk accept calls only over connections that have shown this proof. The trunk
// asks for it as others ask for a certificate.
func (c *Config) RequireBrowserProof(proof string) {
	c.Trunks = slices.Clone(c.Trunks)
	if t := c.BrowserTrunk(); t != nil {
		t.Certificates = []string{proof}
	}
}

// ringsForBrowsers sets the default of ringing for a route of browsers: keys are agreed by DTLS, which fails if the
// description comes only with the answer.
func (r *Route) ringsForBrowsers(s section) {
	if s.l.browser != "" && r.Trunk == s.l.browser && !s.has("ringing") {
		r.Ringing = RingingSessionProgress
	}
}

// checkBrowser sets what a trunk of browsers needs, and reports keys that it can't have.
func (t *Trunk) checkBrowser(s section) {
	for _, key := range []string{
		"sources", "auth", "certificates", "match", "uri", "tls", "register", "registrar", "identity", "dial_auth",
	} {
		if s.has(key) {
			s.fields[key].fail("stands beside browser: true", "remove one of the two: browsers show a token of admin.tokens, "+
				"and can't be called")
		}
	}
	if s.l.browser != "" {
		s.fields["browser"].fail("is true for trunk "+s.l.browser+", too",
			"keep one trunk for browsers; routes and tokens tell its calls apart")
	}
	s.l.browser = t.Name
	t.Certificates = []string{rand.Text()} // no connection has it; the process replaces it by its own proof
	t.Media.SRTP, t.Media.Keying = SRTPRequired, KeyingDTLS
}

// browsers warns of media that browsers on other machines can't reach: their calls come over loopback, so an address
// that is found by the way to the peer is a loopback address. The page alone, without a token, is for this machine.
func (d *doubts) browsers() {
	m := &d.cfg.Media
	at := slices.IndexFunc(d.cfg.Trunks, func(t Trunk) bool { return t.Browser })
	bound := slices.IndexFunc(m.Listen, func(l MediaListener) bool { return l.Addr.Is4() })
	may := slices.ContainsFunc(d.cfg.Admin.Tokens, func(t adminToken) bool { return t.Call })
	if at < 0 || bound < 0 || !may || m.Advertise != "" {
		return
	}
	if l := m.Listen[bound]; l.Addr.IsUnspecified() && !l.Advertise.IsValid() {
		d.warn(fmt.Sprintf("trunks[%d].browser", at), fmt.Sprintf(
			"gives browsers on other machines no audio: media.listen is %v, for which they are told 127.0.0.1", l.Addr),
			"write the address that they reach into media.listen, or into media.advertise")
	}
}
