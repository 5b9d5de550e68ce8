package b2bua

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

// The example of RFC 7616 section 3.9.1.
func TestDigestOfRFC7616(t *testing.T) {
	s := &secret{username: "Mufasa"}
	for i, a := range algorithms() {
		s.ha1[i] = a.sum("Mufasa", "http-auth@example.org", "Circle of Life")
	}
	c := credentials{
		username: "Mufasa", uri: "/dir/index.html", nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
		nc: "00000001", cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop: "auth",
	}
	for algorithm, response := range map[string]string{
		"MD5":     "8ca523f5e9506fed4657c9700eebdbec",
		"md5":     "8CA523F5E9506FED4657C9700EEBDBEC",
		"":        "8ca523f5e9506fed4657c9700eebdbec",
		"SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		c.algorithm, c.response = algorithm, response
		if !c.fits(s, "GET") {
			t.Errorf("%q: the response is not taken", algorithm)
		}
		if c.fits(s, "PUT") {
			t.Errorf("%q: the response fits another method", algorithm)
		}
	}
	for _, algorithm := range []string{"SHA-512-256", "MD5-sess", "SHA", "nonsense"} {
		if c.algorithm = algorithm; c.fits(s, "GET") {
			t.Errorf("%q is taken", algorithm)
		}
	}
}

func TestParseCredentials(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		want        credentials
		digest, bad bool
	}{
		{
			"as most send it",
			`Digest username="acme", realm="flowbridge", nonce="n", uri="sip:1@h:5060", response="r", algorithm=MD5, cnonce="c", qop=auth, nc=00000001`,
			credentials{"acme", "flowbridge", "n", "sip:1@h:5060", "r", "MD5", "c", "auth", "00000001"}, true, false,
		},
		{
			"spaces, tabs, case, quotes where none belong, what we don't know",
			"  dIgEsT  USERNAME = \"acme\"\t,\trealm=flowbridge,opaque=\"\",QOP=\"auth\" , nc=\"00000001\",x=y,,",
			credentials{username: "acme", realm: "flowbridge", qop: "auth", nc: "00000001"}, true, false,
		},
		{"escapes", `Digest username="a\"c\\m\e, x=y"`, credentials{username: `a"c\me, x=y`}, true, false},
		{"nothing", `Digest`, credentials{}, true, false},
		{"another scheme", `Basic YWNtZTp4`, credentials{}, false, false},
		{"empty", ``, credentials{}, false, false},
		{"no end of the quotes", `Digest username="acme`, credentials{}, true, true},
		{"an escape at the end", `Digest username="acme\`, credentials{}, true, true},
		{"no value", `Digest username`, credentials{}, true, true},
		{"an empty token", `Digest username=, nc=1`, credentials{}, true, true},
		{"a name that is none", `Digest us"er=x`, credentials{}, true, true},
		{"no comma", `Digest username="acme" realm="flowbridge"`, credentials{}, true, true},
		{"twice", `Digest username="acme", username="evil"`, credentials{}, true, true},
		{"twice, in another case", `Digest nc=00000001, NC=00000002`, credentials{}, true, true},
		{"twice, unknown", `Digest x=1, x=2`, credentials{}, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, digest, err := parseCredentials(tt.value)
			if got != tt.want || digest != tt.digest || (err != nil) != tt.bad {
				t.Errorf("got %+v, %v, %v; want %+v, %v, an error: %v", got, digest, err, tt.want, tt.digest, tt.bad)
			}
		})
	}
}

func FuzzParseCredentials(f *testing.F) {
	f.Add(`Digest username="acme", realm="flowbridge", nonce="n", uri="sip:1@h", response="r", algorithm=MD5, cnonce="c", qop=auth, nc=00000001`)
	f.Add(`Digest username="a\"b", username="\\`)
	f.Add("digest\t a = b ,, c=\"\"")
	f.Fuzz(func(t *testing.T, value string) {
		c, digest, err := parseCredentials(value)
		if (err != nil || !digest) && c != (credentials{}) {
			t.Errorf("%q gives %+v", value, c)
		}
		if err != nil || !digest {
			return
		}
		// What was read is read again from how we would write it.
		var b strings.Builder
		b.WriteString("Digest x=y")
		for name, v := range map[string]string{
			"username": c.username, "realm": c.realm, "nonce": c.nonce, "uri": c.uri, "response": c.response,
			"algorithm": c.algorithm, "cnonce": c.cnonce, "qop": c.qop, "nc": c.nc,
		} {
			escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v)
			fmt.Fprintf(&b, `, %s="%s"`, name, escaped)
		}
		if again, _, err := parseCredentials(b.String()); err != nil || again != c {
			t.Errorf("%q gives %+v; written as %q it gives %+v, %v", value, c, b.String(), again, err)
		}
	})
}

