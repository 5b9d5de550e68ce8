package calltest

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// tlsConfig returns a configuration with a TLS listener and with targets at agent.test and
// spare.test.
func tlsConfig(a *siptest.Authority) string {
	_, _, own := a.Sign("own", []string{"bridge.test"})
	return fmt.Sprintf(`
sip:
  listen: ["udp://198.51.100.1:5060", "tls://198.51.100.1:5060"]
  tls: {cert: %[1]s, key: %[1]s.key, client_ca: %[2]s}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: carrier, sources: ["192.0.2.10"]}
targets:
  - {name: agent, kind: sip, transport: tls, uri: "sip:{{.To.Number}}@192.0.2.20:32681", tls: {ca: %[2]s, server_name: agent.test, cert: %[1]s, key: %[1]s.key}}
  - {name: spare, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.21:32681"}
routes:
  - {to: "^\\+1507", targets: [agent]}
  - {to: "^\\+1508", targets: [agent, spare]}
  - {to: "^\\+1509", targets: [spare]}
`, own, a.File)
}

// connectTLS opens a connection to the server and performs the handshake.
func (w *world) connectTLS(cfg *tls.Config) (*peer, error) {
	w.t.Helper()
	conn, err := w.sw.DialStream(context.Background(), carrierAddr.Addr(), ourAddr)
	if err != nil {
		return nil, err
	}
	tc := tls.Client(conn, cfg)
	if err := tc.Handshake(); err != nil {
		conn.Close()
		return nil, err
	}
	return w.streamPeer(tc), nil
}

// acceptTLS performs the handshake with the server as a target.
func (a *streamAgent) acceptTLS(cfg *tls.Config) (*peer, error) {
	conn, err := a.l.Accept()
	if err != nil {
		return nil, err
	}
	tc := tls.Server(conn, cfg)
	if err := tc.Handshake(); err != nil {
		conn.Close()
		return nil, err
	}
	return a.w.streamPeer(tc), nil
}

