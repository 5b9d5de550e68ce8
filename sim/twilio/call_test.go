package twilio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"flowbridge/platform/twilio"
	"flowbridge/sim"
	"flowbridge/sim/synthflow"
)

// Twilio and the webhook communicate in the variants that Synthflow documents, over GET and POST,
// with signatures.
func TestTwilioDialsWhatTheWebhookSays(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		headers func(twilio.Call) []twilio.Header
		method  string
		xei     string
	}{
		"plain":    {func(twilio.Call) []twilio.Header { return nil }, "GET", ""},
		"call sid": {func(c twilio.Call) []twilio.Header { return []twilio.Header{{Name: "X-EI", Value: c.SID}} }, "GET", "CA00"},
		"token":    {func(twilio.Call) []twilio.Header { return []twilio.Header{{Name: "X-EI", Value: "S.a29407fb;"}} }, "POST", "S.a29407fb;"},
		"several headers": {func(twilio.Call) []twilio.Header {
			return []twilio.Header{{Name: "X-EI", Value: "E.1;"}, {Name: "x-first_name", Value: "Zoë & <Co>, 100% +1"}}
		}, "GET", "E.1;"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to, tw := startCallee(t, 0), startTwilio(t, Options{AuthToken: twilioToken})
			hook := startWebhook(t, twilio.Options{
				AuthToken: twilioToken, Dial: twilio.DialOptions{AnswerOnBridge: true, Timeout: 20 * time.Second},
				Route: func(_ context.Context, c twilio.Call) (twilio.Destination, error) {
					return twilio.Destination{URI: "sip:" + c.Called + "@" + to.addr.String(), Headers: tt.headers(c)}, nil
				},
			})
			r := call(t, tw, Call{VoiceURL: hook, Method: tt.method, CallSID: "CA00"})
			wantHeard(t, r, sim.Greeting(greeting)[:sim.SampleRate])
			if got := strings.Join(to.header(t, "X-EI"), ","); got != tt.xei {
				t.Errorf("X-EI: got %q; want %q", got, tt.xei)
			}
			if name == "several headers" && to.header(t, "x-first_name")[0] != "Zoë & <Co>, 100% +1" {
				t.Errorf("got %q", to.header(t, "x-first_name"))
			}
			if invite := to.invite(t); !strings.HasPrefix(invite, "INVITE sip:"+number+"@") || !strings.Contains(to.header(t, "From")[0], "sip:"+twilioCaller+"@") {
				t.Errorf("got %s; want an INVITE to %s from %s", invite, number, twilioCaller)
			}
			sids := []string{to.header(t, "X-Twilio-AccountSid")[0], to.header(t, "X-Twilio-CallSid")[0], to.header(t, "X-Twilio-ApiVersion")[0]}
			if sids[0] != r.AccountSID || sids[1] != r.Dials[0].CallSID || sids[1] == r.CallSID || sids[2] != "2010-04-01" {
				t.Errorf("%q; %+v", sids, r)
			}
			if warned := len(r.Warnings) > 0; warned != strings.Contains(tt.xei, ";") {
				t.Errorf("warnings: %q", r.Warnings)
			}
		})
	}
}

