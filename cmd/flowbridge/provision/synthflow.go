package provision

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/internal/rest"
	"flowbridge/synthflow"
)

// synthflowCLI is a connection with the additions for Synthflow.
type synthflowCLI struct{ *connection }

// Synthflow returns the command `flowbridge synthflow`.
func Synthflow() *cobra.Command {
	c := cli.Group("synthflow", "Set up numbers and agents at Synthflow",
		"Set up numbers and agents at Synthflow by its API. The token is read from a file or a variable of the\n"+
			"environment, never from the command line. Nothing is sent with --dry-run.",
		"  flowbridge synthflow number show +15551230000 --workspace-id W --token-file token\n"+
			"  flowbridge synthflow setup --help")
	s := &synthflowCLI{connection: newConnection(c, config.KindSynthflow, config.SynthflowRegions(), "SYNTHFLOW_TOKEN")}
	c.AddCommand(s.numbers().command(), s.assistants().command(), s.setupCommand())
	return c
}

// account opens the account.
func (s *synthflowCLI) account(a access) (*synthflow.Account, error) {
	account, err := synthflow.NewAccount(synthflow.AccountOptions{Options: a.Options, WorkspaceID: a.workspace})
	if err != nil {
		return nil, cli.Usage("%w", err)
	}
	return account, nil
}

// needWorkspace returns an error if there is no workspace.
func needWorkspace(a access) error {
	if a.workspace == "" {
		return cli.Usage("--workspace-id is needed: it is in the platform's workspace settings")
	}
	return nil
}

// numbers returns the resource of imported numbers.
func (s *synthflowCLI) numbers() *resource {
	return &resource{
		connection: s.connection, use: "number", noun: "number", key: "phone_number", name: "phone_number", idName: "NUMBER",
		title: "number %[2]s",
		args:  oneArg("name the number, like +15551230000", "number: write it like +15551230000"),
		help: map[string]help{
			"": {"Import, show and remove numbers", "", "  flowbridge synthflow number show +15551230000 --workspace-id W"},
			"create": {
				"Import a number (POST /v2/custom-numbers), unless it is there",
				"Import a number into the workspace. If the workspace has it already, nothing is changed: the exit code is 0 if\n" +
					"it is as wanted, else 1, and the differences are shown.",
				"  flowbridge synthflow number create --workspace-id W --phone-number +15551230000\n" +
					"  flowbridge synthflow number create --workspace-id W --phone-number +15551230000 \\\n" +
					"      --termination-uri sip.carrier.example --trunk-username user --trunk-pwd-file trunk.pwd\n" +
					"  flowbridge synthflow number create --workspace-id W --body number.json --dry-run",
			},
			"show": {"Show a number (GET /v2/numbers/{slug})", "", "  flowbridge synthflow number show +15551230000 --workspace-id W --json"},
			"delete": {
				"Remove a number from the workspace (DELETE /v2/numbers/{slug})",
				"Remove a number from the workspace, and show what was removed. It is detached from its agents; a number bought\n" +
					"from the platform is also cancelled.",
				"  flowbridge synthflow number delete +15551230000 --workspace-id W --yes",
			},
		},
		fields: append(numberFields(), field{"phone-number", "phone_number", fieldText, "the number, E.164: +15551230000"}),
		complete: func(_ *cobra.Command, a *access, body rest.Object) error {
			if a.workspace != "" {
				body["workspace_id"] = a.workspace
			}
			a.workspace, _ = body.Text("workspace_id")
			return synthflow.CheckNumber(body)
		},
		open:    s.openNumbers,
		compare: synthflow.CompareNumber,
	}
}

func (s *synthflowCLI) openNumbers(a access) (things, error) {
	if err := needWorkspace(a); err != nil {
		return nil, err
	}
	account, err := s.account(a)
	return synthflow.Numbers{Account: account}, err
}

// numberFields returns the members of a new number that have a flag, except the number itself. Other members need
// --body.
func numberFields() []field {
	return []field{
		{"friendly-name", "friendly_name", fieldText, "name of the number for people"},
		{"trunk-username", "trunk_username", fieldText, "user name by which the platform shows itself to the trunk"},
		{"trunk-pwd", "trunk_pwd", fieldSecret, "the password to it"},
		{"termination-uri", "termination_uri", fieldText, "SIP domain that the platform's own calls go to"},
	}
}

