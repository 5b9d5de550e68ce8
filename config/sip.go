package config

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"os"
	"slices"
	"time"
)

// SIP is the section `sip`.
type SIP struct {
	// Where SIP is received: udp://, tcp:// or tls://, IPv6 as "udp://[::]:5060". One listener for each transport and
	// address family. Port 0 lets the system choose.
	Listen []Listener `key:"listen" default:"udp://0.0.0.0:5060" filled:""`
	// The address or host name in Via and Contact. Empty: the address of the interface that leads to the peer. auto: the
	// public IPv4 address at startup, of an interface or the cloud's metadata (AWS, Google Cloud, Azure, Hetzner,
	// DigitalOcean); "stun:HOST:PORT": from a STUN server.
	Advertise string `key:"advertise" is:"advertise-host"`
	// The networks on this side of the NAT. Their peers get the interface's own address, not the one in advertise.
	LocalNetworks []netip.Prefix `key:"local_networks"`
	// The certificate of tls:// listeners. The files are reread when they change.
	TLS ListenTLS `key:"tls"`
	// How long calls may continue after SIGTERM.
	DrainTimeout time.Duration `key:"drain_timeout" default:"60s" knob:""`
	// New calls get 503 when all messages have waited longer than this, for as long as this, unless their trunk has fewer
	// calls in set-up than others. Below 50ms single calls are refused without need; near 500ms everything is sent twice.
	MaxDelay time.Duration `key:"max_delay" default:"75ms" knob:""`
	// The digest algorithms that trunks are offered, in this order. [MD5] is for a PBX that reads only one challenge.
	AuthAlgorithms []string `key:"auth_algorithms" is:"algorithm" default:"SHA-256, MD5" filled:"" knob:""`
	// How much of the process peers may take.
	Limits Limits `key:"limits" knob:""`
}

func (c *SIP) check(s section) {
	s.advertisable(c.Advertise, func(v4 bool) bool {
		return slices.ContainsFunc(c.Listen, func(l Listener) bool { return l.AddrPort.Addr().Is4() == v4 })
	})
	if listens(c.Listen, TransportTLS) && !c.TLS.ACME.On() && (c.TLS.Cert == "" || c.TLS.Key == "") {
		at, ok := s.fields["tls"]
		if !ok {
			at = s.constant("tls", "")
		}
		at.fail("cert or key is missing, which a tls listener needs",
			"write the PEM files of a certificate and its key, or acme, or remove tls:// from sip.listen")
	}
}

// ListenTLS is the section `sip.tls`.
type ListenTLS struct {
	// The PEM file of the certificate and its chain. A tls:// listener needs it.
	Cert string `key:"cert" is:"file"`
	// The PEM file of the certificate's private key. A tls:// listener needs it.
	Key string `key:"key" is:"file"`
	// The PEM file of the authorities whose client certificates identify trunks. Empty: none is asked for.
	ClientCA string `key:"client_ca" is:"file"`
	// The CA that gives the certificate, in place of cert and key.
	ACME ACME `key:"acme"`
}

func (t *ListenTLS) check(s section) {
	if at, ok := s.fields["acme"]; ok && (t.Cert != "" || t.Key != "") {
		at.fail("stands beside cert or key", "write one of them: the CA gives the certificate and its key")
	}
	s.keyPair("cert", "key")
	s.authorities("client_ca")
}

// Limits is the section `sip.limits`.
type Limits struct {
	// The most TCP and TLS connections from peers to one address of listen. One source gets a tenth. Strangers together
	// get a tenth, one of them (or one IPv6 /64) a hundredth.
	Connections int `key:"connections" default:"1000" min:"1" max:"1000000"`
	// The most calls not answered yet. Over it: 503. Half of them are kept for the trunks, in equal parts.
	Setups int `key:"setups" default:"2000" min:"1" max:"1000000"`
}

// The values of transport.
const (
	TransportUDP = "udp"
	TransportTCP = "tcp"
	TransportTLS = "tls"
	// TransportAuto is allowed only for calls to targets and trunks: the DNS records of the host's name determine the
	// transport.
	TransportAuto = "auto"
)

// Listener is one entry of sip.listen.
type Listener struct {
	// Transport is udp, tcp or tls.
	Transport string
	// AddrPort is the address and port that the socket is bound to.
	AddrPort netip.AddrPort
	// Proof is what each connection to a TCP listener must begin with, before its first message. Then it counts as one
	// whose certificate has that name. Empty: nothing. It is not part of the file.
	Proof string
}

// String returns the listener in the form of the file.
func (l Listener) String() string { return l.Transport + "://" + l.AddrPort.String() }

// listens reports whether SIP is received over a transport.
func listens(all []Listener, transport string) bool {
	return slices.ContainsFunc(all, func(l Listener) bool { return l.Transport == transport })
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// advertisable reports an advertised address that no peer would be given, because peers are given an address of their
// own family.
func (s section) advertisable(advertise string, listens func(v4 bool) bool) {
	addr, err := netip.ParseAddr(advertise)
	if findsAddress(advertise) && !listens(true) || err == nil && !listens(addr.Is4()) {
		s.fields["advertise"].fail("is of an address family that listen has no address of",
			"write an address of the other family, or listen on this one too")
	}
}

// callable reports a target or trunk that can't be called from any address of sip.listen.
func (v value) callable(transport string) {
	switch {
	case !calls(transport, &v.l.cfg.SIP):
		v.fail("is called over udp, which sip.listen has no address for",
			"write transport: tcp, or add udp://0.0.0.0:5060 to sip.listen")
	case v.l.running != nil && !calls(transport, &v.l.running.SIP):
		v.fail("is called over udp, which the process runs without",
			"write transport: tcp, or restart it: sip counts from then on")
	}
}

// calls reports whether there is an address to call from. An empty list is reported elsewhere.
func calls(transport string, sip *SIP) bool {
	return transport != TransportUDP || len(sip.Listen) == 0 || listens(sip.Listen, TransportUDP)
}

// keyPair loads a certificate and its key. It reports an error if only one of them is set.
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
		c.complain(refuse("cannot be used with its key: "+reason(err),
			"name PEM files of a certificate and its private key that can be read"))
	}
}

// authorities loads a file with certificates of authorities.
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
