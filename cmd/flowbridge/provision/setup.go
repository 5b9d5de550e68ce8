package provision

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/testcall"
	"flowbridge/config"
	"flowbridge/internal/rest"
	"flowbridge/synthflow"
)

// setup implements `flowbridge synthflow setup`, which sets up everything from the account to a test call, in the
// steps of the platform's documents.
type setup struct {
	*synthflowCLI
	numberFlags, agentFlags *bodyFlags

	phoneNumber, modelID string
	direct, yes, call    bool
	sip                  string
	trunk, trunkSource   string
	targetName           string
	from                 string
	seconds              int
	terminal             func() bool // reports whether a user can be asked

	// Set by check.
	at            access
	number, agent rest.Object // the bodies of the requests
}

func (s *synthflowCLI) setupCommand() *cobra.Command {
	c := cli.Command("setup", "From an account to a call: number, agent, configuration, test call",
		"Do the steps of the platform's documents, each only if it is not done yet:\n"+
			"  1  import the number\n"+
			"  2  create the agent, or find it by --model-id or by its name, and bind it to the number\n"+
			"  3  add a target and a route to the configuration file, after showing the change; the rest of the file, comments\n"+
			"     included, stays as it is\n"+
			"  4  with --test-call, place a call through a B2BUA in this process that has the new configuration\n"+
			"All flags and the resulting configuration are checked before anything is changed in the account. The command can\n"+
			"be repeated: existing parts stay as they are, and a part with other values is an error that says how to change it.\n"+
			"--dry-run prints requests and configuration, and does nothing.",
		"  flowbridge synthflow setup --workspace-id W --token-file /run/secrets/synthflow --phone-number +15551230000 \\\n"+
			"      --name Reception --prompt-file prompt.txt --llm gpt-4.1 --language en-US --voice-id V \\\n"+
			"      --trunk carrier --trunk-source 203.0.113.0/24 --config flowbridge.yaml\n"+
			"  flowbridge synthflow setup --workspace-id W --phone-number +15551230000 --model-id M --yes --test-call\n"+
			"  flowbridge synthflow setup --workspace-id W --phone-number +15551230000 --model-id M --direct --dry-run")
	u := &setup{synthflowCLI: s, terminal: func() bool { return isatty.IsTerminal(os.Stdin.Fd()) }}
	u.numberFlags = newBodyFlags(c, "number-body", numberFields())
	u.agentFlags = newBodyFlags(c, "agent-body", assistantFields())
	f := c.Flags()
	f.StringVar(&u.phoneNumber, "phone-number", "", "the number, E.164: +15551230000")
	f.StringVar(&u.modelID, "model-id", "", "the agent, if there is one already")
	f.BoolVar(&u.direct, "direct", false, "dial the number directly, without prepare_inbound and X-EI")
	f.BoolVar(&u.yes, "yes", false, "write the configuration without being asked")
	f.StringVar(&u.sip, "sip", "", "host and port that calls go to (default: those of the region)")
	f.StringVar(&u.trunk, "trunk", "",
		"the trunk whose calls to the number go to the agent (default: the only one there is)")
	cli.CompleteNames(c, "trunk", "trunks", &u.file)
	f.StringVar(&u.trunkSource, "trunk-source", "",
		"network that the trunk's SIP comes from; makes a trunk that is not there")
	f.StringVar(&u.targetName, "target-name", "synthflow", "name of the target in the configuration")
	f.BoolVar(&u.call, "test-call", false, "place a test call at the end")
	f.StringVar(&u.from, "from", "+15555550100", "caller of the test call")
	f.IntVar(&u.seconds, "seconds", 5, "how long the test call lasts")
	c.RunE = func(c *cobra.Command, _ []string) error { return u.run(c) }
	return c
}