func TestTwilioFaults(t *testing.T) {
	t.Parallel()
	to := startCallee(t, 486)
	var mu sync.Mutex
	called := map[string]int{}
	options := twilio.Options{AuthToken: twilioToken, Route: func(_ context.Context, c twilio.Call) (twilio.Destination, error) {
		mu.Lock()
		defer mu.Unlock()
		called[c.SID]++
		return twilio.Destination{URI: "sip:" + c.Called + "@" + to.addr.String()}, nil
	}}
	hook, tw := startWebhook(t, options), startTwilio(t, Options{AuthToken: twilioToken})
	for name, tt := range map[string]struct {
		fault, method, says string
		times               int
	}{
		"bad signature": {"badsignature", "POST", "answered 403: X-Twilio-Signature", 0},
		"no signature":  {"nosignature", "GET", "answered 403: X-Twilio-Signature", 0},
		"no called":     {"nocalled", "GET", `answered 400: Missing "Called" query parameter`, 0},
		"no plus":       {"noplus", "GET", "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			fault, err := ParseFault(tt.fault)
			if err != nil {
				t.Fatal(err)
			}
			r, err := tw.Call(t.Context(), Call{VoiceURL: hook, Method: tt.method, Called: number, From: twilioCaller, Fault: fault})
			var failed *Error
			switch {
			case tt.says == "" && (err != nil || r.Dials[0].Result.Status != 486):
				t.Errorf("%v, %+v", err, r)
			case tt.says != "" && (!errors.As(err, &failed) || failed.Code != codeRetrieval || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("got %v; want %q", err, tt.says)
			}
			mu.Lock()
			defer mu.Unlock()
			if called[r.CallSID] != tt.times {
				t.Errorf("routed %d times; want %d", called[r.CallSID], tt.times)
			}
		})
	}
}

// Verbs run in order, and so do documents.
func TestTwilioRunsVerbs(t *testing.T) {
	t.Parallel()
	to, tw := startCallee(t, 486), startTwilio(t, Options{})
	url, asked := serveTwiML(t, map[string]string{
		"/reject":   `<Response><Reject reason="busy"/></Response>`,
		"/number":   `<Response><Dial>+15550100009</Dial><Say>x</Say></Response>`,
		"/say":      `<Response><Say>Sorry</Say><Hangup/><Say>never</Say></Response>`,
		"/redirect": `<Response><Redirect method="GET">{host}/say</Redirect></Response>`,
		"/busy":     `<Response><Dial><Sip>` + to.uri() + `</Sip></Dial><Say>They are busy</Say></Response>`,
		"/action":   `<Response><Dial action="/reject"><Sip>` + to.uri() + `</Sip></Dial><Say>never</Say></Response>`,
		"/loop":     `<Response><Redirect>/loop</Redirect></Response>`,
		"/name":     `<Response><Dial><Sip>sip:a@sipin.synthflow.ai:32681</Sip></Dial></Response>`,
		"/tls":      `<Response><Dial><Sip>sip:a@127.0.0.1;transport=tls</Sip></Dial></Response>`,
	})
	for path, tt := range map[string]struct{ outcome, verbs, fails string }{
		"/reject":   {OutcomeRejected, "reject busy", ""},
		"/number":   {OutcomeNumber, "dial +15550100009", ""},
		"/say":      {OutcomeEnded, "say Sorry|hangup", ""},
		"/redirect": {OutcomeEnded, "redirect " + url + "/say|say Sorry|hangup", ""},
		"/busy":     {OutcomeDialled, "dial " + to.uri() + "|say They are busy", ""},
		"/action":   {OutcomeRejected, "dial " + to.uri() + "|reject busy", ""},
		"/loop":     {OutcomeEnded, strings.TrimSuffix(strings.Repeat("redirect /loop|", 10), "|"), "11200: more than 10"},
		"/name":     {OutcomeEnded, "dial sip:a@sipin.synthflow.ai:32681", "13254"},
		"/tls":      {OutcomeEnded, "dial sip:a@127.0.0.1;transport=tls", "UDP only"},
	} {
		t.Run(path, func(t *testing.T) {
			r, err := tw.Call(t.Context(), Call{VoiceURL: url + path, Called: number, From: twilioCaller})
			if r.Outcome != tt.outcome || strings.Join(r.Verbs, "|") != tt.verbs {
				t.Errorf("got %s %q; want %s %q", r.Outcome, r.Verbs, tt.outcome, tt.verbs)
			}
			if (err != nil) != (tt.fails != "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("got %v; want %q", err, tt.fails)
			}
		})
	}
	var action string
	for _, a := range asked() {
		if strings.Contains(a, "DialCallStatus=") {
			action = a
		}
	}
	for _, want := range []string{"POST /reject ", "DialCallStatus=busy", "DialSipResponseCode=486", "DialSipCallId=", "DialSipHeader_X-Why=closed", "CallSid=CA"} {
		if !strings.Contains(action, want) {
			t.Errorf("%s is not in %s", want, action)
		}
	}
}

