package provision

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/internal/rest"
	"flowbridge/sim"
	"flowbridge/sim/vapi"
)

// vapiAccount is an account at Vapi.
type vapiAccount struct {
	t      *testing.T
	url    string
	things map[string][]rest.Object // by path
	got    []string                 // "METHOD path body"
}

func newVapiAccount(t *testing.T) *vapiAccount {
	t.Helper()
	a := &vapiAccount{t: t, things: map[string][]rest.Object{"/assistant": nil, "/phone-number": nil}}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	a.url = s.URL
	t.Setenv("VAPI_TOKEN", accountToken)
	return a
}

func (a *vapiAccount) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	a.got = append(a.got, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+string(data)))
	if err != nil || r.Header.Get("Authorization") != "Bearer "+accountToken || len(data) > 0 && r.Header.Get("Content-Type") != "application/json" {
		a.t.Errorf("%s %s: %v, headers %v", r.Method, r.URL, err, r.Header)
	}
	var body rest.Object
	if len(data) > 0 {
		if body, err = rest.ParseObject(data); err != nil {
			a.t.Errorf("%s: %v", data, err)
		}
	}
	status, answer := a.serve(r, body)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

func (a *vapiAccount) serve(r *http.Request, body rest.Object) (int, any) {
	path, id := r.URL.Path, ""
	if at := strings.LastIndexByte(path, '/'); at > 0 {
		path, id = path[:at], path[at+1:]
	}
	all, known := a.things[path]
	at := slices.IndexFunc(all, func(o rest.Object) bool { return o["id"] == id })
	fail := func(code int, words ...string) (int, any) {
		return code, object{"message": words, "error": http.StatusText(code), "statusCode": code}
	}
	switch {
	case !known || id != "" && at < 0:
		return fail(404, "Couldn't find it.")
	case id == "" && r.Method == http.MethodGet:
		return 200, append([]rest.Object{}, all...)
	case id == "" && r.Method == http.MethodPost:
		if body["assistantId"] != nil && len(a.things["/assistant"]) == 0 {
			return fail(400, "assistantId must be of an assistant", "correct it")
		}
		body["id"] = fmt.Sprintf("id-%d", len(all)+1)
		a.things[path] = append(all, body)
		return 201, body
	case r.Method == http.MethodPatch:
		maps.Copy(all[at], body)
	case r.Method == http.MethodDelete:
		a.things[path] = slices.Concat(all[:at], all[at+1:])
	}
	return 200, all[at]
}

func (a *vapiAccount) steps(all []cliStep) {
	a.t.Helper()
	for _, step := range all {
		args := append([]string{"vapi"}, append(step.args, "--api", a.url)...)
		out, code := run(a.t, args...)
		checkOutput(a.t, step, out, code)
		for _, secret := range []string{accountToken, trunkPassword} {
			if strings.Contains(out, secret) {
				a.t.Errorf("%q is in the output of %v:\n%s", secret, args, out)
			}
		}
	}
}

func TestVapiAccount(t *testing.T) {
	a := newVapiAccount(t)
	pwd := secretFile(t, trunkPassword)
	assistant := []string{"assistant", "create", "--name", "Ann", "--first-message", "Hello {{first_name}}", "--model", `{"provider":"openai","model":"x"}`}
	number := []string{"number", "create", "--sip-uri", "sip:ann@127.0.0.1:5060", "--assistant-id", "id-1", "--authentication-username", "u", "--authentication-password-file", pwd}
	with := func(args []string, more ...string) []string { return append(slices.Clone(args), more...) }
	a.steps([]cliStep{
		{number, 1, []string{"400 Bad Request: Bad Request: assistantId must be of an assistant; correct it"}},
		{assistant, 0, []string{`created assistant "Ann", id id-1`}},
		{assistant, 0, []string{"is there already", "!wanted"}},
		{with(assistant, "--model", `{"model":"y"}`), 1, []string{"model.model: is x, wanted y", "flowbridge vapi assistant update id-1 --body FILE --api " + a.url}},
		{with(assistant, "--first-message", "Hi"), 1, []string{"--first-message=Hi"}},
		{with(assistant, "--again", "--json"), 0, []string{`"outcome": "created"`, `"id": "id-2"`}},
		{assistant, 1, []string{"there are 2 assistants named \"Ann\": id-1, id-2"}},
		{[]string{"assistant", "delete", "id-2", "--yes"}, 0, []string{"deleted assistant", "firstMessage"}},
		{[]string{"assistant", "update", "id-1", "--first-message", "Hi"}, 0, []string{"updated assistant"}},
		{[]string{"assistant", "show", "id-1"}, 0, []string{"firstMessage  Hi", `{"model":"x","provider":"openai"}`}},
		{[]string{"assistant", "show", "id-9"}, 1, []string{"404 Not Found", "Couldn't find it."}},
		{[]string{"assistant", "list"}, 0, []string{"ID    NAME  FIRSTMESSAGE", "id-1  Ann   Hi"}},
		{number, 0, []string{"created phone number sip:ann@127.0.0.1:5060, id id-1"}},
		{with(number, "--sip-uri", "sip:ANN@127.0.0.1:5060"), 1, []string{"sipUri: is sip:ann@127.0.0.1:5060"}},
		{number, 0, []string{"is there already", "authentication.password"}},
		{[]string{"number", "show", "id-1", "--json"}, 0, []string{`"password": "[redacted]"`}},
		{[]string{"number", "update", "id-1", "--server-url", "https://x.example/assistant-request"}, 0, []string{"updated phone number"}},
		{[]string{"number", "list", "--json"}, 0, []string{`"assistantId": null`, `"serverUrl": "https://x.example/assistant-request"`}},
		{[]string{"number", "delete", "id-1"}, 2, []string{"--yes"}},
		{[]string{"number", "delete", "id-1", "--yes", "--json"}, 0, []string{`"outcome": "deleted"`}},
	})
	if want := `PATCH /phone-number/id-1 {"assistantId":null,"serverUrl":"https://x.example/assistant-request"}`; !slices.Contains(a.got, want) {
		t.Errorf("%s is not in %q", want, a.got)
	}
}

