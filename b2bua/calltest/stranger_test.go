package calltest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A stranger's request with a To tag that looks like ours, but belongs to no leg, gets no
// answer and leaves no state. Only a BYE gets one 481.
func TestTagsOfNoLeg(t *testing.T) {
	inWorld(t, func(w *world) {
		stranger := w.otherAt("203.0.113.5:5060")
		request := func(method string) string {
			return fmt.Sprintf("%s sip:a SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.5;branch=z9hG4bK%s;rport\nFrom: <sip:a>;tag=1\n"+
				"To: <sip:a>;tag=%s\nCall-ID: guess\nCSeq: 1 %s\nMax-Forwards: 70\nContact: <sip:a@203.0.113.5>\nUser-Agent: a phone that says where it comes from\n\n", method, method, w.minter().Tag(), method)
		}
		for _, method := range []string{"INVITE", "INFO", "OPTIONS", "ACK", "CANCEL"} {
			stranger.send(request(method))
			stranger.silent(time.Minute)
		}
		stranger.send(request("BYE"))
		stranger.expect("SIP/2.0 481")
		stranger.silent(time.Minute)
		// The same requests from a trunk each get one answer.
		for _, method := range []string{"INVITE", "INFO", "BYE"} {
			w.carrier.send(strings.ReplaceAll(request(method), "203.0.113.5", "192.0.2.10"))
			w.carrier.expect("SIP/2.0 481")
			w.carrier.silent(time.Minute)
		}
	})
}

// If a stranger copies an INVITE that it has seen, it gets no access to the call.
func TestStrangersMergedInvite(t *testing.T) {
	yaml := strings.Replace(testConfig, "trunks:\n", "trunks:\n  - {name: pbx, auth: {username: a, password_env: P}}\n", 1)
	inWorldWith(t, yaml, func(w *world) {
		d, _ := w.established()
		p := w.roaming()
		copied := *d
		copied.branch, copied.toTag = "z9hG4bKcopy", ""
		p.invite(&copied)
		p.rest() // there may be a challenge
		p.silent(time.Minute)
		w.callerEnds(w.agent, d)
	})
}

// Strangers get only those answers that a call needs, even if a trunk may send from any
// address.
func TestStrangersBesideAuth(t *testing.T) {
	inWorldWith(t, authConfig, func(w *world) {
		p := w.roaming()
		d := p.newCall("+15075785607")
		for _, method := range []string{"REGISTER", "MESSAGE", "BYE", "ACK", "SUBSCRIBE", "CANCEL", "NOTIFY", "FOO"} {
			p.send(d.request(method))
		}
		p.silent(time.Second)
		d.extra = "User-Agent: PBX 1.0\nAllow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, PUBLISH\nSupported: replaces, timer\n"
		p.send(d.request("OPTIONS"))
		p.expect("SIP/2.0 401")
		w.carrier.send(w.carrier.newCall("+15075785607").request("OPTIONS"))
		w.carrier.expect("SIP/2.0 200")
		if n := w.server.Rejected().UnknownSource.Load(); n != 8 {
			t.Errorf("%d strangers; want 8", n)
		}
	})
}

// Asterisk checks a peer with OPTIONS, which are answered even if the peer's trunk may send
// from any address: the challenge is short enough to fit.
func TestOptionsOfAsterisk(t *testing.T) {
	inWorldWith(t, authConfig, func(w *world) {
		p := w.roaming()
		request := "OPTIONS sip:198.51.100.1:5060 SIP/2.0\n" +
			"Via: SIP/2.0/UDP 203.0.113.77:6060;rport;branch=z9hG4bKPj6a2c3fa3-4c8f-4b8a-8b0e-0f6f1f3a2a11\n" +
			"From: <sip:flowbridge@203.0.113.77>;tag=6a2c3fa3-4c8f-4b8a-8b0e-0f6f1f3a2a11\n" +
			"To: <sip:198.51.100.1>\nContact: <sip:flowbridge@203.0.113.77:6060>\n" +
			"Call-ID: 1a2c3fa3-4c8f-4b8a-8b0e-0f6f1f3a2a11\nCSeq: 50000 OPTIONS\nMax-Forwards: 70\n" +
			"User-Agent: Asterisk PBX 16.28.0~dfsg-0+deb11u3\nContent-Length:  0\n\n"
		p.send(request)
		m := p.expect("SIP/2.0 401")
		if got, sent := len(m.raw), len(strings.ReplaceAll(request, "\n", "\r\n")); got > sent {
			t.Errorf("%d bytes for %d:\n%s", got, sent, m.raw)
		}
		if v := m.value("WWW-Authenticate"); !strings.Contains(v, `realm="flowbridge"`) || !strings.Contains(v, `qop="auth"`) {
			t.Errorf("challenge %q", v)
		}
	})
}
