//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"flowbridge/platform/hooks"
	"flowbridge/store/record"
)

// TestPreparedCall: a carrier's call is prepared and dialled, the agent asks for its variables, and the platform
// reports on it. The record has all of it.
func TestPreparedCall(t *testing.T) {
	p := newPlatforms(t, "--number", "+15550100001="+model)
	p.serveAll("prepared", "")
	if out, code := p.call("+15550100099", "+15550100001", "X-Twilio-CallSid: CA0123", "X-Name: Ada"); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	r := p.last(1, isReported)
	if r.SynthflowCallID == "" || r.ExternalID != "CA0123" || r.Lead != "+15550100099" || r.Direction != "inbound" || !answered(r) {
		t.Errorf("record %+v", r)
	}
	if r.Report.CallID != r.SynthflowCallID || r.Report.ExternalID != "CA0123" || r.Report.EndReason == "" || r.Report.DurationMS < 1000 ||
		r.Report.Status != "completed" || !r.Report.Confirmed {
		t.Errorf("report %+v", r.Report)
	}
	// A PBX has called a person, and hands over the call.
	if out, code := p.call("+15550100001", "+15550100077"); code != 0 {
		t.Fatalf("outbound: exit code %d\n%s", code, out)
	}
	r = p.last(2, isReported)
	if r.Direction != "outbound" || r.Lead != "+15550100077" || r.From != "+15550100001" || r.To != "+15550100077" {
		t.Errorf("outbound: record %+v", r)
	}
	p.logged(p.sf, "call prepared", "from=+15550100077", "to=+15550100001")
	p.finish()
}

// TestVariables: an agent's pre-action is answered while its call still rings, by the id in the documents.
func TestVariables(t *testing.T) {
	p := newPlatforms(t, "--number", "+15550100001="+model, "--number", "+15550100003="+model2, "--ring", "10m")
	p.serveAll("bare", "")
	from := []string{"--from", "+15550100099", "--listen", p.carrier.String() + ":0"}
	carrier := append([]string{
		"call", "--to", "sip:+15550100001@" + p.server.sip.String(), "--header", "X-Twilio-CallSid: CA0123", "--header", "X-Name: Ada",
	}, from...)
	sid := "CA" + strings.Repeat("7", 32)
	webhook := append([]string{
		"simulate", "twilio", "--voice-url", p.hook("/redirect_call"), "--called", "+15550100003", "--auth-token-file", "twilio",
		"--call-sid", sid,
	}, from...)
	for _, c := range []struct {
		id       string
		caller   []string
		recorded bool // false if Twilio itself calls the agent
		want     map[string]string
	}{
		{"CA0123", carrier, true, map[string]string{"greeting": "Hello +15550100099", "X-Name": "Ada"}},
		{sid, webhook, false, map[string]string{"greeting": "Hello +15550100099"}},
	} {
		caller := exec.Command(program, c.caller...)
		caller.Dir, caller.Env = p.dir, append(os.Environ(), "NO_COLOR=1", raceEnv)
		dialled := start(t, "the caller", caller)
		var got hooks.Call
		eventually(t, "variables of a call whose agent was told the id "+c.id, func() bool { // it asks after the INVITE
			return p.variables(c.id, &got) && got.ExternalID == c.id
		})
		dialled.signal(syscall.SIGINT)
		if c.recorded {
			r := p.last(1, func(record.Record) bool { return true })
			if got.ID != r.ID || got.SIPCallID != r.SIPCallID {
				t.Errorf("%s: variables of %+v; want those of record %+v", c.id, got, r)
			}
		}
		for name, want := range c.want {
			if got.Variables[name] != want {
				t.Errorf("%s: variable %s is %q; want %q", c.id, name, got.Variables[name], want)
			}
		}
		dialled.exit()
	}
	p.finish()
}

// variables requests the variables of a live call as an agent does, and reports whether there is a call with
// this id.
func (p *platforms) variables(id string, into *hooks.Call) bool {
	p.Helper()
	r, err := http.NewRequestWithContext(p.Context(), http.MethodGet, p.hook("/variables?id="+id), nil)
	must(p.T, err)
	r.Header.Set("Authorization", "Bearer "+agentToken)
	answer, err := http.DefaultClient.Do(r)
	must(p.T, err)
	defer answer.Body.Close()
	return answer.StatusCode == http.StatusOK && json.NewDecoder(answer.Body).Decode(into) == nil
}

