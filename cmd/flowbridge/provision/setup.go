package provision

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/testcall"
	"flowbridge/config"
	"flowbridge/internal/rest"
)

// setup is `flowbridge synthflow setup`: from an account to a call, in the steps of the platform's documents.
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
	terminal             func() bool // whether somebody can be asked

	// made by check
	at            access
	number, agent rest.Object // the bodies
	secrets       []string
}

func (s *synthflowCLI) setupCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "setup",
		Short: "From an account to a call: number, agent, configuration, test call",
		Long: "Do what the platform's documents ask for, in their order, each step only where it is not done already:\n" +
			"  1  import the number\n" +
			"  2  create the agent, or find it by --model-id or by its name, and bind it to the number\n" +
			"  3  put a target and a route into the configuration file, which is shown first; comments and all else of the\n" +
			"     file stay as they are\n" +
			"  4  with --test-call, place a call through a B2BUA in this process that has the new configuration\n" +
			"All that was written, and the configuration that would come of it, is checked before anything is changed in the account.\n" +
			"It can be repeated: what is there is left alone, and what is there but otherwise is an error that says how to\n" +
			"change it. --dry-run prints requests and configuration, and does nothing.",
		Example: "  flowbridge synthflow setup --workspace-id W --token-file /run/secrets/synthflow --phone-number +15551230000 \\\n" +
			"      --name Reception --prompt-file prompt.txt --llm gpt-4.1 --language en-US --voice-id V \\\n" +
			"      --trunk carrier --trunk-source 203.0.113.0/24 --config flowbridge.yaml\n" +
			"  flowbridge synthflow setup --workspace-id W --phone-number +15551230000 --model-id M --yes --test-call\n" +
			"  flowbridge synthflow setup --workspace-id W --phone-number +15551230000 --model-id M --direct --dry-run",
		Args: cli.Args(cobra.NoArgs),
	}
	u := &setup{synthflowCLI: s, terminal: func() bool { return isatty.IsTerminal(os.Stdin.Fd()) }}
	u.numberFlags = newBodyFlags(c, "number-body", numberFields())
	u.agentFlags = newBodyFlags(c, "agent-body", slices.DeleteFunc(assistantFields(), func(x field) bool { return x.path == "phone_number" }))
	newAssistantFlags(c)
	f := c.Flags()
	f.StringVar(&u.phoneNumber, "phone-number", "", "the number, E.164: +15551230000")
	f.StringVar(&u.modelID, "model-id", "", "the agent, if there is one already")
	f.BoolVar(&u.direct, "direct", false, "dial the number directly, without prepare_inbound and X-EI")
	f.BoolVar(&u.yes, "yes", false, "write the configuration without being asked")
	f.StringVar(&u.sip, "sip", "", "host and port that calls go to (default: those of the region)")
	f.StringVar(&u.trunk, "trunk", "", "the trunk whose calls to the number go to the agent (default: the only one there is)")
	f.StringVar(&u.trunkSource, "trunk-source", "", "network that the trunk's SIP comes from; makes a trunk that is not there")
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
	numbers, err := u.openNumbers(c, u.at, u.secrets)
	if err != nil {
		return err
	}
	defer numbers.close()
	agents, err := u.openAssistants(c, u.at, u.secrets)
	if err != nil {
		return err
	}
	defer agents.close()
	var agent setupAgent
	if !u.dryRun {
		if agent, err = u.findAgent(c, agents); err != nil {
			return err
		}
		if err := u.rehearse(c, cmp.Or(agent.id, newModelID)); err != nil {
			return err
		}
	}
	show := newShower(c.OutOrStdout(), agents.hide, false)
	fmt.Fprintln(show.out, "1  number")
	if err := sent(u.numbers().ensure(c, numbers, u.numberFlags, u.number, false, show)); err != nil {
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
	return testcall.Through{Trunk: u.trunk, From: u.from, To: u.phoneNumber, Seconds: u.seconds}.Place(c.Context(), show.out, cfg)
}

// configure adds target and route to the configuration file and gives the resulting configuration.
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

// planned is the configuration file and the additions that it needs.
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
