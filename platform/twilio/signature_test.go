package twilio

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sort"
	"strings"
	"testing"
)

// plainSign computes a signature independently of sign, following Twilio's description.
func plainSign(token, address string, form url.Values) string {
	var names []string
	for name := range form {
		names = append(names, name)
	}
	sort.Strings(names)
	var text bytes.Buffer
	text.WriteString(address)
	for _, name := range names {
		seen := map[string]bool{}
		var different []string
		for _, v := range form[name] {
			if !seen[v] {
				seen[v], different = true, append(different, v)
			}
		}
		sort.Strings(different)
		for _, v := range different {
			text.WriteString(name + v)
		}
	}
	h := hmac.New(sha1.New, []byte(token))
	_, _ = h.Write(text.Bytes())
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// The signature matches the example in "Webhooks security" on twilio.com/docs.
func TestSignTwiliosExample(t *testing.T) {
	form := url.Values{
		"CallSid": {"CA1234567890ABCDE"}, "Caller": {"+14158675309"}, "Digits": {"1234"}, "From": {"+14158675309"}, "To": {"+18005551212"},
	}
	if got, want := Sign("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", form), "RSOYDt4T1cUTdK1PDd93/VVr8B8="; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestSignForms(t *testing.T) {
	for name, form := range map[string]url.Values{
		"none":           nil,
		"empty value":    {"CallerName": {""}, "Called": {"+1"}},
		"several values": {"Tag": {"b", "a", "c"}},
		"duplicates":     {"Tag": {"b", "a", "b", "a"}},
		"no values":      {"Tag": {}},
		"utf-8":          {"CallerName": {"Zoë Ångström 李"}, "Ü": {"ü"}},
		"case":           {"b": {"1"}, "B": {"2"}, "a": {"3"}, "A": {"4"}},
	} {
		if got, want := Sign("t", "https://a.example/x", form), plainSign("t", "https://a.example/x", form); got != want {
			t.Errorf("%s: got %s; want %s", name, got, want)
		}
	}
	once, twice := url.Values{"a": {"1"}}, url.Values{"a": {"1", "1"}}
	if Sign("t", "u", once) != Sign("t", "u", twice) {
		t.Error("a repeated value counts twice")
	}
}

func FuzzSign(f *testing.F) {
	f.Add("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", "CallSid=CA1&Caller=%2B1&a=1&a=1&a=")
	f.Add("", "", "=&=x&%00=%ff")
	f.Fuzz(func(t *testing.T, token, address, body string) {
		form, err := parseParameters(body)
		if err != nil {
			return
		}
		if got, want := Sign(token, address, form), plainSign(token, address, form); got != want {
			t.Errorf("got %s; want %s", got, want)
		}
	})
}

const testToken = "0123456789abcdef0123456789abcdef"

func TestVerify(t *testing.T) {
	for name, tt := range map[string]struct {
		public, arrives, signed string
		good                    bool
	}{
		"as it is":             {"https://a.example", "/redirect_call?Called=%2B1", "https://a.example/redirect_call?Called=%2B1", true},
		"not re-encoded":       {"https://a.example", "/redirect_call?b=%7e+%20&a=~;", "https://a.example/redirect_call?b=%7e+%20&a=~;", true},
		"empty query":          {"https://a.example", "/x?", "https://a.example/x?", true},
		"with default port":    {"https://a.example", "/x", "https://a.example:443/x", true},
		"http's default port":  {"http://a.example/", "/x", "http://a.example:80/x", true},
		"port is left out":     {"https://a.example:8443", "/x", "https://a.example/x", true},
		"other port":           {"https://a.example:8443", "/x", "https://a.example:8443/x", true},
		"port of nobody":       {"https://a.example", "/x", "https://a.example:8443/x", false},
		"IPv6":                 {"http://[::1]:8088", "/x", "http://[::1]:8088/x", true},
		"IPv6 without":         {"http://[::1]:8088", "/x", "http://[::1]/x", true},
		"whole URL":            {"https://a.example/redirect_call", "/redirect_call?x=1", "https://a.example/redirect_call?x=1", true},
		"whole URL, slash":     {"https://a.example/redirect_call/", "/redirect_call/", "https://a.example/redirect_call/", true},
		"proxy cuts a prefix":  {"https://a.example/pbx", "/redirect_call", "https://a.example/pbx/redirect_call", true},
		"proxy leaves it":      {"https://a.example/pbx", "/pbx/redirect_call", "https://a.example/pbx/redirect_call", true},
		"proxy renames":        {"https://a.example/voice", "/redirect_call?x=1", "https://a.example/voice?x=1", true},
		"escaped path":         {"https://a.example", "/a%2Fb", "https://a.example/a%2Fb", true},
		"other scheme":         {"https://a.example", "/x", "http://a.example/x", false},
		"other host":           {"https://a.example", "/x", "https://b.example/x", false},
		"other path":           {"https://a.example", "/x", "https://a.example/y", false},
		"other query":          {"https://a.example", "/x?a=1", "https://a.example/x?a=2", false},
		"query without":        {"https://a.example", "/x?a=1", "https://a.example/x", false},
		"absolute form":        {"https://a.example", "http://inside:1/x?a=%20", "https://a.example/x?a=%20", true},
		"host in capitals too": {"https://A.example", "/x", "https://A.example/x", true},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := newVerifier(testToken, tt.public)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodGet, tt.arrives, nil)
			r.Header.Set(SignatureHeader, plainSign(testToken, tt.signed, nil))
			if got := v.verify(r, nil); got != tt.good {
				t.Errorf("got %v; tried %q", got, v.signedURLs(r))
			}
			r.Header.Set(SignatureHeader, plainSign("another", tt.signed, nil))
			if v.verify(r, nil) {
				t.Error("another token is taken")
			}
			r.Header.Del(SignatureHeader)
			if v.verify(r, nil) {
				t.Error("no signature is taken")
			}
		})
	}
}

func TestVerifyForm(t *testing.T) {
	v, err := newVerifier(testToken, "https://a.example")
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"Called": {"+15075785607"}, "CallerName": {""}, "Tag": {"b", "a", "b"}}
	r := httptest.NewRequest(http.MethodPost, "/x?t=1", nil)
	r.Header.Set(SignatureHeader, plainSign(testToken, "https://a.example/x?t=1", form))
	if !v.verify(r, form) {
		t.Error("refused")
	}
	form.Set("Called", "+15075785608")
	if v.verify(r, form) {
		t.Error("a changed form is taken")
	}
}

func TestPublicURL(t *testing.T) {
	for _, bad := range []string{"", "a.example", "ftp://a.example", "https://", "https://u:hidden@a.example", "https://a.example/?x=1", "https://a.example/#x", "https://a.example/?", "https://u:hidden@a b%zz"} {
		_, err := newVerifier(testToken, bad)
		if !errors.Is(err, errPublicURL) {
			t.Errorf("%q: %v", bad, err)
		} else if strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), testToken) {
			t.Errorf("%q: the error shows a secret: %v", bad, err)
		}
	}
}