func TestSameResource(t *testing.T) {
	for _, tt := range []struct {
		uri, request string
		want         bool
	}{
		{"sip:+15075785607@198.51.100.1", "sip:+15075785607@198.51.100.1:5060;user=phone", true},
		{"sip:+15075785607@sip.example.com", "sip:+15075785607@198.51.100.1", true}, // a proxy put the address in
		{"sip:+15075785607;npdi@h", "sip:+15075785607@h", true},
		{"sip:198.51.100.1", "sip:+15075785607@198.51.100.1:5060", true}, // without the user
		{"sip:[2001:db8::1]", "sip:1@[2001:DB8:0::1]:5060", true},
		{"sip:evil.example", "sip:+15075785607@198.51.100.1", false},
		{"sip:+15075785608@198.51.100.1", "sip:+15075785607@198.51.100.1", false},
		{"tel:+15075785607", "tel:+15075785607", true},
		{"tel:+15075785607", "tel:+15075785608", false},
		{"", "sip:1@h", false},
		{"nonsense", "sip:1@h", false},
	} {
		u := parseURI(tt.request)
		if got := sameResource(tt.uri, &u); got != tt.want {
			t.Errorf("%q for %q: %v; want %v", tt.uri, tt.request, got, tt.want)
		}
	}
}

func TestNonce(t *testing.T) {
	m, now := NewMinter([32]byte{1}), time.UnixMilli(1_800_000_000_123)
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	n := m.challenge(a, now)
	d, ok := m.readNonce(string(n[:]))
	if !ok || !d.made.Equal(now) || d.holder != m.holderOf(a) || d.holder == m.holderOf(b) {
		t.Errorf("%s says %+v, %v", n, d, ok)
	}
	if other := m.challenge(a, now); other == n {
		t.Error("the same nonce twice")
	}
	for i := range n {
		bad := n
		if bad[i]++; bad[i] > 'f' || (bad[i] > '9' && bad[i] < 'a') {
			bad[i] = '0'
		}
		if _, ok := m.readNonce(string(bad[:])); ok {
			t.Errorf("%s is taken for ours", bad)
		}
	}
	for _, bad := range []string{"", "x", strings.Repeat("0", challengeLen), string(n[:]) + "0", m.Tag()} {
		if _, ok := m.readNonce(bad); ok {
			t.Errorf("%q is taken for ours", bad)
		}
	}
	if _, ok := NewMinter([32]byte{2}).readNonce(string(n[:])); ok {
		t.Error("the nonce of another key is taken")
	}
	site := m.holderOf(netip.MustParseAddr("2001:db8:1:2::1"))
	if site != m.holderOf(netip.MustParseAddr("2001:db8:1:2:ffff::9")) || site == m.holderOf(netip.MustParseAddr("2001:db8:1:3::1")) {
		t.Error("an IPv6 site is not its /64")
	}
	if m.holderOf(a) != m.holderOf(netip.MustParseAddr("::ffff:192.0.2.1")) {
		t.Error("an address in its IPv6 form is another one")
	}
}

func TestReplays(t *testing.T) {
	m, now := NewMinter([32]byte{1}), time.Now()
	made := func(at time.Time) nonceData {
		n := m.challenge(carrierAddr.Addr(), at)
		d, _ := m.readNonce(string(n[:]))
		return d
	}
	r := newReplays(now)
	d := made(now)
	for i, tt := range []struct {
		nc   uint32
		want bool
	}{
		{0, false}, {1, true}, {1, false}, {2, true}, {5, true}, {4, true}, {4, false}, {3, true}, {2, false}, {68, true},
		{6, true}, {5, false}, {4, false}, {1000, true}, {936, false}, {937, true}, {1<<32 - 1, true}, {1<<32 - 1, false}, {1000, false},
	} {
		if got := r.use(d, tt.nc, now); got != tt.want {
			t.Errorf("use %d, nc %d: %v; want %v", i, tt.nc, got, tt.want)
		}
	}
	if old := made(now.Add(-time.Second)); r.fresh(old, now) || r.use(old, 1, now) {
		t.Error("a nonce from before the start is taken: it may have been used")
	}
	if later := made(now.Add(time.Second)); r.fresh(later, now) {
		t.Error("a nonce from the future is taken")
	}
	if !r.fresh(d, now.Add(nonceTTL-time.Second)) || r.fresh(d, now.Add(nonceTTL+time.Second)) {
		t.Error("a nonce is not good for just its time")
	}
}

