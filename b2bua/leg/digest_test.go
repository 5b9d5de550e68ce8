package leg

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/sim/siptest"
)

func challengeResponse(t testing.TB, code int, headers ...string) *sip.Response {
	t.Helper()
	res := sip.NewResponse(code, "Challenged")
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ": ")
		if !ok {
			t.Fatalf("header %q", h)
		}
		res.AppendHeader(sip.NewHeader(name, value))
	}
	return res
}

// The credentials match the examples of draft-smith-sip-auth-examples.
func TestDigestExamples(t *testing.T) {
	const nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
	for name, tt := range map[string]struct{ more, want string }{
		"no algorithm, no qop": {"", "bf57e4e0d0bffc0fbaedce64d59add5e"},
		"MD5, no qop":          {", algorithm=MD5", "bf57e4e0d0bffc0fbaedce64d59add5e"},
		"MD5 and auth":         {`, algorithm=MD5, qop="auth"`, "89eb0059246c02b2f6ee02c7961d5ea3"},
		"MD5 and both":         {`, algorithm=md5, qop="auth-int, auth"`, "89eb0059246c02b2f6ee02c7961d5ea3"},
		"MD5-sess and auth":    {`, algorithm=MD5-sess, qop="auth"`, "e4e4ea61d186d07a92c9e1f6919902e9"},
	} {
		d := Digest{auth: &config.Auth{Username: "bob", Password: "zanzibar"}}
		why := d.Learn(challengeResponse(t, 401, `WWW-Authenticate: Digest realm="biloxi.com", nonce="`+nonce+`", opaque="op/aq=ue"`+tt.more), false)
		if why != cause.None || len(d.realms) != 1 {
			t.Errorf("%s: %s, realms %+v", name, why, d.realms)
			continue
		}
		d.realms[0].cnonce = "0a4f113b"
		req := sip.NewRequest(sip.INVITE, message.ParseURI("sip:bob@biloxi.com"))
		d.Authorize(req)
		c := siptest.SentCredentials(t, req, "Authorization")[0]
		if c.Response != tt.want || c.Nonce != nonce || c.Opaque != "op/aq=ue" || c.URI != "sip:bob@biloxi.com" || c.Username != "bob" {
			t.Errorf("%s: %s", name, req.GetHeader("Authorization").Value())
		}
		if want, _, _ := strings.Cut(strings.TrimPrefix(tt.more, ", algorithm="), ","); c.Algorithm != want {
			t.Errorf("%s: algorithm %q; want it as challenged, %q", name, c.Algorithm, want)
		}
	}
}

// The hashes match the two examples of RFC 7616 section 3.9.1 and the example of RFC 8760.
func TestDigestAlgorithms(t *testing.T) {
	for algorithm, want := range map[string]string{
		"MD5":         "8ca523f5e9506fed4657c9700eebdbec",
		"SHA-256":     "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
		"sha-512-256": "",
	} {
		r, ok := parseChallenges(`Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=` + algorithm +
			`, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`)[0].realm()
		if !ok {
			t.Errorf("%s: not usable", algorithm)
			continue
		}
		c, err := digest.Digest(&r.challenge, digest.Options{
			Method: "GET", URI: "/dir/index.html", Count: 1, Username: "Mufasa", Password: "Circle of Life",
			Cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
		})
		if err != nil || (want != "" && c.Response != want) || (want == "" && len(c.Response) != 64) {
			t.Errorf("%s: %+v, %v", algorithm, c, err)
		}
	}
}

