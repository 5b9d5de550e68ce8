package calltest

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/report"
)

// A trunk whose calls come from its registrar is explained as if it were registered. So is a trunk that registers here.
func TestExplainRegisteredTrunks(t *testing.T) {
	const yaml = `
trunks:
  - {name: carrier, register: {registrars: [sip.carrier.example]}, dial_auth: {username: acme, password_env: FLOWBRIDGE_TEST_TOKEN}}
  - {name: phone, auth: {username: alice, password_env: FLOWBRIDGE_TEST_TOKEN}, registrar: {}}
targets: [{name: agent, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.21"}]
routes:
  - {trunk: carrier, to: "^1[0-9]*$", targets: [agent]}
  - {trunk: carrier, trunks: [phone]}
`
	for to, notes := range map[string][]string{
		"15550100": {"trunk carrier is taken to be registered"},
		"25550100": {"trunk carrier is taken to be registered", "phone: the call goes to what has registered"},
	} {
		x, err := b2bua.Explain(testConfigured(t, yaml), nil, report.Question{From: "123", To: to, Trunk: "carrier"})
		if err != nil || x.Refused || len(x.Targets) != 1 || x.Targets[0].Cause != cause.None {
			t.Fatalf("%s: got %+v, %v", to, x, err)
		}
		for _, note := range notes {
			if !strings.Contains(strings.Join(x.Notes, "\n"), note) {
				t.Errorf("%s: no note %q in %q", to, note, x.Notes)
			}
		}
		if strings.Contains(strings.Join(x.Notes, "\n"), "looked up") {
			t.Errorf("%s: notes %q", to, x.Notes)
		}
	}
	elsewhere := report.Question{From: "123", To: "15550100", Trunk: "carrier", Source: netip.MustParseAddr("203.0.113.9")}
	if x, err := b2bua.Explain(testConfigured(t, yaml), nil, elsewhere); !errors.Is(err, report.ErrQuestion) {
		t.Errorf("from another address than the registrar's: got %+v, %v", x, err)
	}
}
