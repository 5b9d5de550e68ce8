package twilio

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

const (
	hangup     = "<Hangup></Hangup>"
	actionPath = "/redirect_call/ended?call=0190-ab&attempt=2"
	endedForm  = "CallSid=CA01&CallStatus=in-progress&Called=%2B15075785607&DialCallSid=CA02&DialCallStatus=failed" +
		"&DialSipCallId=x%40y&DialSipResponseCode=503&DialSipHeader_X-Why=closed"
)

func newEndedHandler(t *testing.T, o Options, ended func(context.Context, Ended) (Next, error)) http.Handler {
	t.Helper()
	h, err := NewEndedHandler(o, ended)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Twilio's report is parsed, and the answer says in TwiML what happens next.
func TestEndedHandler(t *testing.T) {
	other := &Destination{
		URI: "sip:+1507@b", Headers: []Header{{"X-EI", "S.2;"}}, Action: ActionURL("https://voice.example.com/redirect_call/ended", "0190-ab", 3),
	}
	for name, tt := range map[string]struct {
		opts Options
		next Next
		want string
	}{
		"over": {Options{}, Next{}, hangup},
		"another": {
			Options{Dial: DialOptions{AnswerOnBridge: true}}, Next{Dial: other}, `<Dial answerOnBridge="true" ` +
				`action="https://voice.example.com/redirect_call/ended?call=0190-ab&amp;attempt=3" method="POST"><Sip>sip:+1507@b?X-EI=S.2;</Sip></Dial>`,
		},
		"fallback, by default":     {Options{}, Next{Fallback: true}, hangup},
		"fallback, reject":         {Options{Fallback: `<Response><Reject reason="rejected"/></Response>`}, Next{Fallback: true}, hangup},
		"fallback, words":          {Options{Fallback: "<Response><Say>Later.</Say><Hangup></Hangup></Response>"}, Next{Fallback: true}, "<Say>Later.</Say>" + hangup},
		"fallback, number":         {Options{Fallback: "<Response><Dial>+15550100009</Dial></Response>"}, Next{Fallback: true}, "<Dial>+15550100009</Dial>"},
		"fallback, document":       {Options{Fallback: "<Response><Redirect>https://a.example/</Redirect></Response>"}, Next{Fallback: true}, "<Redirect>https://a.example/</Redirect>"},
		"a URI that can't be sent": {Options{Fallback: "<Response><Say>Later.</Say><Hangup></Hangup></Response>"}, Next{Dial: &Destination{URI: "x"}}, "<Say>Later.</Say>" + hangup},
	} {
		t.Run(name, func(t *testing.T) {
			h := newEndedHandler(t, tt.opts, func(_ context.Context, e Ended) (Next, error) {
				want := Ended{
					Call: "0190-ab", Attempt: 2, SID: "CA01", CallStatus: "in-progress", Status: "failed", SIPCallID: "x@y", SIPStatus: 503,
				}
				if e != want {
					t.Errorf("got  %+v\nwant %+v", e, want)
				}
				return tt.next, nil
			})
			wantTwiML(t, serve(h, post(actionPath, endedForm)), tt.want)
			wantTwiML(t, serve(h, get(actionPath+"&"+endedForm)), tt.want)
		})
	}
}

// Even if the decision about the call fails, the answer is TwiML.
func TestEndedHandlerFails(t *testing.T) {
	o := Options{Fallback: "<Response><Say>Later.</Say><Hangup></Hangup></Response>"}
	later := "<Say>Later.</Say>" + hangup
	h := newEndedHandler(t, o, func(context.Context, Ended) (Next, error) { return Next{}, errors.New("no such call") })
	wantTwiML(t, serve(h, post(actionPath, endedForm)), hangup)
	h = newEndedHandler(t, o, func(context.Context, Ended) (Next, error) { panic("x") })
	wantTwiML(t, serve(h, post(actionPath, endedForm)), later)
	synctest.Test(t, func(t *testing.T) {
		h := newEndedHandler(t, o, func(ctx context.Context, _ Ended) (Next, error) {
			<-ctx.Done()
			return Next{Fallback: true}, context.Cause(ctx)
		})
		began := time.Now()
		wantTwiML(t, serve(h, post(actionPath, endedForm)), later)
		if took := time.Since(began); took != defaultTimeout {
			t.Errorf("answered after %v", took)
		}
	})
	for name, err := range map[string]error{
		"nobody":  func() error { _, err := NewEndedHandler(Options{}, nil); return err }(),
		"options": func() error { _, err := NewEndedHandler(Options{AuthToken: testToken}, noEnd); return err }(),
	} {
		if err == nil || strings.Contains(err.Error(), testToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func noEnd(context.Context, Ended) (Next, error) { return Next{}, nil }

// A request that is not from Twilio is refused, as at the voice URL. No call gets the report, and no secret appears in
// the log.
func TestEndedHandlerRefuses(t *testing.T) {
	told := 0
	var log bytes.Buffer
	h := newEndedHandler(t, Options{AuthToken: testToken, URL: public, Log: zerolog.New(&log)}, func(context.Context, Ended) (Next, error) {
		told++
		return Next{}, nil
	})
	form, err := url.ParseQuery(endedForm)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(target string) *http.Request {
		r := post(target, endedForm)
		r.Header.Set(SignatureHeader, plainSign(testToken, public+actionPath, form))
		return r
	}
	for name, tt := range map[string]struct {
		request *http.Request
		code    int
	}{
		"method":          {httptest.NewRequest(http.MethodPut, actionPath, nil), 405},
		"too long":        {post(actionPath, "a="+strings.Repeat("x", maxBody)), 413},
		"no signature":    {post(actionPath, endedForm), 403},
		"another attempt": {signed(strings.Replace(actionPath, "attempt=2", "attempt=3", 1)), 403},
		"another call":    {signed(strings.Replace(actionPath, "0190-ab", "0190-cd", 1)), 403},
	} {
		if w := serve(h, tt.request); w.Code != tt.code || strings.Contains(w.Body.String(), testToken) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if told != 0 {
		t.Errorf("told %d times", told)
	}
	wantTwiML(t, serve(h, signed(actionPath)), hangup)
	if told != 1 || strings.Contains(log.String(), testToken) || strings.Contains(log.String(), signed(actionPath).Header.Get(SignatureHeader)) {
		t.Errorf("told %d times; log\n%s", told, &log)
	}
}

func TestParseEnded(t *testing.T) {
	for query, want := range map[string]Ended{
		"": {},
		"DialCallStatus=completed&DialCallDuration=61&DialSipResponseCode=200": {Status: "completed", Duration: 61 * time.Second, SIPStatus: 200},
		"attempt=0&DialCallDuration=-1&DialSipResponseCode=99":                 {},
		"attempt=x&DialCallDuration=999999&DialSipResponseCode=1e2":            {},
		"call=a%0Ab&CallSid=%ff&DialSipCallId=" + strings.Repeat("x", 256):     {},
	} {
		params, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if got := parseEnded(params); got != want {
			t.Errorf("%s: got %+v; want %+v", query, got, want)
		}
	}
}

func TestEndedSays(t *testing.T) {
	for _, tt := range []struct {
		ended          Ended
		answered, gone bool
	}{
		{Ended{Status: "completed", CallStatus: "in-progress"}, true, false},
		{Ended{Status: "completed", CallStatus: "completed"}, true, true},
		{Ended{Status: "answered"}, true, false},
		{Ended{Status: "no-answer", CallStatus: "in-progress"}, false, false},
		{Ended{Status: "no-answer", CallStatus: "ringing"}, false, false},
		{Ended{Status: "no-answer", CallStatus: "completed"}, false, true},
		{Ended{Status: "canceled", CallStatus: "in-progress"}, false, true},
		{Ended{Status: "failed", CallStatus: "no-answer"}, false, true},
	} {
		if tt.ended.Answered() != tt.answered || tt.ended.CallerGone() != tt.gone {
			t.Errorf("%+v: answered %v, gone %v", tt.ended, tt.ended.Answered(), tt.ended.CallerGone())
		}
	}
}

// FuzzEnded checks that a parsed report fits into a record, and that an action URL parses back to the values from which
// it was built.
func FuzzEnded(f *testing.F) {
	f.Add(actionPath, endedForm, "0190-ab", 2)
	f.Add("/x?call=%00&attempt=-1", "DialCallDuration=1e9&DialSipResponseCode=+200&CallSid=%ff", "a&b=c;d %", 1)
	h, err := NewEndedHandler(Options{}, noEnd)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, target, body, call string, attempt int) {
		if u, err := url.ParseRequestURI(target); err == nil {
			r := post("/", body)
			r.URL, r.RequestURI = u, target
			w := serve(h, r)
			if w.Code >= 500 || w.Code == http.StatusOK && w.Body.String() != xml.Header+"<Response>"+hangup+"</Response>" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
		if params, err := parseParameters(body); err == nil {
			e := parseEnded(params)
			for _, s := range []string{e.Call, e.SID, e.CallStatus, e.Status, e.SIPCallID} {
				if s != clean(s) {
					t.Errorf("read %q; want %q", s, clean(s))
				}
			}
			if e.Duration < 0 || e.Duration > maxDuration || e.SIPStatus != 0 && (e.SIPStatus < 200 || e.SIPStatus > 699) {
				t.Errorf("read %+v; want a duration of %v at most, and a final status or none", e, maxDuration)
			}
		}
		u, err := url.Parse(ActionURL("https://a.example/ended", call, attempt))
		if err != nil {
			t.Fatalf("%q: %v", call, err)
		}
		params, err := parseParameters(u.RawQuery)
		if e := parseEnded(params); err != nil || e.Call != clean(call) || e.Attempt != attempt && attempt >= 1 && attempt <= 9999 {
			t.Errorf("%q, %d: %v, %+v", call, attempt, err, e)
		}
	})
}
