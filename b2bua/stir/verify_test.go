package stir

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"flowbridge/internal/stirtest"
)

func TestVerify(t *testing.T) {
	s, other := newSigner(t, provider), newSigner(t, provider)
	now := time.Now()
	info := ";info=<" + where + ">"
	claims := body(now)
	right := s.identity(t)
	for _, tt := range []struct {
		name     string
		identity []string
		status   int
		attest   string
	}{
		{"right", []string{right}, 0, "A"},
		{"without ppt in the header", []string{s.Sign(t, jose, claims) + info}, 0, "A"},
		{"spaces", []string{s.Sign(t, jose, claims) + " ; info=<" + where + `> ; ppt=shaken ;x=";y"`}, 0, "A"},
		{"a plain PASSporT", []string{s.Sign(t, strings.Replace(jose, `"ppt":"shaken",`, "", 1), claims) + info}, 0, ""},
		{"none", nil, StatusMissing, ""},
		{"another extension", []string{s.Sign(t, strings.Replace(jose, "shaken", "div", 1), claims) + info + ";ppt=div"}, StatusMissing, ""},
		{"another extension, and a right one", []string{s.Sign(t, strings.Replace(jose, "shaken", "div", 1), claims) + info + ";ppt=div", right}, 0, "A"},
		{"another extension, unnamed in the header", []string{s.Sign(t, strings.Replace(jose, "shaken", "div", 1), claims) + info}, StatusMissing, ""},
		{"a wrong one, and a right one", []string{other.identity(t), right}, 0, "A"},
		{"a wrong one, and another extension", []string{other.identity(t), "a.b." + strings.Repeat("A", 86) + info + ";ppt=div"}, StatusInvalid, ""},
		{"empty", []string{""}, StatusInvalid, ""},
		{"no info", []string{s.Sign(t, jose, claims)}, StatusInvalid, ""},
		{"info without brackets", []string{s.Sign(t, jose, claims) + ";info=" + where}, StatusInvalid, ""},
		{"info twice", []string{s.Sign(t, jose, claims) + info + info}, StatusInvalid, ""},
		{"another info", []string{s.Sign(t, jose, claims) + ";info=<https://certs.example.net/other.pem>"}, StatusInvalid, ""},
		{"another ppt", []string{s.Sign(t, strings.Replace(jose, "shaken", "div", 1), claims) + info + ";ppt=shaken"}, StatusInvalid, ""},
		{"another algorithm", []string{s.Sign(t, strings.Replace(jose, "ES256", "none", 1), claims) + info}, StatusInvalid, ""},
		{"another algorithm in the header", []string{s.Sign(t, jose, claims) + info + ";alg=RS256"}, StatusInvalid, ""},
		{"another type", []string{s.Sign(t, strings.Replace(jose, "passport", "JWT", 1), claims) + info}, StatusInvalid, ""},
		{"a header that is no JSON", []string{s.Sign(t, jose+"{}", claims) + info}, StatusInvalid, ""},
		{"claims that are no JSON", []string{s.Sign(t, jose, "[]") + info}, StatusInvalid, ""},
		{"another attestation", []string{s.Sign(t, jose, strings.Replace(claims, `"A"`, `"D"`, 1)) + info}, StatusInvalid, ""},
		{"no attestation", []string{s.Sign(t, jose, strings.Replace(claims, `"attest":"A",`, "", 1)) + info}, StatusInvalid, ""},
		{"no origid", []string{s.Sign(t, jose, strings.Replace(claims, "origid", "o", 1)) + info}, StatusInvalid, ""},
		{"an origid of two lines", []string{s.Sign(t, jose, strings.Replace(claims, "123e", `1\r\n`, 1)) + info}, StatusInvalid, ""},
		{"an iat that is none", []string{s.Sign(t, jose, strings.Replace(claims, `"iat":`, `"iat":1e99,"x":`, 1)) + info}, StatusInvalid, ""},
		{"another caller", []string{s.Sign(t, jose, strings.Replace(claims, "15075550100", "15075550101", 1)) + info}, StatusInvalid, ""},
		{"another destination", []string{s.Sign(t, jose, strings.Replace(claims, "15075785607", "15075785608", 1)) + info}, StatusInvalid, ""},
		{"several destinations", []string{s.Sign(t, jose, strings.Replace(claims, `["`, `["15075785600","`, 1)) + info}, 0, "A"},
		{"old", []string{s.Sign(t, jose, body(now.Add(-2*time.Minute))) + info}, StatusStale, ""},
		{"from the future", []string{s.Sign(t, jose, body(now.Add(2*time.Minute))) + info}, StatusStale, ""},
		{"tampered", []string{tampered(t, s)}, StatusInvalid, ""},
		{"of another key", []string{other.identity(t)}, StatusInvalid, ""},
		{"a signature that is too short", []string{"a.b.AAAA" + info}, StatusInvalid, ""},
		{"a signature of zeros", []string{"a.b." + strings.Repeat("A", 86) + info}, StatusInvalid, ""},
		{"too long", []string{strings.Repeat("a", maxHeader) + right}, StatusInvalid, ""},
		{"too many", strings.Fields(strings.Repeat("a ", maxHeaders+1)), StatusInvalid, ""},
		{"http", []string{moved(t, s, "http://certs.example.net/shaken.pem")}, StatusUnfetched, ""},
		{"another host", []string{moved(t, s, "https://127.0.0.1/shaken.pem")}, StatusUnfetched, ""},
		{"a host that ends alike", []string{moved(t, s, "https://evil-certs.example.net/shaken.pem")}, StatusUnfetched, ""},
		{"another port", []string{moved(t, s, "https://certs.example.net:22/shaken.pem")}, StatusUnfetched, ""},
		{"a user", []string{moved(t, s, "https://certs.example.net@evil.example/shaken.pem")}, StatusUnfetched, ""},
		{"a query", []string{moved(t, s, where+"?to=x")}, StatusUnfetched, ""},
		{"port 8443", []string{moved(t, s, "https://certs.example.net:8443/shaken.pem")}, 0, "A"},
		{"capitals", []string{moved(t, s, "https://CERTS.example.net/shaken.pem")}, 0, "A"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := New(t.Context(), &server{answer: says(200, s.File)})
			got := v.Verify(s.policy(), request(tt.identity...))
			if got.Status != tt.status || got.Attest != tt.attest || (got.Verstat == Passed) != (tt.status == 0) || (got.Err == nil) != (tt.status == 0) {
				t.Errorf("%v; want %d, attestation %q", got, tt.status, tt.attest)
			}
			if none := tt.status == StatusMissing || tt.status == StatusUnfetched; (got.Verstat == None) != none {
				t.Errorf("verstat %s", got.Verstat)
			}
		})
	}
}