// TestDirectDial calls the agent without an id, with a bare id, and with an E token.
func TestDirectDial(t *testing.T) {
	p := newPlatforms(t, "--number", "+15550100002="+model, "--number", "+15550100003="+model2,
		"--number", "+15550100004=33333333-3333-4333-8333-333333333333")
	p.serveAll("plain", "")
	for i, c := range []struct {
		number   string
		external func(r record.Record) string
		reported bool
	}{
		{"+15550100002", func(record.Record) string { return "" }, false},
		{"+15550100003", func(r record.Record) string { return r.ID }, true},
		{"+15550100004", func(r record.Record) string { return r.SIPCallID }, true},
	} {
		if out, code := p.call("+15550100099", c.number); code != 0 {
			t.Fatalf("%s: exit code %d\n%s", c.number, code, out)
		}
		r := p.last(i+1, func(r record.Record) bool { return answered(r) && isReported(r) == c.reported })
		if r.SynthflowCallID != "" || r.ExternalID != c.external(r) {
			t.Errorf("%s: record %+v", c.number, r)
		}
		if c.reported && (r.Report.ExternalID != r.ExternalID || r.Report.CallID == "") {
			t.Errorf("%s: report %+v", c.number, r.Report)
		}
	}
	if out, code := p.call("+15550100099", "+15550100001"); code != 1 || !strings.Contains(out, "answer     404") {
		t.Errorf("a number that is not imported: exit code %d\n%s", code, out)
	}
	p.finish()
}

// TestRedirectCall tests Twilio's voice webhook in every variant of Synthflow's documents, by GET and POST, with
// calls all the way to the agent.
func TestRedirectCall(t *testing.T) {
	for _, c := range []struct{ target, more, number, header string }{
		{"plain", "", "+15550100002", ""},
		{"bare", "", "+15550100003", "?X-EI=CA"},
		{"prepared", "", "+15550100001", "?X-EI=S."},
		{"prepared", ", answer_on_bridge: true", "+15550100001", "?X-EI=S."},
	} {
		t.Run(c.target+c.more, func(t *testing.T) {
			p := newPlatforms(t, "--number", c.number+"="+model)
			p.serveAll(c.target, c.more)
			for _, method := range []string{"GET", "POST"} {
				out := p.must("simulate", "twilio", "--voice-url", p.hook("/redirect_call"), "--method", method, "--called", c.number,
					"--from", "+15550100099", "--auth-token-file", "twilio", "--seconds", "1", "--listen", p.carrier.String()+":0")
				if !strings.Contains(out, "sip:"+c.number+"@"+p.agent.String()) || !strings.Contains(out, c.header) {
					t.Errorf("%s:\n%s", method, out)
				}
			}
			out := p.must("simulate", "twilio", "--voice-url", p.hook("/redirect_call"), "--method", "GET", "--called", c.number, "--fault", "noplus",
				"--auth-token-file", "twilio", "--seconds", "1", "--listen", p.carrier.String()+":0")
			if !strings.Contains(out, "sip:"+c.number+"@") {
				t.Errorf("a plus that was eaten:\n%s", out)
			}
			p.finish()
		})
	}
}

// TestRedirectRefused: a request that is not Twilio's gets no id. A call that can't be prepared gets TwiML all
// the same.
func TestRedirectRefused(t *testing.T) {
	p := newPlatforms(t, "--number", "+15550100001="+model, "--fault", "failed")
	p.serveAll("prepared", `, fallback: "<Response><Say>Please call again later.</Say></Response>"`)
	args := []string{"simulate", "twilio", "--voice-url", p.hook("/redirect_call"), "--called", "+15550100001", "--seconds", "1", "--listen", p.carrier.String() + ":0"}
	for fault, want := range map[string]string{"badsignature": "403", "nosignature": "403", "nocalled": `Missing "Called" query parameter`} {
		out, code := p.run(append(args, "--auth-token-file", "twilio", "--fault", fault)...)
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d\n%s", fault, code, out)
		}
	}
	out, code := p.run(append(args, "--auth-token-file", "twilio")...)
	if code != 1 || !strings.Contains(out, "200, text/xml") || !strings.Contains(out, "Please call again later.") {
		t.Errorf("not prepared: exit code %d\n%s", code, out)
	}
	p.finish()
}

