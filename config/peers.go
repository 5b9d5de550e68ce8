package config

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
)

// auth reads a section of credentials; nil where it is absent or empty.
func (s section) auth(key string) *Auth {
	a := s.sub(key, "username", "password_file", "password_env")
	if !a.filled("username") && !a.filled("password_file") && !a.filled("password_env") {
		return nil
	}
	a.require("username", "the digest user")
	return &Auth{Username: one(a, "username", "", parseUsername), Password: a.secret("password")}
}

func parseUsername(t string) (string, complaint) {
	if t == "" || len(t) > 128 || strings.ContainsFunc(t, func(r rune) bool { return r < ' ' || r == 0x7f || r == '"' || r == '\\' }) {
		return "", refuse("cannot be a digest user", "use up to 128 characters, and no quotes, backslashes or control characters")
	}
	return t, complaint{}
}

// parseAlgorithm takes the name of a hash of digest authentication (RFC 8760).
func parseAlgorithm(t string) (string, complaint) {
	for _, known := range []string{"SHA-256", "MD5"} {
		if strings.EqualFold(t, known) {
			return known, complaint{}
		}
	}
	return "", refuse("is not an algorithm that trunks can be asked for", "write SHA-256 or MD5")
}

// parseCertName takes a name as it stands in a certificate: a host name or an address.
func parseCertName(t string) (string, complaint) {
	if _, c := parseAddr(t); !c.none() && !isHostName(t) {
		return "", refuse("is neither a host name nor an address", "write a name of the trunk's certificate, like pbx.example.com")
	}
	return strings.ToLower(t), complaint{}
}

func (s section) match() Match {
	m := Match{
		ToDomain: one(s, "to_domain", "", func(t string) (string, complaint) {
			if _, c := parseAddr(t); t != "" && !c.none() && !isHostName(t) {
				return "", refuse("is neither a host name nor an address", "write the host of the Request-URI, without sip: and port")
			}
			return strings.ToLower(t), complaint{}
		}),
		Port: uint16(s.integer("port", 0, 0, 65535)),
	}
	if h := one(s, "header", "", parseHeaderLine); h != "" {
		m.HeaderName, m.HeaderValue, _ = strings.Cut(h, ": ")
	}
	return m
}

// parseHeaderLine takes "Name: value" and gives it with one space behind the colon.
func parseHeaderLine(t string) (string, complaint) {
	if t == "" {
		return "", complaint{}
	}
	name, val, ok := strings.Cut(t, ":")
	name, val = strings.TrimSpace(name), strings.TrimSpace(val)
	if !ok || !tokenOnly.MatchString(name) || val == "" || strings.ContainsFunc(val, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", refuse("is not a header with a value", `write it like "X-Trunk: acme"`)
	}
	return name + ": " + val, complaint{}
}

func (s section) limits() Limits {
	l := Limits{
		Message:              s.integer("message", 16<<10, 1<<10, 32<<10),
		Headers:              s.integer("headers", 128, 16, 10_000),
		Header:               s.integer("header", 4<<10, 256, 32<<10),
		Body:                 s.integer("body", 12<<10, 512, 32<<10),
		SDP:                  s.integer("sdp", 8<<10, 512, 32<<10),
		Connections:          s.integer("connections", 1000, 1, maxCap),
		ConnectionsPerSource: s.integer("connections_per_source", 100, 1, maxCap),
		Setups:               s.integer("setups", 2000, 1, maxCap),
	}
	return l
}

// listenTLS reads sip.tls and tries its files, which a tls listener needs.
func (s section) listenTLS(needed bool) ListenTLS {
	t := ListenTLS{Cert: s.text("cert"), Key: s.text("key"), ClientCA: s.text("client_ca")}
	if needed && (!s.filled("cert") || !s.filled("key")) {
		s.fail("cert or key is missing, which a tls listener needs", "write the PEM files of our certificate and its key, or remove tls:// from sip.listen")
		return t
	}
	s.keyPair("cert", "key")
	s.authorities("client_ca")
	return t
}

// targetTLS reads the section `tls` of a target or trunk and tries its files.
func (s section) targetTLS(transport string) TargetTLS {
	sub := s.sub("tls", "server_name", "ca", "cert", "key")
	t := TargetTLS{
		ServerName: one(sub, "server_name", "", parseServerName),
		CA:         sub.text("ca"), Cert: sub.text("cert"), Key: sub.text("key"),
	}
	sub.keyPair("cert", "key")
	sub.authorities("ca")
	if t != (TargetTLS{}) && transport != TransportTLS {
		s.fields["tls"].fail("has no effect over "+transport, "write transport: tls, or remove it")
	}
	return t
}

func parseServerName(t string) (string, complaint) {
	if t == "" {
		return "", complaint{}
	}
	return parseCertName(t)
}

// keyPair tries a certificate and its key. One without the other is reported.
func (s section) keyPair(cert, key string) {
	switch {
	case !s.filled(cert) && !s.filled(key):
		return
	case !s.filled(cert):
		s.fields[key].fail("stands without "+cert, "write both or none")
		return
	case !s.filled(key):
		s.fields[cert].fail("stands without "+key, "write both or none")
		return
	}
	c, ok1 := s.get(cert)
	k, ok2 := s.get(key)
	if !ok1 || !ok2 {
		return
	}
	if _, err := tls.LoadX509KeyPair(c.text, k.text); err != nil {
		c.complain(refuse("cannot be used with its key: "+reason(err), "name PEM files of a certificate and its private key that can be read"))
	}
}

// authorities tries a file of certificates of authorities.
func (s section) authorities(key string) {
	if !s.filled(key) {
		return
	}
	v, ok := s.get(key)
	if !ok {
		return
	}
	data, err := os.ReadFile(v.text)
	switch {
	case err != nil:
		v.complain(refuse("cannot be read: "+reason(err), "name a PEM file of certificates"))
	case !x509.NewCertPool().AppendCertsFromPEM(data):
		v.complain(refuse("holds no certificate", "name a PEM file of certificates"))
	}
}
