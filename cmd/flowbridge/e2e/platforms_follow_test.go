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

// redirected has a call come in at Twilio, and gives what was shown of it.
func (p *platforms) redirected(args ...string) (calls redirectedCall, code int) {
	p.Helper()
	out, code := p.run(append([]string{
		"simulate", "twilio", "--voice-url", p.hook("/redirect_call"), "--called", "+15550100001", "--from", "+15550100099",
		"--auth-token-file", "twilio", "--seconds", "1", "--listen", p.carrier.String() + ":0", "--json",
	}, args...)...)
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

// TestRedirectFollowed: a call that Twilio dials has a record with the
// platform's report, and the next target where one does not take it.
func TestRedirectFollowed(t *testing.T) {
	const follow = `, follow: true, fallback: {say: "Please call again later."}`
	t.Run("answered", func(t *testing.T) {
		p := newPlatforms(t, "--number", "+15550100001="+model)
		p.serveAll("prepared", follow)
		got, code := p.redirected()
		if code != 0 || len(got.Dials) != 1 || len(got.Requests) != 2 {
			t.Fatalf("exit code %d, %+v", code, got)
		}
		r := p.last(1, isReported)
		if !answered(r) || r.Route != "hooks.twilio" || r.Trunk != "" || r.Target != "prepared" || r.Direction != "inbound" ||
			r.From != "+15550100099" || r.To != "+15550100001" || r.Lead != r.From || r.SIPCallID != got.CallSID ||
			r.TargetSIPCallID != got.Dials[0].SIPCallID || r.SynthflowCallID == "" || r.ExternalID != got.CallSID || r.Cause != "caller_hangup" ||
			r.EndedBy != record.EndedByCaller || r.SIPStatus != 200 || r.Q850 != 16 || r.DurationMS == 0 || r.AnsweredAt.IsZero() || r.PreparedAt.IsZero() ||
			len(r.Attempts) != 1 || r.Attempts[0].PrepareStatus != 200 {
			t.Errorf("record %+v", r)
		}
		if r.Report.CallID != r.SynthflowCallID || r.Report.Status != "completed" || !r.Report.Confirmed {
			t.Errorf("report %+v", r.Report)
		}
		p.finish()
	})
	t.Run("dialled directly", func(t *testing.T) {
		p := newPlatforms(t, "--number", "+15550100001="+model)
		p.serveAll("external", follow)
		got, code := p.redirected()
		if code != 0 || len(got.Dials) != 1 {
			t.Fatalf("exit code %d, %+v", code, got)
		}
		r := p.last(1, isReported)
		if !answered(r) || r.SynthflowCallID != "" || r.ExternalID != got.CallSID || r.Report.ExternalID != got.CallSID || !r.Report.Confirmed {
			t.Errorf("record %+v, report %+v", r, r.Report)
		}
		p.finish()
	})
	t.Run("another target", func(t *testing.T) {
		p := newPlatforms(t, "--number", "+15550100001="+model)
		p.startAway("--fault", "status:503")
		p.serveAll("away, prepared", follow)
		got, code := p.redirected()
		if code != 0 || len(got.Dials) != 2 || got.Dials[0].Status != 503 || got.Dials[1].Status != 200 || len(got.Requests) != 3 {
			t.Fatalf("exit code %d, %+v", code, got)
		}
		r := p.last(1, isReported)
		if !answered(r) || r.Target != "prepared" || r.TargetSIPCallID != got.Dials[1].SIPCallID || len(r.Attempts) != 2 || r.Attempts[0].Target != "away" ||
			r.Attempts[0].SIPStatus != 503 || r.Attempts[0].Cause != "target_error" || r.Attempts[0].SIPCallID != got.Dials[0].SIPCallID ||
			r.Attempts[1].Target != "prepared" || r.Attempts[1].Cause != "caller_hangup" {
			t.Errorf("record %+v", r)
		}
		p.finish()
	})
	t.Run("no target", func(t *testing.T) {
		p := newPlatforms(t, "--number", "+15550100001="+model)
		p.startAway("--fault", "status:503")
		p.serveAll("away", follow)
		got, code := p.redirected()
		if code != 1 || len(got.Dials) != 1 || !strings.Contains(got.Requests[1].Body, "Please call again later.") {
			t.Errorf("exit code %d, %+v", code, got)
		}
		r := p.last(1, func(record.Record) bool { return true })
		if r.Disposition != record.DispositionFailed || r.Cause != "target_error" || r.SIPStatus != 503 || r.EndedBy != record.EndedBySystem {
			t.Errorf("record %+v", r)
		}
		p.finish()
	})
	t.Run("busy", func(t *testing.T) {
		p := newPlatforms(t, "--number", "+15550100001="+model)
		p.startAway("--fault", "busy")
		p.serveAll("away, prepared", follow)
		got, code := p.redirected()
		if code != 1 || len(got.Dials) != 1 || !strings.Contains(got.Requests[1].Body, "<Hangup>") {
			t.Errorf("exit code %d, %+v", code, got)
		}
		if r := p.last(1, func(record.Record) bool { return true }); r.Disposition != record.DispositionBusy || r.Cause != "target_busy" || r.SIPStatus != 486 {
			t.Errorf("record %+v", r)
		}
		p.finish()
	})
	t.Run("given up", func(t *testing.T) {
		p := newPlatforms(t, "--number", "+15550100001="+model, "--ring", "20s")
		p.serveAll("prepared, plain", follow)
		if got, code := p.redirected("--give-up", "300ms"); code != 1 || len(got.Dials) != 1 || got.Dials[0].Status != 487 {
			t.Errorf("exit code %d, %+v", code, got)
		}
		r := p.last(1, func(record.Record) bool { return true })
		if r.Disposition != record.DispositionCancelled || r.Cause != "caller_cancelled" || r.EndedBy != record.EndedByCaller || r.SIPStatus != 487 {
			t.Errorf("record %+v", r)
		}
		p.finish()
	})
}

// asTwilio posts a form as Twilio does, signed with a token.
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

// action has a call with a CallSid come in, and gives its action URL.
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

// endOf is the form that ends a call.
func endOf(sid string) url.Values {
	return url.Values{"CallSid": {sid}, "CallStatus": {"completed"}, "DialCallStatus": {"completed"}, "DialSipCallId": {"x@y"}, "DialCallDuration": {"7"}}
}

// TestRedirectEndForged: who does not have the auth token ends no call.
func TestRedirectEndForged(t *testing.T) {
	p := newPlatforms(t, "--number", "+15550100001="+model)
	p.serveAll("prepared", ", follow: true")
	action, ended := p.action("CA1"), endOf("CA1")
	if code, text := p.asTwilio(action, ended, "a guess"); code != http.StatusForbidden {
		t.Errorf("%d %s", code, text)
	}
	if code, text := p.asTwilio(p.hook("/redirect_call/ended?call=x&attempt=1"), ended, twilioToken); code != http.StatusOK || !strings.Contains(text, "<Hangup>") {
		t.Errorf("an unknown call: %d %s", code, text)
	}
	if all := p.server.cdrs(); len(all) != 0 {
		t.Errorf("records %+v", all)
	}
	for range 2 {
		if code, text := p.asTwilio(action, ended, twilioToken); code != http.StatusOK || !strings.Contains(text, "<Hangup>") {
			t.Errorf("%d %s", code, text)
		}
	}
	if r := p.last(1, answered); r.SIPCallID != "CA1" || r.TargetSIPCallID != "x@y" || r.Cause != "caller_hangup" {
		t.Errorf("record %+v", r)
	}
	p.finish()
}

// TestRedirectKilled: a call that was at Twilio when the process was killed has
// its record after the next start, and its end is heard no more.
func TestRedirectKilled(t *testing.T) {
	p := newPlatforms(t, "--number", "+15550100001="+model)
	p.serveAll("prepared", ", follow: true")
	action := p.action("CA1")
	p.asTwilio(p.action("CA2"), endOf("CA2"), twilioToken)
	p.last(1, answered) // what the journal knows of the first was queued before
	p.server.kill()
	p.serveAll("prepared", ", follow: true")
	for range 2 {
		p.last(2, answered)
		r := p.server.cdrs()[1]
		if r.SIPCallID != "CA1" || r.Disposition != record.DispositionInterrupted || r.Cause != record.CauseProcessRestart || r.Target != "prepared" ||
			r.SynthflowCallID == "" || r.Route != "hooks.twilio" {
			t.Errorf("record %+v", r)
		}
		if code, text := p.asTwilio(action, endOf("CA1"), twilioToken); code != http.StatusOK || !strings.Contains(text, "<Hangup>") {
			t.Errorf("%d %s", code, text)
		}
	}
	p.finish()
}
