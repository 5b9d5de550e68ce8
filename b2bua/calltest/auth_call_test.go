package calltest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/message"
)

// authConfig has a PBX that may send from any address, a carrier that needs its address and
// credentials, two trunks at one address, and the carrier of the other tests.
const authConfig = `
sip: {listen: ["udp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: pbx, auth: {username: acme, password_env: P}}
  - {name: both, sources: ["192.0.2.10"], auth: {username: carrier, password_env: P}}
  - {name: plain, sources: ["192.0.2.11"], max_calls: 1}
targets:
  - {name: agent, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.20:32681"}
routes:
  - {targets: [agent]}
`

// authorize adds credentials to a dialogue: the response to a 401's challenge for this
// algorithm.
func authorize(d *dialogue, challenge received, algorithm, username, password string, nc int) string {
	return credentialsFor(d, nonceOf(challenge, algorithm), algorithm, username, password, nc)
}

// nonceOf returns the nonce of a challenge, for the algorithm.
func nonceOf(challenge received, algorithm string) (nonce string) {
	for line := range strings.SplitSeq(challenge.raw, "\r\n") {
		if v, ok := strings.CutPrefix(line, "WWW-Authenticate: Digest "); ok && strings.Contains(v, "algorithm="+algorithm) {
			_, nonce, _ = strings.Cut(v, `nonce="`)
			nonce, _, _ = strings.Cut(nonce, `"`)
		}
	}
	return nonce
}

func credentialsFor(d *dialogue, nonce, name, username, password string, nc int) string {
	return credentialsOf("INVITE", "sip:"+d.to+"@198.51.100.1:5060", nonce, name, username, password, nc)
}

func credentialsOf(method, uri, nonce, name, username, password string, nc int) string {
	all := message.Algorithms()
	a := all[0]
	if name == "MD5" {
		a = all[1]
	}
	count := fmt.Sprintf("%08x", nc)
	response := a.Sum(a.Sum(username, "flowbridge", password), nonce, count, "c0", "auth", a.Sum(method, uri))
	return fmt.Sprintf("Authorization: Digest username=%q, realm=\"flowbridge\", nonce=%q, uri=%q, response=%q, algorithm=%s, cnonce=\"c0\", qop=auth, nc=%s\n",
		username, nonce, uri, response, name, count)
}

// challenged sends an INVITE, and acknowledges and returns the 401 to it.
func (p *peer) challenged(d *dialogue) received {
	p.w.t.Helper()
	p.invite(d)
	m := p.expect("SIP/2.0 401 Unauthorized")
	p.gaveUp(d, m)
	return m
}

// gaveUp acknowledges a refusal, and prepares the dialogue for a new request.
func (p *peer) gaveUp(d *dialogue, m received) {
	d.learn(m)
	p.ackRefused(d)
	d.toTag, d.refused = "", false
	d.seq++
	d.branch += "n"
}

func (w *world) answersCall(p *peer, d *dialogue, extra string) {
	w.t.Helper()
	d.extra = extra
	invite := p.ringsAt(w.agent, d)
	if strings.Contains(invite.raw, "Authorization") {
		w.t.Errorf("the target sees the credentials:\n%s", invite.raw)
	}
	w.agent.takes(invite, "a")
	p.expect("SIP/2.0 200")
	d.extra = ""
	p.ack(d)
	p.bye(d) // requests within the dialog are not challenged
	p.expect("SIP/2.0 200")
	w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
}

var roamingAddr = netip.MustParseAddrPort("203.0.113.77:6060")

// roaming returns a PBX at an address that no trunk names.
func (w *world) roaming() *peer {
	p := w.peer(roamingAddr)
	p.seq = 500 // so that its Call-IDs are unique
	w.others = append(w.others, p)
	return p
}

