package provision

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/internal/rest"
	"flowbridge/synthflow"
)

// synthflowCLI is the connection with what only Synthflow has.
type synthflowCLI struct {
	*connection
	assistantsPath string
}

// Synthflow is `flowbridge synthflow`.
func Synthflow() *cobra.Command {
	c := cli.Group("synthflow", "Set up numbers and agents at Synthflow",
		"Set up numbers and agents at Synthflow by its API. The token is read from a file or a variable of the\n"+
			"environment, never from the command line. Nothing is sent with --dry-run.",
		"  flowbridge synthflow number list --workspace-id W --token-file token\n"+
			"  flowbridge synthflow assistant list --region eu")
	s := &synthflowCLI{connection: newConnection(c, config.KindSynthflow, config.SynthflowRegions(), "SYNTHFLOW_TOKEN")}
	c.PersistentFlags().StringVar(&s.assistantsPath, "assistants-path", synthflow.DefaultAssistantsPath,
		"path of agents below the API's base URL")
	assistants := s.assistants().command()
	assistants.AddCommand(s.attachCommand())
	c.AddCommand(s.numbers().command(), assistants, s.setupCommand())
	return c
}

// account opens the account.
func (s *synthflowCLI) account(a access) (*synthflow.Account, error) {
	account, err := synthflow.NewAccount(synthflow.AccountOptions{
		Options: a.Options, WorkspaceID: a.workspace,
		AssistantsPath: s.assistantsPath,
	})
	if err != nil {
		return nil, cli.Usage("%w", err)
	}
	return account, nil
}

// needWorkspace is an error without a workspace.
func needWorkspace(a access) error {
	if a.workspace == "" {
		return cli.Usage("--workspace-id is needed: it is in the platform's workspace settings")
	}
	return nil
}

// numbers is the resource of imported numbers.
func (s *synthflowCLI) numbers() *resource {
	return &resource{
		connection: s.connection, use: "number", noun: "number", idName: "NUMBER", args: numberArg(),
		help: map[string]help{
			"": {"Import, list, show, change and remove numbers", "", "  flowbridge synthflow number list --workspace-id W"},
			"create": {
				"Import a number (POST /v2/custom-numbers), unless it is there",
				"Import a number into the workspace. If the workspace has it already, nothing is changed: the exit code is 0 if\n" +
					"it is as wanted, else 1, and the differences are shown with the command to change it.",
				"  flowbridge synthflow number create --workspace-id W --phone-number +15551230000 --friendly-name Reception\n" +
					"  flowbridge synthflow number create --workspace-id W --phone-number +15551230000 \\\n" +
					"      --termination-uri sip.carrier.example --trunk-username user --trunk-pwd-file trunk.pwd\n" +
					"  flowbridge synthflow number create --workspace-id W --body number.json --dry-run",
			},
			"list": {
				"List the workspace's numbers (GET /v2/numbers)", "",
				"  flowbridge synthflow number list --workspace-id W\n" +
					"  flowbridge synthflow number list --workspace-id W --is-available --json",
			},
			"show": {
				"Show a number (GET /v2/numbers/{slug})", "",
				"  flowbridge synthflow number show +15551230000 --workspace-id W --json",
			},
			"update": {
				"Change a number (PATCH /v2/numbers/{slug})", "",
				"  flowbridge synthflow number update +15551230000 --friendly-name Reception\n" +
					"  flowbridge synthflow number update +15551230000 --trunk-pwd-env TRUNK_PWD",
			},
			"delete": {
				"Remove a number from the workspace (DELETE /v2/numbers/{slug})",
				"Remove a number from the workspace, and show what was removed. It is detached from its agents; a number bought\n" +
					"from the platform is also cancelled.",
				"  flowbridge synthflow number delete +15551230000 --workspace-id W --yes",
			},
		},
		columns:      []string{"number", "is_available", "sid"},
		fields:       numberFields(),
		newFields:    []field{{"phone-number", "phone_number", fieldText, "the number, E.164: +15551230000"}},
		updateFields: []field{{"sip-term-uri", "sip_term_uri", fieldText, "another name of --termination-uri"}},
		flags: func(c *cobra.Command) {
			if c.Name() == "list" {
				c.Flags().Bool("is-available", false, "only numbers without an inbound agent; =false: only those with one")
			}
		},
		complete: func(_ *cobra.Command, a *access, body rest.Object, fresh bool) error {
			if !fresh {
				return nil
			}
			if a.workspace != "" {
				body["workspace_id"] = a.workspace
			}
			a.workspace, _ = body.Text("workspace_id")
			return checkNumber(body)
		},
		open:    s.openNumbers,
		compare: synthflow.CompareNumber,
		label: func(o rest.Object) (what, id string) {
			id, _ = o.Text("phone_number")
			return "number " + id, id
		},
	}
}

