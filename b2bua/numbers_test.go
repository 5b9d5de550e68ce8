package b2bua

import (
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
	"flowbridge/internal/siptest"
)

func TestNormalise(t *testing.T) {
	for _, tt := range []struct{ user, country, want string }{
		// E.164 stays, whatever the country.
		{"+15075785607", "1", "+15075785607"},
		{"+15075785607", "49", "+15075785607"},
		{"+15075785607", "", "+15075785607"},
		{"%2B15075785607", "1", "+15075785607"},
		{"+1 (507) 578-56.07", "1", "+15075785607"},
		{"+1%20507%20578%205607", "1", "+15075785607"},
		{"+15075785607;npdi;rn=+15550001111", "1", "+15075785607"},
		{"+15075785607;phone-context=example.com", "", "+15075785607"},

		// Without a country numbers stay as they came.
		{"5075785607", "", "5075785607"},
		{"0015075785607", "", "0015075785607"},
		{"507-578-5607", "", "5075785607"},
		{"100", "", "100"},
		{"00", "", "00"},
		{strings.Repeat("9", 400), "1", strings.Repeat("9", 400)},
		{"+" + strings.Repeat("9", 400), "", "+" + strings.Repeat("9", 400)},

		// North America.
		{"5075785607", "1", "+15075785607"},
		{"15075785607", "1", "+15075785607"},
		{"01149301234567", "1", "+49301234567"},
		{"011441632960001", "1", "+441632960001"},
		{"25075785607", "1", "25075785607"},
		{"911", "1", "911"},
		{"1001", "1", "1001"},
		{"5785607", "1", "5785607"},
		{"011", "1", "011"},
		{"(507) 578-5607", "1", "+15075785607"},
		{"01181312345678", "1", "+81312345678"},
		{"0111234567", "1", "+10111234567"}, // ten digits
		{"411", "1", "411"},
		{"", "1", ""},

		// Countries with trunk prefix 0.
		{"0301234567", "49", "+49301234567"},
		{"0049301234567", "49", "+49301234567"},
		{"0015075785607", "49", "+15075785607"},
		{"01632960001", "44", "+441632960001"},
		{"00441632960001", "44", "+441632960001"},
		{"0612345678", "39", "+390612345678"}, // Italy keeps the 0
		{"3331234567", "39", "+393331234567"},
		{"00390612345678", "39", "+390612345678"},
		{"113", "39", "113"},
		{"0033123456789", "39", "+33123456789"},
		{"00493012", "49", "+490493012"}, // too short for a foreign one
		{"0", "49", "0"},
		{"00", "49", "00"},
		{"110", "49", "110"},
		{"112", "49", "112"},
		{"0800", "49", "0800"}, // a short code
		{"116117", "49", "116117"},
		{"999", "44", "999"},
		{"960001", "44", "960001"}, // a subscriber number

		// What is no number stays the user part.
		{"anonymous", "1", "anonymous"},
		{"alice", "49", "alice"},
		{"1-800-FLOWERS", "1", "1-800-FLOWERS"},
		{"+1507abc", "1", "+1507abc"},
		{"*98", "1", "*98"},
		{"#31#5075785607", "1", "#31#5075785607"},
		{"++15075785607", "1", "++15075785607"},
		{"", "1", ""},
		{"+", "1", "+"},
		{"-", "1", "-"},
		{";x=y", "1", ";x=y"},
		{"a%20b", "1", "a%20b"},
		{"a%0Ab", "1", "a%0Ab"}, // not undone: it could end a header
		{"a%00b", "1", "a%00b"},
		{"a%zz", "1", "a%zz"},
		{"١٢٣", "1", "١٢٣"}, // digits, but no dial digits
	} {
		if got := normalise(tt.user, tt.country); got != tt.want {
			t.Errorf("%q in country %q: %q; want %q", tt.user, tt.country, got, tt.want)
		}
	}
}

