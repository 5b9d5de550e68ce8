//go:build e2e

package e2e

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"flowbridge/platform/twilio"
	"flowbridge/store/record"
)

// redirected places a call to a Twilio number, and returns what was printed about it.
func (p *platforms) redirected() (calls redirectedCall, code int) {
	p.Helper()
	out, code := p.run("simulate", "twilio", "--voice-url", p.hook("/redirect_call"), "--called", "+15550100001", "--from", "+15550100099",
		"--auth-token-file", "twilio", "--seconds", "1", "--listen", p.carrier.String()+":0", "--json")
	text, _, _ := strings.Cut(out, "\nflowbridge:")
	if err := json.Unmarshal([]byte(text), &calls); err != nil {
		p.Fatalf("%v in %s", err, out)
	}
	return calls, code
}

type redirectedCall struct {
	CallSID  string `json:"call_sid"`
	Requests []struct {
		URL    string
		Status int
		Body   string
	}
	Dials []struct {
		SIPCallID string `json:"sip_call_id"`
		Status    int    `json:"sip_status"`
	}
}

// TestRedirectFollowed: if a target does not take a call that Twilio dials, the call goes to the
// next target. Its record has the platform's report.
func TestRedirectFollowed(t *testing.T) {
	p := newPlatforms(t, "--number", "+15550100001="+model)
	p.startAway("--fault", "status:503")
	p.serveAll("away, prepared", ", follow: true")
	got, code := p.redirected()
	if code != 0 || len(got.Dials) != 2 || got.Dials[0].Status != 503 || got.Dials[1].Status != 200 || len(got.Requests) != 3 {
		t.Fatalf("exit code %d, %+v; want 0, and two dials with 503 and 200", code, got)
	}
	r := p.last(1, isReported)
	if !answered(r) || r.Route != "hooks.twilio" || r.Trunk != "" || r.Target != "prepared" || r.Direction != "inbound" ||
		r.From != "+15550100099" || r.To != "+15550100001" || r.Lead != r.From || r.SIPCallID != got.CallSID ||
		r.TargetSIPCallID != got.Dials[1].SIPCallID || r.SynthflowCallID == "" || r.ExternalID != got.CallSID || r.Cause != "caller_hangup" ||
		r.EndedBy != record.EndedByCaller || r.SIPStatus != 200 || r.Q850 != 16 || r.DurationMS == 0 || r.AnsweredAt.IsZero() || r.PreparedAt.IsZero() {
		t.Errorf("record %+v; want the call %+v", r, got)
	}
	if a := r.Attempts; len(a) != 2 || a[0].Target != "away" || a[0].SIPStatus != 503 || a[0].Cause != "target_error" || a[0].SIPCallID != got.Dials[0].SIPCallID ||
		a[1].Target != "prepared" || a[1].Cause != "caller_hangup" || a[1].PrepareStatus != 200 {
		t.Errorf("attempts %+v; want away with 503, then prepared", a)
	}
	if r.Report.CallID != r.SynthflowCallID || r.Report.Status != "completed" || !r.Report.Confirmed {
		t.Errorf("report %+v; want one of %s", r.Report, r.SynthflowCallID)
	}
	p.finish()
}

// asTwilio posts a form in the way Twilio does, signed with a token.
func (p *platforms) asTwilio(address string, form url.Values, token string) (int, string) {
	p.Helper()
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		p.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set(twilio.SignatureHeader, twilio.Sign(token, address, form))
	res, err := client.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.Fatal(err)
	}
	p.silentAbout(string(body), address)
	return res.StatusCode, string(body)
}

// action starts a call with a CallSid, and returns its action URL.
func (p *platforms) action(sid string) string {
	p.Helper()
	_, text := p.asTwilio(p.hook("/redirect_call"), url.Values{"CallSid": {sid}, "Called": {"+15550100001"}, "From": {"+15550100099"}}, twilioToken)
	var document struct {
		Dial struct {
			Action string `xml:"action,attr"`
		}
	}
	if err := xml.Unmarshal([]byte(text), &document); err != nil || document.Dial.Action == "" {
		p.Fatalf("%v in %s", err, text)
	}
	return document.Dial.Action
}

// endOf returns the form that ends a call.
func endOf(sid string) url.Values {
	return url.Values{"CallSid": {sid}, "CallStatus": {"completed"}, "DialCallStatus": {"completed"}, "DialSipCallId": {"x@y"}, "DialCallDuration": {"7"}}
}

// TestRedirectKilled: a call that was at Twilio when the process was killed has its record after
// the next start, and its end is ignored. Before the kill, a sender without the auth token can't
// end a call.
func TestRedirectKilled(t *testing.T) {
	p := newPlatforms(t, "--number", "+15550100001="+model)
	p.serveAll("prepared", ", follow: true")
	action := p.action("CA1")
	if code, text := p.asTwilio(action, endOf("CA1"), "a guess"); code != http.StatusForbidden {
		t.Errorf("%d %s; want 403", code, text)
	}
	hangsUp := func(address, sid string) {
		t.Helper()
		if code, text := p.asTwilio(address, endOf(sid), twilioToken); code != http.StatusOK || !strings.Contains(text, "<Hangup>") {
			t.Errorf("%d %s; want 200 and <Hangup>", code, text)
		}
	}
	hangsUp(p.hook("/redirect_call/ended?call=x&attempt=1"), "CA1") // an unknown call
	if all := p.server.cdrs(); len(all) != 0 {
		t.Errorf("records %+v; want none", all)
	}
	other := p.action("CA2")
	for range 2 {
		hangsUp(other, "CA2")
	}
	if r := p.last(1, answered); r.SIPCallID != "CA2" || r.TargetSIPCallID != "x@y" || r.Cause != "caller_hangup" { // CA1 was queued first
		t.Errorf("record %+v; want CA2, which its caller ended", r)
	}
	p.server.kill()
	p.serveAll("prepared", ", follow: true")
	for range 2 {
		p.last(2, answered)
		r := p.server.cdrs()[1]
		if r.SIPCallID != "CA1" || r.Disposition != record.DispositionInterrupted || r.Cause != record.CauseProcessRestart || r.Target != "prepared" ||
			r.SynthflowCallID == "" || r.Route != "hooks.twilio" {
			t.Errorf("record %+v; want CA1, interrupted", r)
		}
		hangsUp(action, "CA1")
	}
	p.finish()
}
