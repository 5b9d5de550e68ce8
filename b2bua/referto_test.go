package b2bua

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseReferTo(t *testing.T) {
	for value, want := range map[string]referral{
		"<sip:bob@example.com>":               {uri: "sip:bob@example.com", scheme: "sip", user: "bob", host: "example.com"},
		"sip:bob@example.com":                 {uri: "sip:bob@example.com", scheme: "sip", user: "bob", host: "example.com"},
		"sip:bob@example.com;x=y":             {uri: "sip:bob@example.com", scheme: "sip", user: "bob", host: "example.com"},
		"sip:bob@example.com;method=INVITE":   {uri: "sip:bob@example.com", scheme: "sip", user: "bob", host: "example.com", method: "INVITE"},
		`"B, ob <x>" <SIPS:example.com> ;x=y`: {uri: "sips:example.com", scheme: "sips", host: "example.com"},
		"Bob <sip:b@[2001:db8::1]:5070;transport=tcp;Method=invite;user=phone>": {
			uri: "sip:b@[2001:db8::1]:5070;transport=tcp;user=phone", scheme: "sip", user: "b", host: "2001:db8::1", method: "INVITE",
		},
		"<sip:+1507%23;phone-context=+1@192.0.2.1:5060>": {
			uri: "sip:+1507%23;phone-context=+1@192.0.2.1:5060", scheme: "sip", user: "+1507%23;phone-context=+1", host: "192.0.2.1",
		},
		"<sip:who?now@h?Subject=a>": {uri: "sip:who?now@h", scheme: "sip", user: "who?now", host: "h", headers: []headerLine{{"Subject", "a"}}},
		"<tel:+1-507-578-5607>":     {uri: "tel:+1-507-578-5607", scheme: "tel", user: "+1-507-578-5607"},
		"tel:100":                   {uri: "tel:100", scheme: "tel", user: "100"},
		"<TEL:*98#;phone-context=+1;method=INVITE>": {
			uri: "tel:*98#;phone-context=+1", scheme: "tel", user: "*98#;phone-context=+1", method: "INVITE",
		},
		"<sip:a@h?Replaces=12345%40192.0.2.1%3Bto-tag%3D12%3Bfrom-tag%3D5FFE&require=replaces&user-to-user=56a3%3Bencoding%3Dhex>": {
			uri: "sip:a@h", scheme: "sip", user: "a", host: "h",
			headers: []headerLine{{"Replaces", "12345@192.0.2.1;to-tag=12;from-tag=5FFE"}, {"User-to-User", "56a3;encoding=hex"}},
			dropped: []string{"require"},
		},
		"<sip:a@h;lr?X-Ticket=a%20b+c%C3%BC&x-%65=&s=hello&X-=1>": {
			uri: "sip:a@h;lr", scheme: "sip", user: "a", host: "h",
			headers: []headerLine{{"X-Ticket", "a b+cü"}, {"x-e", ""}, {"Subject", "hello"}}, dropped: []string{"X-"},
		},
		"<sip:a@h?From=x&Call-ID=x&Via=x&Route=x&P-Asserted-Identity=x&body=x&Call-Info=x&Referred-By=x&Contact=x&Authorization=x>": {
			uri: "sip:a@h", scheme: "sip", user: "a", host: "h",
			dropped: []string{"From", "Call-ID", "Via", "Route", "P-Asserted-Identity", "body", "Call-Info", "Referred-By", "Contact", "Authorization"},
		},
		"<sip:a@h?>": {uri: "sip:a@h", scheme: "sip", user: "a", host: "h"},
	} {
		got, err := parseReferTo(value)
		if err != nil {
			t.Errorf("%q: %v", value, err)
			continue
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(referral{}, headerLine{})); d != "" {
			t.Errorf("%q: %s", value, d)
		}
		soundReferral(t, got)
	}
}

