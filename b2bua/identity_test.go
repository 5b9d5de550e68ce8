package b2bua

import (
	"strings"
	"testing"
	"unicode"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
	"flowbridge/internal/siptest"
)

func TestPhoneContext(t *testing.T) {
	for _, tt := range []struct{ user, country, want string }{
		{"301234567;phone-context=+49", "", "+49301234567"},
		{"0301234567;phone-context=+49", "", "+49301234567"},
		{"0049301234567;phone-context=+49", "", "+49301234567"},
		{"301234567;phone-context=%2B49", "1", "+49301234567"},
		{"1234567;phone-context=+4930", "", "+49301234567"},
		{"0301234567;phone-context=+4930", "", "+49301234567"},
		{"0612345678;phone-context=+39", "", "+390612345678"},
		{"5550198;phone-context=+1507", "", "+15075550198"},
		{"5075550198;PHONE-CONTEXT=+1", "49", "+15075550198"},
		{"15075550198;phone-context=+1", "", "+15075550198"},
		{"5550198;npdi;phone-context=+1-507;rn=1", "", "+15075550198"},
		{"12345678;phone-context=+352", "", "+35212345678"},

		// Short codes stay, and so does what makes no number.
		{"110;phone-context=+49", "", "110"},
		{"116117;phone-context=+49", "", "116117"},
		{"911;phone-context=+1", "", "911"},
		{"863-1234;phone-context=+1-914-555", "", "8631234"},
		{"7042;phone-context=+12125550000", "", "7042"},
		{"5550198;phone-context=+1", "", "5550198"},

		// A domain says nothing about digits; the country does.
		{"0301234567;phone-context=ims.example", "49", "+49301234567"},
		{"7042;phone-context=example.com", "1", "7042"},
		{"301234567;phone-context=+0", "", "301234567"},
		{"301234567;phone-context=+", "", "301234567"},
		{"301234567;phone-context=+" + strings.Repeat("4", 40), "", "301234567"},

		// A global number needs no context, a name has none.
		{"+15075550198;phone-context=+49", "", "+15075550198"},
		{"alice;phone-context=+49", "", "alice;phone-context=+49"},
		{"5075550198;ext=12;isub=4567", "1", "+15075550198"},
		{"1507%3B5550198", "1", "1507%3B5550198"},
	} {
		if got := normalise(tt.user, tt.country); got != tt.want {
			t.Errorf("%q in country %q: %q; want %q", tt.user, tt.country, got, tt.want)
		}
	}
}

