package provision

import (
	"bufio"
	"cmp"
	"context"
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
	agents := account.Assistants()
	var agent setupAgent
	if !u.dryRun {
		if agent, err = u.findAgent(c, agents); err != nil {
			return err
		}
		if err := u.rehearse(c, cmp.Or(agent.id, newModelID)); err != nil {
			return err
		}
	}
	show := shower{out: c.OutOrStdout(), hide: agents.Hide}
	fmt.Fprintln(show.out, "1  number")
	if err := sent(u.numbers().ensure(c, account.Numbers(), u.number, false, show)); err != nil {
		return err
	}
	fmt.Fprintln(show.out, "2  agent")
	id, err := u.haveAgent(c, agents, agent, show)
	if err != nil {
		return err
	}
	fmt.Fprintln(show.out, "3  configuration")
	cfg, err := u.configure(c, id)
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

// setupAgent is the agent of a setup.
type setupAgent struct {
	id    string          // empty if it must be created
	have  rest.Object     // the agent in the account
	known map[string]bool // ids of the existing agents
}

// findAgent looks for the agent by its id or name. It changes nothing.
func (u *setup) findAgent(c *cobra.Command, agents synthflow.Assistants) (a setupAgent, err error) {
	a.id = u.modelID
	if a.id == "" {
		var hit rest.Object
		hit, a.known, err = u.assistants().find(c.Context(), agents, u.agent)
		switch {
		case err != nil && a.known != nil:
			return a, fmt.Errorf("%w; name one of them by --model-id", err)
		case err != nil:
			return a, err
		case hit == nil:
			return a, u.completeAgent()
		}
		a.id = text(hit, "model_id")
	}
	if a.have, err = agents.Get(c.Context(), a.id); err != nil {
		return a, err
	}
	if kind, _ := a.have.Text("type"); kind != "" && kind != "inbound" {
		return a, fmt.Errorf("agent %s is of type %s, but calls that reach this platform by SIP are always inbound, so it takes none", a.id, cli.Shown(kind))
	}
	return a, nil
}

// completeAgent completes the body of a new agent.
func (u *setup) completeAgent() error {
	if _, ok := u.agent.Object("agent"); !ok {
		return cli.Usage("there is no agent named %q: to create it %s are needed; --model-id names one that is there",
			text(u.agent, "name"), newAgentFlags)
	}
	if err := completeAssistant(u.agent); err != nil {
		return cli.Usage("%w", err)
	}
	return nil
}

// haveAgent creates the agent if it is missing, checks that it is bound to the number, and returns its id.
func (u *setup) haveAgent(c *cobra.Command, agents synthflow.Assistants, agent setupAgent,
	show shower,
) (string, error) {
	if u.dryRun {
		return u.drawAgent(c, agents)
	}
	if agent.have != nil {
		if err := u.agentThere(c, agents, agent, show); err != nil {
			return "", err
		}
		return agent.id, u.bound(c.Context(), agents, agent.id, show)
	}
	made, err := agents.Create(c.Context(), u.agent, agent.known)
	if err != nil {
		return "", err
	}
	if note := droppedEngine(u.agent, made); note != "" {
		fmt.Fprintln(show.out, note)
	}
	what, id := u.assistants().label(made)
	if err := show.did(wasCreated, what, id, nil); err != nil {
		return "", err
	}
	return id, u.bound(c.Context(), agents, id, show)
}

// drawAgent prints the request of this step for --dry-run.
func (u *setup) drawAgent(c *cobra.Command, agents synthflow.Assistants) (string, error) {
	if u.modelID != "" {
		err := agents.Update(c.Context(), u.modelID, rest.Object{"phone_number": u.phoneNumber})
		return u.modelID, sent(err)
	}
	if _, ok := u.agent.Object("agent"); !ok {
		_, err := agents.List(c.Context())
		return dryModelID, sent(err)
	}
	if err := u.completeAgent(); err != nil {
		return "", err
	}
	_, err := agents.Create(c.Context(), u.agent, nil)
	return dryModelID, sent(err)
}

// agentThere binds an existing agent without a number to the number, and compares the agent with the wanted one.
func (u *setup) agentThere(c *cobra.Command, agents synthflow.Assistants, agent setupAgent, show shower) error {
	id, have := agent.id, agent.have
	if text(have, "phone_number") == "" {
		if err := agents.Update(c.Context(), id, rest.Object{"phone_number": u.phoneNumber}); err != nil {
			return err
		}
		fmt.Fprintf(show.out, "bound agent %s to %s\n", id, u.phoneNumber)
		have["phone_number"] = u.phoneNumber
	}
	const remedy = "change it on the platform's page of the agent, or leave out what is not to be compared"
	return found{"agent " + id, id, synthflow.CompareAssistant(have, u.agent), remedy}.report(show)
}

// bound reads the binding back, because the platform may answer 200 without having bound the agent.
func (u *setup) bound(ctx context.Context, agents synthflow.Assistants, id string, show shower) error {
	have, err := agents.Get(ctx, id)
	if err != nil {
		return err
	}
	if number, _ := have.Text("phone_number"); synthflow.Slug(number) != synthflow.Slug(u.phoneNumber) {
		return fmt.Errorf("agent %s is not bound to %s, although the platform said so: its phone_number is %q; repeat the command, or bind it on the platform's page of the agent",
			id, u.phoneNumber, cli.Shown(number))
	}
	_, err = fmt.Fprintf(show.out, "agent %s takes the calls to %s\n", id, u.phoneNumber)
	return err
}