// tampered returns a header whose claims were changed after signing.
func tampered(t *testing.T, s *signer) string {
	t.Helper()
	b := strings.Replace(body(time.Now()), `"A"`, `"C"`, 1)
	parts := strings.SplitN(s.Sign(t, jose, b), ".", 3)
	forged := base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(b, `"C"`, `"A"`, 1)))
	return parts[0] + "." + forged + "." + parts[2] + ";info=<" + where + ">"
}

// moved returns a header that names this URL for its certificate.
func moved(t *testing.T, s *signer, url string) string {
	t.Helper()
	return s.Sign(t, strings.Replace(jose, where, url, 1), body(time.Now())) + ";info=<" + url + ">"
}

// The compact form of an Identity header lacks the claims, so they are taken from the request (RFC 8224 section 4.1.1).
func TestCompactForm(t *testing.T) {
	s := newSigner(t, provider)
	at := time.Now().UTC().Truncate(time.Second)
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","typ":"passport","x5u":"`+where+`"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"dest":{"tn":["15075785607"]},"iat":%d,"orig":{"tn":"15075550100"}}`, at.Unix()))
	signature := base64.RawURLEncoding.EncodeToString(s.Signature(t, text))
	for _, tt := range []struct {
		name, params, date string
		status             int
	}{
		{"right", "", at.Format(dateFormat), 0},
		{"no Date", "", "", StatusStale},
		{"another Date", "", at.Add(time.Second).Format(dateFormat), StatusInvalid},
		{"an old Date", "", at.Add(-time.Hour).Format(dateFormat), StatusStale},
		{"of SHAKEN", ";ppt=shaken", at.Format(dateFormat), StatusInvalid},
	} {
		v := New(t.Context(), &server{answer: says(200, s.File)})
		r := request(".." + signature + ";info=<" + where + ">" + tt.params)
		r.Date = tt.date
		if got := v.Verify(s.policy(), r); got.Status != tt.status {
			t.Errorf("%s: %v; want %d", tt.name, got, tt.status)
		}
	}
}

// If a header does not fit its call, is stale, or names a host that is not listed, no certificate is requested.
func TestNothingIsFetched(t *testing.T) {
	s := newSigner(t, provider)
	for _, identity := range []string{
		"", tampered(t, s)[3:], s.Sign(t, jose, body(time.Now().Add(-time.Hour))) + ";info=<" + where + ">",
		s.Sign(t, jose, strings.Replace(body(time.Now()), "15075785607", "15075785608", 1)) + ";info=<" + where + ">",
		moved(t, s, "https://evil.example/shaken.pem"), moved(t, s, "file:///etc/passwd"), moved(t, s, "https:/etc/passwd"),
	} {
		server := &server{answer: says(200, s.File)}
		if got := New(t.Context(), server).Verify(s.policy(), request(identity)); got.Status == 0 || server.count() > 0 {
			t.Errorf("%s: %v, %v", identity, got, server.asked)
		}
	}
}

