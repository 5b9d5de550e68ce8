package message

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flowbridge/config/template"
)

func TestParseReferTo(t *testing.T) {
	for value, want := range map[string]Referral{
		"<sip:bob@example.com>":               {URI: "sip:bob@example.com", Scheme: "sip", user: "bob", Host: "example.com"},
		"sip:bob@example.com":                 {URI: "sip:bob@example.com", Scheme: "sip", user: "bob", Host: "example.com"},
		"sip:bob@example.com;x=y":             {URI: "sip:bob@example.com", Scheme: "sip", user: "bob", Host: "example.com"},
		"sip:bob@example.com;method=INVITE":   {URI: "sip:bob@example.com", Scheme: "sip", user: "bob", Host: "example.com", method: "INVITE"},
		`"B, ob <x>" <SIPS:example.com> ;x=y`: {URI: "sips:example.com", Scheme: "sips", Host: "example.com"},
		"Bob <sip:b@[2001:db8::1]:5070;transport=tcp;Method=invite;user=phone>": {
			URI: "sip:b@[2001:db8::1]:5070;transport=tcp;user=phone", Scheme: "sip", user: "b", Host: "2001:db8::1", method: "INVITE",
		},
		"<sip:+1507%23;phone-context=+1@192.0.2.1:5060>": {
			URI: "sip:+1507%23;phone-context=+1@192.0.2.1:5060", Scheme: "sip", user: "+1507%23;phone-context=+1", Host: "192.0.2.1",
		},
		"<sip:who?now@h?Subject=a>": {URI: "sip:who?now@h", Scheme: "sip", user: "who?now", Host: "h", Headers: []HeaderLine{{"Subject", "a"}}},
		"<tel:+1-507-578-5607>":     {URI: "tel:+1-507-578-5607", Scheme: "tel", user: "+1-507-578-5607"},
		"tel:100":                   {URI: "tel:100", Scheme: "tel", user: "100"},
		"<TEL:*98#;phone-context=+1;method=INVITE>": {
			URI: "tel:*98#;phone-context=+1", Scheme: "tel", user: "*98#;phone-context=+1", method: "INVITE",
		},
		"<sip:a@h?Replaces=12345%40192.0.2.1%3Bto-tag%3D12%3Bfrom-tag%3D5FFE&require=replaces&user-to-user=56a3%3Bencoding%3Dhex>": {
			URI: "sip:a@h", Scheme: "sip", user: "a", Host: "h",
			Headers: []HeaderLine{{"Replaces", "12345@192.0.2.1;to-tag=12;from-tag=5FFE"}, {"User-to-User", "56a3;encoding=hex"}},
			Dropped: []string{"require"},
		},
		"<sip:a@h;lr?X-Ticket=a%20b+c%C3%BC&x-%65=&s=hello&X-=1>": {
			URI: "sip:a@h;lr", Scheme: "sip", user: "a", Host: "h",
			Headers: []HeaderLine{{"X-Ticket", "a b+cü"}, {"x-e", ""}, {"Subject", "hello"}}, Dropped: []string{"X-"},
		},
		"<sip:a@h?From=x&Call-ID=x&Via=x&Route=x&P-Asserted-Identity=x&body=x&Call-Info=x&Referred-By=x&Contact=x&Authorization=x>": {
			URI: "sip:a@h", Scheme: "sip", user: "a", Host: "h",
			Dropped: []string{"From", "Call-ID", "Via", "Route", "P-Asserted-Identity", "body", "Call-Info", "Referred-By", "Contact", "Authorization"},
		},
		"<sip:a@h?>": {URI: "sip:a@h", Scheme: "sip", user: "a", Host: "h"},
	} {
		got, err := ParseReferTo(value)
		if err != nil {
			t.Errorf("%q: %v", value, err)
			continue
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(Referral{}, HeaderLine{})); d != "" {
			t.Errorf("%q: %s", value, d)
		}
		soundReferral(t, got)
	}
}