func TestParseReferToErrors(t *testing.T) {
	long := strings.Repeat("x", 1025)
	for value, want := range map[string]error{
		"":                                 errReferTo,
		"*":                                errReferTo,
		"bob":                              errReferTo,
		"<sip:bob@example.com":             errReferTo,
		"<sip:>":                           errReferTo,
		"<sip:bob@>":                       errReferTo,
		"<sip:bob@a@b>":                    errReferTo,
		"<sip:bob@a:x>":                    errReferTo,
		"<sip://bob@a>":                    errReferTo,
		"<sip:bob:secret@a>":               errReferTo,
		"<sip::p@a>":                       errReferTo,
		"<sip:@a>":                         errReferTo,
		"<sip:bob@ü>":                      errReferTo,
		"<sip:bob@a;x=`y>":                 errReferTo,
		"<sip:bob @a>":                     errReferTo,
		"<sip:bob@a\r\nX: y>":              errReferTo,
		"<sip:a@h>, <sip:b@h>":             errReferTo,
		"sip:a@h,sip:b@h":                  errReferTo,
		"sip:a@h?Subject=x":                errReferTo, // needs brackets
		"<sip:" + long + "@h>":             errReferTo,
		"<tel:>":                           errReferTo,
		"<tel:+>":                          errReferTo,
		"<tel:-->":                         errReferTo,
		"<tel:1+2>":                        errReferTo,
		"<tel:12345?Subject=x>":            errReferTo,
		"<tel:1@evil>":                     errReferTo,
		"<tel:1;x=a@evil>":                 errReferTo,
		"<tel:1;x=ü>":                      errReferTo,
		"<tel:alice>":                      errReferTo,
		"<http://example.com/>":            errReferScheme,
		"<urn:service:sos>":                errReferScheme,
		"<sip:a@h;method=BYE>":             errReferMethod,
		"<sip:a@h;%6dethod=%42YE>":         errReferMethod,
		"<sip:a@h;method>":                 errReferMethod,
		"<sip:a@h;method=INVITE;METHOD=X>": errReferMethod,
		"sip:a@h;method=SUBSCRIBE":         errReferMethod,
		"<tel:1;method=MESSAGE>":           errReferMethod,
		"<sip:a@h?Subject>":                errReferTo,
		"<sip:a@h?=x>":                     errReferTo,
		"<sip:a@h?Subject=x&>":             errReferTo,
		"<sip:a@h?Sub%20ject=x>":           errReferTo,
		"<sip:a@h?Subject=%4>":             errReferTo,
		"<sip:a@h?%=x>":                    errReferTo,
		"<sip:a@h?Subject=a%0d%0aVia:x>":   errReferTo,
		"<sip:a@h?Subject=a%0A>":           errReferTo,
		"<sip:a@h?Subject=a%00>":           errReferTo,
		"<sip:a@h?Subject=a%C2%85>":        errReferTo,
		"<sip:a@h?Subject=%FF>":            errReferTo,
		"<sip:a@h?From=a%0Ab>":             errReferTo, // also of what is dropped
		"<sip:a@h?X-A%0D=b>":               errReferTo,
		"<sip:a@h?Subject=" + long + ">":   errReferTo,
		"<sip:a@h?" + long + "=x>":         errReferTo,
		"<sip:a@h?Subject=x&s=y>":          errReferTo,
		"<sip:a@h?Replaces=x&REPLACES=y>":  errReferTo,
		"<sip:a@h?" + strings.Repeat("X-A=1&", 16) + "X-B=1>": errReferTo,
	} {
		r, err := parseReferTo(value)
		if !errors.Is(err, want) {
			t.Errorf("%q: %+v, %v; want %v", value, r, err, want)
			continue
		}
		if len(err.Error()) > 300 || strings.ContainsFunc(err.Error(), isControl) || r.uri != "" || r.headers != nil {
			t.Errorf("%q: %+v, %q", value, r, err)
		}
	}
	full := "<sip:a@h?" + strings.Repeat("X-A=1&", 15) + "X-B=" + long[1:] + ">"
	if r, err := parseReferTo(full); err != nil || len(r.headers) != 16 {
		t.Errorf("16 headers: %d, %v", len(r.headers), err)
	}
}

func TestReferTo(t *testing.T) {
	for headers, want := range map[string]string{
		"":                                       "error",
		"Refer-To: <sip:a@h>":                    "sip:a@h",
		"r: sip:a@h":                             "sip:a@h",
		"R: <sip:a@h;\r\n method=INVITE>":        "error",
		"Refer-To: <sip:a@h>\nr: <sip:a@h>":      "error",
		"Refer-To: <sip:a@h>\nRefer-To: <tel:1>": "error",
		"Refer-To: <sip:a@h>,<sip:a@h>":          "error",
	} {
		r, err := referTo(requestWith(t, headers))
		got := r.uri
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: %s, %v; want %s", headers, got, err, want)
		}
	}
}

