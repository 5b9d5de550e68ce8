//go:build e2e

package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"flowbridge/platform/twilio"
)

// TestPromises has a row for each command and form of the platforms' five setup documents: Synthflow's "Dial to SIP
// Endpoint", "How to Direct SIP Dialing" and "Forward calls to the SIP trunk" (of which there are two, with two hosts),
// and Vapi's "SIP". These rows are elsewhere, with calls through to the agent:
//
//	X-EI with S., E. (beside S. and by itself), bare, none     TestPreparedCall, TestDirectDial
//	what simulate twilio makes of the TwiML, by GET and POST   TestRedirectCall
//	Missing "Called" query parameter; failed: the fallback     TestRedirectRefused
//	failed: the caller gets 503                                TestLyingAPI
//	Pre-Actions by external id and by CallSid                  TestVariables
//	an assistant-request with the number's server and secret   TestVapi
//	the older host and the API by their names                  TestRegions
func TestPromises(t *testing.T) {
	p := newPlatforms(t, "--number", "+15550100002="+model)
	p.promisedInvites()
	p.promisedAnswers()
	number := p.promisedRequests()
	p.server = startServer(t, p.dir, p.promisedConfig(p.agent.String(), p.vapiSIP.String(), p.api))
	p.promisedTwiML()
	p.promisedVapi(number)
	p.finish()
}

// promisedConfig returns a configuration with a target for each form of an INVITE, and numbers that lead there.
func (p *platforms) promisedConfig(synthflow, vapi, api string) string {
	return strings.NewReplacer("@HOST@", synthflow, "@VAPI@", vapi, "@API@", api, "@B2BUA@", p.b2bua.String(), "@CARRIER@", p.carrier.String(),
		"@WORKSPACE@", workspace, "@MODEL@", model, "@HOOK@", p.hookAddr.String()).Replace(`
sip: {listen: ["udp://@B2BUA@:0"]}
media: {listen: ["@B2BUA@"]}
trunks: [{name: carrier, sources: ["@CARRIER@"]}]
targets:
  - {name: none, kind: synthflow, uri: "sip:{{.Agent.Number}}@@HOST@"}
  - {name: bare, kind: synthflow, uri: "sip:{{.Agent.Number}}@@HOST@", headers: {X-EI: '{{.Header "X-Twilio-CallSid"}}'}}
  - {name: external, kind: synthflow, uri: "sip:{{.Agent.Number}}@@HOST@", headers: {X-EI: 'E.{{.Header "X-Twilio-CallSid"}};'}}
  - {name: prepared, kind: synthflow, uri: "sip:{{.Agent.Number}}@@HOST@", headers: {X-EI: "S.{{.Prepare.CallID}};"},
     prepare: {api: "@API@", token_file: synthflow-api, workspace_id: @WORKSPACE@, model_id: @MODEL@, custom_variables: {name: value}}}
  - {name: vapi, kind: vapi, uri: "sip:user@@VAPI@", budget: {size: 1300}, headers: {x-first_name: '{{.Header "X-FIRST_NAME"}}', x-call: "{{.CallID}}"}}
  - {name: Vapi2, kind: vapi, uri: "sip:user@@VAPI@", headers: {X-First_Name: '{{.Header "x-first_name"}}'}}
  - {name: VAPI3, kind: vapi, uri: "sip:user@@VAPI@", headers: {X-FIRST_NAME: '{{.Header "X-First_Name"}}'}}
routes:
  [{trunk: carrier, to: "^.*1$", targets: [none]}, {trunk: carrier, to: "^.*2$", targets: [bare]}, {trunk: carrier, to: "^.*3$", targets: [external]},
   {trunk: carrier, to: "^.*4$", targets: [prepared]}, {trunk: carrier, targets: [vapi, Vapi2, VAPI3]}]
hooks:
  listen: "@HOOK@"
  twilio: {url: "http://@HOOK@", auth_token_file: twilio, rules: [{to: "^.*1$", targets: [none]}, {to: "^.*2$", targets: [bare]}, {to: "^.*3$", targets: [external]}], targets: [prepared]}
  vapi: {rules: [{assistant: {firstMessage: "Guten Tag {{first_name}}"}, variables: {first_name: '{{.Header "X-First_Name"}} aus Bonn'}}]}
admin: {listen: "127.0.0.1:0"}
store: {path: calls.db}`)
}

