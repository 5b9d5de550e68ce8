package peers

import (
	"fmt"
	"strings"
	"testing"

	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// The digest matches the example of RFC 7616 section 3.9.1.
func TestDigestOfRFC7616(t *testing.T) {
	s := &secret{username: "Mufasa"}
	for i, a := range message.Algorithms() {
		s.ha1[i] = a.Sum("Mufasa", "http-auth@example.org", "Circle of Life")
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
		// Writing values and reading them again gives the same values.
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
		same, bare   bool
	}{
		{"sip:+15075785607@198.51.100.1", "sip:+15075785607@198.51.100.1:5060;user=phone", true, false},
		{"sip:+15075785607@sip.example.com", "sip:+15075785607@198.51.100.1", true, false}, // a proxy put the address in
		{"sip:+15075785607;npdi@h", "sip:+15075785607@h", true, false},
		{"sip:%2B15075785607@h", "sip:+15075785607@h", true, false},
		{"sip:5075785607@h", "sip:+15075785607@h", true, false}, // a proxy has made the number international
		{"sip:0115075785607@h", "sip:+5075785607@h", true, false},
		{"tel:+1-507-578-5607", "sip:+15075785607@h;user=phone", true, false},
		{"sip:ann@h", "sip:%61nn@h", true, false},
		{"sip:198.51.100.1", "sip:198.51.100.1:5060", true, false},
		{"sip:198.51.100.1", "sip:+15075785607@198.51.100.1:5060", true, true},
		{"sip:[2001:db8::1]", "sip:1@[2001:DB8:0::1]:5060", true, true},
		{"sip:evil.example", "sip:+15075785607@198.51.100.1", false, false},
		{"sip:+15075785607@h", "sip:h", false, false},
		{"sip:+15075785608@198.51.100.1", "sip:+15075785607@198.51.100.1", false, false},
		{"sip:075785607@h", "sip:+15075785607@h", false, false},
		{"sip:+15075785607@h", "sip:+15075785607w900@h", false, false},
		{"sip:ann@h", "sip:Ann@h", false, false},
		{"tel:+15075785607", "tel:+15075785607", true, false},
		{"tel:+15075785607", "tel:+15075785608", false, false},
		{"", "sip:1@h", false, false},
		{"nonsense", "sip:1@h", false, false},
	} {
		u := message.ParseURI(tt.request)
		if same, bare := sameResource(tt.uri, &u, "1"); same != tt.same || same && bare != tt.bare {
			t.Errorf("%q for %q: %v, %v; want %v, %v", tt.uri, tt.request, same, bare, tt.same, tt.bare)
		}
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