func TestVapiUsage(t *testing.T) {
	a := newVapiAccount(t)
	a.steps([]cliStep{
		{[]string{"assistant", "create"}, 2, []string{"name is missing"}},
		{[]string{"assistant", "delete", "..", "--yes"}, 2, []string{`".." is no id`}},
		{[]string{"number", "show", "."}, 2, []string{`"." is no id`}},
		{[]string{"number", "update", "..", "--name", "x"}, 2, []string{`".." is no id`}},
		{[]string{"assistant", "update", "x"}, 2, []string{"nothing to change"}},
		{[]string{"number", "create"}, 2, []string{"sipUri is missing"}},
		{[]string{"number", "create", "--sip-uri", "x"}, 2, []string{"is not one"}},
		{[]string{"number", "create", "--sip-user", "x"}, 2, []string{"--sip-user needs --region"}},
		{[]string{"number", "create", "--sip-user", "x", "--sip-uri", "y"}, 2, []string{"exclude each other"}},
		{[]string{"number", "create", "--region", "eu", "--sip-uri", "sip:a@sip.vapi.ai"}, 2, []string{"not of this region, whose SIP host is sip.eu.vapi.ai"}},
		{[]string{"number", "update", "x", "--server-url", "https://x", "--assistant-id", "y"}, 2, []string{"the server says the assistant"}},
		{[]string{"number", "update", "x", "--server-url", "x"}, 2, []string{"serverUrl is not a URL"}},
		{[]string{"number", "list", "--region", "global"}, 2, []string{"one of us, eu"}},
	})
	if len(a.got) > 0 {
		t.Errorf("sent %v", a.got)
	}
}

// The server of a number is shown wherever the API has it, and a number whose calls nobody takes is created with a note.
func TestVapiNumberServer(t *testing.T) {
	a := newVapiAccount(t)
	secret := secretFile(t, trunkPassword)
	create := func(user string, more ...string) []string {
		return append([]string{"number", "create", "--sip-uri", "sip:" + user + "@127.0.0.1:5060"}, more...)
	}
	const note = "has neither an assistant nor a server, so all calls to it fail"
	a.steps([]cliStep{
		{create("a"), 0, []string{"created phone number", note, "vapi number update id-1 --assistant-id ID, or --server-url URL"}},
		{create("b", "--server-url", "https://b.example/x", "--server-secret-file", secret), 0, []string{"created phone number", "!" + note}},
		{create("c", "--server-url", "https://c.example/x"), 0, []string{"created phone number", "!" + note}},
		{[]string{"assistant", "create", "--name", "Ann"}, 0, nil},
		{create("d", "--assistant-id", "id-1"), 0, []string{"created phone number", "!" + note}},
		{[]string{"number", "list"}, 0, []string{"SERVERURL", "-            https://b.example/x", "-            https://c.example/x"}},
		{[]string{"number", "list", "--json"}, 0, []string{`"url": "https://b.example/x"`, `!"serverUrl": "https://b.example/x"`}},
	})
}

