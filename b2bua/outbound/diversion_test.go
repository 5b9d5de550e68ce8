package outbound

import (
	"strings"
	"testing"

	"flowbridge/sim/siptest"
)

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

// History-Info is used instead of Diversion: from its last entry up its branch.
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
