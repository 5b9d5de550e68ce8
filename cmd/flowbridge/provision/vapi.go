package provision

import (
	"cmp"
	"errors"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/internal/rest"
	"flowbridge/platform/vapi"
)

// Vapi returns the command `flowbridge vapi`.
func Vapi() *cobra.Command {
	c := cli.Group("vapi", "Set up assistants and SIP phone numbers at Vapi",
		"Set up assistants and SIP phone numbers at Vapi by its API. The token, a private key, is read from a file or a\n"+
			"variable of the environment, never from the command line. Nothing is sent with --dry-run.",
		"  flowbridge vapi assistant create --name Reception --token-file key\n  flowbridge vapi number create --region eu --sip-user my-agent --assistant-id ID")
	o := newConnection(c, config.KindVapi, config.VapiRegions(), "VAPI_TOKEN")
	c.AddCommand(vapiAssistants(o).command(), vapiNumbers(o).command())
	return c
}

// openVapi returns a function that opens the account and returns one of its collections.
func openVapi(of func(*vapi.Account) vapi.Collection) func(access) (things, error) {
	return func(a access) (things, error) {
		account, err := vapi.NewAccount(a.Options)
		if err != nil {
			return nil, cli.Usage("%w", err)
		}
		return of(account), nil
	}
}

// vapiAssistants returns the resource of assistants.
func vapiAssistants(o *connection) *resource {
	return &resource{
		connection: o, use: "assistant", noun: "assistant", key: "id", name: "name", idName: "ID",
		title: "assistant %q, id %s", many: "assistants named %q", args: idArg("assistant"),
		help: map[string]help{
			"": {"Create, show and remove assistants", "", "  flowbridge vapi assistant show 5e0f4c1e-7a53-4d3c-9a5e-0d8f6f1f2a77"},
			"create": {
				"Create an assistant (POST /assistant), unless it is there",
				"Create an assistant. If there is one of that name already, nothing is changed: the exit code is 0 if it is as wanted,\n" +
					"else 1, and the differences are shown.",
				"  flowbridge vapi assistant create --name Reception --first-message 'Hello {{first_name}}, how can I help?'\n" +
					"  flowbridge vapi assistant create --body assistant.json --dry-run",
			},
			"show":   {"Show an assistant (GET /assistant/{id})", "", "  flowbridge vapi assistant show 5e0f4c1e-7a53-4d3c-9a5e-0d8f6f1f2a77 --json"},
			"delete": {"Remove an assistant (DELETE /assistant/{id}), and show what was removed", "", "  flowbridge vapi assistant delete 5e0f4c1e-7a53-4d3c-9a5e-0d8f6f1f2a77 --yes"},
		},
		fields: []field{
			{"name", "name", fieldText, "name of the assistant"},
			{"first-message", "firstMessage", fieldText, "what it says first; {{first_name}} is filled from the SIP header x-first_name"},
		},
		again:    "create another one in any case",
		complete: func(_ *cobra.Command, _ *access, body rest.Object) error { return vapi.CheckAssistant(body) },
		open:     openVapi((*vapi.Account).Assistants),
		compare:  rest.Compare,
	}
}

// vapiNumbers returns the resource of SIP phone numbers.
func vapiNumbers(o *connection) *resource {
	return &resource{
		connection: o, use: "number", noun: "phone number", key: "id", name: "sipUri", idName: "ID",
		title: "phone number %s, id %s", many: "phone numbers with %s", args: idArg("phone number"),
		help: vapiNumberHelp(),
		fields: []field{
			{"sip-uri", "sipUri", fieldText, "the SIP URI that calls go to: sip:my-agent@sip.vapi.ai, the host being the region's"},
			{"assistant-id", "assistantId", fieldText, "the assistant that takes its calls"},
			{"server-secret", "server.secret", fieldSecret, "the secret that the platform shows at --server-url"},
		},
		again: "create another one in any case",
		flags: func(c *cobra.Command) {
			c.Flags().String("sip-user", "", "user of the SIP URI, in the place of --sip-uri; the host is the region's")
			c.Flags().String("server-url", "", "the server that the platform asks for the assistant of each call")
		},
		complete: completeVapiNumber,
		open:     openVapi((*vapi.Account).Numbers),
		same:     vapi.SameSIPURI,
		compare:  rest.Compare,
		note:     nobodyAnswers,
	}
}