func TestParseParty(t *testing.T) {
	long := strings.Repeat("9", 600)
	for value, want := range map[string]config.Party{
		`<tel:+1-507-555-0198;ext=12>`: {Number: "+15075550198", User: "+1-507-555-0198;ext=12", URI: "tel:+1-507-555-0198;ext=12"},
		`tel:+15075550198`:             {Number: "+15075550198", User: "+15075550198", URI: "tel:+15075550198"},
		`<sip:5550198@h;phone-context=+1507;user=phone>`: {
			Number: "+15075550198", User: "5550198", Host: "h", URI: "sip:5550198@h;phone-context=+1507;user=phone",
		},
		`<sip:alice@h;phone-context=+1507>`:  {Number: "alice", User: "alice", Host: "h", URI: "sip:alice@h;phone-context=+1507"},
		`"a, b; <c> \"d\" \\" <sip:1@h>;x=y`: {Number: "1", User: "1", Name: `a, b; <c> "d" \`, Host: "h", URI: "sip:1@h"},
		`Zoë Ünal <sip:1@h>`:                 {Number: "1", User: "1", Name: "Zoë Ünal", Host: "h", URI: "sip:1@h"},
		"\"a\nX-EI: b\x00\u0085\" <sip:1@h>": {Number: "1", User: "1", Name: "aX-EI: b", Host: "h", URI: "sip:1@h"},
		`sip:1@h;tag=x`:                      {Number: "1", User: "1", Host: "h", URI: "sip:1@h"},
		`<sips:1@[2001:db8::1]:5061>`:        {Number: "1", User: "1", Host: "[2001:db8::1]", URI: "sips:1@[2001:db8::1]:5061"},
		`<sip:h>`:                            {Host: "h", URI: "sip:h"},
		`"` + long + `" <sip:1@h>`:           {Number: "1", User: "1", Name: long[:maxName], Host: "h", URI: "sip:1@h"},
		`<sip:` + long + `@h>`:               {},
		"<sip:1\n2@h>":                       {},
		"<sip:1@h\nX-EI: b>":                 {},
		`<urn:service:sos>`:                  {},
		`<sip:>`:                             {},
		`<tel:>`:                             {},
		`*`:                                  {},
		``:                                   {},
		`"never closed <sip:1@h>`:            {},
		`<sip:1@h`:                           {},
	} {
		if got, _, ok := parseParty(value, ""); (ok && got != want) || ok != (want != config.Party{}) {
			t.Errorf("%q: %+v, %v; want %+v", value, got, ok, want)
		}
	}
}

func TestSplitValues(t *testing.T) {
	for value, want := range map[string]string{
		`<sip:a@b>, <tel:+1>`:               `<sip:a@b>|<tel:+1>`,
		`"a, b" <sip:a@b> ,"\"," <sip:c@d>`: `"a, b" <sip:a@b>|"\"," <sip:c@d>`,
		`<sip:a,b@c>;x=y,<sip:d@e>`:         `<sip:a,b@c>;x=y|<sip:d@e>`,
		`sip:a@b,sip:c@d`:                   `sip:a@b|sip:c@d`,
		`"open, <sip:a@b>`:                  `"open, <sip:a@b>`,
		`<sip:a@b?Reason="x,y">,z`:          `<sip:a@b?Reason="x,y">|z`,
		``:                                  ``,
		`,`:                                 `|`,
	} {
		if got := strings.Join(splitValues(value), "|"); got != want {
			t.Errorf("%q: %q; want %q", value, got, want)
		}
	}
}

// Who calls, by what a trusted trunk says and by what any says.
func TestIdentity(t *testing.T) {
	const from = `"Ann" <sip:+15075550100@h>;tag=x`
	for _, tt := range []struct {
		name, from string
		headers    []string
		trusted    string // number and name
		untrusted  string
	}{
		{"sip and tel in one header", from, []string{`P-Asserted-Identity: "Bob" <sip:bob@c>, <tel:+15075550199>`}, "+15075550199 Bob", "+15075550100 Ann"},
		{"sip and tel in two", from, []string{`P-Asserted-Identity: <sip:bob@c>`, `P-Asserted-Identity: "Bob" <tel:+15075550199>`}, "+15075550199 Bob", "+15075550100 Ann"},
		{"a name alone", from, []string{`P-Asserted-Identity: <sip:bob@c>`}, "bob ", "+15075550100 Ann"},
		{"nobody asserted", from, []string{`P-Asserted-Identity: <sip:anonymous@anonymous.invalid>`}, "+15075550100 Ann", "+15075550100 Ann"},
		{"remote party", from, []string{`Remote-Party-ID: "Bob" <sip:+15075550199@c>;party=calling;screen=yes;privacy=off`}, "+15075550199 Bob", "+15075550100 Ann"},
		{"remote party that is called", from, []string{`Remote-Party-ID: <sip:1@c>;party=called, <sip:2@c>;party=CALLING`}, "2 ", "+15075550100 Ann"},
		{
			"both", from,
			[]string{`Remote-Party-ID: <sip:+15075550198@c>`, `P-Asserted-Identity: <sip:+15075550199@c>`},
			"+15075550199 ", "+15075550100 Ann",
		},
		{"no brackets", `sip:+15075550100@h;tag=x`, nil, "+15075550100 ", "+15075550100 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for trusted, want := range map[bool]string{true: tt.trusted, false: tt.untrusted} {
				p := callerOf(siptest.InviteFrom(t, tt.from, tt.headers...), &config.Trunk{Trusted: trusted})
				if got := p.Number + " " + p.Name; got != want {
					t.Errorf("trusted %v: %q; want %q", trusted, got, want)
				}
			}
		})
	}
}