func TestParseChallenges(t *testing.T) {
	const rn = `realm="r", nonce="n"`
	long := strings.Repeat("x", maxChallengeWord+1)
	for header, want := range map[string]string{
		`Digest ` + rn: "r|n||||",
		`digest REALM = "r" , Nonce="n",qop=auth`:                                     "r|n||||auth",
		"Digest\trealm=\"r\",\tnonce=n_%/+=":                                          "r|n_%/+=||||",
		`Digest realm="a \"b\" \\c, d", nonce="n"`:                                    `a "b" \c, d|n||||`,
		`Digest realm="", nonce="n"`:                                                  "|n||||",
		`Digest realm="Bär 世界", nonce="n"`:                                            "Bär 世界|n||||",
		`Digest ` + rn + `, stale=TRUE, algorithm="SHA-256"`:                          "r|n||SHA-256|stale|",
		`Digest ` + rn + `, opaque="o", algorithm=MD5-SESS, qop="auth-int"`:           "r|n|o|MD5-SESS||auth-int",
		`Digest ` + rn + `, qop="AUTH-INT , Auth"`:                                    "r|n||||auth",
		`Digest ` + rn + `, qop=auth-int,auth`:                                        "r|n||||auth-int",
		`Digest ` + rn + `, qop=auth,auth-int, algorithm=MD5`:                         "r|n||MD5||auth",
		`Digest ` + rn + `, qop=""`:                                                   "r|n||||",
		`Digest ` + rn + `, domain="sip:a, sip:b", charset=UTF-8, userhash=true`:      "r|n||||",
		`Digest ` + rn + `, realm="x"`:                                                "r|n||||",
		`Basic realm="b", Digest ` + rn:                                               "r|n||||",
		`Negotiate, Digest ` + rn:                                                     "r|n||||",
		`NTLM abc==, Digest ` + rn:                                                    "r|n||||",
		`Digest realm="a", nonce="1", algorithm=SHA-256, Digest realm="b", nonce="2"`: "a|1||SHA-256|| b|2||||",
		`Digest ` + rn + `, Digest realm="x", nonce="y`:                               "r|n||||",
		`Digest ` + rn + `, algorithm=SHA-512`:                                        "",
		`Digest ` + rn + `, algorithm=MD4`:                                            "",
		`Digest ` + rn + `, algorithm=MD5-sess-sess`:                                  "",
		`Digest ` + rn + `, algorithm=-sess`:                                          "",
		`Digest ` + rn + `, algorithm=MD5-sess`:                                       "",
		`Digest ` + rn + `, qop="token"`:                                              "",
		`Digest realm="r"`:                                                            "",
		`Digest nonce="n"`:                                                            "",
		`Digest realm="r", nonce="n`:                                                  "",
		`Digest realm="r", nonce="n\`:                                                 "",
		`Digest realm="r", nonce="a` + "\r\n" + `X: y"`:                               "",
		"Digest realm=\"r\x00\", nonce=\"n\"":                                         "",
		"Digest realm=\"r\", nonce=\"n\x7f\"":                                         "",
		"Digest realm=\"r\", nonce=\"n\", opaque=\"\\\n\"":                            "",
		"Digest realm=\"\xff\", nonce=\"n\"":                                          "",
		`Digest realm="r", nonce="` + long + `"`:                                      "",
		`Digest ` + rn + strings.Repeat(`, x="`+long+`"`, 4):                          "",
		`realm="r", nonce="n"`:                                                        "",
		`Digest`:                                                                      "",
		`Digest `:                                                                     "",
		``:                                                                            "",
		`,,=,="`:                                                                      "",
	} {
		var got []string
		for _, c := range parseChallenges(header) {
			r, ok := c.realm()
			if !ok {
				continue
			}
			ch := r.challenge
			stale := map[bool]string{true: "stale"}[ch.Stale]
			got = append(got, strings.Join([]string{ch.Realm, ch.Nonce, ch.Opaque, r.algorithm, stale, strings.Join(ch.QOP, ",")}, "|"))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%.200q: %q; want %q", header, s, want)
		}
	}
}

func TestChallengesAreBounded(t *testing.T) {
	one := `Digest realm="%d", nonce="n"`
	var headers, list []string
	for i := range 40 {
		headers = append(headers, fmt.Sprintf("WWW-Authenticate: "+one, i))
		list = append(list, fmt.Sprintf(one, i))
	}
	for name, headers := range map[string][]string{"headers": headers, "list": {"Proxy-Authenticate: " + strings.Join(list, ", ")}} {
		d := Digest{auth: &config.Auth{Username: "u", Password: "p"}}
		for range 3 {
			if why := d.Learn(challengeResponse(t, 401, headers...), false); why != cause.None {
				t.Errorf("%s: %s", name, why)
			}
		}
		if len(d.realms) != maxRealms {
			t.Errorf("%s: %d realms are kept", name, len(d.realms))
		}
	}
}