// The request to the action URL says how the call ended and whether the caller is still there. If
// the caller is gone, the returned document does not run.
func TestTwilioTellsTheEnd(t *testing.T) {
	t.Parallel()
	tw := startTwilio(t, Options{})
	agent, busy := startCallee(t, 0), startCallee(t, 486)
	rings := startSynthflow(t, synthflow.Options{RingFor: time.Hour})
	leaves := startSynthflow(t, synthflow.Options{RingFor: 10 * time.Millisecond, Fault: sim.Fault{Kind: sim.FaultHangup, After: 700 * time.Millisecond}})
	with := func(s *synthflow.Platform) string { return target(s) + "?X-EI=S." + prepareCall(t, s) + ";" }
	for name, tt := range map[string]struct {
		attrs, uri string
		call       Call
		verbs      int // number of verbs that run
		says       []string
		never      string
	}{
		"caller hangs up": {"", agent.uri(), Call{Hold: 600 * time.Millisecond}, 1, []string{
			"DialCallStatus=completed", "&CallStatus=completed", "DialSipResponseCode=200",
		}, "in-progress"},
		"agent hangs up":      {"", with(leaves), Call{}, 2, []string{"DialCallStatus=completed", "&CallStatus=in-progress"}, ""},
		"busy":                {"", busy.uri(), Call{}, 2, []string{"DialCallStatus=busy", "&CallStatus=in-progress"}, "DialCallDuration"},
		"busy, not answered":  {` answerOnBridge="true"`, busy.uri(), Call{}, 2, []string{"DialCallStatus=busy", "&CallStatus=ringing"}, "DialCallDuration"},
		"caller gives up":     {"", with(rings), Call{GiveUp: 100 * time.Millisecond}, 1, []string{"DialCallStatus=canceled", "&CallStatus=completed", "Code=487"}, "Duration"},
		"caller is impatient": {"", busy.uri(), Call{GiveUp: time.Hour}, 2, []string{"DialCallStatus=busy", "&CallStatus=in-progress"}, "completed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, asked := serveTwiML(t, map[string]string{
				"/":     `<Response><Dial` + tt.attrs + ` action="/next?call=x&amp;attempt=1" method="POST"><Sip>` + tt.uri + `</Sip></Dial></Response>`,
				"/next": `<Response><Hangup/></Response>`,
			})
			tt.call.VoiceURL, tt.call.Called, tt.call.From = url+"/", number, twilioCaller
			r, err := tw.Call(t.Context(), tt.call)
			if err != nil || len(r.Verbs) != tt.verbs || len(r.Requests) != 2 {
				t.Errorf("%v; %q, %+v", err, r.Verbs, r.Requests)
			}
			action := asked()[1]
			if d := r.Dials[0].Result; !d.AnsweredAt.IsZero() {
				tt.says = append(tt.says, fmt.Sprintf("DialCallDuration=%.0f&", d.EndedAt.Sub(d.AnsweredAt).Seconds()))
			}
			for _, want := range tt.says {
				if !strings.Contains(action, want) {
					t.Errorf("%s is not in %s", want, action)
				}
			}
			if tt.never != "" && strings.Contains(action, tt.never) {
				t.Errorf("%s is in %s", tt.never, action)
			}
		})
	}
}

// With Dest, the INVITE goes to that address. Its Request-URI keeps the host of the document.
func TestTwilioSendsWhereItIsTold(t *testing.T) {
	t.Parallel()
	to, tw := startCallee(t, 486), startTwilio(t, Options{})
	url, _ := serveTwiML(t, map[string]string{"/": `<Response><Dial><Sip>sip:` + number + `@sipin.synthflow.ai:32681</Sip></Dial></Response>`})
	r := call(t, tw, Call{VoiceURL: url + "/", Dest: to.addr})
	if r.Dials[0].Result.Status != 486 || !strings.HasPrefix(to.invite(t), "INVITE sip:"+number+"@sipin.synthflow.ai:32681 ") {
		t.Errorf("result %+v; want 486, for the host of the TwiML", r)
	}
}

