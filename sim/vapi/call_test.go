package vapi

import (
	"net/http"
	"strings"
	"testing"

	"flowbridge/sim"
)

func TestVapiGreetsWithVariables(t *testing.T) {
	t.Parallel()
	v := startVapi(t, Options{})
	c, seen := startTapped(t)
	assistant, number := v.desk(t, "Hello {{first_name}} of {{ Company }}{{missing}}, calling from {{customer.number}}.")
	cc := v.dial("Desk", sim.Header{Name: "X-First_NAME", Value: " Ada "}, sim.Header{Name: "x-company", Value: "ACME; Ltd"}, sim.Header{Name: "X-EI", Value: "S.1;"})
	cc.Heard = 110
	r := place(t, c, cc)
	if r.Status != 200 || r.EndedBy != sim.SideCaller || seen.String() != "100 180 200" {
		t.Fatalf("got %d %s, %s, ended by %s", r.Status, r.Reason, seen, r.EndedBy)
	}
	got := v.last(t)
	const says = "Hello Ada of ACME; Ltd, calling from +15550100001."
	if got.Says != says || got.AssistantID != assistant || got.PhoneNumberID != number || got.EndedReason != endedByCaller || got.Asked != "" {
		t.Errorf("got %+v", got)
	}
	if got.Variables["first_name"] != "Ada" || got.Variables["ei"] != "S.1;" || got.CustomerNumber != "+15550100001" || got.CallID != r.SIPCallID {
		t.Errorf("got %+v", got)
	}
	if at, score := sim.Match(r.Heard, sim.Greeting(says)); score < 0.95 {
		t.Errorf("greeting: score %.2f at %v", score, at)
	}
	code, answer := v.request(t, http.MethodGet, "/call/"+got.ID, "")
	for _, words := range []string{`"endedReason":"customer-ended-call"`, `"first_name":"Ada"`, `"status":"ended"`, `"sbcCallId":"` + r.SIPCallID} {
		if code != 200 || !strings.Contains(answer, words) {
			t.Errorf("%d %s; want %s", code, answer, words)
		}
	}
}

func TestVapiFindsTheNumber(t *testing.T) {
	t.Parallel()
	v, c := startVapi(t, Options{}), startCarrier(t)
	v.create(t, "/phone-number", `{"provider":"vapi","sipUri":"sip:bare@sip.vapi.ai"}`)
	for _, tt := range []struct {
		to     string
		status int
		reason string
	}{
		{"sip:nobody@" + v.SIPAddr().String(), 404, "no phone number has this sipUri"},
		{"sip:bare@sip.eu.vapi.ai", 404, "the Request-URI has a host that is not"},
		{"sip:bare@sip.vapi.ai", 503, endedNoServer},
		{"sip:BARE@" + v.SIPAddr().String(), 503, endedNoServer},
	} {
		cc := v.dial("")
		cc.To, cc.Dest = tt.to, v.SIPAddr()
		if r := place(t, c, cc); r.Status != tt.status || !strings.HasPrefix(r.Reason, tt.reason) {
			t.Errorf("%s: %d %s", tt.to, r.Status, r.Reason)
		}
	}
}

func TestVapiChallenges(t *testing.T) {
	t.Parallel()
	for realm, want := range map[string]string{"": "sip.vapi.ai", "pbx.example": "pbx.example"} {
		v, c := startVapi(t, Options{}), startCarrier(t)
		id, _ := v.desk(t, "Hello")
		named := ""
		if realm != "" {
			named = `"realm":"` + realm + `",`
		}
		v.create(t, "/phone-number", `{"provider":"vapi","sipUri":"sip:locked@sip.vapi.ai","assistantId":"`+id+`","authentication":{`+named+`"username":"`+longUser+`","password":"`+longSecret+`"}}`)
		cc := v.dial("locked")
		r := place(t, c, cc)
		if r.Status != 401 || !strings.Contains(strings.Join(r.Headers, "\n"), `realm="`+want+`"`) {
			t.Errorf("got %d %v", r.Status, r.Headers)
		}
		cc.Username, cc.Password = longUser, "wrong"
		if r := place(t, c, cc); r.Status != 401 {
			t.Errorf("wrong password: %d", r.Status)
		}
		cc.Password = longSecret
		if r := place(t, c, cc); r.Status != 200 {
			t.Errorf("right password: %d", r.Status)
		}
		if r := place(t, c, v.dial("desk")); r.Status != 200 {
			t.Errorf("the other number: %d", r.Status)
		}
	}
}
