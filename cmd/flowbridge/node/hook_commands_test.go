package node

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/redirected"
	"flowbridge/b2bua/registry"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/platform/hooks"
	"flowbridge/platform/vapi"
	"flowbridge/store/record"
)

// twoCalls are the hooks of two live calls at Vapi that ring, each with our id, the Call-ID of our INVITE and an id that its caller has written.
const callOne, callTwo = "call-one-0001", "call-two-0002"

func twoCalls() *callHooks {
	calls := map[string]registry.LiveCall{}
	for id, names := range map[string][]string{callOne: {"sip-one-0001", "customer-4711"}, callTwo: {"sip-two-0002", "customer-4712"}} {
		live := registry.LiveCall{
			Record: record.Record{ID: id, Target: "vapi", TargetSIPCallID: names[0], ExternalID: names[1]},
			Vars:   template.Vars{HeaderFunc: func(string) string { return "" }},
		}
		calls[id], calls[names[0]], calls[names[1]] = live, live, live
	}
	h := &callHooks{inForce: &atomic.Pointer[inForce]{}, find: func(_ context.Context, id string) (registry.LiveCall, error) {
		if live, ok := calls[id]; ok {
			return live, nil
		}
		return registry.LiveCall{}, redirected.ErrUnknownCall
	}}
	h.inForce.Store(&inForce{cfg: &config.Config{Targets: []config.Target{{Name: "vapi", Kind: config.KindVapi}}}})
	return h
}

// A header may come from the caller. It names a call only where the Call-ID of our INVITE does not.
func TestHeadersDoNotOutrankTheINVITE(t *testing.T) {
	for _, tt := range []struct{ callID, header, want string }{
		{"sip-one-0001", callTwo, callOne},
		{"sip-one-0001", "sip-two-0002", callOne},
		{"sip-one-0001", "unknown", callOne},
		{"rewritten", callTwo, callTwo},
		{"", callTwo, callTwo},
		{"rewritten", "customer-4712", ""},
		{"customer-4711", "unknown", ""},
	} {
		live, _ := twoCalls().vapiCall(t.Context(), vapi.Request{SIPCallID: tt.callID, Headers: map[string]string{"x-call": tt.header}})
		if got := live.Record.ID; got != tt.want {
			t.Errorf("Vapi's %+v: got %q", tt, got)
		}
		live, _, err := (sessions{hooks: twoCalls()}).callOf(t.Context(), http.Header{"X-Call": {tt.header}, "Call-Id": {tt.callID}})
		if got := live.Record.ID; got != tt.want || err != nil {
			t.Errorf("OpenAI's %+v: got %q, %v", tt, got, err)
		}
	}
}

// A caller can talk a model into any argument. Where the platform says which call it is, the argument may only agree: each form of the body,
// with an argument that agrees, names another live call, or none.
func TestCommandsNameTheirOwnCall(t *testing.T) {
	did, two := "", twoCalls()
	h := &hooks.Commands{Log: zerolog.Nop(), Do: func(ctx context.Context, _ *hooks.Token, c hooks.Command) (string, error) {
		live, err := two.commanded(ctx, c)
		if did = live.Record.ID; err != nil {
			did = ""
		}
		return "Done.", err
	}}
	for form, tt := range map[string]struct {
		target, body string
		platform     bool // it says which call it is
	}{
		"flat":                        {"/commands", `{"do": "hold", "call": "ARGUMENT"}`, false},
		"arguments only":              {"/commands", `{"name": "hold", "args": {"call": "ARGUMENT"}}`, false},
		"Vapi's, which names no call": {"/commands", `{"message": {"toolCallList": [{"name": "hold", "arguments": {"call": "ARGUMENT"}}]}}`, false},
		"Retell's":                    {"/commands", `{"name": "hold", "call": {"call_id": "0123456789abcdef", "custom_sip_headers": {"x-call": "CALL"}}, "args": {"call": "ARGUMENT"}}`, true},
		"Retell's, the call as text":  {"/commands", `{"name": "hold", "call": "CALL", "args": {"call": "ARGUMENT"}}`, true},
		"Vapi's":                      {"/commands", `{"message": {"call": {"id": "0199-vapi-call", "transport": {"sbcCallSid": "CALL"}}, "toolCallList": [{"name": "hold", "arguments": {"call": "ARGUMENT"}}]}}`, true},
		"Vapi's, arguments as text":   {"/commands", `{"message": {"call": {"id": "CALL"}, "toolCallList": [{"function": {"name": "hold", "arguments": "{\"call\": \"ARGUMENT\"}"}}]}}`, true},
		"Vapi's, of a call elsewhere": {"/commands", `{"message": {"call": {"id": "0199-vapi-call"}, "toolCallList": [{"name": "hold", "arguments": {"call": "ARGUMENT"}}]}}`, true},
		"tied to a call by its URL":   {"/commands?call=customer-4711", `{"name": "hold", "call": {"call_id": "CALL"}, "args": {"call": "ARGUMENT"}}`, true},
	} {
		for argument, found := range map[string]string{
			callOne: callOne, "sip-one-0001": callOne, "customer-4711": callOne,
			callTwo: callTwo, "sip-two-0002": callTwo, "customer-4712": callTwo, "nothing-0003": "",
		} {
			byURL, unknown := strings.Contains(tt.target, "?"), !strings.Contains(tt.body, "CALL")
			want, code := found, 200
			switch {
			case byURL:
				want = callOne
			case tt.platform && (unknown || found != callOne):
				want, code = "", 403
			case found == "":
				code = 404
			}
			body := strings.NewReplacer("CALL", "sip-one-0001", "ARGUMENT", argument).Replace(tt.body)
			h.Tokens = []*hooks.Token{{Secret: "hush", PerHour: 1}}
			w, r := httptest.NewRecorder(), httptest.NewRequest("POST", tt.target, strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer hush")
			h.ServeHTTP(w, r)
			if strings.Contains(w.Body.String(), `"results"`) { // for which Vapi wants 200
				code = 200
			}
			if did != want || w.Code != code {
				t.Errorf("%s, argument %s: got %d, of call %q; want %d, of %q\n%s", form, argument, w.Code, did, code, want, w.Body)
			}
		}
	}
}