// The headers that a caller of a SIP domain sent arrive as parameters.
func TestTwilioSIPDomain(t *testing.T) {
	t.Parallel()
	to, tw := startCallee(t, 486), startTwilio(t, Options{AuthToken: twilioToken})
	asked := make(chan twilio.Call, 1)
	hook := startWebhook(t, twilio.Options{AuthToken: twilioToken, Route: func(_ context.Context, c twilio.Call) (twilio.Destination, error) {
		asked <- c
		return twilio.Destination{URI: to.uri()}, nil
	}})
	call(t, tw, Call{
		VoiceURL: hook, Called: "sip:sales@x.sip.twilio.com", From: "sip:ada@pbx.example", ForwardedFrom: "+15550100009", CallerName: "ADA L",
		SIPHeaders: []sim.Header{{Name: "X-Customer", Value: "a;b&c=d+e"}},
	})
	seen := <-asked
	if seen.Called != "sip:sales@x.sip.twilio.com" || seen.Caller != "sip:ada@pbx.example" || seen.Header("x-customer") != "a;b&c=d+e" ||
		seen.ForwardedFrom != "+15550100009" || seen.CallerName != "ADA L" || seen.Direction != "inbound" || seen.Status != "ringing" {
		t.Errorf("asked with %+v; want the parties, the header and the state of the call", seen)
	}
	if got := to.header(t, "From")[0]; !strings.Contains(got, "sip:ada@") {
		t.Errorf("from %q", got)
	}
}

func TestTwilioValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		call Call
		says string
	}{
		"both":            {Call{Called: number, VoiceURL: "http://a", Trunk: "sip:a"}, "one of"},
		"secret in url":   {Call{Called: number, VoiceURL: "http://u:hidden@127.0.0.1/"}, "without user name"},
		"public url":      {Call{Called: number, VoiceURL: "http://127.0.0.1/", PublicURL: "x"}, "public URL"},
		"trunk with user": {Call{Called: number, Trunk: "sip:a@127.0.0.1"}, "without a user"},
		"fault of GET":    {Call{Called: number, VoiceURL: "http://127.0.0.1/", Fault: sim.Fault{Kind: faultNoPlus}}, "GET"},
		"fault of a hook": {Call{Called: number, Trunk: "sip:127.0.0.1", Fault: sim.Fault{Kind: faultNoCalled}}, "trunks"},
		"give up":         {Call{Called: number, VoiceURL: "http://127.0.0.1/", GiveUp: -1}, "giving up"},
		"give up a trunk": {Call{Called: number, Trunk: "sip:127.0.0.1", GiveUp: 1}, "trunks"},
	} {
		if err := tt.call.Validate(); err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: got %v; want %q", name, err, tt.says)
		}
	}
	for _, bad := range []string{"lazy", "noplus:1s", "slow:2s"} {
		if _, err := ParseFault(bad); err == nil {
			t.Errorf("fault %q is taken", bad)
		}
	}
}

// A webhook that can't be reached, or whose answer is broken, causes an application error. No
// output contains the token.
func TestTwilioWebhookBroken(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
			return
		}
		http.Error(w, "boom\x1b[31m", http.StatusInternalServerError)
	}))
	t.Cleanup(server.Close)
	tw := startTwilio(t, Options{AuthToken: twilioToken})
	for url, says := range map[string]string{server.URL + "/moved": "answered 302", server.URL + "/500": "answered 500: boom", "http://127.0.0.1:1/": "refused"} {
		r, err := tw.Call(t.Context(), Call{VoiceURL: url, Called: number})
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: got %v; want %q", url, err, says)
		}
		if len(r.Requests) != 1 || strings.Contains(err.Error()+r.Requests[0].URL+r.Requests[0].Body, twilioToken) {
			t.Errorf("result %+v; want one request, without the token", r)
		}
	}
}