func vapiNumberHelp() map[string]help {
	return map[string]help{
		"": {"Create, show, change and remove phone numbers", "", "  flowbridge vapi number show 0b6c1d5e-2f0e-4a7b-8f6e-9d7c3b2a1f00"},
		"create": {
			"Create a phone number (POST /phone-number), unless it is there",
			"Create a SIP phone number (provider vapi). If there is one of that SIP URI already, nothing is changed: the exit code\n" +
				"is 0 if it is as wanted, else 1, and the differences are shown.\n\n" +
				"With --server-url it has no assistant of its own: the platform asks that server for the assistant of each call\n" +
				"(assistant-request).",
			"  flowbridge vapi number create --sip-user my-agent --assistant-id 5e0f4c1e-7a53-4d3c-9a5e-0d8f6f1f2a77\n" +
				"  flowbridge vapi number create --region eu --sip-uri sip:my-agent@sip.eu.vapi.ai --server-url https://voice.example.com/assistant-request",
		},
		"update": {
			"Change a phone number (PATCH /phone-number/{id})",
			"Change a SIP phone number. --server-url takes its assistant away (assistantId null), so that the platform asks that\n" +
				"server for the assistant of each call (assistant-request).",
			"  flowbridge vapi number update 0b6c1d5e-2f0e-4a7b-8f6e-9d7c3b2a1f00 --server-url https://voice.example.com/assistant-request",
		},
		"show":   {"Show a phone number (GET /phone-number/{id})", "", "  flowbridge vapi number show 5e0f4c1e-7a53-4d3c-9a5e-0d8f6f1f2a77 --json"},
		"delete": {"Remove a phone number (DELETE /phone-number/{id}), and show what was removed", "", "  flowbridge vapi number delete 5e0f4c1e-7a53-4d3c-9a5e-0d8f6f1f2a77 --yes"},
	}
}

// vapiServer returns the URL of the server that chooses the assistant of each call, or "". server.url (API reference)
// takes precedence over serverUrl (guides).
func vapiServer(number rest.Object) string {
	server, _ := number.Object("server")
	return cmp.Or(text(server, "url"), text(number, "serverUrl"))
}

// nobodyAnswers returns a note if all calls to the number would fail because it has no assistant and no server.
// Otherwise it returns "".
func nobodyAnswers(_, number rest.Object) string {
	if vapiServer(number) != "" {
		return ""
	}
	// The other destinations in the API reference.
	for _, member := range []string{"assistantId", "squadId", "workflowId", "fallbackDestination"} {
		if number[member] != nil {
			return ""
		}
	}
	return "the number has neither an assistant nor a server, so all calls to it fail, unless a server is set for the whole account; " +
		"give it one by flowbridge vapi number update " + cli.ShellWord(text(number, "id")) +
		" --assistant-id ID, or --server-url URL"
}

// completeVapiNumber adds --sip-user and --server-url, and checks the body.
func completeVapiNumber(c *cobra.Command, a *access, body rest.Object) error {
	user, _ := c.Flags().GetString("sip-user")
	server, _ := c.Flags().GetString("server-url")
	switch {
	case user != "" && c.Flags().Changed("sip-uri"):
		return errors.New("--sip-user and --sip-uri exclude each other")
	case user != "" && a.region.SIP == "":
		return errors.New("--sip-user needs --region, which says the host: or write --sip-uri")
	case server != "" && c.Flags().Changed("assistant-id"):
		return errors.New("--server-url and --assistant-id exclude each other: the server says the assistant")
	case user != "":
		body["sipUri"] = "sip:" + user + "@" + a.region.SIP
	}
	if server != "" {
		// The documents have serverUrl, and null for the assistant. A secret only fits in server.
		body["assistantId"] = nil
		if in, ok := body.Object("server"); ok {
			in["url"] = server
		} else {
			body["serverUrl"] = server
		}
	}
	if c.Name() == "update" {
		return vapi.CheckChange(body)
	}
	if body["provider"] == nil {
		body["provider"] = vapi.ProviderVapi
	}
	return vapi.CheckNumber(body, a.region.SIP)
}
