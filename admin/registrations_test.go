package admin

import (
	"strings"
	"testing"
	"time"

	"flowbridge/store/record"
)

func TestRegistrations(t *testing.T) {
	o, _ := fixture()
	const path = "/api/registrations"
	if got, _ := do(t, New(o), "GET", path); got.StatusCode != 404 {
		t.Errorf("without registrations: %d", got.StatusCode)
	}
	at := record.TimeOf(time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC))
	all := Registrations{
		Outgoing: []Outgoing{{Trunk: "line", State: "registered", Registrar: "sip.carrier.example", Contact: "sip:t@192.0.2.1:5060", Since: at, ExpiresAt: at}},
		Incoming: []Incoming{{Trunk: "phone", Contact: "sip:a@10.0.0.5", Q: 1, Address: "203.0.113.7:5060", Transport: "udp", Path: []string{}, RegisteredAt: at, ExpiresAt: at}},
	}
	o.Registrations = func() Registrations { return all }
	h := New(o)
	got, body := do(t, h, "GET", path)
	for _, want := range []string{`"outgoing":[{"trunk":"line","state":"registered"`, `"next_at":null`, `"incoming":[{"trunk":"phone","target":""`} {
		if got.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("%d: %s is not in %s", got.StatusCode, want, body)
		}
	}
	if got, _ := do(t, h, "GET", path+"?x=1"); got.StatusCode != 400 {
		t.Errorf("with a parameter: %d", got.StatusCode)
	}
}
