package provision

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/internal/rest"
	"flowbridge/synthflow"
)

// assistants is the resource of agents.
func (s *synthflowCLI) assistants() *resource {
	return &resource{
		connection: s.connection, use: "assistant", noun: "agent", key: "model_id", idName: "MODEL_ID", args: idArg("agent"),
		help: map[string]help{
			"": {"Create, list, show, change and remove agents", "", "  flowbridge synthflow assistant list"},
			"create": {
				"Create an agent (POST /v2/assistants), unless there is one of that name",
				"Create an agent. Where there is one of that name already, nothing is sent but the look-up; the exit code is 0 if it\n" +
					"is as it was asked for, and 1, with what differs and the command to change it, if not.\n\n" +
					"voice_engine_version is sent, as the documents on direct dialling want it; an API that refuses it is asked once\n" +
					"more without it.",
				"  flowbridge synthflow assistant create --name Reception --phone-number +15551230000 \\\n" +
					"      --prompt-file prompt.txt --greeting-message Hello --llm gpt-4.1 --language en-US --voice-id V\n" +
					"  flowbridge synthflow assistant create --body agent.json --dry-run",
			},
			"list": {"List the agents (GET /v2/assistants/)", "", "  flowbridge synthflow assistant list --json"},
			"show": {"Show an agent (GET /v2/assistants/{model_id})", "", "  flowbridge synthflow assistant show 1744274157255x646200691892837600 --json"},
			"update": {
				"Change an agent (PUT /v2/assistants/{model_id})", "Change an agent. What is not written stays as it is.",
				"  flowbridge synthflow assistant update 1744274157255x646200691892837600 --phone-number +15551230000\n" +
					"  flowbridge synthflow assistant update 1744274157255x646200691892837600 --prompt-file prompt.txt",
			},
			"delete": {
				"Remove an agent (DELETE /v2/assistants/{model_id})", "Remove an agent, and show what was removed.",
				"  flowbridge synthflow assistant delete 1744274157255x646200691892837600 --yes",
			},
			"attach": {
				"Give an outbound agent its numbers (PUT /v2/assistants/{model_id}/phone_numbers)",
				"Give an outbound agent the numbers that it may call from. An inbound agent has one number instead:\n" +
					"assistant update --phone-number.",
				"  flowbridge synthflow assistant attach 1744274157255x646200691892837600 --phone-number +15551230000",
			},
		},
		columns: []string{"model_id", "name", "type", "phone_number"},
		fields:  assistantFields(),
		again:   "create another one of that name",
		flags: func(c *cobra.Command) {
			if c.Name() == "create" {
				newAssistantFlags(c)
			}
		},
		complete: func(c *cobra.Command, _ *access, body rest.Object, fresh bool) error {
			if !fresh {
				return nil
			}
			return completeAssistant(c, body)
		},
		open:    s.openAssistants,
		same:    sameName,
		named:   func(o rest.Object) string { return fmt.Sprintf("agents named %q", text(o, "name")) },
		compare: synthflow.CompareAssistant,
		label: func(o rest.Object) (what, id string) {
			return fmt.Sprintf("agent %q, model_id %s", text(o, "name"), text(o, "model_id")), text(o, "model_id")
		},
		sparse: true,
	}
}

func (s *synthflowCLI) openAssistants(_ *cobra.Command, a access, secrets []string) (things, error) {
	account, err := s.account(a, secrets)
	if err != nil {
		return things{}, err
	}
	return things{
		hide: account.Hide, close: account.CloseIdle, list: account.ListAssistants, get: account.GetAssistant,
		create: func(ctx context.Context, body rest.Object, known map[string]bool) (made rest.Object, note string, err error) {
			id, dropped, err := account.CreateAssistant(ctx, body, known)
			if dropped {
				note = "the API refused voice_engine_version; sent once more without it"
			}
			return rest.Object{"model_id": id, "name": body["name"]}, note, err
		},
		update: func(ctx context.Context, id string, body rest.Object) (rest.Object, error) {
			return nil, account.UpdateAssistant(ctx, id, body)
		},
		remove: silent(account.DeleteAssistant),
		attach: account.AttachNumbers,
	}, nil
}