func TestPrivacy(t *testing.T) {
	const known = `"Ann" <sip:+15075550100@h>;tag=x`
	all := privacy{number: true, name: true, history: true}
	for _, tt := range []struct {
		name, from string
		headers    []string
		want       privacy
	}{
		{"none asked", known, nil, privacy{}},
		{"id", known, []string{"Privacy: id"}, all},
		{"user and critical", known, []string{"Privacy: user;critical"}, all},
		{"two headers", known, []string{"Privacy: header", "Privacy: id"}, all},
		{"history", known, []string{"Privacy: history"}, privacy{history: true}},
		{"header and session", known, []string{"Privacy: header;session"}, privacy{}},
		{"none", `<sip:anonymous@h>;tag=x`, []string{"Privacy: none"}, privacy{}},
		{"none and id", known, []string{"Privacy: none;id"}, all},
		{"anonymous", `"Anonymous" <sip:anonymous@anonymous.invalid>;tag=x`, nil, all},
		{"anonymous at a host", `<sip:Anonymous@192.0.2.1>;tag=x`, nil, all},
		{"anonymous with parameters", `<sip:%61nonymous;x=y@h>;tag=x`, nil, all},
		{"restricted", `<sip:Restricted@h>;tag=x`, nil, all},
		{"unavailable", `<sip:unavailable@unknown.invalid>;tag=x`, nil, privacy{}},
		{"empty user", `<sip:192.0.2.1>;tag=x`, nil, privacy{}},
		{"remote party, full", known, []string{"Remote-Party-ID: <sip:1@c>;privacy=full"}, all},
		{"remote party, full by the network", known, []string{`Remote-Party-ID: <sip:1@c>;privacy="full-network,name"`}, all},
		{"remote party, uri", known, []string{"Remote-Party-ID: <sip:1@c>;privacy=uri"}, privacy{number: true, history: true}},
		{"remote party, name", known, []string{"Remote-Party-ID: <sip:1@c>;Privacy=Name"}, privacy{name: true}},
		{"remote party, off", known, []string{"Remote-Party-ID: <sip:1@c>;privacy=off"}, privacy{}},
		{"another party", known, []string{"Remote-Party-ID: <sip:1@c>;party=called;privacy=full"}, privacy{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := privacyOf(siptest.InviteFrom(t, tt.from, tt.headers...), &config.Trunk{Trusted: true}); got != tt.want {
				t.Errorf("%+v; want %+v", got, tt.want)
			}
		})
	}
	rpid := siptest.InviteFrom(t, known, "Remote-Party-ID: <sip:1@c>;privacy=full")
	if got := privacyOf(rpid, &config.Trunk{}); got != (privacy{}) {
		t.Errorf("of an untrusted trunk: %+v", got)
	}
}

// History-Info stands in for Diversion: from the last entry up its branch.
func TestHistory(t *testing.T) {
	for _, tt := range []struct {
		name    string
		headers []string
		want    string
	}{
		{"one entry", []string{"History-Info: <sip:+15075550111@a>;index=1"}, ""},
		{
			"diverted",
			[]string{"History-Info: <sip:+15075550111@a?Reason=SIP%3Bcause%3D486%3Btext%3D%22Busy%2C%20Here%22>;index=1, <sip:+15075785607@b;cause=486>;index=1.1;mp=1"},
			"+15075550111",
		},
		{
			"in headers of their own",
			[]string{"History-Info: <sip:5075550111@a?Reason=SIP%3bcause%3d302>;index=1", "History-Info: <sip:+15075785607@b>;index=1.1"},
			"+15075550111",
		},
		{
			"diverted twice",
			[]string{"History-Info: <sip:+15075550111@a>;index=1,<sip:+15075550222@a>;index=1.1,<sip:+15075785607@b>;index=1.1.1"},
			"+15075550222",
		},
		{
			"another branch",
			[]string{"History-Info: <sip:+15075550111@a>;index=1,<sip:+15075550222@a>;index=1.1,<sip:+15075785607@b>;index=1.2"},
			"+15075550111",
		},
		{
			"by mp",
			[]string{"History-Info: <sip:+15075550111@a>;index=1,<sip:+15075550222@a>;index=1.1,<sip:+15075785607@b>;index=1.2;mp=1.1"},
			"+15075550222",
		},
		{
			"routed alone",
			[]string{"History-Info: <sip:+15075785607@a>;index=1,<sip:+15075785607@b>;index=1.1"},
			"",
		},
		{
			"to a contact of the same user",
			[]string{"History-Info: <sip:+15075785607@a>;index=1,<sip:line5@b>;index=1.1;rc=1"},
			"",
		},
		{
			"diverted, then to a contact",
			[]string{"History-Info: <sip:+15075550111@a>;index=1,<sip:+15075785607@a>;index=1.1;mp=1,<sip:line5@b>;index=1.1.1;rc=1.1"},
			"+15075550111",
		},
		{
			"tel with a question mark in the user before it",
			[]string{`History-Info: "Desk <1>, ?" <tel:+15075550111>;index=1,<sip:a?b@c>;index=1.1`},
			"+15075550111",
		},
		{
			"withheld",
			[]string{"History-Info: <sip:anonymous@anonymous.invalid?Privacy=history>;index=1,<sip:+15075785607@b>;index=1.1"},
			"",
		},
		{
			"a circle",
			[]string{"History-Info: <sip:1@a>;index=1;mp=2,<sip:1@a>;index=2;mp=1"},
			"",
		},
		{"no index", []string{"History-Info: <sip:+15075550111@a>, <sip:+15075785607@b>"}, "+15075550111"},
		{"broken", []string{"History-Info: <sip:+15075550111@a>;index=1, <sip:"}, ""},
		{"very many", []string{"History-Info: " + strings.Repeat("<sip:1@a>;index=1,", 100) + "<sip:2@a>;index=1.1"}, ""},
		{
			"Diversion goes first",
			[]string{"History-Info: <sip:+15075550111@a>;index=1, <sip:2@b>;index=1.1", "Diversion: <tel:+15075550333>;counter=2;privacy=off"},
			"+15075550333",
		},
		{"Diversion of nobody", []string{"Diversion: <sip:anonymous@anonymous.invalid>;privacy=full"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := diversion(siptest.InviteFrom(t, "<sip:a@b>;tag=x", tt.headers...), "1"); got != tt.want {
				t.Errorf("%q; want %q", got, tt.want)
			}
		})
	}
}

