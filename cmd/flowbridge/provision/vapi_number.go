package provision

import (
	"errors"
	"maps"

	"github.com/spf13/cobra"

	"flowbridge/internal/rest"
	"flowbridge/vapi"
)

// vapiNumbers are the commands of SIP phone numbers.
func vapiNumbers(o *connection) *vapiKind {
	return &vapiKind{
		connection: o, use: "number", what: "phone number", path: "/phone-number",
		fields: []field{
			{"sip-uri", "sipUri", fieldText, "the SIP URI that calls go to: sip:my-agent@sip.vapi.ai, the host being the region's"},
			{"name", "name", fieldText, "name for people"},
			{"assistant-id", "assistantId", fieldText, "the assistant that takes its calls"},
			{"server-secret", "server.secret", fieldSecret, "the secret that the platform shows at --server-url"},
			{"authentication-username", "authentication.username", fieldText, "user name that an INVITE must show by digest"},
			{"authentication-realm", "authentication.realm", fieldText, "realm of the challenge"},
			{"authentication-password", "authentication.password", fieldSecret, "the password to it"},
		},
		columns: []string{"id", "sipUri", "name", "assistantId", "serverUrl"},
		longs: map[string]string{
			"create": "Create a SIP phone number (provider vapi). Where there is one of that SIP URI already, nothing is sent but the\n" +
				"look-up; the exit code is 0 if it is as it was asked for, and 1, with what differs and the command to change it, if not.",
			"update": "Change a SIP phone number. --server-url takes the assistant away from it, so that the platform asks that server for\n" +
				"the assistant of each call (assistant-request).",
		},
		examples: map[string]string{
			"create": "  flowbridge vapi number create --sip-user my-agent --assistant-id 5e0f4c1e-7a53-4d3c-9a5e-0d8f6f1f2a77\n" +
				"  flowbridge vapi number create --region eu --sip-uri sip:my-agent@sip.eu.vapi.ai --server-url https://voice.example.com/assistant-request",
			"update": "  flowbridge vapi number update 0b6c1d5e-2f0e-4a7b-8f6e-9d7c3b2a1f00 --server-url https://voice.example.com/assistant-request\n" +
				"  flowbridge vapi number update 0b6c1d5e-2f0e-4a7b-8f6e-9d7c3b2a1f00 --authentication-username pbx --authentication-password-file sip.pwd",
		},
		create: (*vapi.Account).CreateNumber, list: (*vapi.Account).ListNumbers, get: (*vapi.Account).GetNumber,
		change: (*vapi.Account).UpdateNumber, remove: (*vapi.Account).DeleteNumber,
		flags: func(c *cobra.Command) {
			c.Flags().String("sip-user", "", "user of the SIP URI, in the place of --sip-uri; the host is the region's")
			c.Flags().String("server-url", "", "the server that the platform asks for the assistant of each call")
		},
		complete: completeVapiNumber,
		same: func(a, b rest.Object) bool {
			x, _ := a.Text("sipUri")
			y, _ := b.Text("sipUri")
			return x != "" && vapi.SameSIPURI(x, y)
		},
		title: func(o rest.Object) string {
			uri, _ := o.Text("sipUri")
			if uri == "" { // of another provider
				uri, _ = o.Text("number")
			}
			return "phone number " + uri
		},
		row: func(o rest.Object) rest.Object {
			shown := maps.Clone(o)
			if url := vapiServer(o); url != "" {
				shown["serverUrl"] = url
			}
			return shown
		},
		lacks: nobodyAnswers,
	}
}

// vapiServer is the URL of the server that is asked for the assistant of each call, or "". It has two places: server.url of
// the API reference comes before serverUrl of the guides.
func vapiServer(number rest.Object) string {
	server, _ := number.Object("server")
	if url, _ := server.Text("url"); url != "" {
		return url
	}
	url, _ := number.Text("serverUrl")
	return url
}

// nobodyAnswers says that the calls to a number fail because it says nobody who takes them, or "".
func nobodyAnswers(number rest.Object) string {
	if vapiServer(number) != "" {
		return ""
	}
	for _, member := range []string{"assistantId", "squadId", "workflowId", "fallbackDestination"} { // who else the API reference knows
		if number[member] != nil {
			return ""
		}
	}
	id, _ := number.Text("id")
	return "the number has neither an assistant nor a server, so all calls to it fail, unless a server is set for the whole account; " +
		"give it one by flowbridge vapi number update " + shellQuote(id) + " --assistant-id ID, or --server-url URL"
}

// completeVapiNumber puts in what --sip-user and --server-url say, and checks the body.
func completeVapiNumber(c *cobra.Command, a access, body rest.Object, fresh bool) (rest.Object, error) {
	user, _ := c.Flags().GetString("sip-user")
	server, _ := c.Flags().GetString("server-url")
	switch {
	case user != "" && c.Flags().Changed("sip-uri"):
		return nil, errors.New("--sip-user and --sip-uri exclude each other")
	case user != "" && a.region.SIP == "":
		return nil, errors.New("--sip-user needs --region, which says the host: or write --sip-uri")
	case server != "" && c.Flags().Changed("assistant-id"):
		return nil, errors.New("--server-url and --assistant-id exclude each other: the server says the assistant")
	case user != "":
		body["sipUri"] = "sip:" + user + "@" + a.region.SIP
	}
	if fresh && body["provider"] == nil {
		body["provider"] = vapi.ProviderVapi
	}
	if server != "" {
		// The documents have serverUrl, and null for the assistant; a secret has its place only in server.
		body["assistantId"] = nil
		if in, ok := body.Object("server"); ok {
			in["url"] = server
		} else {
			body["serverUrl"] = server
		}
	}
	if fresh {
		return body, vapi.CheckNewNumber(body, a.region.SIP)
	}
	return body, vapi.CheckNumber(body, a.region.SIP)
}
