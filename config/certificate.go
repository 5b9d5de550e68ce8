package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Certificate is a certificate shown to peers, with the current contents of its file.
type Certificate struct {
	Key, File string // the key of the configuration, and the file it names
	Leaf      *x509.Certificate
	Problem   string // the problem with its validity; empty if it is valid for at least endsSoon
	Refused   bool   // peers refuse it now
}

const endsSoon = 14 * 24 * time.Hour

// Certificates reads the certificates shown to peers, and checks their validity. It leaves out unreadable ones, which
// are reported as errors of the file or in the log.
func (c *Config) Certificates(now time.Time) (all []Certificate) {
	add := func(key, file, private string) {
		pair, err := tls.LoadX509KeyPair(file, private)
		if err != nil {
			return
		}
		one := Certificate{Key: key, File: file, Leaf: pair.Leaf}
		from, until := pair.Leaf.NotBefore.UTC(), pair.Leaf.NotAfter.UTC()
		one.Refused = now.Before(from) || now.After(until)
		if one.Refused {
			one.Problem = fmt.Sprintf("is valid from %s to %s: peers refuse it now",
				from.Format(time.RFC3339), until.Format(time.RFC3339))
		} else if until.Sub(now) < endsSoon {
			one.Problem = fmt.Sprintf("ends at %s: peers refuse it from then on", until.Format(time.RFC3339))
		}
		all = append(all, one)
	}
	add("sip.tls.cert", c.SIP.TLS.Cert, c.SIP.TLS.Key)
	add("hooks.tls.cert", c.Hooks.TLS.Cert, c.Hooks.TLS.Key)
	for i := range c.Trunks {
		add(fmt.Sprintf("trunks[%d].tls.cert", i), c.Trunks[i].TLS.Cert, c.Trunks[i].TLS.Key)
	}
	for i := range c.Targets {
		add(fmt.Sprintf("targets[%d].tls.cert", i), c.Targets[i].TLS.Cert, c.Targets[i].TLS.Key)
	}
	return all
}

// certificates warns of certificates that peers refuse, or will refuse soon, and of a certificate for another name
// than the advertised one. An advertised address does not matter: few certificates contain an address, and peers are
// given the name.
func (d *doubts) certificates() {
	name := d.cfg.SIP.Advertise
	_, notAddress := netip.ParseAddr(name)
	for _, c := range d.cfg.Certificates(time.Now()) {
		if c.Problem != "" {
			d.warnOf(c.Key, c.Problem, "write a valid one to the same files: they are read again by themselves")
			d.all[len(d.all)-1].Refused = c.Refused
			continue
		}
		named := c.Key == "sip.tls.cert" && name != "" && notAddress != nil && !findsAddress(name)
		if err := c.Leaf.VerifyHostname(name); named && err != nil {
			d.warnOf(c.Key, strings.TrimPrefix(err.Error(), "x509: ")+", as sip.advertise says",
				"advertise a name of the certificate, or take a certificate for the advertised one")
		}
	}
}