const promisedSID = "CA0123456789abcdef0123456789abcdef"

var promisedHeaders = regexp.MustCompile(`(?im)^x-(ei|first_name):.*$`)

// promisedInvites checks the INVITEs to the hosts that the documents name. Nothing is sent there.
func (p *platforms) promisedInvites() {
	for file, host := range map[string]string{"older.yaml": "sipin.synthflow.ai:32681", "newer.yaml": "sip.synthflow.ai:32681"} {
		must(p, os.WriteFile(filepath.Join(p.dir, file), []byte(p.promisedConfig(host, "sip.vapi.ai", "https://api.synthflow.ai")), 0o600))
		for _, c := range []struct{ number, uri, headers string }{
			{"+15550100001", "sip:+15550100001@" + host, ""},
			{"+15550100002", "sip:+15550100002@" + host, "X-EI: " + promisedSID},
			{"+15550100003", "sip:+15550100003@" + host, "X-EI: E." + promisedSID + ";"},
			{"+15550100004", "sip:+15550100004@" + host, "X-EI: S.00000000-0000-4000-8000-000000000000;"},
			{"+15550100005", "sip:user@sip.vapi.ai", "x-first_name: John, X-First_Name: John, X-FIRST_NAME: John"},
		} {
			var got struct {
				Targets []struct{ Invite []string }
				Prepare map[string]struct {
					Method, URL string
					Headers     []string
					Body        json.RawMessage
				}
			}
			p.decoded(p.must("explain", "-c", file, "--from", "+15550100099", "--to", c.number, "--json",
				"--header", "X-Twilio-CallSid: "+promisedSID, "--header", "x-First_name: John"), &got)
			var headers []string
			for _, target := range got.Targets {
				if want := "INVITE " + c.uri + " SIP/2.0"; target.Invite[0] != want {
					p.Errorf("%s; want %s", target.Invite[0], want)
				}
				headers = append(headers, promisedHeaders.FindAllString(strings.Join(target.Invite, "\n"), -1)...)
			}
			if all := strings.Join(headers, ", "); all != c.headers || strings.Contains(all, "S.") != (got.Prepare != nil) {
				p.Errorf("%s at %s: headers %q, prepared %+v; want %q", c.number, host, all, got.Prepare, c.headers)
			}
			for _, asked := range got.Prepare {
				p.promised(asked.Method+" "+asked.URL+"\n"+strings.Join(asked.Headers, "\n"), string(asked.Body), "POST https://api.synthflow.ai/v2/prepare_inbound",
					`{"from_number": "+15550100099", "to_number": "`+c.number+`", "model_id": "`+model+`", "workspace_id": "`+workspace+`", "custom_variables": {"name": "value"}}`)
			}
		}
	}
}

// promised compares a request with the documents' request, which has two headers.
func (p *platforms) promised(head, body, request, want string) {
	p.Helper()
	var x, y any
	p.decoded(body, &x)
	p.decoded(want, &y)
	if !strings.HasPrefix(head, request+"\n") || !strings.Contains(head, "\nContent-Type: application/json") || !strings.Contains(head, "\nAuthorization: Bearer ") ||
		!reflect.DeepEqual(x, y) {
		p.Errorf("request\n%s\n\n%s\nwant %s with type and token, and\n%s", head, body, request, want)
	}
}

