package provision

import (
	"slices"
	"strings"
	"testing"
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
		{[]string{"number", "create", "--sip-user", "x"}, 2, []string{"--sip-user needs --region"}},
		{[]string{"number", "create", "--sip-user", "x", "--sip-uri", "y"}, 2, []string{"exclude each other"}},
		{[]string{"number", "create", "--region", "eu", "--sip-uri", "sip:a@sip.vapi.ai"}, 2, []string{"not of this region, whose SIP host is sip.eu.vapi.ai"}},
		{[]string{"number", "create", "--sip-uri", "sip:a@h", "--server-url", "https://x", "--assistant-id", "y"}, 2, []string{"the server says the assistant"}},
		{[]string{"number", "create", "--sip-uri", "sip:a@h", "--server-url", "x"}, 2, []string{"serverUrl is not a URL"}},
		{[]string{"number", "show", "x", "--region", "global"}, 2, []string{"one of us, eu"}},
	})
}

// A number without anything to take its calls is created with a note. A secret goes where the API has a place for it.
func TestVapiNumberServer(t *testing.T) {
	a, p := newVapi(t)
	create := func(user string, more ...string) []string {
		return append([]string{"number", "create", "--sip-uri", "sip:" + user + "@" + p.SIPAddr().String()}, more...)
	}
	const note = "has neither an assistant nor a server, so all calls to it fail"
	a.steps([]cliStep{
		{create("a"), 0, []string{"created phone number", note, "vapi number update", "--assistant-id ID, or --server-url URL"}},
		{create("b", "--server-url", "https://b.example/x", "--server-secret-file", secretFile(t, trunkPassword)), 0, []string{"created phone number", "!" + note}},
		{create("d", "--assistant-id", a.made("assistant", "create", "--name", "Ann")), 0, []string{"created phone number", "!" + note}},
	})
	id := a.made(create("c", "--server-url", "https://c.example/x")...)
	a.steps([]cliStep{{[]string{"number", "show", id}, 0, []string{"https://c.example/x"}}})
	// The document's change: PATCH /phone-number/{id} {"assistantId": null, "serverUrl": …}.
	id = a.made(create("e", "--assistant-id", a.made("assistant", "create", "--name", "Bob"))...)
	a.steps([]cliStep{
		{[]string{"number", "update", id, "--server-url", "https://e.example/x", "--json"}, 0, []string{`"outcome": "updated"`, `"assistantId": null`, `"serverUrl": "https://e.example/x"`}},
		{[]string{"number", "show", id, "--json"}, 0, []string{`"assistantId": null`, "https://e.example/x", "sip:e@"}},
		{[]string{"number", "update", "unknown", "--server-url", "https://e.example/x"}, 1, []string{"404"}},
		{[]string{"number", "update", id, "--server-url", "x"}, 2, []string{"serverUrl is not a URL"}},
	})
}