// A trunk authenticates with either algorithm, and its call goes through. The next call
// reuses the nonce.
func TestAuthenticatedCall(t *testing.T) {
	for _, algorithm := range []string{"SHA-256", "MD5"} {
		runIn(t, algorithm, authConfig, func(w *world) {
			p := w.roaming()
			d := p.newCall("+15075785607")
			m := p.challenged(d)
			one, two := strings.Index(m.raw, "algorithm=SHA-256"), strings.Index(m.raw, "algorithm=MD5")
			if one < 0 || two < one || strings.Count(m.raw, `qop="auth"`) != 2 || strings.Contains(m.raw, "stale") {
				w.t.Errorf("the challenge is\n%s", m.raw)
			}
			if n := len(w.sink.done) + len(w.sink.journal); n != 0 {
				w.t.Errorf("%d records of a call that was not admitted", n)
			}
			w.answersCall(p, d, authorize(d, m, algorithm, "acme", "secret", 1))
			if r := w.record(); r.Trunk != "pbx" {
				w.t.Errorf("the call is of trunk %s", r.Trunk)
			}
			d = p.newCall("+15075785608")
			w.answersCall(p, d, authorize(d, m, algorithm, "acme", "secret", 2))
			w.record()
			if r := w.server.Rejected(); r.Challenged.Load() != 1 || r.Unauthorized.Load() != 0 {
				w.t.Errorf("%d challenged, %d unauthorized", r.Challenged.Load(), r.Unauthorized.Load())
			}
		})
	}
}

// A server that offers only MD5 accepts nothing else.
func TestOfferedAlgorithms(t *testing.T) {
	yaml := strings.Replace(authConfig, `sip: {`, `sip: {auth_algorithms: [MD5], `, 1)
	inWorldWith(t, yaml, func(w *world) {
		p := w.roaming()
		d := p.newCall("+15075785607")
		m := p.challenged(d)
		if strings.Count(m.raw, "WWW-Authenticate") != 1 {
			t.Errorf("the challenge is\n%s", m.raw)
		}
		nonce := m.value("WWW-Authenticate")
		_, nonce, _ = strings.Cut(nonce, `nonce="`)
		nonce, _, _ = strings.Cut(nonce, `"`)
		d.extra, d.branch, d.toTag, d.refused = credentialsFor(d, nonce, "SHA-256", "acme", "secret", 1), "z9hG4bKsha", "", false
		d.seq++
		p.invite(d)
		p.gaveUp(d, p.expect("SIP/2.0 401 Unauthorized"))
		d.refused, d.branch = false, "z9hG4bKmd5"
		w.answersCall(p, d, credentialsFor(d, nonce, "MD5", "acme", "secret", 1))
		w.record()
	})
}

// A trunk with sources needs both its address and its credentials: from this address, the
// other trunk's user is refused.
func TestSourceAndCredentials(t *testing.T) {
	inWorldWith(t, authConfig, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		m := w.carrier.challenged(d)
		w.answersCall(w.carrier, d, authorize(d, m, "MD5", "carrier", "secret", 1))
		if r := w.record(); r.Trunk != "both" {
			t.Errorf("the call is of trunk %s", r.Trunk)
		}
		p := w.roaming()
		d = p.newCall("+15075785607")
		d.extra = authorize(d, p.challenged(d), "MD5", "carrier", "secret", 1)
		p.gaveUp(d, func() received { p.invite(d); return p.expect("SIP/2.0 401") }())
	})
}

// Wrong credentials of any kind are challenged again, and do not start a call.
func TestWrongCredentials(t *testing.T) {
	edit := func(old, replacement string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, replacement, 1) }
	}
	for name, spoil := range map[string]func(string) string{
		"user":           edit(`"acme"`, `"nobody"`),
		"no user":        edit(`username="acme", `, ``),
		"response":       func(s string) string { i := strings.Index(s, `response="`) + 10; return s[:i] + "0000" + s[i+4:] },
		"empty response": func(s string) string { i := strings.Index(s, `response="`) + 10; return s[:i] + s[i+64:] },
		"uri":            edit(`uri="sip:+15075785607@`, `uri="sip:+15075785608@`),
		"algorithm":      edit("algorithm=SHA-256", "algorithm=SHA-512-256"),
		"no algorithm":   edit("algorithm=SHA-256, ", ""), // means MD5
		"qop":            edit("qop=auth,", "qop=auth-int,"),
		"no qop":         edit(`, qop=auth, nc=00000001`, ``),
		"no nc":          edit(", nc=00000001", ""),
		"nc":             edit("nc=00000001", "nc=1"),
		"no cnonce":      edit(`cnonce="c0", `, ``),
		"nonce":          func(s string) string { i := strings.Index(s, `nonce="`) + 7; return s[:i] + "ff" + s[i+2:] },
		"twice":          edit("nc=00000001", "nc=00000001, nc=00000001"),
		"broken":         edit(`qop=auth`, `qop="auth`),
	} {
		runIn(t, name, authConfig, func(w *world) {
			p := w.roaming()
			d := p.newCall("+15075785607")
			d.extra = spoil(authorize(d, p.challenged(d), "SHA-256", "acme", "secret", 1))
			p.invite(d)
			m := p.expect("SIP/2.0 401")
			if strings.Contains(m.raw, "stale") {
				w.t.Errorf("it is called stale:\n%s", m.raw)
			}
			p.gaveUp(d, m)
			want := uint64(1)
			if name == "nonce" { // a nonce of another server counts as a missing one
				want = 0
			}
			if n := w.server.Rejected().Unauthorized.Load(); n != want {
				w.t.Errorf("%d unauthorized; want %d", n, want)
			}
			w.answersCall(p, d, authorize(d, m, "SHA-256", "acme", "secret", 1))
			w.record()
		})
	}
}

