package provision

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/internal/rest"
	"flowbridge/synthflow"
)

// assistantFields are the members of an agent that an update can change, too. What has no flag is written in --body.
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

func (s *synthflowCLI) assistantCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "assistant",
		Short:   "Create, list, show, change and remove agents",
		Example: "  flowbridge synthflow assistant list",
		Args:    cli.Args(cobra.NoArgs),
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(s.assistantCreate(), s.assistantList(), s.assistantShow(), s.assistantUpdate(), s.assistantDelete(), s.assistantAttach())
	return c
}

// newAssistant are the flags that only a new agent has.
type newAssistant struct{ kind, voiceEngine string }

func newAssistantFlags(c *cobra.Command) *newAssistant {
	n := &newAssistant{}
	f := c.Flags()
	f.StringVar(&n.kind, "type", "inbound", "inbound, outbound or widget")
	f.StringVar(&n.voiceEngine, "voice-engine-version", synthflow.VoiceEngineVersion, `voice_engine_version; "" leaves it out`)
	return n
}

// complete puts in what the body of a new agent lacks, and checks it.
func (n *newAssistant) complete(c *cobra.Command, body rest.Object) error {
	if _, given := body["type"]; !given || c.Flags().Changed("type") {
		body["type"] = n.kind
	}
	if _, given := body["voice_engine_version"]; !given || c.Flags().Changed("voice-engine-version") {
		body["voice_engine_version"] = n.voiceEngine
	}
	if body["voice_engine_version"] == "" {
		delete(body, "voice_engine_version")
	}
	if err := synthflow.CheckAssistant(body); err != nil {
		return fmt.Errorf("%w: %w", cli.ErrUsage, err)
	}
	return nil
}

func (s *synthflowCLI) assistantCreate() *cobra.Command {
	c := &cobra.Command{
		Use:   "create",
		Short: "Create an agent (POST /v2/assistants), unless there is one of that name",
		Long: "Create an agent. Where there is one of that name already, nothing is sent but the look-up; the exit code is 0 if it\n" +
			"is as it was asked for, and 1, with what differs and the command to change it, if not.\n\n" +
			"voice_engine_version is sent, as the documents on direct dialling want it; an API that refuses it is asked once\n" +
			"more without it.",
		Example: "  flowbridge synthflow assistant create --name Reception --phone-number +15551230000 \\\n" +
			"      --prompt-file prompt.txt --greeting-message Hello --llm gpt-4.1 --language en-US --voice-id V\n" +
			"  flowbridge synthflow assistant create --body agent.json --dry-run",
		Args: cli.Args(cobra.NoArgs),
	}
	flags, only := newBodyFlags(c, assistantFields()), newAssistantFlags(c)
	again := c.Flags().Bool("again", false, "create another one of that name")
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		body, secrets, err := flags.read(c)
		if err != nil {
			return err
		}
		if err := only.complete(c, body); err != nil {
			return err
		}
		account, err := s.account(c, secrets)
		if err != nil {
			return err
		}
		defer account.CloseIdle()
		show := newShower(c.OutOrStdout(), account.Hide, *asJSON)
		known := map[string]bool{}
		if !s.dryRun {
			all, err := account.ListAssistants(c.Context())
			if err != nil {
				return err
			}
			known = synthflow.IDs(all)
			if id, err := namedAssistant(all, body); !*again && (err != nil || id != "") {
				return s.assistantThere(c, account, flags, id, body, show, err)
			}
		}
		id, dropped, err := account.CreateAssistant(c.Context(), body, known)
		if dropped {
			fmt.Fprintln(c.ErrOrStderr(), "note: the API refused voice_engine_version; sent once more without it")
		}
		if err != nil {
			return sent(err)
		}
		name, _ := body.Text("name")
		return show.did(wasCreated, fmt.Sprintf("agent %q, model_id %s", name, id), id, nil)
	}
	return c
}

// namedAssistant gives the id of the one agent that has the name of body, or "".
func namedAssistant(all []rest.Object, body rest.Object) (string, error) {
	name, _ := body.Text("name")
	var ids []string
	for _, a := range all {
		if n, _ := a.Text("name"); n == name {
			id, _ := a.Text("model_id")
			ids = append(ids, id)
		}
	}
	switch len(ids) {
	case 0:
		return "", nil
	case 1:
		return ids[0], nil
	}
	return "", fmt.Errorf("there are %d agents named %q: %s", len(ids), name, strings.Join(ids, ", "))
}

// assistantThere compares an agent that is there with the one that was asked for.
func (s *synthflowCLI) assistantThere(c *cobra.Command, account *synthflow.Account, flags *bodyFlags, id string, want rest.Object, show shower, err error) error {
	if err != nil {
		return fmt.Errorf("%w; write --again for another one, or change one of them by its id", err)
	}
	have, err := account.GetAssistant(c.Context(), id)
	if err != nil {
		return err
	}
	name, _ := want.Text("name")
	x := compared(fmt.Sprintf("agent %q, model_id %s,", name, id), id, synthflow.CompareAssistant(have, want))
	x.update = flags.updateCommand(c, s.connection, id, x.differences)
	return x.report(show)
}

