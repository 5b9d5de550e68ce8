//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates for one test.
type authority struct {
	*stage
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // PEM file with the authority's certificate
}

func (s *stage) authority(name string) *authority {
	s.Helper()
	a := &authority{stage: s, dir: s.TempDir()}
	a.file = a.sign(name)
	return a
}

// sign writes a certificate for names and addresses, and its key beside it as file.key. The first
// certificate is the authority's own.
func (a *authority) sign(name string, names ...string) (file string) {
	a.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(a, err)
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, signer = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	must(a, err)
	if a.cert == nil {
		a.cert, err = x509.ParseCertificate(der)
		must(a, err)
		a.key = key
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	must(a, err)
	file = filepath.Join(a.dir, name+".pem")
	a.write(file+".key", "EC PRIVATE KEY", keyDER)
	a.write(file, "CERTIFICATE", der)
	return file
}

// write replaces a file in one step, as tools that renew certificates do.
func (a *authority) write(file, kind string, der []byte) {
	a.Helper()
	must(a, os.WriteFile(file+".new", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	must(a, os.Rename(file+".new", file))
}

// pair returns a certificate in the form for a TLS configuration.
func (a *authority) pair(name string, names ...string) []tls.Certificate {
	a.Helper()
	file := a.sign(name, names...)
	pair, err := tls.LoadX509KeyPair(file, file+".key")
	must(a, err)
	return []tls.Certificate{pair}
}

// trusts returns the configuration with which a carrier of bridge.test connects, with or without a
// certificate.
func (a *authority) trusts(pairs []tls.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool, ServerName: "bridge.test", Certificates: pairs, MinVersion: tls.VersionTLS12}
}

// secured makes the B2BUA accept TLS, with a certificate for bridge.test, and identify peers by
// certificates of the authority.
func (a *authority) secured(o setup) setup {
	own := a.sign("own", "bridge.test", a.b2bua.String())
	o.listen = append(o.listen, a.listener("udp", a.b2bua), a.listener("tls", a.b2bua))
	o.sip += fmt.Sprintf(", tls: {cert: %[1]s, key: %[1]s.key, client_ca: %[2]s}", own, a.file)
	return o
}

// TestTrunkOverTLS has a carrier that is identified by its certificate and may call from anywhere.
// Without a certificate, or with one of another name or authority, it is a stranger.
func TestTrunkOverTLS(t *testing.T) {
	s := newPreparedStage(t)
	ca, other := s.authority("ca"), s.authority("other")
	config := s.config(ca.secured(setup{}))
	config = replaceOnce(t, config, fmt.Sprintf(`sources: ["%v"]`, s.carrier), "certificates: [pbx.test]")
	b := startServer(t, t.TempDir(), config)
	s.server = b
	for name, pairs := range map[string][]tls.Certificate{
		"none": nil, "other name": ca.pair("else", "else.test"), "other authority": other.pair("pbx", "pbx.test"),
	} {
		carrier, err := s.tryConnect(s.carrier, ca.trusts(pairs))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		carrier.trySend(carrier.request("INVITE", "stranger", 1, message{}))
		carrier.closed()
	}
	agent := s.sippAgent("caller_hangup")
	carrier := s.connect(s.stranger, ca.trusts(ca.pair("pbx", "pbx.test")))
	carrier.call("known")
	agent.finish()
	carrier.conn.Close()
	s.over("udp", b.finish(hungUpByCaller))
}

// TestTargetOverTLS has a target over TLS. If its certificate has its name, it is called. Otherwise
// the next target is called.
func TestTargetOverTLS(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"agent.test", "wrong.test"} {
		t.Run(name, func(t *testing.T) {
			s := newPreparedStage(t)
			ca := s.authority("ca")
			spare := s.agent
			s.agent = s.freePort(s.platform)
			own := ca.sign("client", "bridge.test")
			config := s.config(setup{target: fmt.Sprintf(", transport: tls, tls: {ca: %s, server_name: agent.test, cert: %[2]s, key: %[2]s.key}", ca.file, own)})
			config = replaceOnce(t, config, "targets: [synthflow]", "targets: [synthflow, spare]")
			config = replaceOnce(t, config, "routes:\n", fmt.Sprintf("  - {name: spare, kind: sip, uri: \"sip:x@%v\"}\nroutes:\n", spare))
			b := startServer(t, t.TempDir(), config)
			b.targets = []uint16{s.agent.Port()}
			s.server = b
			secure := ca.trusts(ca.pair("agent", name))
			secure.ClientAuth, secure.ClientCAs = tls.RequireAndVerifyClientCert, secure.RootCAs
			agents := s.streamAgent(secure)
			s.agent = spare
			next := s.sippAgent("caller_hangup")
			carrier := s.carrierOver(sippUDP, "load/uac.xml", 1)
			agent, err := agents.accept()
			if name == "wrong.test" {
				if err == nil {
					t.Error("the handshake succeeded")
				}
				carrier.finish()
				next.finish()
				expected := hungUpByCaller
				expected.attempts = []try{{"tls_failed", 200, 0}, {"", 0, 200}}
				b.finish(expected)
				return
			}
			must(t, err)
			if got := agent.conn.(*tls.Conn).ConnectionState(); got.ServerName != name || got.PeerCertificates[0].DNSNames[0] != "bridge.test" {
				t.Errorf("it asked for %q and showed the certificate of %v", got.ServerName, got.PeerCertificates[0].DNSNames)
			}
			agent.respond(agent.await("INVITE "), "200 OK")
			agent.await("ACK ")
			agent.respond(agent.await("BYE "), "200 OK")
			carrier.finish()
			agent.conn.Close()
			next.kill()
			s.over("tls", b.finish(hungUpByCaller))
		})
	}
}

// TestCertificateReplaced replaces the B2BUA's certificate while it runs. New connections get the
// new one, and a call over an old connection continues.
func TestCertificateReplaced(t *testing.T) {
	s := newPreparedStage(t)
	ca := s.authority("ca")
	b := s.serve(ca.secured(setup{}))
	agent := s.sippAgent("caller_hangup")
	old := s.connect(s.carrier, ca.trusts(nil))
	ok := old.setUp("old")
	ca.sign("own", "bridge.test", "renewed.test")
	eventually(t, "the new certificate is shown", func() bool {
		p := s.connect(s.carrier, ca.trusts(nil))
		defer p.conn.Close()
		return p.conn.(*tls.Conn).ConnectionState().PeerCertificates[0].VerifyHostname("renewed.test") == nil
	})
	old.hangUp("old", ok)
	agent.finish()
	old.conn.Close()
	b.finish(hungUpByCaller)
}

// TestSoftphoneOverTLS makes a real softphone call over TLS. It checks the certificate, and hears
// the greeting.
func TestSoftphoneOverTLS(t *testing.T) {
	s := newStage(t)
	s.simulate()
	ca := s.authority("ca")
	// The softphone binds neither its connections nor its RTP to an address, so the kernel sends from
	// this one.
	const loopback = "127.0.0.1"
	config := s.config(ca.secured(setup{trunk: ", media_sources: [" + loopback + "]"}))
	config = replaceOnce(t, config, fmt.Sprintf(`sources: ["%v"]`, s.carrier), "sources: ["+loopback+"]")
	b := startServer(t, t.TempDir(), config)
	s.server = b
	phone := s.startBaresip(softWords(1), "sip_cafile "+ca.file)
	phone.command("dial", fmt.Sprintf("sip:%s@%v;transport=tls", called, b.at("tls", s.carrier)))
	phone.await("CALL_RINGING")
	phone.await("CALL_ESTABLISHED")
	phone.hearsEcho()
	phone.command("hangup", "")
	phone.await("CALL_CLOSED")
	phone.command("quit", "")
	if code := phone.exit(); code != 0 {
		t.Errorf("baresip ended with exit code %d", code)
	}
	r := b.finish(hungUpByCaller)[0]
	if m := r.Media; m.A.Rx < 50 || m.A.Tx < 50 {
		t.Errorf("packets: %+v; want at least 50 each way", m)
	}
}