// However many nonces there are, memory is bounded and nothing can be used
// twice.
func TestReplaysAreBounded(t *testing.T) {
	m, start := NewMinter([32]byte{1}), time.Now()
	r := newReplays(start)
	r.max = 10
	used := map[nonceData]bool{}
	for i := range 1000 {
		now := start.Add(time.Duration(i) * time.Second)
		n := m.challenge(carrierAddr.Addr(), now)
		d, _ := m.readNonce(string(n[:]))
		if !r.use(d, 1, now.Add(time.Second)) {
			t.Fatalf("nonce %d is not taken", i)
		}
		used[d] = true
		if len(r.recent)+len(r.older) > 2*r.max+1 {
			t.Fatalf("%d nonces are remembered", len(r.recent)+len(r.older))
		}
		for d := range used {
			if r.use(d, 1, now.Add(time.Second)) {
				t.Fatalf("nonce %v is taken twice", d)
			}
		}
	}
}

func TestThrottle(t *testing.T) {
	now := time.Now()
	th, h := newThrottle(), holder{1}
	for i := range failuresFree {
		if th.fail(h, now); th.blocked(h, now) {
			t.Fatalf("blocked after %d failures", i+1)
		}
	}
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300} {
		th.fail(h, now)
		until := now.Add(want * time.Second)
		if !th.blocked(h, until.Add(-time.Millisecond)) || th.blocked(h, until) {
			t.Errorf("failure %d does not block for %v s", failuresFree+i+1, int(want))
		}
	}
	if th.blocked(holder{2}, now) {
		t.Error("another one is blocked too")
	}
	now = now.Add(time.Hour)
	if th.fail(h, now); th.blocked(h, now) {
		t.Error("a failure of an hour ago counts still")
	}
}

func TestThrottleIsBounded(t *testing.T) {
	th, now := newThrottle(), time.Now()
	th.max = 100
	for i := range 10_000 {
		th.fail(holder{byte(i), byte(i >> 8)}, now)
		if len(th.holders) > th.max {
			t.Fatalf("%d are remembered", len(th.holders))
		}
	}
	th.fail(holder{9, 9, 9}, now.Add(time.Hour))
	if n := len(th.holders); n != 1 {
		t.Errorf("%d are remembered after an hour", n)
	}
}

// authConfig has a PBX at any address, a carrier that needs both, two trunks
// behind one address, and the carrier of the other tests.
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

// authorize answers the 401 that a peer got, for the algorithm.
func authorize(d *dialogue, challenge message, algorithm, username, password string, nc int) string {
	var nonce string
	for line := range strings.SplitSeq(challenge.raw, "\r\n") {
		if v, ok := strings.CutPrefix(line, "WWW-Authenticate: Digest "); ok && strings.Contains(v, "algorithm="+algorithm) {
			_, nonce, _ = strings.Cut(v, `nonce="`)
			nonce, _, _ = strings.Cut(nonce, `"`)
		}
	}
	return credentialsFor(d, nonce, algorithm, username, password, nc)
}

func credentialsFor(d *dialogue, nonce, name, username, password string, nc int) string {
	all := algorithms()
	a := all[0]
	if name == "MD5" {
		a = all[1]
	}
	uri := "sip:" + d.to + "@198.51.100.1:5060"
	count := fmt.Sprintf("%08x", nc)
	response := a.sum(a.sum(username, "flowbridge", password), nonce, count, "c0", "auth", a.sum("INVITE", uri))
	return fmt.Sprintf("Authorization: Digest username=%q, realm=\"flowbridge\", nonce=%q, uri=%q, response=%q, algorithm=%s, cnonce=\"c0\", qop=auth, nc=%s\n",
		username, nonce, uri, response, name, count)
}

// challenged sends an INVITE and gives the 401 to it, acknowledged.
func (p *peer) challenged(d *dialogue) message {
	p.w.t.Helper()
	p.invite(d)
	m := p.expect("SIP/2.0 401 Unauthorized")
	p.gaveUp(d, m)
	return m
}

// gaveUp acknowledges a refusal; the next request of the dialogue is a new
// one.
func (p *peer) gaveUp(d *dialogue, m message) {
	d.learn(m)
	p.ackRefused(d)
	d.toTag, d.refused = "", false
	d.seq++
	d.branch += "n"
}