func TestParseReferToErrors(t *testing.T) {
	long := strings.Repeat("x", 1025)
	for value, want := range map[string]error{
		"":                                 ErrReferTo,
		"*":                                ErrReferTo,
		"bob":                              ErrReferTo,
		"<sip:bob@example.com":             ErrReferTo,
		"<sip:>":                           ErrReferTo,
		"<sip:bob@>":                       ErrReferTo,
		"<sip:bob@a@b>":                    ErrReferTo,
		"<sip:bob@a:x>":                    ErrReferTo,
		"<sip://bob@a>":                    ErrReferTo,
		"<sip:bob:secret@a>":               ErrReferTo,
		"<sip::p@a>":                       ErrReferTo,
		"<sip:@a>":                         ErrReferTo,
		"<sip:bob@ü>":                      ErrReferTo,
		"<sip:bob@a;x=`y>":                 ErrReferTo,
		"<sip:bob @a>":                     ErrReferTo,
		"<sip:bob@a\r\nX: y>":              ErrReferTo,
		"<sip:a@h>, <sip:b@h>":             ErrReferTo,
		"sip:a@h,sip:b@h":                  ErrReferTo,
		"sip:a@h?Subject=x":                ErrReferTo, // with a ?, the URI must be in angle brackets
		"<sip:" + long + "@h>":             ErrReferTo,
		"<tel:>":                           ErrReferTo,
		"<tel:+>":                          ErrReferTo,
		"<tel:-->":                         ErrReferTo,
		"<tel:1+2>":                        ErrReferTo,
		"<tel:12345?Subject=x>":            ErrReferTo,
		"<tel:1@evil>":                     ErrReferTo,
		"<tel:1;x=a@evil>":                 ErrReferTo,
		"<tel:1;x=ü>":                      ErrReferTo,
		"<tel:alice>":                      ErrReferTo,
		"<http://example.com/>":            ErrReferScheme,
		"<urn:service:sos>":                ErrReferScheme,
		"<sip:a@h;method=BYE>":             errReferMethod,
		"<sip:a@h;%6dethod=%42YE>":         errReferMethod,
		"<sip:a@h;method>":                 errReferMethod,
		"<sip:a@h;method=INVITE;METHOD=X>": errReferMethod,
		"sip:a@h;method=SUBSCRIBE":         errReferMethod,
		"<tel:1;method=MESSAGE>":           errReferMethod,
		"<sip:a@h?Subject>":                ErrReferTo,
		"<sip:a@h?=x>":                     ErrReferTo,
		"<sip:a@h?Subject=x&>":             ErrReferTo,
		"<sip:a@h?Sub%20ject=x>":           ErrReferTo,
		"<sip:a@h?Subject=%4>":             ErrReferTo,
		"<sip:a@h?%=x>":                    ErrReferTo,
		"<sip:a@h?Subject=a%0d%0aVia:x>":   ErrReferTo,
		"<sip:a@h?Subject=a%0A>":           ErrReferTo,
		"<sip:a@h?Subject=a%00>":           ErrReferTo,
		"<sip:a@h?Subject=a%C2%85>":        ErrReferTo,
		"<sip:a@h?Subject=%FF>":            ErrReferTo,
		"<sip:a@h?From=a%0Ab>":             ErrReferTo, // even in a header that is dropped
		"<sip:a@h?X-A%0D=b>":               ErrReferTo,
		"<sip:a@h?Subject=" + long + ">":   ErrReferTo,
		"<sip:a@h?" + long + "=x>":         ErrReferTo,
		"<sip:a@h?Subject=x&s=y>":          ErrReferTo,
		"<sip:a@h?Replaces=x&REPLACES=y>":  ErrReferTo,
		"<sip:a@h?" + strings.Repeat("X-A=1&", 16) + "X-B=1>": ErrReferTo,
	} {
		r, err := ParseReferTo(value)
		if !errors.Is(err, want) {
			t.Errorf("%q: %+v, %v; want %v", value, r, err, want)
			continue
		}
		if len(err.Error()) > 300 || strings.ContainsFunc(err.Error(), template.IsControl) || r.URI != "" || r.Headers != nil {
			t.Errorf("%q: %+v, %q", value, r, err)
		}
	}
	full := "<sip:a@h?" + strings.Repeat("X-A=1&", 15) + "X-B=" + long[1:] + ">"
	if r, err := ParseReferTo(full); err != nil || len(r.Headers) != 16 {
		t.Errorf("16 headers: %d, %v", len(r.Headers), err)
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
		r, err := ReferTo(requestWith(t, headers))
		got := r.URI
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
		got, err := ReferredBy(requestWith(t, headers))
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
		if got := WantsReport(requestWith(t, headers)); got != want {
			t.Errorf("%q: %v", headers, got)
		}
	}
}

func TestSipfrag(t *testing.T) {
	for want, got := range map[string][]byte{
		"SIP/2.0 100 Trying\r\n":                                 Sipfrag(100, "Trying"),
		"SIP/2.0 486 Busy Here\r\n":                              Sipfrag(486, ""),
		"SIP/2.0 603 No  X-Evil: 1\r\n":                          Sipfrag(603, "No\r\nX-Evil: 1"),
		"SIP/2.0 503 " + strings.Repeat("x", MaxPhrase) + "\r\n": Sipfrag(503, strings.Repeat("x", 1000)),
	} {
		if string(got) != want {
			t.Errorf("%q; want %q", got, want)
		}
	}
}

