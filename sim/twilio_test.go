package sim

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

	"flowbridge/twilio"
)

// Twilio and the webhook talk to each other in the variants of Synthflow's
// documents, over GET and POST, signed.
func TestTwilioDialsWhatTheWebhookSays(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		headers func(twilio.Call) []twilio.Header
		encode  bool
		method  string
		xei     string
	}{
		"plain":          {func(twilio.Call) []twilio.Header { return nil }, false, "GET", ""},
		"call sid":       {func(c twilio.Call) []twilio.Header { return []twilio.Header{{Name: "X-EI", Value: c.SID}} }, false, "GET", "CA00"},
		"token":          {func(twilio.Call) []twilio.Header { return []twilio.Header{{Name: "X-EI", Value: "S.a29407fb;"}} }, false, "POST", "S.a29407fb;"},
		"token, escaped": {func(twilio.Call) []twilio.Header { return []twilio.Header{{Name: "X-EI", Value: "S.a29407fb;"}} }, true, "POST", "S.a29407fb;"},
		"several headers": {func(twilio.Call) []twilio.Header {
			return []twilio.Header{{Name: "X-EI", Value: "E.1;"}, {Name: "x-first_name", Value: "Zoë & <Co>, 100% +1"}}
		}, false, "GET", "E.1;"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to, tw := startCallee(t, 0), startTwilio(t, TwilioOptions{AuthToken: twilioToken})
			hook := startWebhook(t, twilio.Options{
				AuthToken: twilioToken, EncodeSemicolon: tt.encode, Dial: twilio.DialOptions{AnswerOnBridge: true, Timeout: 20 * time.Second},
				Route: func(_ context.Context, c twilio.Call) (twilio.Destination, error) {
					return twilio.Destination{URI: "sip:" + c.Called + "@" + to.local.String(), Headers: tt.headers(c)}, nil
				},
			})
			r := call(t, tw, TwilioCall{VoiceURL: hook, Method: tt.method, CallSID: "CA00"})
			wantHeard(t, r, Words(calleeSeed)[:sampleRate])
			if got := strings.Join(to.header(t, "X-EI"), ","); got != tt.xei {
				t.Errorf("X-EI: got %q; want %q", got, tt.xei)
			}
			if name == "several headers" && to.header(t, "x-first_name")[0] != "Zoë & <Co>, 100% +1" {
				t.Errorf("got %q", to.header(t, "x-first_name"))
			}
			if to.invite(t).Recipient.User != number || to.invite(t).From().Address.User != twilioCaller {
				t.Errorf("%s from %s", &to.invite(t).Recipient, to.invite(t).From())
			}
			sids := []string{to.header(t, "X-Twilio-AccountSid")[0], to.header(t, "X-Twilio-CallSid")[0], to.header(t, "X-Twilio-ApiVersion")[0]}
			if sids[0] != r.AccountSID || sids[1] != r.Dials[0].CallSID || sids[1] == r.CallSID || sids[2] != "2010-04-01" {
				t.Errorf("%q; %+v", sids, r)
			}
			if warned := len(r.Warnings) > 0; warned != (strings.Contains(tt.xei, ";") && !tt.encode) {
				t.Errorf("warnings: %q", r.Warnings)
			}
		})
	}
}

