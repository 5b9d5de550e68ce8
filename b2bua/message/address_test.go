package message

import (
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config/template"
)

func TestAddrSpec(t *testing.T) {
	for value, want := range map[string]string{
		"sip:a@b":                           "sip:a@b",
		"sip:a@b;tag=x":                     "sip:a@b",
		"<sip:a@b;lr>;x=y":                  "sip:a@b;lr",
		`"Ann" <sip:a@b>;tag=x`:             "sip:a@b",
		`"<sip:evil@x>" <sip:a@b>`:          "sip:a@b",
		`"a \"quoted\" <one>" <sip:a@b;lr>`: "sip:a@b;lr",
		`Ann Smith <sip:a@b>`:               "sip:a@b",
		`"never closed <sip:a@b>`:           "",
		"":                                  "",
		"< sip:a@b >":                       "sip:a@b",
		" <sip:a@b>":                        "sip:a@b",
	} {
		if got := AddrSpec(value); got != want {
			t.Errorf("%s: %q; want %q", value, got, want)
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
		if got := strings.Join(SplitValues(value), "|"); got != want {
			t.Errorf("%q: %q; want %q", value, got, want)
		}
	}
}

func TestEscapeUser(t *testing.T) {
	for number, want := range map[string]string{
		"+15075550100": "+15075550100", "": "anonymous", "alice": "alice", "a b": "a%20b", "a@b": "a%40b", "a:b": "a%3Ab",
		"#31#": "%2331%23", "*98": "*98", "a\r\nb": "a%0D%0Ab", "a>b": "a%3Eb", "a%b": "a%25b", "ü": "%C3%BC", `"`: "%22", "a;b=c": "a%3Bb=c",
	} {
		got := UserOf(template.Party{Number: number})
		if got != want {
			t.Errorf("%q: %q; want %q", number, got, want)
		}
		var uri sip.Uri
		if err := sip.ParseUri("sip:"+got+"@h", &uri); err != nil || uri.User != got || uri.Host != "h" {
			t.Errorf("%q gives a URI with user %q and host %q: %v", number, uri.User, uri.Host, err)
		}
		if number != "" && Unescape(got) != number && !strings.ContainsAny(number, "\r\n") {
			t.Errorf("%q comes back as %q", number, Unescape(got))
		}
	}
}

// A dialog keeps the parameters of From and To exactly as they came, including quotes.
func TestNameAddr(t *testing.T) {
	for in, want := range map[string]string{
		`"A \"B\"" <sip:a@b>;x="c d";tag=1;y=e`: `"A \"B\"" <sip:a@b>;x="c d";y=e`,
		`sip:a@b;TAG=1;z`:                       `<sip:a@b>;z`,
	} {
		p := parsing{usual: &usualHeaders{}}
		h, ok := p.read(kindFrom, "From", in).(*sip.FromHeader)
		if !ok {
			t.Errorf("%s can't be read", in)
		} else if got := NameAddr(h.DisplayName, &h.Address, h.Params); got != want {
			t.Errorf("%s: got %s; want %s", in, got, want)
		}
	}
}