func (s *synthflowCLI) assistantList() *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the agents (GET /v2/assistants/)",
		Example: "  flowbridge synthflow assistant list --json",
		Args:    cli.Args(cobra.NoArgs),
	}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		account, err := s.account(c, nil)
		if err != nil {
			return err
		}
		defer account.CloseIdle()
		all, err := account.ListAssistants(c.Context())
		if err != nil {
			return sent(err)
		}
		return newShower(c.OutOrStdout(), account.Hide, *asJSON).list(all, "model_id", "name", "type", "phone_number")
	}
	return c
}

// idArg wants exactly one id.
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

// isID says whether a text can be an id.
func isID(s string) bool { return rest.IsSegment(s) && cli.IsPrintable(s) }

func (s *synthflowCLI) assistantShow() *cobra.Command {
	c := &cobra.Command{
		Use:     "show MODEL_ID",
		Short:   "Show an agent (GET /v2/assistants/{model_id})",
		Example: "  flowbridge synthflow assistant show 1744274157255x646200691892837600 --json",
		Args:    idArg("agent"),
	}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		account, err := s.account(c, nil)
		if err != nil {
			return err
		}
		defer account.CloseIdle()
		a, err := account.GetAssistant(c.Context(), args[0])
		if err != nil {
			return sent(err)
		}
		return newShower(c.OutOrStdout(), account.Hide, *asJSON).one(a)
	}
	return c
}

func (s *synthflowCLI) assistantUpdate() *cobra.Command {
	c := &cobra.Command{
		Use:   "update MODEL_ID",
		Short: "Change an agent (PUT /v2/assistants/{model_id})",
		Long:  "Change an agent. What is not written stays as it is.",
		Example: "  flowbridge synthflow assistant update 1744274157255x646200691892837600 --phone-number +15551230000\n" +
			"  flowbridge synthflow assistant update 1744274157255x646200691892837600 --prompt-file prompt.txt",
		Args: idArg("agent"),
	}
	flags := newBodyFlags(c, assistantFields())
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		body, secrets, err := flags.read(c)
		if err != nil {
			return err
		}
		if len(body) == 0 {
			return fmt.Errorf("%w: %w", cli.ErrUsage, errNothing)
		}
		account, err := s.account(c, secrets)
		if err != nil {
			return err
		}
		defer account.CloseIdle()
		if err := account.UpdateAssistant(c.Context(), args[0], body); err != nil {
			return sent(err)
		}
		return newShower(c.OutOrStdout(), account.Hide, *asJSON).did(wasUpdated, "agent "+args[0], args[0], nil)
	}
	return c
}

func (s *synthflowCLI) assistantDelete() *cobra.Command {
	c := &cobra.Command{
		Use:     "delete MODEL_ID",
		Short:   "Remove an agent (DELETE /v2/assistants/{model_id})",
		Long:    "Remove an agent, and show what was removed.",
		Example: "  flowbridge synthflow assistant delete 1744274157255x646200691892837600 --yes",
		Args:    idArg("agent"),
	}
	yes := c.Flags().Bool("yes", false, "do it")
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if !*yes && !s.dryRun {
			return errConfirm(c)
		}
		account, err := s.account(c, nil)
		if err != nil {
			return err
		}
		defer account.CloseIdle()
		var was rest.Object
		if !s.dryRun {
			if was, err = account.GetAssistant(c.Context(), args[0]); err != nil {
				return err
			}
		}
		if err := account.DeleteAssistant(c.Context(), args[0]); err != nil {
			return sent(err)
		}
		show := newShower(c.OutOrStdout(), account.Hide, *asJSON)
		if err := show.did(wasDeleted, "agent "+args[0], args[0], was); err != nil || show.asJSON {
			return err
		}
		return show.one(was)
	}
	return c
}

func (s *synthflowCLI) assistantAttach() *cobra.Command {
	c := &cobra.Command{
		Use:   "attach MODEL_ID",
		Short: "Give an outbound agent its numbers (PUT /v2/assistants/{model_id}/phone_numbers)",
		Long: "Give an outbound agent the numbers that it may call from. An inbound agent has one number instead:\n" +
			"assistant update --phone-number.",
		Example: "  flowbridge synthflow assistant attach 1744274157255x646200691892837600 --phone-number +15551230000",
		Args:    idArg("agent"),
	}
	numbers := c.Flags().StringArray("phone-number", nil, "a number; may be repeated")
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(*numbers) == 0 {
			return fmt.Errorf("%w: %w", cli.ErrUsage, errors.New("--phone-number is needed"))
		}
		account, err := s.account(c, nil)
		if err != nil {
			return err
		}
		defer account.CloseIdle()
		if err := account.AttachNumbers(c.Context(), args[0], *numbers); err != nil {
			return sent(err)
		}
		return newShower(c.OutOrStdout(), account.Hide, *asJSON).did(wasUpdated, "agent "+args[0], args[0], nil)
	}
	return c
}
