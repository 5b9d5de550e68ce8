package synthflow

import (
	"maps"
	"strings"
	"testing"
	"time"

	"flowbridge/sim"
)

const (
	otherNumber = "+15075785608"
	legacyID    = "1744274157255x646200691892837600"
)

func bound(direct string) Options {
	return Options{RingFor: -1, DirectDial: direct, Account: Account{Numbers: []Number{{number, legacyID}}}}
}

func last(s *Platform) Call { calls := s.Calls(); return calls[len(calls)-1] }

// Without a prepared call, the number decides. X-EI only adds information.
func TestDirectDial(t *testing.T) {
	t.Parallel()
	s, c := startPlatform(t, bound("")), startCarrier(t)
	free := accountCall(t, s, "POST", "/v2/custom-numbers", `{"workspace_id":"w","phone_number":"`+otherNumber+`"}`)
	if free.code != 200 {
		t.Fatal(free.body)
	}
	for _, tt := range []struct {
		name    string
		user    string
		headers []sim.Header
		status  int
		reason  string
		ei      string
		o       string
	}{
		{"no X-EI", number, nil, 200, "OK", "", ""},
		{"without +", number[1:], nil, 200, "OK", "", ""},
		{"bare", number, []sim.Header{{Name: "X-EI", Value: "CA0123456789abcdef0123456789abcdef"}}, 200, "OK", "CA0123456789abcdef0123456789abcdef", ""},
		{"external", number, []sim.Header{{Name: "x-ei", Value: "E.GHL-7;"}}, 200, "OK", "GHL-7", ""},
		{"caller", number, []sim.Header{{Name: "X-EI", Value: "O.+15550100009;E.7;"}}, 200, "OK", "7", "+15550100009"},
		{"Diversion", number, []sim.Header{{Name: "Diversion", Value: `"Desk" <SIP:+15550100008;x=y@pbx.example>;reason=no-answer`}}, 200, "OK", "", "+15550100008"},
		{"X-Diversion", number, []sim.Header{{Name: "X-Diversion", Value: "<tel:+15550100007>"}}, 200, "OK", "", "+15550100007"},
		{"X-EI before Diversion", number, []sim.Header{{Name: "X-EI", Value: "O.+1555;"}, {Name: "Diversion", Value: "<sip:+1556@x>"}}, 200, "OK", "", "+1555"},
		{"bare S", number, []sim.Header{{Name: "X-EI", Value: "S.4711"}}, 403, "x-ei: last token", "", ""},
		{"not a token", number, []sim.Header{{Name: "X-EI", Value: "a;b"}}, 403, "x-ei: part that is no", "", ""},
		{"unknown S", number, []sim.Header{{Name: "X-EI", Value: "S.4711;"}}, 403, "X-EI S token is no id that was given", "", ""},
		{"two", number, []sim.Header{{Name: "X-EI", Value: "E.1;"}, {Name: "X-EI", Value: "E.2;"}}, 403, "more than one", "", ""},
		{"not imported", "+15550109999", nil, 404, "Request-URI user is no imported number", "", ""},
		{"no agent", otherNumber, nil, 404, "no inbound agent is linked", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cc := sim.CarrierCall{To: strings.Replace(target(s), number, tt.user, 1), From: "+15550100001", Headers: tt.headers}
			cc.Hold = 1
			r := place(t, c, cc)
			if r.Status != tt.status || !strings.HasPrefix(r.Reason, tt.reason) {
				t.Fatalf("got %d %s; want %d %s", r.Status, r.Reason, tt.status, tt.reason)
			}
			a := last(s)
			if tt.status != 200 {
				return
			}
			if a.ExternalID != tt.ei || a.Diversion != tt.o || a.ModelID != legacyID || a.SynthflowID == "" {
				t.Errorf("got %q, %q, model %q, id %q", a.ExternalID, a.Diversion, a.ModelID, a.SynthflowID)
			}
			if read := accountCall(t, s, "GET", "/v2/calls/"+a.SynthflowID, ""); read.at(t, "response.calls.0.status") != "completed" ||
				read.at(t, "response.calls.0.model_id") != legacyID || read.at(t, "response.calls.0.phone_number_from") != "+15550100001" {
				t.Errorf("read: %s", read.body)
			}
		})
	}
}

func TestDirectDialOnAndOff(t *testing.T) {
	t.Parallel()
	c := startCarrier(t)
	for _, tt := range []struct {
		o      Options
		status int
	}{
		{Options{RingFor: -1, DirectDial: DirectDialOn}, 200},
		{Options{RingFor: -1}, 403},
		{bound(DirectDialOff), 403},
	} {
		s := startPlatform(t, tt.o)
		cc := sim.CarrierCall{To: target(s), From: "+1", Hold: 1}
		if r := place(t, c, cc); r.Status != tt.status {
			t.Errorf("%q: got %d %s; want %d", tt.o.DirectDial, r.Status, r.Reason, tt.status)
		}
	}
	if _, err := Start(t.Context(), Options{DirectDial: "maybe"}); err == nil {
		t.Error("maybe accepted")
	}
}

func TestVariablesOf(t *testing.T) {
	got := variablesOf([]string{
		"X-EI: S.1;", "x-customer-name: Ada ", "X-Customer-Name:Bob", "X-Order_7 : 1:2", "X-customer.name: x", "X-: y", "X-Order_7: 9", "X-nul: a\x00b", "X-Ümlaut: z",
		"X-Empty:",
	})
	want := map[string]string{"x-customer-name": "Ada", "X-Customer-Name": "Bob", "X-Order_7": "1:2", "X-Empty": ""}
	if !maps.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestInviteIsChecked(t *testing.T) {
	t.Parallel()
	s, c := startPlatform(t, Options{RingFor: -1, IDLifetime: time.Hour}), startCarrier(t)
	used := prepareCall(t, s)
	if r := place(t, c, withXEI(s, "S."+used+";")); r.Status != 200 {
		t.Fatalf("first use: %d %s", r.Status, r.Reason)
	}
	for _, tt := range []struct {
		name   string
		xei    string
		user   string
		reason string
	}{
		{"used id", "S." + used + ";", number, "X-EI S token was used before"},
		{"no S", "E.1;", number, "X-EI without S token"},
		{"other number", "S." + prepareCall(t, s) + ";", "+15075785608", "Request-URI user is not the prepared to_number"},
		{"all three", "O.+1555;E.x;S." + prepareCall(t, s) + ";", number, "OK"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cc := withXEI(s, tt.xei)
			cc.To = strings.Replace(cc.To, number, tt.user, 1)
			r := place(t, c, cc)
			if !strings.HasPrefix(r.Reason, tt.reason) || (r.Status == 200) != (tt.reason == "OK") {
				t.Errorf("got %d %q; want %q", r.Status, r.Reason, tt.reason)
			}
			if r.Status != 200 && r.Status != 403 {
				t.Errorf("got %d; want 403", r.Status)
			}
		})
	}
	t.Run("none and two", func(t *testing.T) {
		cc := withXEI(s, "S."+prepareCall(t, s)+";")
		two := cc
		two.Headers = append(two.Headers, sim.Header{Name: "x-ei", Value: "E.1;"})
		cc.Headers = nil
		if r := place(t, c, cc); r.Status != 403 || r.Reason != "no X-EI header" {
			t.Errorf("got %d %s", r.Status, r.Reason)
		}
		if r := place(t, c, two); r.Status != 403 || r.Reason != "more than one X-EI header" {
			t.Errorf("got %d %s", r.Status, r.Reason)
		}
	})
}
