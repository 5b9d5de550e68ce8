package outbound

import (
	"strings"
	"testing"
	"unicode"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config/template"
	"flowbridge/sim/siptest"
)

func TestCallerOf(t *testing.T) {
	const from = `"Ann Smith" <sip:5075550100@192.0.2.10>;tag=x`
	for _, tt := range []struct {
		name    string
		from    string
		headers []string
		trusted bool
		want    template.Party
	}{
		{
			"From alone", from, nil, true,
			template.Party{Number: "+15075550100", User: "5075550100", Name: "Ann Smith", Host: "192.0.2.10", URI: "sip:5075550100@192.0.2.10"},
		},
		{
			"asserted", from,
			[]string{`P-Asserted-Identity: "Bob" <sip:+15075550199@carrier.example;user=phone>`},
			true,
			template.Party{
				Number: "+15075550199", User: "+15075550199", Name: "Bob", Host: "carrier.example",
				URI: "sip:+15075550199@carrier.example;user=phone",
			},
		},
		{
			"asserted, not trusted", from,
			[]string{`P-Asserted-Identity: <sip:+15075550199@carrier.example>`},
			false,
			template.Party{Number: "+15075550100", User: "5075550100", Name: "Ann Smith", Host: "192.0.2.10", URI: "sip:5075550100@192.0.2.10"},
		},
		{
			"two headers", from,
			[]string{
				"P-Asserted-Identity: <sip:+15075550199@carrier.example>", "P-Asserted-Identity: <tel:+15075550198>",
			},
			true,
			template.Party{Number: "+15075550199", User: "+15075550199", Host: "carrier.example", URI: "sip:+15075550199@carrier.example"},
		},
		{
			"tel", from,
			[]string{"P-Asserted-Identity: <tel:+1-507-555-0198>"},
			true,
			template.Party{Number: "+15075550198", User: "+1-507-555-0198", URI: "tel:+1-507-555-0198"},
		},
		{
			"tel with phone-context", from,
			[]string{"P-Asserted-Identity: <tel:5550198;phone-context=+1507>"},
			true,
			template.Party{Number: "+15075550198", User: "5550198;phone-context=+1507", URI: "tel:5550198;phone-context=+1507"},
		},
		{
			"broken, then good", from,
			[]string{
				`P-Asserted-Identity: "never closed <sip:1@2>`, "P-Asserted-Identity: <sip:+15075550199@carrier.example>",
			},
			true,
			template.Party{Number: "+15075550199", User: "+15075550199", Host: "carrier.example", URI: "sip:+15075550199@carrier.example"},
		},
		{
			"broken alone", from,
			[]string{"P-Asserted-Identity: <"},
			true,
			template.Party{Number: "+15075550100", User: "5075550100", Name: "Ann Smith", Host: "192.0.2.10", URI: "sip:5075550100@192.0.2.10"},
		},
		{
			"anonymous", `"Anonymous" <sip:anonymous@anonymous.invalid>;tag=x`, nil, true,
			template.Party{
				Number: "anonymous", User: "anonymous", Name: "Anonymous", Host: "anonymous.invalid",
				URI: "sip:anonymous@anonymous.invalid",
			},
		},
		{
			"escaped name", `"Ann \"the\" Smith" <sip:1@h>;tag=x`, nil, true,
			template.Party{Number: "1", User: "1", Name: `Ann "the" Smith`, Host: "h", URI: "sip:1@h"},
		},
		{"no user", `<sip:192.0.2.10>;tag=x`, nil, true, template.Party{Host: "192.0.2.10", URI: "sip:192.0.2.10"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			trunk := &peers.Caller{Trusted: tt.trusted, Country: "1"}
			if got := CallerOf(siptest.InviteFrom(t, tt.from, tt.headers...), trunk); got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestAnonymous(t *testing.T) {
	for value, want := range map[string]bool{
		"id": true, "ID": true, "user": true, "full": true, "header;id": true, "id; critical": true, "session , id": true,
		"none": false, "header": false, "critical": false, "idx": false, "": false, "session;history": false,
	} {
		if got := PrivacyOf(siptest.InviteFrom(t, "<sip:a@b>;tag=x", "Privacy: "+value), &peers.Caller{}).number; got != want {
			t.Errorf("Privacy %q: %v; want %v", value, got, want)
		}
	}
	if PrivacyOf(siptest.InviteFrom(t, "<sip:a@b>;tag=x"), &peers.Caller{}) != (Privacy{}) {
		t.Error("without Privacy the caller is anonymous")
	}
}

// A trusted trunk's call and another trunk's call get the caller from different headers.
func TestIdentity(t *testing.T) {
	const from = `"Ann" <sip:+15075550100@h>;tag=x`
	for _, tt := range []struct {
		name, from string
		headers    []string
		trusted    string // number and name that a trusted trunk gives
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

// FuzzParty checks that for any text of a peer, the party is bounded, has no control
// characters, and can be written as a name-addr.
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
		text := message.Quote(p.Name) + " " + leg.Local{Host: "h"}.Address(message.UserOf(p))
		again, _, ok := message.ParseParty(text, "")
		if !ok || again.Host != "h" || again.Name != p.Name && strings.ToValidUTF8(p.Name, "�") != again.Name {
			t.Errorf("%q of %+v comes back as %+v", text, p, again)
		}
	})
}