func (u *setup) run(c *cobra.Command) error {
	if err := u.check(c); err != nil {
		return err
	}
	if err := u.rehearse(c, cmp.Or(u.modelID, dryModelID)); err != nil {
		return err
	}
	account, err := u.account(u.at)
	if err != nil {
		return err
	}
	defer account.CloseIdle()
	show := shower{out: c.OutOrStdout(), hide: account.Hide}
	number := &step{resource: u.numbers(), things: account.Numbers(), shower: show, want: u.number}
	agent := &step{
		resource: u.assistants(), things: account.Assistants(), shower: show, want: u.agent, id: u.modelID,
		choose: "name one of them by --model-id",
	}
	if err := u.look(c, number, agent); err != nil {
		return err
	}
	fmt.Fprintln(show.out, "1  number")
	if err := sent(number.ensure(c)); err != nil {
		return err
	}
	fmt.Fprintln(show.out, "2  agent")
	if err := sent(u.bind(c, agent, account.Assistants())); err != nil {
		return err
	}
	fmt.Fprintln(show.out, "3  configuration")
	cfg, err := u.configure(c, cmp.Or(agent.id, dryModelID))
	if err != nil || u.dryRun || !u.call {
		return err
	}
	fmt.Fprintln(show.out, "4  test call")
	return testcall.Through{Trunk: u.trunk, From: u.from, To: u.phoneNumber, Seconds: u.seconds}.Place(c.Context(),
		show.out, cfg)
}

// configure adds target and route to the configuration file and returns the resulting configuration.
func (u *setup) configure(c *cobra.Command, model string) (*config.Config, error) {
	f, plan, err := u.planned(model)
	if err != nil {
		return nil, err
	}
	return f.apply(plan, u.env, writer{out: c.OutOrStdout(), dryRun: u.dryRun, allowed: func() (bool, error) {
		if u.yes {
			return true, nil
		}
		return confirm(c.InOrStdin(), c.OutOrStdout(), "write it? [y/N] ")
	}})
}

// planned returns the configuration file and the additions that it needs.
func (u *setup) planned(model string) (*setupFile, []addition, error) {
	f, err := openSetupFile(u.file)
	if err != nil {
		return nil, nil, err
	}
	plan, err := u.plan(f, model)
	return f, plan, err
}

func confirm(in io.Reader, out io.Writer, question string) (bool, error) {
	fmt.Fprint(out, question)
	line, err := bufio.NewReader(io.LimitReader(in, 64)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}

// look finds number and agent in the account, and completes the body of an agent that must be created. It changes
// nothing.
func (u *setup) look(c *cobra.Command, number, agent *step) error {
	if !u.dryRun {
		for _, s := range []*step{number, agent} {
			if err := s.look(c.Context()); err != nil {
				return err
			}
		}
	}
	_, isDescribed := u.agent.Object("agent")
	switch kind := text(agent.have, "type"); {
	case agent.id == "" && isDescribed:
		if err := completeAssistant(u.agent); err != nil {
			return cli.Usage("%w", err)
		}
	case u.dryRun:
	case agent.id == "":
		return cli.Usage("there is no agent named %q: to create it %s are needed; --model-id names one that is there",
			text(u.agent, "name"), newAgentFlags)
	case kind != "" && kind != "inbound":
		return fmt.Errorf("agent %s is of type %s, but calls that reach this platform by SIP are always inbound, so it takes none", agent.id, cli.Shown(kind))
	}
	if u.dryRun {
		return nil
	}
	return u.rehearse(c, cmp.Or(agent.id, newModelID))
}

// bind creates the agent for the number, or binds an agent without a number to it. It reads the binding back, because
// the platform may answer 200 without having bound the agent.
func (u *setup) bind(c *cobra.Command, agent *step, agents synthflow.Assistants) error {
	_, isDescribed := u.agent.Object("agent")
	switch {
	case u.dryRun && agent.id == "" && !isDescribed:
		return agent.look(c.Context())
	case agent.id != "" && text(agent.have, "phone_number") == "":
		err := agents.Update(c.Context(), agent.id, rest.Object{"phone_number": u.phoneNumber})
		if err != nil {
			return err
		}
		fmt.Fprintf(agent.out, "bound agent %s to %s\n", agent.id, u.phoneNumber)
		agent.have["phone_number"] = u.phoneNumber
	}
	if err := agent.ensure(c); err != nil {
		return err
	}
	if err := agent.look(c.Context()); err != nil {
		return err
	}
	if number := text(agent.have, "phone_number"); synthflow.Slug(number) != synthflow.Slug(u.phoneNumber) {
		return fmt.Errorf("agent %s is not bound to %s, although the platform said so: its phone_number is %q; repeat the command, or bind it on the platform's page of the agent",
			agent.id, u.phoneNumber, cli.Shown(number))
	}
	_, err := fmt.Fprintf(agent.out, "agent %s takes the calls to %s\n", agent.id, u.phoneNumber)
	return err
}
