package provision

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"flowbridge/internal/rest"
	"flowbridge/vapi"
)

// vapiAssistants are the commands of assistants.
func vapiAssistants(o *connection) *resource {
	return &resource{
		connection: o, use: "assistant", noun: "assistant", key: "id", idName: "ID", args: idArg("assistant"),
		help: map[string]help{
			"": {"Create, list, show, change and remove assistants", "", "  flowbridge vapi assistant list"},
			"create": {
				"Create an assistant (POST /assistant), unless it is there",
				"Create an assistant. Where there is one of that name already, nothing is sent but the look-up; the exit code is 0 if\n" +
					"it is as it was asked for, and 1, with what differs and the command to change it, if not.",
				"  flowbridge vapi assistant create --name Reception --first-message 'Hello {{first_name}}, how can I help?'\n" +
					"  flowbridge vapi assistant create --body assistant.json --dry-run",
			},
			"list":   {"List the assistants (GET /assistant)", "", "  flowbridge vapi assistant list --json"},
			"show":   {"Show an assistant (GET /assistant/{id})", "", "  flowbridge vapi assistant show 5e0f4c1e-7a53-4d3c-9a5e-0d8f6f1f2a77 --json"},
			"update": {"Change an assistant (PATCH /assistant/{id})", "", "  flowbridge vapi assistant update 5e0f4c1e-7a53-4d3c-9a5e-0d8f6f1f2a77 --first-message Hello"},
			"delete": {"Remove an assistant (DELETE /assistant/{id}), and show what was removed", "", "  flowbridge vapi assistant delete 5e0f4c1e-7a53-4d3c-9a5e-0d8f6f1f2a77 --yes"},
		},
		columns: []string{"id", "name", "firstMessage"},
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
		again: "create another one in any case",
		complete: func(_ *cobra.Command, _ *access, body rest.Object, fresh bool) error {
			if !fresh {
				return nil
			}
			return vapi.CheckAssistant(body)
		},
		open:    openVapiAssistants,
		same:    sameName,
		named:   func(o rest.Object) string { return fmt.Sprintf("assistants named %q", text(o, "name")) },
		compare: rest.Compare,
		label: func(o rest.Object) (what, id string) {
			return fmt.Sprintf("assistant %q, id %s", text(o, "name"), text(o, "id")), text(o, "id")
		},
		echoes: true,
	}
}

func openVapiAssistants(_ *cobra.Command, a access, secrets []string) (things, error) {
	account, err := openVapi(a, secrets)
	if err != nil {
		return things{}, err
	}
	return things{
		hide: account.Hide, close: account.CloseIdle, list: account.ListAssistants, get: account.GetAssistant,
		create: func(ctx context.Context, body rest.Object, known map[string]bool) (rest.Object, string, error) {
			made, err := account.CreateAssistant(ctx, body, known)
			return made, "", err
		},
		update: account.UpdateAssistant, remove: account.DeleteAssistant,
	}, nil
}
