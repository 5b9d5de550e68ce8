package outbound

import (
	"testing"

	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/internal/siptest"
)

func TestCallerOf(t *testing.T) {
	const from = `"Ann Smith" <sip:5075550100@192.0.2.10>;tag=x`
	for _, tt := range []struct {
		name    string
		from    string
		headers []string
		trusted bool
		want    config.Party
	}{
		{
			"From alone", from, nil, true,
			config.Party{Number: "+15075550100", User: "5075550100", Name: "Ann Smith", Host: "192.0.2.10", URI: "sip:5075550100@192.0.2.10"},
		},
		{
			"asserted", from,
			[]string{`P-Asserted-Identity: "Bob" <sip:+15075550199@carrier.example;user=phone>`},
			true,
			config.Party{
				Number: "+15075550199", User: "+15075550199", Name: "Bob", Host: "carrier.example",
				URI: "sip:+15075550199@carrier.example;user=phone",
			},
		},
		{
			"asserted, not trusted", from,
			[]string{`P-Asserted-Identity: <sip:+15075550199@carrier.example>`},
			false,
			config.Party{Number: "+15075550100", User: "5075550100", Name: "Ann Smith", Host: "192.0.2.10", URI: "sip:5075550100@192.0.2.10"},
		},
		{
			"two headers", from,
			[]string{
				"P-Asserted-Identity: <sip:+15075550199@carrier.example>", "P-Asserted-Identity: <tel:+15075550198>",
			},
			true,
			config.Party{Number: "+15075550199", User: "+15075550199", Host: "carrier.example", URI: "sip:+15075550199@carrier.example"},
		},
		{
			"tel", from,
			[]string{"P-Asserted-Identity: <tel:+1-507-555-0198>"},
			true,
			config.Party{Number: "+15075550198", User: "+1-507-555-0198", URI: "tel:+1-507-555-0198"},
		},
		{
			"tel with phone-context", from,
			[]string{"P-Asserted-Identity: <tel:5550198;phone-context=+1507>"},
			true,
			config.Party{Number: "+15075550198", User: "5550198;phone-context=+1507", URI: "tel:5550198;phone-context=+1507"},
		},
		{
			"broken, then good", from,
			[]string{
				`P-Asserted-Identity: "never closed <sip:1@2>`, "P-Asserted-Identity: <sip:+15075550199@carrier.example>",
			},
			true,
			config.Party{Number: "+15075550199", User: "+15075550199", Host: "carrier.example", URI: "sip:+15075550199@carrier.example"},
		},
		{
			"broken alone", from,
			[]string{"P-Asserted-Identity: <"},
			true,
			config.Party{Number: "+15075550100", User: "5075550100", Name: "Ann Smith", Host: "192.0.2.10", URI: "sip:5075550100@192.0.2.10"},
		},
		{
			"anonymous", `"Anonymous" <sip:anonymous@anonymous.invalid>;tag=x`, nil, true,
			config.Party{
				Number: "anonymous", User: "anonymous", Name: "Anonymous", Host: "anonymous.invalid",
				URI: "sip:anonymous@anonymous.invalid",
			},
		},
		{
			"escaped name", `"Ann \"the\" Smith" <sip:1@h>;tag=x`, nil, true,
			config.Party{Number: "1", User: "1", Name: `Ann "the" Smith`, Host: "h", URI: "sip:1@h"},
		},
		{"no user", `<sip:192.0.2.10>;tag=x`, nil, true, config.Party{Host: "192.0.2.10", URI: "sip:192.0.2.10"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			trunk := &peers.Caller{Trusted: tt.trusted, Country: "1"}
			if got := CallerOf(siptest.InviteFrom(t, tt.from, tt.headers...), trunk); got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestDiversion(t *testing.T) {
	for _, tt := range []struct {
		headers []string
		want    string
	}{
		{nil, ""},
		{[]string{"Diversion: <sip:5075550111@pbx.example>;reason=unconditional"}, "+15075550111"},
		{[]string{"Diversion: <sip:5075550111@a>;reason=no-answer", "Diversion: <sip:5075550222@b>"}, "+15075550111"},
		{[]string{`Diversion: "Desk; 1" <sip:5075550111@a>;counter=1, <sip:5075550222@b>`}, "+15075550111"},
		{[]string{"Diversion: <tel:+15075550111>;reason=user-busy"}, "+15075550111"},
		{[]string{"Diversion: sip:5075550111@a;reason=deflection"}, "+15075550111"},
		{[]string{"Diversion: <"}, ""},
		{[]string{"Diversion: nonsense"}, ""},
	} {
		if got := Diversion(siptest.InviteFrom(t, "<sip:a@b>;tag=x", tt.headers...), "1"); got != tt.want {
			t.Errorf("%v: %q; want %q", tt.headers, got, tt.want)
		}
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