// The whole of Synthflow's document "Forward calls to the SIP trunk": the call
// is prepared, and the id is in the INVITE.
func TestTwilioToAPreparedCall(t *testing.T) {
	t.Parallel()
	s, tw := startPlatform(t, SynthflowOptions{RingFor: 50 * time.Millisecond}), startTwilio(t, TwilioOptions{AuthToken: twilioToken})
	ids := make(chan string, 1)
	hook := startWebhook(t, twilio.Options{AuthToken: twilioToken, Route: func(_ context.Context, c twilio.Call) (twilio.Destination, error) {
		id := prepareCall(t, s)
		ids <- id
		return twilio.Destination{URI: target(s), Headers: []twilio.Header{{Name: "X-EI", Value: "S." + id + ";"}}}, nil
	}})
	r := call(t, tw, TwilioCall{VoiceURL: hook})
	id := <-ids
	wantHeard(t, r, Greeting(id)[:sampleRate])
	if a := ended(t, s, id); a.XEI != "X-EI: S."+id+";" || a.EndedBy != SideCaller {
		t.Errorf("%+v", a)
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
		return twilio.Destination{URI: "sip:" + c.Called + "@" + to.local.String()}, nil
	}}
	hook, tw := startWebhook(t, options), startTwilio(t, TwilioOptions{AuthToken: twilioToken})
	for name, tt := range map[string]struct {
		fault, method, says string
		times               int
	}{
		"bad signature": {"badsignature", "POST", "answered 403: X-Twilio-Signature", 0},
		"no signature":  {"nosignature", "GET", "answered 403: X-Twilio-Signature", 0},
		"no called":     {"nocalled", "GET", `answered 400: Missing "Called" query parameter`, 0},
		"no plus":       {"noplus", "GET", "", 1},
		"twice":         {"twice", "POST", "", 2},
		"slow":          {"slow:20ms", "POST", "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			fault, err := ParseTwilioFault(tt.fault)
			if err != nil {
				t.Fatal(err)
			}
			r, err := tw.Call(t.Context(), TwilioCall{VoiceURL: hook, Method: tt.method, Called: number, From: twilioCaller, Fault: fault})
			var failed *TwilioError
			switch {
			case tt.says == "" && (err != nil || r.Dials[0].Result.Status != 486):
				t.Errorf("%v, %+v", err, r)
			case tt.says != "" && (!errors.As(err, &failed) || failed.Code != twilioRetrieval || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("got %v; want %q", err, tt.says)
			}
			mu.Lock()
			defer mu.Unlock()
			if called[r.CallSID] != tt.times || tt.times == 2 && len(r.Requests) != 2 {
				t.Errorf("routed %d times; want %d", called[r.CallSID], tt.times)
			}
		})
	}
}

func TestTwilioGivesUp(t *testing.T) {
	t.Parallel()
	hung := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); close(hung) }))
	t.Cleanup(server.Close)
	tw := startTwilio(t, TwilioOptions{})
	_, err := tw.Call(t.Context(), TwilioCall{VoiceURL: server.URL, Method: "GET", Called: number, Fault: TwilioFault{TwilioFaultImpatient, 20 * time.Millisecond}})
	if err == nil || !strings.Contains(err.Error(), "11200") || !strings.Contains(err.Error(), "no answer within 20ms") {
		t.Errorf("got %v", err)
	}
	<-hung
}

// Behind a proxy the URL that is signed is another one than the one that is
// asked.
func TestTwilioBehindAProxy(t *testing.T) {
	t.Parallel()
	to, tw := startCallee(t, 486), startTwilio(t, TwilioOptions{AuthToken: twilioToken})
	hook := startWebhook(t, twilio.Options{
		AuthToken: twilioToken, URL: "https://voice.example.com",
		Route: func(context.Context, twilio.Call) (twilio.Destination, error) {
			return twilio.Destination{URI: to.uri()}, nil
		},
	})
	for _, method := range []string{"GET", "POST"} {
		r := call(t, tw, TwilioCall{VoiceURL: hook, PublicURL: "https://voice.example.com/redirect_call", Method: method})
		if r.Dials[0].Result.Status != 486 {
			t.Errorf("%s: %+v", method, r)
		}
	}
	if _, err := tw.Call(t.Context(), TwilioCall{VoiceURL: hook, Called: number}); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("without it: %v", err)
	}
}

