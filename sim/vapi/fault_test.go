package vapi

import (
	"net/http"
	"strings"
	"testing"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

// The faults in ids are in every answer about an assistant or a number.
func TestVapiFaultsInIDs(t *testing.T) {
	t.Parallel()
	v := startVapi(t, Options{})
	code, first := v.request(t, http.MethodPost, "/assistant", `{"name":"first"}`)
	o, err := standin.ParseObject([]byte(first))
	if code != 201 || err != nil {
		t.Fatalf("%d %s", code, first)
	}
	id := o["id"].(string)
	for kind, want := range map[sim.FaultKind]string{
		sim.FaultTypes: `"id":4711`, sim.FaultEmptyID: `"id":""`, sim.FaultCRLF: `\r\nX-Injected: yes"`, sim.FaultReused: `"id":"` + id + `"`,
	} {
		v.SetFault(sim.Fault{Kind: kind})
		for _, r := range [][3]string{
			{http.MethodPost, "/assistant", `{"name":"another"}`},
			{http.MethodGet, "/assistant/" + id, ""},
			{http.MethodPatch, "/assistant/" + id, `{"name":"changed"}`},
			{http.MethodGet, "/assistant", ""},
		} {
			if code, answer := v.request(t, r[0], r[1], r[2]); code/100 != 2 || !strings.Contains(answer, want) {
				t.Errorf("%s: %v: %d %s", kind, r, code, answer)
			}
		}
		uri := `sip:` + string(kind) + "@" + v.SIPAddr().String()
		code, answer := v.request(t, http.MethodPost, "/phone-number", `{"provider":"vapi","sipUri":"`+uri+`"}`)
		if kind != sim.FaultReused && !strings.Contains(answer, want) || code != 201 {
			t.Errorf("%s: number: %d %s", kind, code, answer)
		}
	}
	v.SetFault(sim.Fault{})
	if code, answer := v.request(t, http.MethodGet, "/assistant/"+id, ""); code != 200 || !strings.Contains(answer, id+`"`) {
		t.Errorf("without a fault: %d %s", code, answer)
	}
}
