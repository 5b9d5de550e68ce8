package message

import (
	"strings"
	"testing"
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