// soundReferral checks the rules that every parsed Refer-To must follow.
func soundReferral(t *testing.T, r Referral) {
	t.Helper()
	uri := ParseURI(r.URI)
	if uri.Scheme != r.Scheme || len(r.URI) > MaxURI || strings.ContainsFunc(r.URI, template.IsControl) {
		t.Errorf("%+v: read as %+v", r, uri)
	}
	if r.Scheme == "tel" {
		if r.Host != "" || uri.Raw() != r.user {
			t.Errorf("%+v: read as %+v", r, uri)
		}
	} else if uri.User != r.user || TrimBrackets(uri.Host) != r.Host || r.Host == "" || len(uri.Headers) != 0 {
		t.Errorf("%+v: read as %+v", r, uri)
	}
	if len(r.Headers)+len(r.Dropped) > maxReferred || (r.method != "" && r.method != "INVITE") {
		t.Errorf("read %+v; want %d headers at most, and INVITE or no method", r, maxReferred)
	}
	for _, h := range r.Headers {
		if settable(h.Name) != h.Name || !passable(h) || strings.Contains(h.Value, "\t") {
			t.Errorf("header %+v; want one that may be set, in one line", h)
		}
	}
	for _, name := range r.Dropped {
		if !IsToken(name) || len(name) > MaxPhrase || settable(name) != "" {
			t.Errorf("dropped %q", name)
		}
	}
	again, err := ParseReferTo("<" + r.URI + ">")
	r.Headers, r.Dropped, r.method = nil, nil, ""
	if d := cmp.Diff(r, again, cmp.AllowUnexported(Referral{}, HeaderLine{})); err != nil || d != "" {
		t.Errorf("read again: %v, %s", err, d)
	}
}

// FuzzReferTo checks that for any Refer-To, the resulting URI and headers are bounded and
// harmless, and can be read by the library.
func FuzzReferTo(f *testing.F) {
	f.Add("<sip:a:p@[::1]:5060;method=INVITE;lr?Replaces=1%40h%3Bto-tag%3D1%3Bfrom-tag%3D2&From=x&X-A=%C3%BC>;x=y")
	f.Add("\"B\" <sips:who?now@h?User-to-User=56a3%3Bencoding%3Dhex>")
	f.Add("tel:+1-507;phone-context=+1;method=INVITE")
	f.Add("sip:a@h?Subject=%0d%0a, <sip:b@h>")
	f.Fuzz(func(t *testing.T, value string) {
		if r, err := ParseReferTo(value); err == nil {
			soundReferral(t, r)
		} else if len(err.Error()) > 1000 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	})
}

// FuzzReferred checks that the party and headers from an operator's order are as
// well-formed as those from a REFER.
func FuzzReferred(f *testing.F) {
	f.Add("+15075550100", "X-A", "b")
	f.Add("bob@[::1]:5060", "User-to-User", "56a3;encoding=hex")
	f.Add("sip:a@h;method=BYE?Subject=x", "Subject", "two\r\nVia: x")
	f.Add("4711>, <sip:x@h", "Replaces", "a;to-tag=b;from-tag=c")
	f.Fuzz(func(t *testing.T, to, name, value string) {
		r, err := Referred(to, []HeaderLine{{name, value}, {name, value}})
		if err == nil {
			soundReferral(t, r)
		} else if len(err.Error()) > 1000 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	})
}

func TestReferred(t *testing.T) {
	for to, want := range map[string]string{
		"+1 (507) 555-0100": "", "+1(507)555-0100": "tel:+1(507)555-0100", "4711": "tel:4711", "pbx.example.com": "sip:pbx.example.com",
		"bob@pbx.example.com:5070": "sip:bob@pbx.example.com:5070", "4711@192.0.2.1:5070": "sip:4711@192.0.2.1:5070",
		"SIPS:a@h": "sips:a@h", "tel:112": "tel:112", "": "", "http://x": "", "mailto:a@h": "", "a b": "",
	} {
		if r, err := Referred(to, nil); (err == nil) != (want != "") || r.URI != want {
			t.Errorf("%q: got %q, %v; want %q", to, r.URI, err, want)
		}
	}
	r, err := Referred("4711", []HeaderLine{{"X-A", "b & c=d?"}, {"Contact", "x"}})
	if err != nil || len(r.Headers) != 1 || r.Headers[0] != (HeaderLine{"X-A", "b & c=d?"}) || len(r.Dropped) != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
}