// RFC 3261 section 22.4: credentials are valid for the number in their uri. If the uri
// has no user, as SIPp and some phones write it, they are valid for the number that the
// challenged request called.
func TestCredentialsForAnotherNumber(t *testing.T) {
	const bare, ours, other = "sip:198.51.100.1:5060", "sip:+15075785607@198.51.100.1", "sip:+15075785608@198.51.100.1"
	for name, tt := range map[string]struct {
		challenged, uri, called string
		refused                 string // empty if accepted
	}{
		"its number":             {"+15075785607", ours, "+15075785607", ""},
		"another number":         {"+15075785607", other, "+15075785607", "wrong"},
		"another called":         {"+15075785607", ours, "+15075785608", "wrong"},
		"no user":                {"+15075785607", bare, "+15075785607", ""},
		"no user, with escapes":  {"%2B15075785607", bare, "%2B15075785607", ""},
		"no user, with params":   {"+15075785607;npdi", bare, "+15075785607;npdi", ""},
		"no user, captured":      {"+15075785607", bare, "+15075785608", "stale"},
		"no user, of no number":  {"ann", bare, "+15075785608", "stale"},
		"another host, captured": {"+15075785607", "sip:192.0.2.1", "+15075785607", "wrong"},
	} {
		runIn(t, name, authConfig, func(w *world) {
			p := w.roaming()
			m := p.challenged(p.newCall(tt.challenged))
			d := p.newCall(tt.called)
			extra := credentialsOf("INVITE", tt.uri, nonceOf(m, "MD5"), "MD5", "acme", "secret", 1)
			if tt.refused == "" {
				w.answersCall(p, d, extra)
				w.record()
				return
			}
			d.extra = extra
			again := p.challenged(d)
			if stale := strings.Contains(again.raw, "stale=true"); stale != (tt.refused == "stale") {
				w.t.Errorf("want %s:\n%s", tt.refused, again.raw)
			}
			d.extra = ""
			if tt.refused == "stale" { // its next challenge is for the called number
				w.answersCall(p, d, credentialsOf("INVITE", tt.uri, nonceOf(again, "MD5"), "MD5", "acme", "secret", 1))
				w.record()
			}
		})
	}
}

// Credentials for another realm or of another scheme do not count.
func TestCredentialsForOthers(t *testing.T) {
	inWorldWith(t, authConfig, func(w *world) {
		p := w.roaming()
		for _, extra := range []string{
			"Authorization: Digest username=\"acme\", realm=\"upstream\", nonce=\"n\", uri=\"sip:x\", response=\"r\"\n", "Authorization: Basic eDp5\n",
		} {
			d := p.newCall("+15075785607")
			d.extra = extra
			m := p.challenged(d)
			w.answersCall(p, d, extra+authorize(d, m, "MD5", "acme", "secret", 1))
			w.record()
		}
		if r := w.server.Rejected(); r.Challenged.Load() != 2 || r.Unauthorized.Load() != 0 {
			t.Errorf("%d challenged, %d unauthorized", r.Challenged.Load(), r.Unauthorized.Load())
		}
	})
}

// A nonce that is too old or used up is stale: the client knows its password
// was right.
func TestStaleNonce(t *testing.T) {
	inWorldWith(t, authConfig, func(w *world) {
		p := w.roaming()
		d := p.newCall("+15075785607")
		m := p.challenged(d)
		time.Sleep(5*time.Minute + time.Second) // longer than the lifetime of a nonce
		d.extra = authorize(d, m, "MD5", "acme", "secret", 1)
		p.invite(d)
		m = p.expect("SIP/2.0 401")
		if strings.Count(m.raw, "stale=true") != 2 {
			t.Errorf("not stale:\n%s", m.raw)
		}
		p.gaveUp(d, m)
		extra := authorize(d, m, "MD5", "acme", "secret", 1)
		w.answersCall(p, d, extra)
		w.record()

		// A recorded request can't be used again, from any address.
		thief := w.otherAt("203.0.113.66:5060")
		e := thief.newCall("+15075785607")
		e.callID, e.extra = "thief", extra
		thief.invite(e)
		again := thief.expect("SIP/2.0 401")
		if strings.Count(again.raw, "stale=true") != 2 {
			t.Errorf("not stale:\n%s", again.raw)
		}
		thief.gaveUp(e, again)
	})
}