// FuzzNormalise: a number is the same when it is read again, holds no control
// character, and once escaped stands in a URI where it seems to.
func FuzzNormalise(f *testing.F) {
	for _, user := range []string{
		"+15075785607", "%2B1507", "0301234567;phone-context=+49", "a@b", "1:2", "\r\n", "٣", "*98", "sip:x", "%", ";", "//x", "[::1",
	} {
		f.Add(user, "1")
		f.Add(user, "49")
	}
	template, err := config.ParseTemplate("sip:{{.To.Number}}@target.example:5060")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, user, country string) {
		if !allDigits(country) || len(country) > 3 || country[0] == '0' {
			country = ""
		}
		number := normalise(user, country)
		if again := normalise(number, country); again != number {
			t.Errorf("%q, then %q", number, again)
		}
		if isNumber(number) && strings.ContainsFunc(number, unicode.IsControl) {
			t.Errorf("%q", number)
		}
		var uri sip.Uri
		text := "sip:" + escapeUser(number) + "@target.example"
		if err := sip.ParseUri(text, &uri); err != nil || uri.Host != "target.example" || strings.ContainsFunc(text, unicode.IsControl) {
			t.Errorf("%q: host %q, %v", text, uri.Host, err)
		}
		rendered, err := renderURI(&config.Target{URI: template}, config.Vars{To: config.Party{Number: number}})
		if err == nil && (rendered.Host != "target.example" || rendered.Port != 5060 || strings.ContainsFunc(rendered.String(), unicode.IsControl)) {
			t.Errorf("%q gives %q", number, rendered.String())
		}
	})
}

// FuzzParty: whatever a peer writes as a party, what comes of it is bounded,
// without control characters, and can be put into a name-addr.
func FuzzParty(f *testing.F) {
	for _, v := range []string{
		`"Ann" <sip:+15075550100@h;user=phone>;tag=x`, `sip:a@b;tag=x`, `<tel:5;phone-context=+1>`, "\"a\nb\" <sip:1@h>", `"a\`, `<sip:a@b?X=y%0d%0a>`,
		`<sip:1@h?Reason=SIP%3Bcause%3D302>;index=1,<sip:2@h>;index=1.1;mp=1`, `a, "b`, `<<sip:a@b>>`, `"x";<sip:a@b>`,
	} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, value string) {
		diverted(splitValues(value), "1")
		embedded(value)
		p, params, ok := parseParty(value, "1")
		if !ok {
			return
		}
		privacyTokens(params)
		for _, part := range []string{p.Number, p.User, p.Name, p.Host, p.URI} {
			if strings.ContainsFunc(part, unicode.IsControl) || len(part) > maxURI {
				t.Errorf("%q: %q of %+v", value, part, p)
			}
		}
		text := quoted(p.Name) + " <" + Local{Host: "h"}.uri(userOf(p)) + ">"
		again, _, ok := parseParty(text, "")
		if !ok || again.Host != "h" || again.Name != p.Name && strings.ToValidUTF8(p.Name, "�") != again.Name {
			t.Errorf("%q of %+v comes back as %+v", text, p, again)
		}
	})
}
