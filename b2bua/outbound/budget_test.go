package outbound

import (
	"errors"
	"strings"
	"testing"

	"flowbridge/b2bua/peers"
	"flowbridge/config"
)

// Headers are dropped in a fixed order until the INVITE fits the budget.
func TestTrim(t *testing.T) {
	fields := func(names ...string) (all []Field) {
		for _, n := range names {
			all = append(all, Field{Name: n, Values: []string{strings.Repeat("v", 100)}, Kept: indispensable(n)})
		}
		return all
	}
	size := func(o *Draft) func() int {
		return func() int { return 300 + 100*(len(o.configured)+len(o.passed)+len(o.own)) }
	}
	for _, tt := range []struct {
		name    string
		budget  Budget
		dropped string
		err     error
	}{
		{"within", Budget{Size: 1100, Value: 100, Headers: 5}, "", nil},
		{"one", Budget{Size: 1000, Value: 100, Headers: 5}, "P2", nil},
		{"both passed", Budget{Size: 900, Value: 100, Headers: 5}, "P2 P1", nil},
		{"then configured", Budget{Size: 700, Value: 100, Headers: 5}, "P2 P1 C2 C1", nil},
		{"then ours", Budget{Size: 500, Value: 100, Headers: 5}, "P2 P1 C2 C1 User-Agent Allow", nil},
		{"too large", Budget{Size: 350, Value: 100, Headers: 5}, "P2 P1 C2 C1 User-Agent Allow P-Asserted-Identity", errInviteTooLarge},
		{"too many", Budget{Size: 5000, Value: 100, Headers: 3}, "P2 P1", nil},
		{"none may", Budget{Size: 5000, Value: 100, Headers: 0}, "P2 P1 C2 C1", nil},
		{"values too long", Budget{Size: 5000, Value: 99, Headers: 5}, "P2 P1 C2 C1", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := &Draft{configured: fields("C1", "x-ei", "C2"), passed: fields("P1", "P2"), own: fields("P-Asserted-Identity", "Allow", "User-Agent")}
			err := o.Trim(tt.budget, size(o))
			if got := strings.Join(o.Dropped, " "); got != tt.dropped || !errors.Is(err, tt.err) {
				t.Errorf("%q, %v; want %q, %v", got, err, tt.dropped, tt.err)
			}
			if !has(o.configured, "X-EI") {
				t.Error("X-EI was left out")
			}
		})
	}
}

func TestOverBudget(t *testing.T) {
	for _, tt := range []struct {
		transport string
		m         Measure
		want      bool
	}{
		{config.TransportUDP, Measure{1100, 512, 24}, false},
		{config.TransportUDP, Measure{1101, 512, 24}, true},
		{config.TransportUDP, Measure{1100, 513, 24}, true},
		{config.TransportUDP, Measure{1100, 512, 25}, true},
		{config.TransportTCP, Measure{9999, 9999, 99}, false},
		{config.TransportTLS, Measure{9999, 9999, 99}, false},
	} {
		if got := OverBudget(&peers.Dial{Transport: tt.transport, Budget: config.Budget{Size: 1100}}, tt.m); got != tt.want {
			t.Errorf("%s %+v: %v", tt.transport, tt.m, got)
		}
	}
}
