package outbound

import (
	"strings"
	"testing"
	"unicode"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/internal/siptest"
)

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
				p := CallerOf(siptest.InviteFrom(t, tt.from, tt.headers...), &peers.Caller{Trusted: trusted})
				if got := p.Number + " " + p.Name; got != want {
					t.Errorf("trusted %v: %q; want %q", trusted, got, want)
				}
			}
		})
	}
}

func TestPrivacy(t *testing.T) {
	const known = `"Ann" <sip:+15075550100@h>;tag=x`
	all := Privacy{number: true, name: true, history: true}
	for _, tt := range []struct {
		name, from string
		headers    []string
		want       Privacy
	}{
		{"none asked", known, nil, Privacy{}},
		{"id", known, []string{"Privacy: id"}, all},
		{"user and critical", known, []string{"Privacy: user;critical"}, all},
		{"two headers", known, []string{"Privacy: header", "Privacy: id"}, all},
		{"history", known, []string{"Privacy: history"}, Privacy{history: true}},
		{"header and session", known, []string{"Privacy: header;session"}, Privacy{}},
		{"none", `<sip:anonymous@h>;tag=x`, []string{"Privacy: none"}, Privacy{}},
		{"none and id", known, []string{"Privacy: none;id"}, all},
		{"anonymous", `"Anonymous" <sip:anonymous@anonymous.invalid>;tag=x`, nil, all},
		{"anonymous at a host", `<sip:Anonymous@192.0.2.1>;tag=x`, nil, all},
		{"anonymous with parameters", `<sip:%61nonymous;x=y@h>;tag=x`, nil, all},
		{"restricted", `<sip:Restricted@h>;tag=x`, nil, all},
		{"unavailable", `<sip:unavailable@unknown.invalid>;tag=x`, nil, Privacy{}},
		{"empty user", `<sip:192.0.2.1>;tag=x`, nil, Privacy{}},
		{"remote party, full", known, []string{"Remote-Party-ID: <sip:1@c>;privacy=full"}, all},
		{"remote party, full by the network", known, []string{`Remote-Party-ID: <sip:1@c>;privacy="full-network,name"`}, all},
		{"remote party, uri", known, []string{"Remote-Party-ID: <sip:1@c>;privacy=uri"}, Privacy{number: true, history: true}},
		{"remote party, name", known, []string{"Remote-Party-ID: <sip:1@c>;Privacy=Name"}, Privacy{name: true}},
		{"remote party, off", known, []string{"Remote-Party-ID: <sip:1@c>;privacy=off"}, Privacy{}},
		{"another party", known, []string{"Remote-Party-ID: <sip:1@c>;party=called;privacy=full"}, Privacy{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := PrivacyOf(siptest.InviteFrom(t, tt.from, tt.headers...), &peers.Caller{Trusted: true}); got != tt.want {
				t.Errorf("%+v; want %+v", got, tt.want)
			}
		})
	}
	rpid := siptest.InviteFrom(t, known, "Remote-Party-ID: <sip:1@c>;privacy=full")
	if got := PrivacyOf(rpid, &peers.Caller{}); got != (Privacy{}) {
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
			if got := Diversion(siptest.InviteFrom(t, "<sip:a@b>;tag=x", tt.headers...), "1"); got != tt.want {
				t.Errorf("%q; want %q", got, tt.want)
			}
		})
	}
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
		diverted(message.SplitValues(value), "1")
		embedded(value)
		p, params, ok := message.ParseParty(value, "1")
		if !ok {
			return
		}
		privacyTokens(params)
		for _, part := range []string{p.Number, p.User, p.Name, p.Host, p.URI} {
			if strings.ContainsFunc(part, unicode.IsControl) || len(part) > message.MaxURI {
				t.Errorf("%q: %q of %+v", value, part, p)
			}
		}
		text := message.Quote(p.Name) + " <" + leg.Local{Host: "h"}.URI(message.UserOf(p)) + ">"
		again, _, ok := message.ParseParty(text, "")
		if !ok || again.Host != "h" || again.Name != p.Name && strings.ToValidUTF8(p.Name, "�") != again.Name {
			t.Errorf("%q of %+v comes back as %+v", text, p, again)
		}
	})
}
