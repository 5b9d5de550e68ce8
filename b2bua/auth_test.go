package b2bua

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"flowbridge/config"
	"flowbridge/internal/siptest"
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
			credentials{"acme", "flowbridge", "n", "sip:1@h:5060", "r", "MD5", "c", "auth", "00000001"},
			true, false,
		},
		{
			"spaces, tabs, case, quotes where none belong, what we don't know",
			"  dIgEsT  USERNAME = \"acme\"\t,\trealm=flowbridge,opaque=\"\",QOP=\"auth\" , nc=\"00000001\",x=y,,",
			credentials{username: "acme", realm: "flowbridge", qop: "auth", nc: "00000001"},
			true, false,
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
		n := m.challenge(siptest.Carrier.Addr(), at)
		d, _ := m.readNonce(string(n[:]))
		return d
	}
	r := newReplays(now)
	d := made(now)
	for i, tt := range []struct {
		nc   uint32
		want bool
	}{
		{0, false},
		{1, true},
		{1, false},
		{2, true},
		{5, true},
		{4, true},
		{4, false},
		{3, true},
		{2, false},
		{68, true},
		{6, true},
		{5, false},
		{4, false},
		{1000, true},
		{936, false},
		{937, true},
		{1<<32 - 1, true},
		{1<<32 - 1, false},
		{1000, false},
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
		n := m.challenge(siptest.Carrier.Addr(), now)
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

func TestSecretOfTrunk(t *testing.T) {
	if newSecret(nil) != nil {
		t.Error("a secret of nothing")
	}
	s := newSecret(&config.Auth{Username: "acme", Password: "hunter22"})
	if strings.Contains(fmt.Sprintf("%+v", s), "hunter22") {
		t.Error("the password is kept")
	}
}