// assistantFields are the members with a flag, for create and update. The others are written in --body.
func assistantFields() []field {
	return []field{
		{"name", "name", fieldText, "name of the agent"},
		{"phone-number", "phone_number", fieldText, "the imported number whose calls an inbound agent takes"},
		{"description", "description", fieldText, "what it is for"},
		{"is-recording", "is_recording", fieldBool, "have the platform record the calls"},
		{"max-duration-seconds", "max_duration.duration_seconds", fieldNumber, "longest call, in seconds"},
		{"max-duration-enabled", "max_duration.is_enabled", fieldBool, "whether that counts"},
		{"external-webhook-url", "external_webhook_url", fieldText, "where the platform reports finished calls"},
		{"inbound-call-webhook-url", "inbound_call_webhook_url", fieldText, "where the platform asks for the agent of a call"},
		{"voicemail-message", "voicemail_message", fieldJSON, "what it says to an answering machine, as JSON"},
		{"prompt", "agent.prompt", fieldText, "what the agent is told"},
		{"prompt-file", "agent.prompt", fieldFile, "file with what the agent is told"},
		{"greeting-message", "agent.greeting_message", fieldText, "what it says first"},
		{"greeting-message-mode", "agent.greeting_message_mode", fieldText, "agent_static, agent_dynamic or human"},
		{"llm", "agent.llm", fieldText, "language model, like gpt-4.1"},
		{"language", "agent.language", fieldText, "language, like en-US"},
		{"voice-id", "agent.voice_id", fieldText, "id of the voice"},
		{"voice-synthesizer", "agent.voice_synthesizer", fieldText, "engine of the voice"},
		{"timezone", "agent.timezone", fieldText, "time zone, like America/New_York (the platform's default: Europe/Berlin)"},
		{"patience-level", "agent.patience_level", fieldText, "low, medium or high"},
		{"noise-cancellation", "agent.noise_cancellation", fieldText, "standard or advanced"},
	}
}

// newAssistantFlags adds the flags for new agents only.
func newAssistantFlags(c *cobra.Command) {
	c.Flags().String("type", "inbound", "inbound, outbound or widget")
	c.Flags().String("voice-engine-version", synthflow.VoiceEngineVersion, `voice_engine_version; "" leaves it out`)
}

// completeAssistant completes the body of a new agent and checks it.
func completeAssistant(c *cobra.Command, body rest.Object) error {
	for member, flag := range map[string]string{"type": "type", "voice_engine_version": "voice-engine-version"} {
		f := c.Flags().Lookup(flag)
		if _, given := body[member]; !given || f.Changed {
			body[member] = f.Value.String()
		}
	}
	if body["voice_engine_version"] == "" {
		delete(body, "voice_engine_version")
	}
	return synthflow.CheckAssistant(body)
}

// idArg takes exactly one id.
func idArg(what string) cobra.PositionalArgs {
	return cli.Args(func(c *cobra.Command, args []string) error {
		if err := cobra.ExactArgs(1)(c, args); err != nil {
			return fmt.Errorf("name the %s by its id, see list: %w", what, err)
		}
		if !isID(args[0]) {
			return fmt.Errorf("%q is no id: see list", args[0])
		}
		return nil
	})
}

func isID(s string) bool { return rest.IsSegment(s) && cli.IsPrintable(s) }

func (s *synthflowCLI) attachCommand() *cobra.Command {
	r := s.assistants()
	c := r.sub("attach", "attach MODEL_ID")
	numbers := c.Flags().StringArray("phone-number", nil, "a number; may be repeated")
	return r.runs(c, func(ctx context.Context, t things, id string, show shower) error {
		if len(*numbers) == 0 {
			return cli.Usage("--phone-number is needed")
		}
		if err := t.attach(ctx, id, *numbers); err != nil {
			return err
		}
		return show.did(wasUpdated, r.titled(id, nil), id, nil)
	})
}