// Against the stand-in, which holds to the API reference: from an empty account to a number that asks a server.
func TestVapiStandIn(t *testing.T) {
	v, err := vapi.Start(t.Context(), vapi.Options{Key: accountToken, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	t.Setenv("VAPI_TOKEN", accountToken)
	a := &vapiAccount{t: t, url: v.APIURL()}
	uri := "sip:ann@" + v.SIPAddr().String()
	a.steps([]cliStep{{[]string{"assistant", "create", "--name", "Ann", "--first-message", "Hello {{first_name}}"}, 0, []string{"created"}}})
	out, code := run(t, "vapi", "assistant", "list", "--json", "--api", a.url)
	_, id, _ := strings.Cut(out, `"id": "`)
	id, _, _ = strings.Cut(id, `"`)
	if code != 0 || id == "" {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	pwd := secretFile(t, trunkPassword+"-20-to-40-long")
	number := []string{"number", "create", "--sip-uri", uri, "--assistant-id", id, "--authentication-username", "user-of-20-to-40-letters", "--authentication-password-file", pwd}
	a.steps([]cliStep{
		{number, 0, []string{"created phone number " + uri}},
		{number, 0, []string{"is there already", "!wanted"}},
		{append(slices.Clone(number), "--again"), 1, []string{"400 Bad Request", "is taken"}},
		{[]string{"number", "create", "--sip-uri", "sip:ann@sip.eu.vapi.ai"}, 1, []string{"400"}},
	})
	out, _ = run(t, "vapi", "number", "list", "--json", "--api", a.url)
	_, phone, _ := strings.Cut(out, `"id": "`)
	phone, _, _ = strings.Cut(phone, `"`)
	a.steps([]cliStep{
		{[]string{"number", "update", phone, "--server-url", "https://x.example/assistant-request"}, 0, []string{"updated"}},
		{[]string{"number", "show", phone}, 0, []string{"https://x.example/assistant-request", "!" + id}},
		{[]string{"number", "delete", phone, "--yes"}, 0, []string{"deleted"}},
		{[]string{"assistant", "delete", id, "--yes"}, 0, []string{"deleted"}},
		{[]string{"assistant", "show", id}, 1, []string{"404"}},
	})
}

// Ids that can't be ids, or are another's, are not taken.
func TestVapiFaults(t *testing.T) {
	v, err := vapi.Start(t.Context(), vapi.Options{Key: accountToken, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	t.Setenv("VAPI_TOKEN", accountToken)
	a := &vapiAccount{t: t, url: v.APIURL()}
	create := []string{"assistant", "create", "--name", "A", "--again"}
	a.steps([]cliStep{{create, 0, []string{"created"}}})
	for fault, says := range map[string][2]string{
		"types":   {"entry of the list has no usable id", "has no id"},
		"emptyid": {"entry of the list has no usable id", "the answer's id is none"},
		"crlf":    {"entry of the list has no usable id", "the answer's id is none"},
		"reused":  {"was there before", ""},
	} {
		f, err := sim.ParseFault(fault)
		if err != nil {
			t.Fatal(err)
		}
		v.SetFault(f)
		a.steps([]cliStep{{create, 1, []string{says[0], "!created assistant"}}})
		if says[1] == "" {
			continue
		}
		number := []string{"number", "create", "--sip-uri", "sip:" + fault + "@" + v.SIPAddr().String(), "--server-url", "https://x.example/a"}
		out, code := run(t, append(append([]string{"vapi"}, number...), "--api", a.url)...)
		checkOutput(t, cliStep{number, 1, []string{says[1], "!created phone number"}}, out, code)
		v.SetFault(sim.Fault{}) // it was created all the same: the next one is to find none
		list, _ := run(t, "vapi", "number", "list", "--api", a.url)
		for _, line := range strings.Split(strings.TrimSpace(list), "\n")[1:] {
			id, _, _ := strings.Cut(line, " ")
			a.steps([]cliStep{{[]string{"number", "delete", id, "--yes"}, 0, []string{"deleted"}}})
		}
	}
}

// The region says API and SIP host, and --dry-run sends nothing to it.
func TestVapiDryRun(t *testing.T) {
	t.Setenv("VAPI_TOKEN", "")
	out, code := run(t, "vapi", "number", "create", "--region", "eu", "--sip-user", "ann", "--server-url", "https://x.example/a",
		"--server-secret-file", secretFile(t, trunkPassword), "--dry-run")
	want := `POST https://api.eu.vapi.ai/phone-number
Accept: application/json
Authorization: Bearer [redacted]
Content-Type: application/json
User-Agent: flowbridge/` + cli.Version() + `

{
  "assistantId": null,
  "provider": "vapi",
  "server": {
    "secret": "[redacted]",
    "url": "https://x.example/a"
  },
  "sipUri": "sip:ann@sip.eu.vapi.ai"
}

`
	if code != 0 || out != want {
		t.Errorf("exit code %d, got\n%s", code, out)
	}
	for _, args := range [][]string{{"list"}, {"show", "x"}, {"delete", "x"}, {"update", "x", "--name", "y"}} {
		for _, kind := range []string{"assistant", "number"} {
			out, code := run(t, append([]string{"vapi", kind, "--dry-run"}, args...)...)
			if code != 0 || strings.Count(out, "Authorization: Bearer [redacted]") != 1 {
				t.Errorf("%s %v: exit code %d\n%s", kind, args, code, out)
			}
		}
	}
}
