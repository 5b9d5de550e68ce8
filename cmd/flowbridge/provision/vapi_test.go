package provision

import (
	"slices"
	"strings"
	"testing"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/sim"
)

// From an empty account to a number with an assistant, and to one that asks a server.
func TestVapiAccount(t *testing.T) {
	a, p := newVapi(t)
	uri := "sip:ann@" + p.SIPAddr().String()
	assistant := []string{"assistant", "create", "--name", "Ann", "--first-message", "Hello {{first_name}}", "--body", secretFile(t, `{"model": {"provider": "openai", "model": "x"}}`)}
	number := func(assistant string) []string {
		return []string{
			"number", "create", "--sip-uri", uri, "--assistant-id", assistant, "--body",
			secretFile(t, `{"authentication": {"username": "user-of-20-to-40-letters", "password": "`+trunkPassword+`-20-to-40-long"}}`),
		}
	}
	with := func(args []string, more ...string) []string { return append(slices.Clone(args), more...) }
	a.steps([]cliStep{{number("none"), 1, []string{"400 Bad Request", "Couldn't find Assistant"}}})
	id := a.made(assistant...)
	second := a.made(with(assistant, "--again")...)
	a.steps([]cliStep{
		{assistant, 1, []string{"there are 2 assistants named \"Ann\": ", id, second}},
		{[]string{"assistant", "delete", second, "--yes"}, 0, []string{"deleted assistant", "firstMessage"}},
		{assistant, 0, []string{"is there already", "!wanted"}},
		{with(assistant, "--first-message", "Hi"), 1, []string{"firstMessage: is Hello {{first_name}}, wanted Hi", "flowbridge vapi assistant delete " + id + " --yes --api " + a.url}},
		{[]string{"assistant", "show", id}, 0, []string{"firstMessage  Hello {{first_name}}", `{"model":"x","provider":"openai"}`}},
		{[]string{"assistant", "show", "id-9"}, 1, []string{"404 Not Found", "Couldn't find"}},
		{[]string{"number", "create", "--sip-uri", "sip:ann@sip.eu.vapi.ai"}, 1, []string{"400"}},
	})
	phone := a.made(number(id)...)
	a.steps([]cliStep{
		{number(id), 0, []string{"is there already", "authentication.password", "!wanted"}},
		{with(number(id), "--again"), 1, []string{"400 Bad Request", "is taken"}},
		{with(number(id), "--sip-uri", strings.Replace(uri, "ann", "ANN", 1)), 1, []string{"sipUri: is " + uri}},
		{[]string{"number", "delete", phone}, 2, []string{"--yes"}},
		{[]string{"number", "delete", phone, "--yes", "--json"}, 0, []string{`"outcome": "deleted"`}},
		{[]string{"assistant", "delete", id, "--yes"}, 0, []string{"deleted"}},
		{[]string{"assistant", "show", id}, 1, []string{"404"}},
	})
}

func TestVapiUsage(t *testing.T) {
	a := unasked(t, "vapi")
	a.steps([]cliStep{
		{[]string{"assistant", "create"}, 2, []string{"name is missing"}},
		{[]string{"assistant", "delete", "..", "--yes"}, 2, []string{`".." is no id`}},
		{[]string{"number", "show", "."}, 2, []string{`"." is no id`}},
		{[]string{"number", "create"}, 2, []string{"sipUri is missing"}},
		{[]string{"number", "create", "--sip-uri", "x"}, 2, []string{"is not one"}},
		{[]string{"number", "create", "--sip-user", "x"}, 2, []string{"--sip-user needs --region"}},
		{[]string{"number", "create", "--sip-user", "x", "--sip-uri", "y"}, 2, []string{"exclude each other"}},
		{[]string{"number", "create", "--region", "eu", "--sip-uri", "sip:a@sip.vapi.ai"}, 2, []string{"not of this region, whose SIP host is sip.eu.vapi.ai"}},
		{[]string{"number", "create", "--sip-uri", "sip:a@h", "--server-url", "https://x", "--assistant-id", "y"}, 2, []string{"the server says the assistant"}},
		{[]string{"number", "create", "--sip-uri", "sip:a@h", "--server-url", "x"}, 2, []string{"serverUrl is not a URL"}},
		{[]string{"number", "show", "x", "--region", "global"}, 2, []string{"one of us, eu"}},
	})
}

// A number whose calls nobody takes is created with a note. A secret goes where the API has a place for it.
func TestVapiNumberServer(t *testing.T) {
	a, p := newVapi(t)
	create := func(user string, more ...string) []string {
		return append([]string{"number", "create", "--sip-uri", "sip:" + user + "@" + p.SIPAddr().String()}, more...)
	}
	const note = "has neither an assistant nor a server, so all calls to it fail"
	a.steps([]cliStep{
		{create("a"), 0, []string{"created phone number", note, "create it with --assistant-id ID or --server-url URL"}},
		{create("b", "--server-url", "https://b.example/x", "--server-secret-file", secretFile(t, trunkPassword)), 0, []string{"created phone number", "!" + note}},
		{create("d", "--assistant-id", a.made("assistant", "create", "--name", "Ann")), 0, []string{"created phone number", "!" + note}},
	})
	id := a.made(create("c", "--server-url", "https://c.example/x")...)
	a.steps([]cliStep{{[]string{"number", "show", id}, 0, []string{"https://c.example/x"}}})
}

// Ids that can't be ids, or are another's, are not taken.
func TestVapiFaults(t *testing.T) {
	a, p := newVapi(t)
	create := []string{"assistant", "create", "--name", "A", "--again"}
	a.steps([]cliStep{{create, 0, []string{"created"}}})
	for fault, says := range map[string]string{
		"types": "entry of the list has no usable id", "emptyid": "entry of the list has no usable id", "crlf": "entry of the list has no usable id", "reused": "was there before",
	} {
		f, err := sim.ParseFault(fault)
		if err != nil {
			t.Fatal(err)
		}
		p.SetFault(f)
		a.steps([]cliStep{{create, 1, []string{says, "!created assistant"}}})
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
	for _, args := range [][]string{{"show", "x"}, {"delete", "x"}} {
		for _, kind := range []string{"assistant", "number"} {
			out, code := run(t, append([]string{"vapi", kind, "--dry-run"}, args...)...)
			if code != 0 || strings.Count(out, "Authorization: Bearer [redacted]") != 1 {
				t.Errorf("%s %v: exit code %d\n%s", kind, args, code, out)
			}
		}
	}
}
