package message

import (
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config/template"
	"flowbridge/sim/siptest"
)

func TestQuoted(t *testing.T) {
	for in, want := range map[string]string{
		"Ann": `"Ann"`, `A "b" \c`: `"A \"b\" \\c"`, "a\r\nX: y": `"aX: y"`, "a\x00\x7fb": `"ab"`, "": `""`, "Zoë <sip:x>": `"Zoë <sip:x>"`,
	} {
		got := Quote(in)
		if got != want {
			t.Errorf("%q: %s; want %s", in, got, want)
		}
		var uri sip.Uri
		if _, err := sip.ParseAddressValue(got+" <sip:a@b>", &uri, nil); err != nil || uri.Host != "b" {
			t.Errorf("%s: the address behind it parses to %+v: %v", got, uri, err)
		}
	}
}

// A From or To keeps everything except the tag.
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
		if got := NameAddr(from.DisplayName, &from.Address, from.Params); got != want {
			t.Errorf("%s: %s; want %s", value, got, want)
		}
	}
}

func TestParseParty(t *testing.T) {
	long := strings.Repeat("9", 600)
	for value, want := range map[string]template.Party{
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
		if got, _, ok := ParseParty(value, ""); (ok && got != want) || ok != (want != template.Party{}) {
			t.Errorf("%q: %+v, %v; want %+v", value, got, ok, want)
		}
	}
}