// A certificate must lead to a trusted root, must not have expired, and must be for telephone numbers.
func TestCredentials(t *testing.T) {
	for _, tt := range []struct {
		name   string
		list   []byte
		change func(*x509.Certificate)
		status int
	}{
		{"of a provider", provider, nil, 0},
		{"of the number", stirtest.Numbers(t, "15075550100", "1"), nil, 0},
		{"of a range", stirtest.Numbers(t, "1", "15075550091"), nil, 0},
		{"of a range that ends before", stirtest.Numbers(t, "1", "15075550090"), nil, StatusCredential},
		{"of a range that begins behind", stirtest.Numbers(t, "1", "15075550101"), nil, StatusCredential},
		{"of other numbers", stirtest.Numbers(t, "15075550101", "215075550091"), nil, StatusCredential},
		{"without TNAuthList", nil, nil, StatusCredential},
		{"an empty TNAuthList", []byte{0x30, 0}, nil, StatusCredential},
		{"a TNAuthList that is none", []byte{0x30, 3, 1}, nil, StatusCredential},
		{"a critical TNAuthList", provider, func(c *x509.Certificate) { c.ExtraExtensions[0].Critical = true }, 0},
		{"expired", provider, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, StatusCredential},
		{"not yet valid", provider, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, StatusCredential},
		{"an authority's", provider, func(c *x509.Certificate) { c.IsCA = true }, StatusCredential},
		{"for other uses", provider, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }, StatusCredential},
	} {
		s := newSigner(t, tt.list)
		if tt.change != nil {
			s = newSigner(t, tt.list, tt.change)
		}
		v := New(t.Context(), &server{answer: says(200, s.File)})
		if got := v.Verify(s.policy(), request(s.identity(t))); got.Status != tt.status {
			t.Errorf("%s: %v; want %d", tt.name, got, tt.status)
		}
	}
	s := newSigner(t, provider)
	p := s.policy()
	p.Roots = newSigner(t, provider).Root
	if got := New(t.Context(), &server{answer: says(200, s.File)}).Verify(p, request(s.identity(t))); got.Status != StatusCredential {
		t.Errorf("another root: %v", got)
	}
}

// A signature is accepted for one call only. Replacing s by n-s also gives a valid signature, and does not count as a
// new one.
func TestReplay(t *testing.T) {
	s := newSigner(t, provider)
	v := New(t.Context(), &server{answer: says(200, s.File)})
	identity := s.identity(t)
	for range 2 { // a retransmission or a fork
		if got := v.Verify(s.policy(), request(identity)); got.Status != 0 {
			t.Errorf("verified: %v; want no fault", got)
		}
	}
	token, params, _ := strings.Cut(identity, ";")
	signed, signature := token[:strings.LastIndexByte(token, '.')], token[strings.LastIndexByte(token, '.')+1:]
	b, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	mirrored := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(b[32:]))
	mirrored.FillBytes(b[32:])
	for _, again := range []string{identity, signed + "." + base64.RawURLEncoding.EncodeToString(b) + ";" + params} {
		for name, change := range map[string]func(r *Request){
			"another Call-ID": func(r *Request) { r.CallID = "two" }, "another From tag": func(r *Request) { r.FromTag = "b" },
			"another number": func(r *Request) { r.Called, r.Diverted = "+15075785608", true },
		} {
			r := request(again)
			change(r)
			if got := v.Verify(s.policy(), r); got.Status != StatusInvalid || !errors.Is(got.Err, errReplayed) {
				t.Errorf("%s: %v", name, got)
			}
		}
	}
	another := request(s.identity(t))
	another.CallID = "two"
	if got := v.Verify(s.policy(), another); got.Status != 0 {
		t.Errorf("verified: %v; want no fault", got)
	}
	var passed, invalid uint64
	v.Counts(func(result string, n uint64) {
		switch result {
		case "passed":
			passed = n
		case "invalid":
			invalid = n
		}
	})
	if passed != 3 || invalid != 6 {
		t.Errorf("counted %d and %d", passed, invalid)
	}
}