// oneArg takes exactly one id. missing is the error without one; wrong ends the error for a bad one: "x" is no …
func oneArg(missing, wrong string) cobra.PositionalArgs {
	return cli.Args(func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) != 1:
			return errors.New(missing)
		case !isID(synthflow.Slug(args[0])):
			return fmt.Errorf("%q is no %s", args[0], wrong)
		}
		return nil
	})
}

// assistants returns the resource of agents.
func (s *synthflowCLI) assistants() *resource {
	return &resource{
		connection: s.connection, use: "assistant", noun: "agent", key: "model_id", name: "name", idName: "MODEL_ID",
		title: "agent %q, model_id %s", many: "agents named %q", args: idArg("agent"),
		help: map[string]help{
			"": {"Create, show and remove agents", "", "  flowbridge synthflow assistant show 1744274157255x646200691892837600"},
			"create": {
				"Create an agent (POST /v2/assistants), unless there is one of that name",
				"Create an agent, which takes calls if --body has no other type. If there is one of that name already, nothing is\n" +
					"changed: the exit code is 0 if it is as wanted, else 1, and the differences are shown.\n\n" +
					"voice_engine_version is sent, as the documents on direct dialling require; if the API refuses it, the request is\n" +
					"repeated without it.",
				"  flowbridge synthflow assistant create --name Reception --phone-number +15551230000 \\\n" +
					"      --prompt-file prompt.txt --greeting-message Hello --llm gpt-4.1 --language en-US --voice-id V\n" +
					"  flowbridge synthflow assistant create --body agent.json --dry-run",
			},
			"show": {"Show an agent (GET /v2/assistants/{model_id})", "", "  flowbridge synthflow assistant show 1744274157255x646200691892837600 --json"},
			"delete": {
				"Remove an agent (DELETE /v2/assistants/{model_id})", "Remove an agent, and show what was removed.",
				"  flowbridge synthflow assistant delete 1744274157255x646200691892837600 --yes",
			},
		},
		fields: append(assistantFields(),
			field{"phone-number", "phone_number", fieldText, "the imported number whose calls an inbound agent takes"}),
		again:    "create another one of that name",
		complete: func(_ *cobra.Command, _ *access, body rest.Object) error { return completeAssistant(body) },
		open:     s.openAssistants,
		compare:  synthflow.CompareAssistant,
		note:     droppedEngine,
		sparse:   true,
	}
}

func (s *synthflowCLI) openAssistants(a access) (things, error) {
	account, err := s.account(a)
	return synthflow.Assistants{Account: account}, err
}

// droppedEngine returns a note if the API refused a new agent with voice_engine_version, or "".
func droppedEngine(want, made rest.Object) string {
	if want["voice_engine_version"] == nil || made["voice_engine_version"] != nil {
		return ""
	}
	return "the API refused voice_engine_version; the request was repeated without it"
}

// assistantFields returns the members of a new agent that have a flag, except its number. Other members need --body.
func assistantFields() []field {
	return []field{
		{"name", "name", fieldText, "name of the agent"},
		{"prompt", "agent.prompt", fieldText, "what the agent is told"},
		{"prompt-file", "agent.prompt", fieldFile, "file with what the agent is told"},
		{"greeting-message", "agent.greeting_message", fieldText, "what it says first"},
		{"llm", "agent.llm", fieldText, "language model, like gpt-4.1"},
		{"language", "agent.language", fieldText, "language, like en-US"},
		{"voice-id", "agent.voice_id", fieldText, "id of the voice"},
	}
}

// completeAssistant completes the body of a new agent and checks it.
func completeAssistant(body rest.Object) error {
	for member, usual := range map[string]string{"type": "inbound", "voice_engine_version": synthflow.VoiceEngineVersion} {
		if _, given := body[member]; !given {
			body[member] = usual
		}
	}
	if body["voice_engine_version"] == "" {
		delete(body, "voice_engine_version")
	}
	return synthflow.CheckAssistant(body)
}

// idArg takes exactly one id that the platform has given.
func idArg(what string) cobra.PositionalArgs {
	const from = "which create and the platform's page show"
	return oneArg("name the "+what+" by its id, "+from, "id, "+from)
}

func isID(s string) bool { return rest.IsSegment(s) && cli.IsPrintable(s) }