// TestTwilioTrunk: Twilio calls us as a carrier does, and its CallSid is passed on.
func TestTwilioTrunk(t *testing.T) {
	p := newPlatforms(t, "--number", "+15550100001="+model)
	p.serveAll("prepared", "")
	p.must("simulate", "twilio", "--trunk", "sip:"+p.server.sip.String(), "--called", "+15550100001", "--from", "+15550100099", "--asserted",
		"--forwarded-from", "+15550100066", "--seconds", "1", "--listen", p.carrier.String()+":0")
	r := p.last(1, isReported)
	if !strings.HasPrefix(r.ExternalID, "CA") || r.From != "+15550100099" || !answered(r) {
		t.Errorf("record %+v", r)
	}
	p.finish()
}

// TestVapi goes from an empty account to calls that are answered by the number's assistant, and by an assistant
// that our rules choose for the carrier's call.
func TestVapi(t *testing.T) {
	p := newPlatforms(t)
	b := p.serveAll("plain", "")
	account := []string{"--api", p.vapi, "--token-file", "vapi-api"}
	with := func(args ...string) []string { return append(append([]string{"vapi"}, args...), account...) }
	out := p.must(with("assistant", "create", "--name", "Support", "--first-message", "Hello {{first_name}}, you've reached me over SIP.")...)
	id := out[strings.LastIndexByte(strings.TrimSpace(out), ' ')+1:]
	id = strings.TrimSpace(id)
	if again, code := p.run(with("assistant", "create", "--name", "Support", "--first-message", "Hello {{first_name}}, you've reached me over SIP.")...); code != 0 || !strings.Contains(again, id) {
		t.Errorf("once more: exit code %d\n%s", code, again)
	}
	number := ""
	renumber := func(args ...string) {
		if number != "" {
			p.must(with("number", "delete", number, "--yes")...)
		}
		var made struct{ ID string }
		out := p.must(with(append([]string{"number", "create", "--json", "--sip-uri", "sip:support@" + p.vapiSIP.String()}, args...)...)...)
		if err := json.Unmarshal([]byte(out), &made); err != nil || made.ID == "" {
			t.Fatalf("%v\n%s", err, out)
		}
		number = made.ID
	}
	renumber("--assistant-id", id)
	if out, code := p.call("+15550100099", "+15550100005", "X-Name: John"); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	p.logged(p.vp, "call settled", "Hello John, you've reached me over SIP.")

	renumber("--server-url", p.hook("/assistant-request"), "--server-secret-file", "vapi")
	for _, c := range []struct {
		headers []string
		says    string
	}{
		{[]string{"X-Lang: de", "X-Name: Ada"}, "Guten Tag Ada aus Bonn"},
		{[]string{"X-Lang: id", "X-Assistant: " + id, "X-Name: Eve"}, "Hello Eve, you've reached me over SIP."},
		{[]string{"X-Lang: fr"}, "Transferring the call now"},
		{nil, "We speak other languages."},
	} {
		_, _ = p.call("+15550100099", "+15550100005", c.headers...)
		p.logged(p.vp, c.says)
	}
	if r := p.last(5, isReported); r.Report.CallID == "" || r.Report.EndReason == "" || !r.Report.Confirmed {
		t.Errorf("report %+v", r.Report)
	}
	// A number that requires credentials gets them.
	renumber("--assistant-id", id, "--body", "vapi-number.json")
	said, code := p.call("+15550100099", "+15550100005", "X-Name: Zoe")
	if code != 0 {
		t.Errorf("with credentials: exit code %d\n%s", code, said)
	}
	p.logged(p.vp, "call settled", "Hello Zoe, you've reached me over SIP.")
	for _, line := range b.output() {
		if strings.Contains(line, "assistant chosen") && !strings.Contains(line, `"known":true`) {
			t.Errorf("the carrier's call was not known: %s", line)
		}
	}
	p.finish()
}