func (w *world) answersCall(p *peer, d *dialogue, extra string) {
	w.t.Helper()
	d.extra = extra
	p.invite(d)
	d.learn(p.expect("SIP/2.0 180"))
	invite := w.agent.expect("INVITE")
	if strings.Contains(invite.raw, "Authorization") {
		w.t.Errorf("the target sees the credentials:\n%s", invite.raw)
	}
	w.agent.answer(invite, "a")
	w.agent.expect("ACK")
	p.expect("SIP/2.0 200")
	d.extra = ""
	p.ack(d)
	p.bye(d) // in its dialog: no challenge
	p.expect("SIP/2.0 200")
	w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
}

var roamingAddr = netip.MustParseAddrPort("203.0.113.77:6060")

// roaming is a PBX at an address that no trunk names.
func (w *world) roaming() *peer {
	p := w.peer(roamingAddr)
	p.seq = 500 // Call-IDs of its own
	w.others = append(w.others, p)
	return p
}

// A trunk shows its credentials, by either algorithm, and its call goes
// through; its next one reuses the nonce.
func TestAuthenticatedCall(t *testing.T) {
	for _, algorithm := range []string{"SHA-256", "MD5"} {
		t.Run(algorithm, func(t *testing.T) {
			inWorldWith(t, authConfig, func(w *world) {
				p := w.roaming()
				d := p.newCall("+15075785607")
				m := p.challenged(d)
				one, two := strings.Index(m.raw, "algorithm=SHA-256"), strings.Index(m.raw, "algorithm=MD5")
				if one < 0 || two < one || strings.Count(m.raw, `qop="auth"`) != 2 || strings.Contains(m.raw, "stale") {
					t.Errorf("the challenge is\n%s", m.raw)
				}
				if n := len(w.sink.done) + len(w.sink.journal); n != 0 {
					t.Errorf("%d records of a call that was not admitted", n)
				}
				w.answersCall(p, d, authorize(d, m, algorithm, "acme", "secret", 1))
				if r := w.record(); r.Trunk != "pbx" {
					t.Errorf("the call is of trunk %s", r.Trunk)
				}
				d = p.newCall("+15075785608")
				w.answersCall(p, d, authorize(d, m, algorithm, "acme", "secret", 2))
				w.record()
				if r := w.server.Rejected(); r.Challenged.Load() != 1 || r.Unauthorized.Load() != 0 {
					t.Errorf("%d challenged, %d unauthorized", r.Challenged.Load(), r.Unauthorized.Load())
				}
			})
		})
	}
}

// With sources both are needed: the other trunk's user is wrong from here.
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
		p.gaveUp(d, func() message { p.invite(d); return p.expect("SIP/2.0 401") }())
	})
}

// What is wrong is challenged again, whatever it is, and makes no call.
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
		"no algorithm":   edit("algorithm=SHA-256, ", ""), // is MD5
		"qop":            edit("qop=auth,", "qop=auth-int,"),
		"no qop":         edit(`, qop=auth, nc=00000001`, ``),
		"no nc":          edit(", nc=00000001", ""),
		"nc":             edit("nc=00000001", "nc=1"),
		"no cnonce":      edit(`cnonce="c0", `, ``),
		"nonce":          func(s string) string { i := strings.Index(s, `nonce="`) + 7; return s[:i] + "ff" + s[i+2:] },
		"twice":          edit("nc=00000001", "nc=00000001, nc=00000001"),
		"broken":         edit(`qop=auth`, `qop="auth`),
	} {
		t.Run(name, func(t *testing.T) {
			inWorldWith(t, authConfig, func(w *world) {
				p := w.roaming()
				d := p.newCall("+15075785607")
				d.extra = spoil(authorize(d, p.challenged(d), "SHA-256", "acme", "secret", 1))
				p.invite(d)
				m := p.expect("SIP/2.0 401")
				if strings.Contains(m.raw, "stale") {
					t.Errorf("it is called stale:\n%s", m.raw)
				}
				p.gaveUp(d, m)
				if n := w.server.Rejected().Unauthorized.Load(); n != 1 {
					t.Errorf("%d unauthorized; want 1", n)
				}
				w.answersCall(p, d, authorize(d, m, "SHA-256", "acme", "secret", 1))
				w.record()
			})
		})
	}
}

// Credentials of another realm are somebody else's, and so is another scheme.
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
		time.Sleep(nonceTTL + time.Second)
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

		// Whoever recorded that can't use it, from wherever.
		thief := w.peer(netip.MustParseAddrPort("203.0.113.66:5060"))
		w.others = append(w.others, thief)
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