// A signature is valid only if the called number is one of the signed ones, or if the call says that it was diverted.
func TestCalledNumber(t *testing.T) {
	s := newSigner(t, provider)
	for _, tt := range []struct {
		called   string
		diverted bool
		status   int
	}{
		{"+15075785607", false, 0},
		{"+15075785608", false, StatusInvalid},
		{"alice", false, StatusInvalid},
		{"", false, StatusInvalid},
		{"+15075785608", true, 0},
		{"alice", true, 0},
	} {
		r := request(s.identity(t))
		r.Called, r.Diverted = tt.called, tt.diverted
		if got := New(t.Context(), &server{answer: says(200, s.File)}).Verify(s.policy(), r); got.Status != tt.status {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

// The number of remembered signatures is bounded, and the oldest are forgotten.
func TestReplaysAreBounded(t *testing.T) {
	var r replays
	signature := func(i int) []byte {
		b := make([]byte, signatureSize)
		big.NewInt(int64(i)).FillBytes(b[:32])
		return b
	}
	for i := range maxReplays + 10 {
		if !r.first(signature(i), &Request{CallID: "one"}) {
			t.Fatalf("%d is known", i)
		}
	}
	if len(r.seen) != maxReplays || !r.first(signature(5), &Request{CallID: "two"}) || r.first(signature(maxReplays), &Request{CallID: "two"}) {
		t.Errorf("%d are kept", len(r.seen))
	}
}

func TestForesee(t *testing.T) {
	s := newSigner(t, provider)
	if got, url := Foresee(s.policy(), request(s.identity(t))); got.Status != 0 || url != where || got.Attest != "A" {
		t.Errorf("%v, %q", got, url)
	}
	if got, url := Foresee(s.policy(), request(moved(t, s, "https://evil.example/x"))); got.Status != StatusUnfetched || url != "" {
		t.Errorf("%v, %q", got, url)
	}
}

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"+1 (507) 555-0100": "15075550100", "15075550100": "15075550100", "+1.507.555.0100": "15075550100", "*67#": "*67#",
		"alice": "", "": "", "1507x": "", "++1": "",
	} {
		if got := canonical(in); got != want {
			t.Errorf("%q gives %q; want %q", in, got, want)
		}
	}
}

// FuzzIdentity checks that for any header of a peer, only signed calls pass, and only
// listed hosts are asked.
func FuzzIdentity(f *testing.F) {
	s := newSigner(f, provider)
	f.Add(s.identity(f), "Sat, 13 Nov 2010 23:29:00 GMT")
	f.Add("..AAAA;info=<https://certs.example.net/x>;alg=ES256", "")
	f.Add(`a.b.c;info="<";ppt=div`, "x")
	right := newSigner(f, provider) // it has seen none of the signatures
	f.Fuzz(func(t *testing.T, value, date string) {
		server := &server{answer: says(200, right.File)}
		r := request(value)
		r.Date = date
		p := right.policy()
		p.Fresh = 100 * 365 * 24 * time.Hour
		got := New(t.Context(), server).Verify(p, r)
		if got.Status == 0 || got.Verstat == Passed || got.Err == nil {
			t.Errorf("%q passes: %v", value, got)
		}
		for _, url := range server.asked {
			if !strings.HasPrefix(strings.ToLower(url), "https://certs.example.net") {
				t.Errorf("%q asks %s", value, url)
			}
		}
	})
}

// FuzzCertificate checks that any answer of a certificate server is handled without a panic.
func FuzzCertificate(f *testing.F) {
	s := newSigner(f, stirtest.Numbers(f, "15075550100", "15075550091"))
	f.Add(s.File, provider)
	f.Add(s.Leaf.Raw, []byte{0x30, 0})
	f.Fuzz(func(t *testing.T, file, list []byte) {
		if c, err := readChain(file); err == nil {
			_, _ = c.trusted(s.Root, time.Now())
		}
		if a, err := readAuthority(list); err == nil {
			a.has("15075550100")
			if !a.encompasses(&a) {
				t.Errorf("%x does not lie within itself", list)
			}
		}
	})
}

// BenchmarkVerify measures the verification of a call whose certificate is cached.
func BenchmarkVerify(b *testing.B) {
	s := newSigner(b, provider)
	v := New(b.Context(), &server{answer: says(200, s.File)})
	r := request(s.identity(b))
	p := s.policy()
	p.Fresh = time.Hour
	b.ReportAllocs()
	for b.Loop() {
		if got := v.Verify(p, r); got.Status != 0 {
			b.Fatal(got)
		}
	}
}

// TestAsOfItsArrival: the age of a signature is measured at the arrival of the INVITE, however late it is verified.
func TestAsOfItsArrival(t *testing.T) {
	s := newSigner(t, provider)
	v := New(t.Context(), &server{answer: says(200, s.File)})
	came := time.Now().Add(-2 * time.Minute)
	r := request(s.Sign(t, jose, body(came)) + ";info=<" + where + ">")
	if got := v.Verify(s.policy(), r); got.Status != StatusStale {
		t.Errorf("it has come now: %v", got)
	}
	r.Came = came
	if got := v.Verify(s.policy(), r); got.Status != 0 {
		t.Errorf("it has waited: %v", got)
	}
}