// With TLS on both sides, our SNI has the target's name, we verify it in the target's
// certificate, and we present our own certificate on request.
func TestCallOverTLS(t *testing.T) {
	ca := siptest.NewAuthority(t, "ca")
	agentPair := ca.Pair("agent", "agent.test")
	inWorldWith(t, tlsConfig(ca), func(w *world) {
		agents := w.streamAgent(agentAddr)
		carrier, err := w.connectTLS(&tls.Config{RootCAs: ca.Pool(), ServerName: "bridge.test"})
		must(t, err)
		d := carrier.dials("+15075785607")
		ringing := d.learn(carrier.expect("SIP/2.0 180"))
		if got := ringing.value("Contact"); got != "<sip:198.51.100.1:5060;transport=tls>" {
			t.Errorf("Contact %s", got)
		}
		agent, err := agents.acceptTLS(&tls.Config{Certificates: []tls.Certificate{agentPair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool()})
		must(t, err)
		state := agent.conn.(*tls.Conn).ConnectionState()
		if state.ServerName != "agent.test" || state.PeerCertificates[0].DNSNames[0] != "bridge.test" || state.Version < tls.VersionTLS12 {
			t.Errorf("SNI %q, certificate of %v, version %x", state.ServerName, state.PeerCertificates[0].DNSNames, state.Version)
		}
		invite := agent.expect("INVITE")
		if via := invite.value("Via"); !strings.HasPrefix(via, "SIP/2.0/TLS 198.51.100.1:5060;") {
			t.Errorf("Via %s", via)
		}
		carrier.isTakenBy(agent, invite, "agent1", d)
		carrier.hangsUpOn(agent, d)
		w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
	})
}

// A call over TLS may be to a sips URI, and have a sips URI in Contact. Then our Contact is
// a sips URI, too, and requests within the dialog go over TLS (RFC 3261 sections 12.1.1 and
// 26.2.2).
func TestCallToSIPSURI(t *testing.T) {
	ca := siptest.NewAuthority(t, "ca")
	for name, tt := range map[string]struct {
		change  []string
		contact string
	}{
		"both":        {[]string{"INVITE sip:", "INVITE sips:", "Contact: <sip:ann@192.0.2.10:5060;transport=tls>", "Contact: <sips:ann@192.0.2.10:5060>"}, "<sips:198.51.100.1:5060>"},
		"Request-URI": {[]string{"INVITE sip:", "INVITE sips:"}, "<sips:198.51.100.1:5060>"},
		"Contact":     {[]string{"Contact: <sip:ann@192.0.2.10:5060;transport=tls>", "Contact: <sips:ann@192.0.2.10:5060>"}, "<sips:198.51.100.1:5060>"},
		"neither":     {nil, "<sip:198.51.100.1:5060;transport=tls>"},
	} {
		runIn(t, name, tlsConfig(ca), func(w *world) {
			carrier, err := w.connectTLS(&tls.Config{RootCAs: ca.Pool(), ServerName: "bridge.test"})
			must(w.t, err)
			d := carrier.newCall("+15095785607")
			carrier.send(strings.NewReplacer(tt.change...).Replace(d.request("INVITE")))
			if got := d.learn(carrier.expect("SIP/2.0 180")).value("Contact"); got != tt.contact {
				w.t.Errorf("Contact %s; want %s", got, tt.contact)
			}
			invite := w.agent2.expect("INVITE sip:+15095785607@")
			w.agent2.takes(invite, "agent1")
			if got := carrier.expect("SIP/2.0 200").value("Contact"); got != tt.contact {
				w.t.Errorf("Contact %s; want %s", got, tt.contact)
			}
			carrier.ack(d)
			synctest.Wait()
			w.agent2.agentRequest("BYE", invite, "agent1", 1)
			w.agent2.expect("SIP/2.0 200")
			target := "sip:ann@192.0.2.10:5060;transport=tls"
			if strings.Contains(strings.Join(tt.change, ""), "sips:ann") {
				target = "sips:ann@192.0.2.10:5060"
			}
			carrier.reply(carrier.expect("BYE "+target+" "), 200, "OK", "", "")
			w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
		})
	}
}

// A target does not get the INVITE if its certificate is for another name or from an
// untrusted authority, or if it does not speak TLS at all.
func TestTargetNotTrusted(t *testing.T) {
	ca, other := siptest.NewAuthority(t, "ca"), siptest.NewAuthority(t, "other")
	for name, cfg := range map[string]*tls.Config{
		"other name":      {Certificates: []tls.Certificate{ca.Pair("wrong", "wrong.test")}},
		"other authority": {Certificates: []tls.Certificate{other.Pair("agent", "agent.test")}},
		"old version":     {Certificates: []tls.Certificate{ca.Pair("agent", "agent.test")}, MaxVersion: tls.VersionTLS11},
		"no TLS":          nil,
	} {
		runIn(t, name, tlsConfig(ca), func(w *world) {
			agents := w.streamAgent(agentAddr)
			d := w.carrier.dialsTillRung("+15085785607")
			if cfg != nil {
				if _, err := agents.acceptTLS(cfg); err == nil {
					w.t.Error("the handshake succeeded")
				}
			}
			r := w.shortCall(w.agent2, w.agent2.expect("INVITE"), "agent2", d)
			if len(r.Attempts) != 2 || r.Attempts[0].Cause != string(cause.TLSFailed) {
				w.t.Errorf("attempts %+v", r.Attempts)
			}
		})
	}
}

// A connection is closed if its handshake is not finished in time. Old TLS versions are
// refused.
func TestCarrierHandshake(t *testing.T) {
	ca := siptest.NewAuthority(t, "ca")
	inWorldWith(t, tlsConfig(ca), func(w *world) {
		if _, err := w.connectTLS(&tls.Config{RootCAs: ca.Pool(), ServerName: "bridge.test", MaxVersion: tls.VersionTLS11}); err == nil {
			t.Error("TLS 1.1 was accepted")
		}
		conn, err := w.sw.DialStream(context.Background(), carrierAddr.Addr(), ourAddr)
		must(t, err)
		begin := time.Now()
		_, _ = conn.Read(make([]byte, 1))
		if took := time.Since(begin); took != firstMessage {
			t.Errorf("a silent connection was ended after %v; want %v", took, firstMessage)
		}
	})
}

// A trunk that is identified by its client certificate may call from any address. Without
// the certificate, or with another name or authority, the caller is treated as a stranger.
func TestTrunkByCertificate(t *testing.T) {
	ca, other := siptest.NewAuthority(t, "ca"), siptest.NewAuthority(t, "other")
	yaml := strings.Replace(tlsConfig(ca), `sources: ["192.0.2.10"]`, `certificates: [pbx.test]`, 1)
	for name, pairs := range map[string][]tls.Certificate{
		"right": {ca.Pair("pbx", "pbx.test")}, "none": nil, "other name": {ca.Pair("else", "else.test")},
		"other authority": {other.Pair("pbx", "pbx.test")},
	} {
		runIn(t, name, yaml, func(w *world) {
			carrier, err := w.connectTLS(&tls.Config{RootCAs: ca.Pool(), ServerName: "bridge.test", Certificates: pairs})
			must(w.t, err)
			d := carrier.dials("+15095785607")
			if name != "right" {
				carrier.hungUp(2 * firstMessage)
				return
			}
			d.learn(carrier.expect("SIP/2.0 180"))
			invite := w.agent2.expect("INVITE")
			carrier.isTakenBy(w.agent2, invite, "a", d)
			carrier.hangsUpOn(w.agent2, d)
			w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
			carrier.conn.Close()
		})
	}
}