// promisedAnswers reads the document's answer of prepare_inbound, and an answer that says failed.
func (p *platforms) promisedAnswers() {
	for status, want := range map[string]struct {
		code int
		says string
	}{"registered": {0, "X-EI: S.a29407fb-1bf2-4be6-9d1d-f501c3dd9a2b;"}, "failed": {1, "failed"}} {
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"call_status": "`+status+`", "synthflow_call_id": "a29407fb-1bf2-4be6-9d1d-f501c3dd9a2b", "direction": "inbound",
				"model_id": "1744274157255x646200691892837600", "workspace_id": null, "custom_variables": {"name": "erfan", "job": "backend"},
				"duration": null, "end_call_reason": null, "judge_results": null, "is_voicemail": null, "lead_phone_number": "+15075785607",
				"voicemail_not_detected_during_call_but_detected_in_post_call": null,
				"voicemail_during_call_but_not_voicemail_in_post_call": null, "timeline": [], "twilio_call_sid": null,
				"egress_recording_url": null, "agents_used": [], "original_payload": null, "executed_actions": [], "prompt_variables": {},
				"voicemail_message_left": null, "recording_sid": null, "secondary_call_id": null, "recording_url": null,
				"payload_received": null, "language": null, "type_of_call": null, "recording_duration": null, "transcript": null,
				"error_message_payload_validation": null, "error_message": null, "node_and_stage_time_track": {},
				"start_time": 1744309477691, "campaign_name": null, "lead_name": null, "labels": [], "agent_phone_number": "",
				"deployment_type": null, "timezone": null}`)
		}))
		must(p, os.WriteFile(filepath.Join(p.dir, status+".yaml"), []byte(p.promisedConfig(p.agent.String(), p.vapiSIP.String(), api.URL)), 0o600))
		out, code := p.run("targets", "try", "prepared", "-c", status+".yaml")
		if code != want.code || !strings.Contains(out, want.says) || status == "failed" && strings.Contains(out, "X-EI: S.") {
			p.Errorf("%s: exit code %d; want %d and %s\n%s", status, code, want.code, want.says, out)
		}
		api.Close()
	}
}

// promisedRequests compares the requests to the APIs with the documents, and sends them to the stand-ins.
func (p *platforms) promisedRequests() (made string) {
	synthflow := []string{"--api", p.api, "--token-file", "synthflow-api"}
	vapi := []string{"--api", p.vapi, "--token-file", "vapi-api"}
	uri := "sip:user@" + p.vapiSIP.String()
	for _, c := range []struct {
		account []string
		args    []string // ID stands for the id that the previous row has made
		request string
		body    string
	}{
		{
			synthflow,
			[]string{"synthflow", "number", "create", "--workspace-id", workspace, "--phone-number", "+15550100011"},
			"POST " + p.api + "/v2/custom-numbers",
			`{"workspace_id": "` + workspace + `", "phone_number": "+15550100011"}`,
		},
		{
			synthflow,
			[]string{
				"synthflow", "number", "create", "--workspace-id", workspace, "--phone-number", "+15550100012", "--friendly-name", "Friendly Name",
				"--trunk-username", "username", "--trunk-pwd-file", "trunk",
			},
			"POST " + p.api + "/v2/custom-numbers",
			`{"workspace_id": "` + workspace + `", "phone_number": "+15550100012", "friendly_name": "Friendly Name", "trunk_username": "username", "trunk_pwd": "[redacted]"}`,
		},
		{
			synthflow,
			[]string{
				"synthflow", "assistant", "create", "--name", "TestName", "--phone-number", "ID", "--llm", "gpt-4o", "--language", "en-US",
				"--prompt", "hey", "--greeting-message", "hi", "--voice-id", "qTj9lsKOMtF3uVefOvPi",
			},
			"POST " + p.api + "/v2/assistants",
			`{"type": "inbound", "agent": {"llm": "gpt-4o", "language": "en-US", "prompt": "hey", "greeting_message": "hi", "voice_id": "qTj9lsKOMtF3uVefOvPi"},
			"name": "TestName", "phone_number": "ID", "voice_engine_version": "2.0"}`,
		},
		{
			vapi,
			[]string{"vapi", "assistant", "create", "--name", "My SIP Assistant", "--first-message", "Hello {{first_name}}, you've reached me over SIP."},
			"POST " + p.vapi + "/assistant", `{"name": "My SIP Assistant", "firstMessage": "Hello {{first_name}}, you've reached me over SIP."}`,
		},
		{
			vapi,
			[]string{"vapi", "number", "create", "--sip-uri", uri, "--assistant-id", "ID"},
			"POST " + p.vapi + "/phone-number",
			`{"provider": "vapi", "sipUri": "` + uri + `", "assistantId": "ID"}`,
		},
	} {
		made = p.promisedRequest(made, c.request, c.body, append(c.args, c.account...))
	}
	var number map[string]any
	p.decoded(p.must(append([]string{"synthflow", "number", "show", "+15550100012", "--workspace-id", workspace, "--json"}, synthflow...)...), &number)
	if number["friendly_name"] != "Friendly Name" {
		p.Errorf("number %v; want its friendly name", number)
	}
	return made
}

// promisedRequest makes a command print its request, and then send it.
func (p *platforms) promisedRequest(id, request, body string, args []string) (made string) {
	p.Helper()
	if i := slices.Index(args, "ID"); i >= 0 {
		args[i] = id
	}
	head, sent, _ := strings.Cut(p.must(append(args, "--dry-run")...), "\n\n")
	p.promised(head, sent, strings.ReplaceAll(request, "ID", id), strings.ReplaceAll(body, "ID", id))
	var got struct{ ID string }
	p.decoded(p.must(append(args, "--json")...), &got)
	return got.ID
}

// promisedTwiML makes Twilio ask where a call goes.
func (p *platforms) promisedTwiML() {
	for number, headers := range map[string]string{
		"+15550100001": "</Sip>", "+15550100002": "[?]X-EI=" + promisedSID + "</Sip>", "+15550100003": "[?]X-EI=E[.]" + promisedSID + ";</Sip>", "+15550100004": "[?]X-EI=S[.]([-0-9a-f]{36});</Sip>",
	} {
		form := url.Values{"Called": {number}, "CallSid": {promisedSID}, "From": {"+15550100099"}}
		get := p.hook("/redirect_call?") + form.Encode()
		req, err := http.NewRequestWithContext(p.Context(), http.MethodGet, get, nil)
		must(p, err)
		req.Header.Set(twilio.SignatureHeader, twilio.Sign(twilioToken, get, nil))
		res, err := client.Do(req)
		must(p, err)
		text, err := io.ReadAll(res.Body)
		must(p, err)
		res.Body.Close()
		if kind := res.Header.Get("Content-Type"); res.StatusCode != 200 || !strings.HasPrefix(kind, "text/xml") {
			p.Errorf("GET %s: %s, %s; want 200, text/xml", number, res.Status, kind)
		}
		_, posted := p.asTwilio(p.hook("/redirect_call"), form, twilioToken)
		for _, text := range []string{string(text), posted} {
			got := regexp.MustCompile(`<Response>\s*<Dial>\s*<Sip>sip:[+]` + number[1:] + "@" + regexp.QuoteMeta(p.agent.String()) + headers).FindStringSubmatch(text)
			if got == nil {
				p.Errorf("%s: %s; want sip:%[1]s@%v%s", number, text, p.agent, headers)
			} else if len(got) > 1 {
				p.logged(p.sf, "call prepared", "id="+got[1])
			}
		}
	}
}

// promisedVapi calls the number, whose assistant accepts the header in each spelling. Then it replaces the assistant by
// one that our server names for each call.
func (p *platforms) promisedVapi(id string) {
	for header, name := range map[string]string{"x-first_name": "John", "X-First_Name": "Jane", "X-FIRST_NAME": "Joan"} {
		p.must("call", "--to", "sip:user@"+p.vapiSIP.String(), "--header", header+": "+name, "--seconds", "1", "--listen", p.carrier.String()+":0")
		p.logged(p.vp, "call settled", "Hello "+name+", you've reached me over SIP.")
	}
	server := p.hook("/assistant-request")
	p.promisedRequest(id, "PATCH "+p.vapi+"/phone-number/ID", `{"assistantId": null, "serverUrl": "`+server+`"}`,
		[]string{"vapi", "number", "update", "ID", "--server-url", server, "--api", p.vapi, "--token-file", "vapi-api"})
	if out, code := p.call("+15550100099", "+15550100005", "x-First_Name: Ada"); code != 0 {
		p.Errorf("exit code %d\n%s", code, out)
	}
	p.logged(p.vp, "Guten Tag Ada aus Bonn")
}

func (p *platforms) decoded(text string, into any) {
	p.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		p.Fatalf("%v in %s", err, text)
	}
}
