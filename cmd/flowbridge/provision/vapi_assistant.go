package provision

import (
	"fmt"

	"github.com/spf13/cobra"

	"flowbridge/internal/rest"
	"flowbridge/vapi"
)

// vapiAssistants are the commands of assistants.
func vapiAssistants(o *connection) *vapiKind {
	return &vapiKind{
		connection: o, use: "assistant", what: "assistant", path: "/assistant",
		fields: []field{
			{"name", "name", fieldText, "name of the assistant"},
			{"first-message", "firstMessage", fieldText, "what it says first; {{first_name}} is filled from the SIP header x-first_name"},
			{"first-message-mode", "firstMessageMode", fieldText, "who speaks first: assistant-speaks-first, …"},
			{"model", "model", fieldJSON, `the language model, as JSON: {"provider": "openai", "model": "gpt-4o", …}`},
			{"voice", "voice", fieldJSON, "the voice, as JSON"},
			{"transcriber", "transcriber", fieldJSON, "the speech recognition, as JSON"},
			{"end-call-message", "endCallMessage", fieldText, "what it says last"},
			{"max-duration-seconds", "maxDurationSeconds", fieldNumber, "longest call, in seconds"},
			{"server-url", "server.url", fieldText, "where the platform reports events of its calls"},
			{"server-secret", "server.secret", fieldSecret, "the secret that it shows there"},
		},
		columns: []string{"id", "name", "firstMessage"},
		longs: map[string]string{
			"create": "Create an assistant. Where there is one of that name already, nothing is sent but the look-up; the exit code is 0 if\n" +
				"it is as it was asked for, and 1, with what differs and the command to change it, if not.",
		},
		examples: map[string]string{
			"create": "  flowbridge vapi assistant create --name Reception --first-message 'Hello {{first_name}}, how can I help?'\n" +
				"  flowbridge vapi assistant create --body assistant.json --dry-run",
			"update": "  flowbridge vapi assistant update 5e0f4c1e-7a53-4d3c-9a5e-0d8f6f1f2a77 --first-message Hello",
		},
		create: (*vapi.Account).CreateAssistant, list: (*vapi.Account).ListAssistants, get: (*vapi.Account).GetAssistant,
		change: (*vapi.Account).UpdateAssistant, remove: (*vapi.Account).DeleteAssistant,
		complete: func(_ *cobra.Command, _ access, body rest.Object, fresh bool) (rest.Object, error) {
			if !fresh {
				return body, nil
			}
			return body, vapi.CheckAssistant(body)
		},
		same: func(a, b rest.Object) bool {
			x, _ := a.Text("name")
			y, _ := b.Text("name")
			return x == y
		},
		title: func(o rest.Object) string {
			name, _ := o.Text("name")
			return fmt.Sprintf("assistant %q", name)
		},
	}
}