// Doing it twice changes nothing.
func TestNormaliseTwice(t *testing.T) {
	for _, user := range []string{"5075785607", "0301234567", "0049301234567", "01149301234567", "+1 507", "alice", "911"} {
		for _, country := range []string{"", "1", "49", "44"} {
			once := normalise(user, country)
			if twice := normalise(once, country); twice != once {
				t.Errorf("%q in country %q: %q, then %q", user, country, once, twice)
			}
		}
	}
}

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
			trunk := &config.Trunk{Trusted: tt.trusted, Country: "1"}
			if got := callerOf(siptest.InviteFrom(t, tt.from, tt.headers...), trunk); got != tt.want {
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
		if got := diversion(siptest.InviteFrom(t, "<sip:a@b>;tag=x", tt.headers...), "1"); got != tt.want {
			t.Errorf("%v: %q; want %q", tt.headers, got, tt.want)
		}
	}
}

func TestAnonymous(t *testing.T) {
	for value, want := range map[string]bool{
		"id": true, "ID": true, "user": true, "full": true, "header;id": true, "id; critical": true, "session , id": true,
		"none": false, "header": false, "critical": false, "idx": false, "": false, "session;history": false,
	} {
		if got := privacyOf(siptest.InviteFrom(t, "<sip:a@b>;tag=x", "Privacy: "+value), &config.Trunk{}).number; got != want {
			t.Errorf("Privacy %q: %v; want %v", value, got, want)
		}
	}
	if privacyOf(siptest.InviteFrom(t, "<sip:a@b>;tag=x"), &config.Trunk{}) != (privacy{}) {
		t.Error("without Privacy the caller is anonymous")
	}
}

func TestEscapeUser(t *testing.T) {
	for number, want := range map[string]string{
		"+15075550100": "+15075550100", "": "anonymous", "alice": "alice", "a b": "a%20b", "a@b": "a%40b", "a:b": "a%3Ab",
		"#31#": "%2331%23", "*98": "*98", "a\r\nb": "a%0D%0Ab", "a>b": "a%3Eb", "a%b": "a%25b", "ü": "%C3%BC", `"`: "%22", "a;b=c": "a%3Bb=c",
	} {
		got := userOf(config.Party{Number: number})
		if got != want {
			t.Errorf("%q: %q; want %q", number, got, want)
		}
		var uri sip.Uri
		if err := sip.ParseUri("sip:"+got+"@h", &uri); err != nil || uri.User != got || uri.Host != "h" {
			t.Errorf("%q gives a URI with user %q and host %q: %v", number, uri.User, uri.Host, err)
		}
		if number != "" && unescape(got) != number && !strings.ContainsAny(number, "\r\n") {
			t.Errorf("%q comes back as %q", number, unescape(got))
		}
	}
}

func TestQuoted(t *testing.T) {
	for in, want := range map[string]string{
		"Ann": `"Ann"`, `A "b" \c`: `"A \"b\" \\c"`, "a\r\nX: y": `"aX: y"`, "a\x00\x7fb": `"ab"`, "": `""`, "Zoë <sip:x>": `"Zoë <sip:x>"`,
	} {
		got := quoted(in)
		if got != want {
			t.Errorf("%q: %s; want %s", in, got, want)
		}
		var uri sip.Uri
		if _, err := sip.ParseAddressValue(got+" <sip:a@b>", &uri, nil); err != nil || uri.Host != "b" {
			t.Errorf("%s: the address behind it parses to %+v: %v", got, uri, err)
		}
	}
}

// A From or To keeps what it had but for the tag.
func TestPartyOf(t *testing.T) {
	for value, want := range map[string]string{
		`"Ann" <sip:a@b;user=phone>;tag=x`: `"Ann" <sip:a@b;user=phone>`,
		`Ann Smith <sip:a@b>;tag=x;y=z`:    `"Ann Smith" <sip:a@b>;y=z`,
		`sip:a@b;tag=x`:                    `<sip:a@b>`,
		`<sip:a@b>;isup-oli=0;TAG=x;flag`:  `<sip:a@b>;isup-oli=0;flag`,
		`"A \"q\"" <sip:a@b>;tag=x`:        `"A \"q\"" <sip:a@b>`,
		`<tel:+1507;phone-context=x>;tag=`: `<tel:+1507;phone-context=x>`,
	} {
		from := siptest.InviteFrom(t, value).From()
		if got := partyOf(from.DisplayName, &from.Address, from.Params); got != want {
			t.Errorf("%s: %s; want %s", value, got, want)
		}
	}
}