// A retransmitted INVITE with credentials is not a replay, even when its transaction is
// gone.
func TestRetransmittedCredentials(t *testing.T) {
	inWorldWith(t, authConfig, func(w *world) {
		p := w.roaming()
		d := p.newCall("+15075785607")
		extra := authorize(d, p.challenged(d), "MD5", "acme", "secret", 1)
		d.extra = extra
		p.invite(d)
		p.invitesTillRung(d)
		tag := d.toTag
		d.toTag = ""
		p.invite(d)
		for _, m := range p.rest() { // sent by the transaction
			if !strings.HasPrefix(m.raw, "SIP/2.0 180 ") {
				t.Errorf("a retransmission is answered\n%s", m.raw)
			}
		}
		invite := w.agent.expect("INVITE")
		w.agent.takes(invite, "a")
		p.expect("SIP/2.0 200")
		d.toTag = tag
		p.ack(d)
		time.Sleep(time.Second)
		d.toTag = ""
		p.invite(d)
		p.silent(time.Second)
		d.toTag = tag
		p.hangsUpOn(w.agent, d)
		w.record()
		d.toTag = ""
		p.invite(d)
		p.silent(time.Second)
	})
}

// A sender that guesses passwords is ignored for a while, even if it then uses the right
// password. Other senders are still served, even with a nonce that the guesser got.
func TestGuessing(t *testing.T) {
	inWorldWith(t, authConfig, func(w *world) {
		p := w.roaming()
		d := p.newCall("+15075785607")
		for range 5 + 1 { // one more failure than allowed
			d.extra = ""
			m := p.challenged(d)
			d.extra = authorize(d, m, "MD5", "acme", "guess", 1)
			p.invite(d)
			p.gaveUp(d, p.expect("SIP/2.0 401"))
		}
		d.extra = ""
		m := p.challenged(d)
		d.extra = authorize(d, m, "MD5", "acme", "secret", 1)
		p.invite(d)
		p.gaveUp(d, p.expect("SIP/2.0 403"))
		if n := w.server.Rejected().Throttled.Load(); n != 1 {
			t.Errorf("%d throttled; want 1", n)
		}
		other := w.carrier.newCall("+15075785607")
		w.answersCall(w.carrier, other, authorize(other, w.carrier.challenged(other), "MD5", "carrier", "secret", 1))
		w.record()
		time.Sleep(time.Second)
		w.answersCall(p, d, authorize(d, m, "MD5", "acme", "secret", 1))
		w.record()
	})
}

// A CANCEL from a trunk without fixed addresses finds its INVITE.
func TestCancelBesideAuth(t *testing.T) {
	inWorldWith(t, authConfig, func(w *world) {
		p := w.roaming()
		d := p.newCall("+15075785607")
		d.extra = authorize(d, p.challenged(d), "MD5", "acme", "secret", 1)
		p.invite(d)
		p.expect("SIP/2.0 180")
		invite := w.agent.progresses(180, "Ringing", "a", "")
		d.extra = ""
		p.givesUp(d)
		w.agent.takesCancel(invite, "a")
		w.record()
	})
}

// A refusal because of credentials is sent only once, and not retransmitted until the ACK,
// because the sender's address may be forged.
func TestUnprovenIsToldOnce(t *testing.T) {
	inWorldWith(t, authConfig, func(w *world) {
		p := w.roaming()
		d := p.newCall("+15075785607")
		d.extra = authorize(d, p.challenged(d), "MD5", "acme", "guess", 1)
		p.invite(d)
		p.expect("SIP/2.0 401")
		p.silent(time.Minute)
	})
}

// A request whose To tag comes from one of our challenges is not accepted as part of a
// dialog.
func TestTagOfChallenge(t *testing.T) {
	inWorldWith(t, authConfig, func(w *world) {
		p := w.roaming()
		d := p.dials("+15075785607")
		d.learn(p.expect("SIP/2.0 401"))
		d.branch += "x"
		p.invite(d) // with our To tag from the 401
		p.silent(time.Minute)
		w.agent.silent(time.Second)
	})
}