// A retransmitted INVITE with credentials is no replay, also when its
// transaction is gone.
func TestRetransmittedCredentials(t *testing.T) {
	inWorldWith(t, authConfig, func(w *world) {
		p := w.roaming()
		d := p.newCall("+15075785607")
		extra := authorize(d, p.challenged(d), "MD5", "acme", "secret", 1)
		d.extra = extra
		p.invite(d)
		p.invite(d)
		d.learn(p.expect("SIP/2.0 180"))
		tag := d.toTag
		d.toTag = ""
		p.invite(d)
		synctest.Wait()
		for _, m := range p.rest() { // by the transaction
			if !strings.HasPrefix(m.raw, "SIP/2.0 180 ") {
				t.Errorf("a retransmission is answered\n%s", m.raw)
			}
		}
		invite := w.agent.expect("INVITE")
		w.agent.answer(invite, "a")
		w.agent.expect("ACK")
		p.expect("SIP/2.0 200")
		d.toTag = tag
		p.ack(d)
		time.Sleep(time.Second)
		d.toTag = ""
		p.invite(d)
		p.silent(time.Second)
		d.toTag = tag
		p.bye(d)
		p.expect("SIP/2.0 200")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.record()
		d.toTag = ""
		p.invite(d)
		p.silent(time.Second)
	})
}

// Who guesses is not listened to for a while, even with the right password;
// others are, also with a nonce that was given to him.
func TestGuessing(t *testing.T) {
	inWorldWith(t, authConfig, func(w *world) {
		p := w.roaming()
		d := p.newCall("+15075785607")
		for range failuresFree + 1 {
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

// Beside what they need for a call, strangers get no answer, also where a trunk
// may be anywhere.
func TestStrangersBesideAuth(t *testing.T) {
	inWorldWith(t, authConfig, func(w *world) {
		p := w.roaming()
		d := p.newCall("+15075785607")
		for _, method := range []string{"REGISTER", "MESSAGE", "BYE", "ACK", "SUBSCRIBE", "CANCEL", "NOTIFY", "FOO"} {
			p.send(d.request(method))
		}
		p.silent(time.Second)
		p.send(d.request("OPTIONS"))
		p.expect("SIP/2.0 401")
		w.carrier.send(w.carrier.newCall("+15075785607").request("OPTIONS"))
		w.carrier.expect("SIP/2.0 200")
		if n := w.server.Rejected().UnknownSource.Load(); n != 8 {
			t.Errorf("%d strangers; want 8", n)
		}
	})
}

// A CANCEL of a trunk that may be anywhere finds its INVITE.
func TestCancelBesideAuth(t *testing.T) {
	inWorldWith(t, authConfig, func(w *world) {
		p := w.roaming()
		d := p.newCall("+15075785607")
		d.extra = authorize(d, p.challenged(d), "MD5", "acme", "secret", 1)
		p.invite(d)
		p.expect("SIP/2.0 180")
		invite := w.agent.expect("INVITE")
		w.agent.reply(invite, 180, "Ringing", "a", "")
		d.extra = ""
		p.cancel(d)
		p.expect("SIP/2.0 200")
		d.learn(p.expect("SIP/2.0 487"))
		p.ackRefused(d)
		w.agent.reply(w.agent.expect("CANCEL"), 200, "OK", "", "")
		w.agent.reply(invite, 487, "Request Terminated", "a", "")
		w.agent.expect("ACK")
		w.record()
	})
}

// A tag that we gave with a challenge opens no door.
func TestTagOfChallenge(t *testing.T) {
	inWorldWith(t, authConfig, func(w *world) {
		p := w.roaming()
		d := p.newCall("+15075785607")
		p.invite(d)
		d.learn(p.expect("SIP/2.0 401"))
		d.branch += "x"
		p.invite(d) // with our To tag
		p.expect("SIP/2.0 401")
		p.ackRefused(d)
		w.agent.silent(time.Second)
	})
}

func TestSecretOfTrunk(t *testing.T) {
	if newSecret(nil) != nil {
		t.Error("a secret of nothing")
	}
	s := newSecret(&config.Auth{Username: "acme", Password: "hunter22"})
	if strings.Contains(fmt.Sprintf("%+v", s), "hunter22") {
		t.Error("the password is kept")
	}
	if statusText(401) != "Unauthorized" || sip.INVITE != "INVITE" {
		t.Error("401 has no phrase")
	}
}