// TestSynthflowSetupCommand runs the documents' steps in one command, prepared and by direct dial. A second run
// finds everything done.
func TestSynthflowSetupCommand(t *testing.T) {
	p := newPlatforms(t)
	for i, direct := range []bool{false, true} {
		number, file := fmt.Sprintf("+1555010000%d", i+1), fmt.Sprintf("setup%d.yaml", i)
		args := []string{
			"synthflow", "setup", "--api", p.api, "--sip", p.agent.String(), "--token-file", "synthflow-api", "--workspace-id", workspace, "--phone-number", number,
			"--name", "Agent " + number, "--llm", "gpt-4o", "--language", "en-US", "--prompt", "hey", "--greeting-message", "hi", "--voice-id", "v",
			"--trunk", "carrier", "--trunk-source", p.carrier.String(), "-c", file, "--yes", "--test-call", "--seconds", "1",
		}
		if direct {
			args = append(args, "--direct")
		}
		if out := p.must(args...); !strings.Contains(out, "wrote "+file) || !strings.Contains(out, "record     answered") {
			t.Errorf("setup:\n%s", out)
		}
		before := p.must("check", "-c", file)
		if out := p.must(args...); strings.Contains(out, "wrote ") || strings.Contains(out, "created ") || !strings.Contains(out, "record     answered") {
			t.Errorf("once more:\n%s", out)
		}
		if after := p.must("check", "-c", file); after != before || !strings.Contains(after, "1 trunk, 1 target, 1 route: valid") {
			t.Errorf("check: %s, then %s", before, after)
		}
	}
}

// TestCheckOnline runs check against targets that exist and targets that don't, and compares what it says.
func TestCheckOnline(t *testing.T) {
	p := newPlatforms(t, "--number", "+15550100001="+model)
	p.serveAll("plain", "")
	out := p.must("check", "--online")
	for _, want := range []string{"takes the token; it knows 1 number of workspace " + workspace, "answers over udp: 200 OK", "valid"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
	p.sf.kill()
	out, code := p.run("check", "--online", "--json")
	var got struct {
		Online []struct {
			Target, Step, Detail, Remedy string
			OK                           bool
		}
	}
	text, _, _ := strings.Cut(out, "\nflowbridge:")
	if err := json.Unmarshal([]byte(text), &got); err != nil || code != 1 {
		t.Fatalf("exit code %d, %v\n%s", code, err, out)
	}
	for _, f := range got.Online {
		skipped := f.Step == "api" && (f.Target == "plain" || f.Target == "bare")
		if failed := f.Target != "vapi" && f.Step != "dns" && !skipped; failed == f.OK {
			t.Errorf("finding %+v; want only vapi, the look-ups and what has no API to be right", f)
		}
		if !f.OK && (f.Detail == "" || f.Remedy == "") {
			t.Errorf("without words: %+v", f)
		}
	}
	p.finish()
}

// TestLyingAPI: whatever the API answers instead of an id, the caller gets the route's answer, the record has
// the cause, and the process continues.
func TestLyingAPI(t *testing.T) {
	for fault, want := range map[string]string{
		"failed": "prepare_refused", "html:200": "prepare_invalid", "html": "prepare_failed", "gzipbomb": "prepare_invalid", "huge": "prepare_invalid",
		"types": "prepare_invalid", "crlf": "prepare_invalid", "emptyid": "prepare_invalid", "redirect": "prepare_failed",
		"401": "prepare_failed", "echo": "prepare_failed", "429": "prepare_failed", "malformed": "prepare_invalid",
	} {
		t.Run(fault, func(t *testing.T) {
			p := newPlatforms(t, "--number", "+15550100001="+model, "--fault", fault)
			p.serveAll("plain", "")
			out, code := p.call("+15550100099", "+15550100001")
			if code != 1 || !strings.Contains(out, "503") {
				t.Errorf("exit code %d\n%s", code, out)
			}
			r := p.last(1, func(record.Record) bool { return true })
			if r.Cause != want || r.Attempts[0].Cause != want || r.SynthflowCallID != "" {
				t.Errorf("record %+v; want cause %s", r, want)
			}
			p.finish()
		})
	}
}

// TestWebhookForged: a report that is not signed, or is not about a call of ours, is in no record.
func TestWebhookForged(t *testing.T) {
	p := newPlatforms(t, "--number", "+15550100001="+model, "--webhook-secret", "another-secret")
	p.serveAll("plain", "")
	if out, code := p.call("+15550100099", "+15550100001"); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	p.logged(p.server.process, "webhook with a wrong signature")
	if r := p.last(1, answered); r.Report != nil {
		t.Errorf("report %+v", r.Report)
	}
	for path, want := range map[string]int{"/variables?id=x": 401, "/redirect_call": 403, "/assistant-request": 405, "/synthflow/webhook": 405, "/": 404} {
		res, err := client.Get(p.hook(path))
		must(t, err)
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("GET %s: %d; want %d", path, res.StatusCode, want)
		}
	}
	p.finish()
}