func (s *synthflowCLI) openNumbers(c *cobra.Command, a access) (things, error) {
	if c.Name() != "update" { // of all requests, only that one needs no workspace
		if err := needWorkspace(a); err != nil {
			return nil, err
		}
	}
	account, err := s.account(a)
	numbers := synthflow.Numbers{Account: account}
	if f := c.Flags().Lookup("is-available"); f != nil && f.Changed {
		only := f.Value.String() == "true"
		numbers.Available = &only
	}
	return numbers, err
}

// numberFields are the members with a flag, for create and update.
func numberFields() []field {
	return []field{
		{"friendly-name", "friendly_name", fieldText, "name for people"},
		{"provider-name", "provider_name", fieldText, "one of " + strings.Join(synthflow.Providers(), ", ")},
		{"trunk-username", "trunk_username", fieldText, "user name by which the platform shows itself to the trunk"},
		{"trunk-pwd", "trunk_pwd", fieldSecret, "the password to it"},
		{"termination-uri", "termination_uri", fieldText, "SIP domain that the platform's own calls go to"},
		{"sip-outbound-proxy", "sip_outbound_proxy", fieldText, "proxy of the platform's own calls and of its REGISTER"},
		{"sip-auth-username", "sip_auth_username", fieldText, "user name in the answers to challenges, if it is another one"},
		{"uac-enabled", "uac_enabled", fieldBool, "have the platform REGISTER with the trunk"},
		{"uac-register-expires", "uac_register_expires", fieldNumber, "seconds between two REGISTERs, 60 to 3600"},
	}
}

// checkNumber checks the body of a new number.
func checkNumber(body rest.Object) error {
	if err := synthflow.CheckNumber(body); err != nil {
		return err
	}
	if p, given := body["provider_name"]; given {
		if name, _ := p.(string); !slices.Contains(synthflow.Providers(), name) {
			return fmt.Errorf("provider_name %q: one of %s", plainText(p), strings.Join(synthflow.Providers(), ", "))
		}
	}
	return nil
}

// numberArg takes exactly one number.
func numberArg() cobra.PositionalArgs {
	return cli.Args(func(c *cobra.Command, args []string) error {
		if err := cobra.ExactArgs(1)(c, args); err != nil {
			return fmt.Errorf("name the number, like +15551230000: %w", err)
		}
		if !isID(synthflow.Slug(args[0])) {
			return fmt.Errorf("%q is no number: write it like +15551230000", args[0])
		}
		return nil
	})
}

// assistants is the resource of agents.
func (s *synthflowCLI) assistants() *resource {
	return &resource{
		connection: s.connection, use: "assistant", noun: "agent", key: "model_id", idName: "MODEL_ID", args: idArg("agent"),
		help: map[string]help{
			"": {"Create, list, show, change and remove agents", "", "  flowbridge synthflow assistant list"},
			"create": {
				"Create an agent (POST /v2/assistants), unless there is one of that name",
				"Create an agent. If there is one of that name already, nothing is changed: the exit code is 0 if it is as wanted,\n" +
					"else 1, and the differences are shown with the command to change it.\n\n" +
					"voice_engine_version is sent, as the documents on direct dialling require; if the API refuses it, the request is\n" +
					"repeated without it.",
				"  flowbridge synthflow assistant create --name Reception --phone-number +15551230000 \\\n" +
					"      --prompt-file prompt.txt --greeting-message Hello --llm gpt-4.1 --language en-US --voice-id V\n" +
					"  flowbridge synthflow assistant create --body agent.json --dry-run",
			},
			"list": {"List the agents (GET /v2/assistants/)", "", "  flowbridge synthflow assistant list --json"},
			"show": {
				"Show an agent (GET /v2/assistants/{model_id})", "",
				"  flowbridge synthflow assistant show 1744274157255x646200691892837600 --json",
			},
			"update": {
				"Change an agent (PUT /v2/assistants/{model_id})", "Change an agent. Members without a flag stay as they are.",
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
		note:   droppedEngine,
		sparse: true,
	}
}

func (s *synthflowCLI) openAssistants(_ *cobra.Command, a access) (things, error) {
	account, err := s.account(a)
	return synthflow.Assistants{Account: account}, err
}

// droppedEngine is a note that a new agent was refused with voice_engine_version, or "".
func droppedEngine(want, made rest.Object) string {
	if want["voice_engine_version"] == nil || made["voice_engine_version"] != nil {
		return ""
	}
	return "the API refused voice_engine_version; the request was repeated without it"
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
		{
			"inbound-call-webhook-url", "inbound_call_webhook_url", fieldText,
			"where the platform asks for the agent of a call",
		},
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
		if err := t.(synthflow.Assistants).Attach(ctx, id, *numbers); err != nil {
			return err
		}
		return show.did(wasUpdated, r.titled(id, nil), id, nil)
	})
}