// Verbs are run one after the other, a document after the other.
func TestTwilioRunsVerbs(t *testing.T) {
	t.Parallel()
	to, tw := startCallee(t, 486), startTwilio(t, TwilioOptions{})
	url, asked := serveTwiML(t, map[string]string{
		"/reject":   `<Response><Reject reason="busy"/></Response>`,
		"/number":   `<Response><Dial>+15550100009</Dial><Say>x</Say></Response>`,
		"/say":      `<Response><Say>Sorry</Say><Hangup/><Say>never</Say></Response>`,
		"/empty":    `<Response/>`,
		"/redirect": `<Response><Redirect method="GET">{host}/say</Redirect></Response>`,
		"/relative": `<Response><Redirect>reject</Redirect></Response>`,
		"/busy":     `<Response><Dial><Sip>` + to.uri() + `</Sip></Dial><Say>They are busy</Say></Response>`,
		"/action":   `<Response><Dial action="/reject"><Sip>` + to.uri() + `</Sip></Dial><Say>never</Say></Response>`,
		"/loop":     `<Response><Redirect>/loop</Redirect></Response>`,
		"/away":     `<Response><Redirect>http://192.0.2.1/</Redirect></Response>`,
		"/far":      `<Response><Dial><Sip>sip:a@192.0.2.1</Sip></Dial></Response>`,
		"/name":     `<Response><Dial><Sip>sip:a@sipin.synthflow.ai:32681</Sip></Dial></Response>`,
		"/tls":      `<Response><Dial><Sip>sip:a@127.0.0.1;transport=tls</Sip></Dial></Response>`,
	})
	for path, tt := range map[string]struct{ outcome, verbs, fails string }{
		"/reject":   {TwilioRejected, "reject busy", ""},
		"/number":   {TwilioNumber, "dial +15550100009", ""},
		"/say":      {TwilioEnded, "say Sorry|hangup", ""},
		"/empty":    {TwilioEnded, "", ""},
		"/redirect": {TwilioEnded, "redirect " + url + "/say|say Sorry|hangup", ""},
		"/relative": {TwilioRejected, "redirect reject|reject busy", ""},
		"/busy":     {TwilioDialled, "dial " + to.uri() + "|say They are busy", ""},
		"/action":   {TwilioRejected, "dial " + to.uri() + "|reject busy", ""},
		"/loop":     {TwilioEnded, strings.TrimSuffix(strings.Repeat("redirect /loop|", 10), "|"), "11200: more than 10"},
		"/away":     {TwilioEnded, "redirect http://192.0.2.1/", "neither the Voice URL's host nor loopback"},
		"/far":      {TwilioEnded, "dial sip:a@192.0.2.1", "13254"},
		"/name":     {TwilioEnded, "dial sip:a@sipin.synthflow.ai:32681", "13254"},
		"/tls":      {TwilioEnded, "dial sip:a@127.0.0.1;transport=tls", "UDP only"},
	} {
		t.Run(path, func(t *testing.T) {
			r, err := tw.Call(t.Context(), TwilioCall{VoiceURL: url + path, Called: number, From: twilioCaller})
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

// The action URL is told how the call ended and whether the caller is there;
// for a caller who is not, its answer is not run.
func TestTwilioTellsTheEnd(t *testing.T) {
	t.Parallel()
	tw := startTwilio(t, TwilioOptions{})
	agent, busy := startCallee(t, 0), startCallee(t, 486)
	rings := startPlatform(t, SynthflowOptions{RingFor: 20 * time.Second})
	leaves := startPlatform(t, SynthflowOptions{RingFor: 10 * time.Millisecond, Fault: Fault{Kind: FaultHangup, After: 700 * time.Millisecond}})
	with := func(s *Synthflow) string { return target(s) + "?X-EI=S." + prepareCall(t, s) + ";" }
	for name, tt := range map[string]struct {
		attrs, uri string
		call       TwilioCall
		verbs      int // that are run
		says       []string
		never      string
	}{
		"caller hangs up": {"", agent.uri(), TwilioCall{Hold: 600 * time.Millisecond}, 1, []string{
			"DialCallStatus=completed", "&CallStatus=completed", "DialSipResponseCode=200",
		}, "in-progress"},
		"agent hangs up":      {"", with(leaves), TwilioCall{}, 2, []string{"DialCallStatus=completed", "&CallStatus=in-progress"}, ""},
		"busy":                {"", busy.uri(), TwilioCall{}, 2, []string{"DialCallStatus=busy", "&CallStatus=in-progress"}, "DialCallDuration"},
		"busy, not answered":  {` answerOnBridge="true"`, busy.uri(), TwilioCall{}, 2, []string{"DialCallStatus=busy", "&CallStatus=ringing"}, "DialCallDuration"},
		"caller gives up":     {"", with(rings), TwilioCall{GiveUp: 100 * time.Millisecond}, 1, []string{"DialCallStatus=canceled", "&CallStatus=completed", "Code=487"}, "Duration"},
		"caller is impatient": {"", busy.uri(), TwilioCall{GiveUp: time.Minute}, 2, []string{"DialCallStatus=busy", "&CallStatus=in-progress"}, "completed"},
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

// The host of a document's URI is not called unless the user says where the
// INVITE goes.
func TestTwilioSendsWhereItIsTold(t *testing.T) {
	t.Parallel()
	to, tw := startCallee(t, 486), startTwilio(t, TwilioOptions{})
	url, _ := serveTwiML(t, map[string]string{"/": `<Response><Dial><Sip>sip:` + number + `@sipin.synthflow.ai:32681</Sip></Dial></Response>`})
	r := call(t, tw, TwilioCall{VoiceURL: url + "/", Dest: to.local})
	if r.Dials[0].Result.Status != 486 || to.invite(t).Recipient.Host != "sipin.synthflow.ai" {
		t.Errorf("%+v", r)
	}
}

func TestTwilioTrunk(t *testing.T) {
	t.Parallel()
	to, tw := startCallee(t, 0), startTwilio(t, TwilioOptions{})
	r := call(t, tw, TwilioCall{Trunk: "sip:" + to.local.String(), CallerName: "Ada", Asserted: true, ForwardedFrom: "+15550100009"})
	wantHeard(t, r, Words(calleeSeed)[:sampleRate])
	for name, want := range map[string]string{
		"X-Twilio-CallSid": r.CallSID, "X-Twilio-AccountSid": r.AccountSID,
		"P-Asserted-Identity": "<sip:" + twilioCaller + "@pstn.twilio.com>",
		"Diversion":           "<sip:+15550100009@pstn.twilio.com>;reason=unconditional",
	} {
		if got := to.header(t, name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %q; want %q", name, got, want)
		}
	}
	if req := to.invite(t); req.Recipient.User != number || req.From().DisplayName != "Ada" {
		t.Errorf("%s", req)
	}
}

// What a caller of a SIP domain sent comes as parameters.
func TestTwilioSIPDomain(t *testing.T) {
	t.Parallel()
	to, tw := startCallee(t, 486), startTwilio(t, TwilioOptions{AuthToken: twilioToken})
	asked := make(chan twilio.Call, 1)
	hook := startWebhook(t, twilio.Options{AuthToken: twilioToken, Route: func(_ context.Context, c twilio.Call) (twilio.Destination, error) {
		asked <- c
		return twilio.Destination{URI: to.uri()}, nil
	}})
	call(t, tw, TwilioCall{
		VoiceURL: hook, Called: "sip:sales@x.sip.twilio.com", From: "sip:ada@pbx.example", ForwardedFrom: "+15550100009", CallerName: "ADA L",
		SIPHeaders: []Header{{"X-Customer", "a;b&c=d+e"}},
	})
	seen := <-asked
	if seen.Called != "sip:sales@x.sip.twilio.com" || seen.Caller != "sip:ada@pbx.example" || seen.Header("x-customer") != "a;b&c=d+e" ||
		seen.ForwardedFrom != "+15550100009" || seen.CallerName != "ADA L" || seen.Direction != "inbound" || seen.Status != "ringing" {
		t.Errorf("%+v", seen)
	}
	if got := to.invite(t).From().Address.User; got != "ada" {
		t.Errorf("from %q", got)
	}
}

func TestTwilioValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		call TwilioCall
		says string
	}{
		"nothing":         {TwilioCall{Called: number}, "Voice URL"},
		"both":            {TwilioCall{Called: number, VoiceURL: "http://a", Trunk: "sip:a"}, "one of"},
		"no called":       {TwilioCall{VoiceURL: "http://127.0.0.1/"}, "number"},
		"url":             {TwilioCall{Called: number, VoiceURL: "127.0.0.1"}, "http://"},
		"secret in url":   {TwilioCall{Called: number, VoiceURL: "http://u:hidden@127.0.0.1/"}, "without user name"},
		"public url":      {TwilioCall{Called: number, VoiceURL: "http://127.0.0.1/", PublicURL: "x"}, "public URL"},
		"method":          {TwilioCall{Called: number, VoiceURL: "http://127.0.0.1/", Method: "PUT"}, "GET or POST"},
		"trunk":           {TwilioCall{Called: number, Trunk: "127.0.0.1"}, "sip:127.0.0.1:5060"},
		"trunk with user": {TwilioCall{Called: number, Trunk: "sip:a@127.0.0.1"}, "without a user"},
		"fault of GET":    {TwilioCall{Called: number, VoiceURL: "http://127.0.0.1/", Fault: TwilioFault{Kind: TwilioFaultNoPlus}}, "GET"},
		"fault of POST":   {TwilioCall{Called: number, VoiceURL: "http://127.0.0.1/", Method: "GET", Fault: TwilioFault{Kind: TwilioFaultSlow}}, "POST"},
		"fault of a hook": {TwilioCall{Called: number, Trunk: "sip:127.0.0.1", Fault: TwilioFault{Kind: TwilioFaultTwice}}, "trunks"},
		"give up":         {TwilioCall{Called: number, VoiceURL: "http://127.0.0.1/", GiveUp: -1}, "giving up"},
		"give up a trunk": {TwilioCall{Called: number, Trunk: "sip:127.0.0.1", GiveUp: 1}, "trunks"},
		"header":          {TwilioCall{Called: number, VoiceURL: "http://127.0.0.1/", SIPHeaders: []Header{{"Subject", "x"}}}, "Subject"},
	} {
		if err := tt.call.Validate(); err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: got %v; want %q", name, err, tt.says)
		}
	}
	for _, bad := range []string{"lazy", "twice:1s", "slow:x", "slow:-1s"} {
		if _, err := ParseTwilioFault(bad); err == nil {
			t.Errorf("fault %q is taken", bad)
		}
	}
	if f, err := ParseTwilioFault("slow:3s"); err != nil || f.After != 3*time.Second {
		t.Errorf("%+v, %v", f, err)
	}
}

// Twilio's own example (twilio.com/docs/usage/security), which both sides
// compute by themselves.
func TestTwilioSignature(t *testing.T) {
	form := map[string][]string{
		"CallSid": {"CA1234567890ABCDE"}, "Caller": {"+14158675309"}, "Digits": {"1234"}, "From": {"+14158675309"}, "To": {"+18005551212"},
	}
	if got := twilioSignature("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", form); got != "RSOYDt4T1cUTdK1PDd93/VVr8B8=" {
		t.Errorf("got %s", got)
	}
}

// A webhook that can't be reached, or breaks, is an application error; nothing
// shows the token.
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
	tw := startTwilio(t, TwilioOptions{AuthToken: twilioToken})
	for url, says := range map[string]string{server.URL + "/moved": "answered 302", server.URL + "/500": "answered 500: boom", "http://127.0.0.1:1/": "refused"} {
		r, err := tw.Call(t.Context(), TwilioCall{VoiceURL: url, Called: number})
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: got %v; want %q", url, err, says)
		}
		if len(r.Requests) != 1 || strings.Contains(err.Error()+r.Requests[0].URL+r.Requests[0].Body, twilioToken) {
			t.Errorf("%+v", r)
		}
	}
}