// However a leg is printed, it shows no password.
func TestDigestHidesPassword(t *testing.T) {
	lt := challenge401(t)
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		for _, v := range []any{lt.Leg.digest, lt.Leg.digest.auth, *lt.Leg.digest.auth, inviteWithAuth()} {
			if s := fmt.Sprintf(verb, v); strings.Contains(s, "zanzibar") {
				t.Errorf("%s of %T shows the password", verb, v)
			}
		}
	}
}

// FuzzChallenge checks that for any challenge of a target, our answer is one well-formed
// header that repeats each value of the challenge.
func FuzzChallenge(f *testing.F) {
	for _, s := range []string{
		`Digest realm="r", nonce="n", qop="auth", algorithm=MD5`,
		`Digest realm="a \"b\" \\c, d", nonce="n", opaque="o", qop="auth-int, auth", stale=true`,
		`Basic realm="b", Digest realm="r", nonce=n, algorithm=SHA-256-sess, qop=auth`,
		"Digest realm=\"\r\nX: y\", nonce=\"\x00\"", `Negotiate abc==, NTLM, Digest realm="Bär"`, `Digest realm="r", nonce="\`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		d := Digest{auth: &config.Auth{Username: "bob", Password: "zanzibar"}}
		why := d.Learn(challengeResponse(t, 401, "WWW-Authenticate: "+header, "Proxy-Authenticate: "+header), true)
		if (why == cause.None) != (len(d.realms) > 0) || len(d.realms) > maxRealms {
			t.Fatalf("%s with %d realms", why, len(d.realms))
		}
		req := sip.NewRequest(sip.INVITE, message.ParseURI("sip:bob@biloxi.com"))
		for _, h := range []string{"Via: SIP/2.0/UDP a;branch=z9hG4bKa", "From: <sip:a@b>;tag=1", "To: <sip:a@b>", "Call-ID: x", "CSeq: 1 INVITE"} {
			name, value, _ := strings.Cut(h, ": ")
			req.AppendHeader(sip.NewHeader(name, value))
		}
		req.SetBody([]byte("v=0\r\n"))
		d.Authorize(req)
		for _, h := range slices.Concat(req.GetHeaders("Authorization"), req.GetHeaders("Proxy-Authorization")) {
			if strings.ContainsFunc(h.Value(), func(r rune) bool { return r < ' ' || r == 0x7f }) || strings.Contains(h.Value(), "zanzibar") {
				t.Errorf("credentials %q; want no control character and no password", h.Value())
			}
		}
		msg, err := sip.ParseMessage([]byte(req.String()))
		if err != nil {
			t.Fatalf("%v\n%s", err, req)
		}
		got := slices.Concat(siptest.SentCredentials(t, msg.(*sip.Request), "Authorization"), siptest.SentCredentials(t, msg.(*sip.Request), "Proxy-Authorization"))
		if len(got) != len(d.realms) {
			t.Fatalf("%d credentials for %d realms", len(got), len(d.realms))
		}
		sortRealms(d.realms)
		for i, r := range d.realms {
			want := []string{r.challenge.Realm, r.challenge.Nonce, r.challenge.Opaque, r.algorithm}
			if echoed := []string{got[i].Realm, got[i].Nonce, got[i].Opaque, got[i].Algorithm}; !reflect.DeepEqual(echoed, want) {
				t.Errorf("echoed %q; want %q", echoed, want)
			}
		}
	})
}

// sortRealms sorts the realms of targets before those of proxies.
func sortRealms(realms []realm) {
	slices.SortStableFunc(realms, func(a, b realm) int {
		return map[bool]int{true: 1}[a.proxy] - map[bool]int{true: 1}[b.proxy]
	})
}
