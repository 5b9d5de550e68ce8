package outbound

import (
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

func TestWanted(t *testing.T) {
	long := "X-" + strings.Repeat("a", maxPassedName-2)
	for _, tt := range []struct{ name, list, headers, want string }{
		{"names alone", "X-B X-A", "X-A X-C", "X-B X-A"},
		{"in the message's order", "X-*", "x-b Reason X-A X-b X-a", "x-b X-A"},
		{"the name itself", "X-*", "X- X", "X-"},
		{"listed by name too", "X-* X-A", "x-a X-B", "X-B X-A"},
		{"two that overlap", "X-A* X-*", "X-AB X-B X-ABC", "X-AB X-ABC X-B"},
		{"what belongs to one side", "Co* Re* vi* Su*", "Contact Content-Type Require Record-Route Via Reason Supported Subject", "Reason Subject"},
		{"compact", "sub* id*", "s k y i", "Subject Identity"},
		{"the platform's id", "X-*", "X-EI x-ei X-Eins", "X-Eins"},
		{"what is configured", "X-*", "X-Set X-Setting", "X-Setting"},
		{"no name", "X-*", "X-a" + "\n" + "b X-\x00 X-ä X-(a)", ""},
		{"too long", "X-*", long + "a " + long, long},
	} {
		var headers []sip.Header
		for n := range strings.SplitSeq(tt.headers, " ") {
			headers = append(headers, sip.NewHeader(n, "1"))
		}
		got := WantedHeaders(strings.Fields(tt.list), headers, []config.Header{{Name: "x-set"}})
		if g := strings.Join(got, " "); g != tt.want {
			t.Errorf("%s: got %q; want %q", tt.name, g, tt.want)
		}
	}
}