func TestReferredBy(t *testing.T) {
	for headers, want := range map[string]string{
		"":                           "",
		"Referred-By: <sip:r@h;x=y>": "sip:r@h;x=y",
		"b: \"R\" <sip:r@h>;cid=\"2UWQFN309shb3@h\"": "sip:r@h",
		"Referred-By: sip:r@h;cid=x":                 "sip:r@h",
		"Referred-By: <sip:r@h>\nb: <sip:r@h>":       "error",
		"Referred-By: <sip:r@h>, <sip:r@h>":          "error",
		"Referred-By: <sip:r@h?Subject=x>":           "error",
		"Referred-By: <sip:r@h":                      "error",
	} {
		got, err := referredBy(requestWith(t, headers))
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: %s, %v; want %s", headers, got, err, want)
		}
	}
}

func TestWantsReport(t *testing.T) {
	for headers, want := range map[string]bool{
		"": true, "Refer-Sub: true": true, "Refer-Sub: x": true, "Refer-Sub: false": false, "refer-sub: FALSE ;x=y": false,
	} {
		if got := wantsReport(requestWith(t, headers)); got != want {
			t.Errorf("%q: %v", headers, got)
		}
	}
}

func TestSipfrag(t *testing.T) {
	for want, got := range map[string][]byte{
		"SIP/2.0 100 Trying\r\n":                                 sipfrag(100, "Trying"),
		"SIP/2.0 486 Busy Here\r\n":                              sipfrag(486, ""),
		"SIP/2.0 603 No  X-Evil: 1\r\n":                          sipfrag(603, "No\r\nX-Evil: 1"),
		"SIP/2.0 503 " + strings.Repeat("x", maxPhrase) + "\r\n": sipfrag(503, strings.Repeat("x", 1000)),
	} {
		if string(got) != want {
			t.Errorf("%q; want %q", got, want)
		}
	}
}

// soundReferral checks what every referral has to be.
func soundReferral(t *testing.T, r referral) {
	t.Helper()
	uri := parseURI(r.uri)
	if uri.Scheme != r.scheme || len(r.uri) > maxURI || strings.ContainsFunc(r.uri, isControl) {
		t.Errorf("%+v: read as %+v", r, uri)
	}
	if r.scheme == "tel" {
		if r.host != "" || uri.Raw() != r.user {
			t.Errorf("%+v: read as %+v", r, uri)
		}
	} else if uri.User != r.user || trimBrackets(uri.Host) != r.host || r.host == "" || len(uri.Headers) != 0 {
		t.Errorf("%+v: read as %+v", r, uri)
	}
	if len(r.headers)+len(r.dropped) > maxReferred || (r.method != "" && r.method != "INVITE") {
		t.Errorf("%+v", r)
	}
	for _, h := range r.headers {
		if settable(h.name) != h.name || !soundLine(h) || strings.Contains(h.value, "\t") {
			t.Errorf("%+v", h)
		}
	}
	for _, name := range r.dropped {
		if !isToken(name) || len(name) > maxPhrase || settable(name) != "" {
			t.Errorf("dropped %q", name)
		}
	}
	again, err := parseReferTo("<" + r.uri + ">")
	r.headers, r.dropped, r.method = nil, nil, ""
	if d := cmp.Diff(r, again, cmp.AllowUnexported(referral{}, headerLine{})); err != nil || d != "" {
		t.Errorf("read again: %v, %s", err, d)
	}
}

// FuzzReferTo: whatever a peer refers to, what is called and set is bounded,
// harmless and what the library reads.
func FuzzReferTo(f *testing.F) {
	f.Add("<sip:a:p@[::1]:5060;method=INVITE;lr?Replaces=1%40h%3Bto-tag%3D1%3Bfrom-tag%3D2&From=x&X-A=%C3%BC>;x=y")
	f.Add("\"B\" <sips:who?now@h?User-to-User=56a3%3Bencoding%3Dhex>")
	f.Add("tel:+1-507;phone-context=+1;method=INVITE")
	f.Add("sip:a@h?Subject=%0d%0a, <sip:b@h>")
	f.Fuzz(func(t *testing.T, value string) {
		if r, err := parseReferTo(value); err == nil {
			soundReferral(t, r)
		} else if len(err.Error()) > 1000 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	})
}
