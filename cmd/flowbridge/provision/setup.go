package provision

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/testcall"
	"flowbridge/config"
	"flowbridge/internal/rest"
	"flowbridge/synthflow"
)

// setup is `flowbridge synthflow setup`: the steps of the platform's documents, from an account to a call.
type setup struct {
	*synthflowCLI
	number, agent *bodyFlags

	phoneNumber, modelID string
	direct, yes, call    bool
	sip                  string
	trunk, trunkSource   string
	targetName           string
	from                 string
	seconds              int
	terminal             func() bool // whether somebody can be asked
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
	u.number = newBodyFlags(c, "number-body", numberFields())
	u.agent = newBodyFlags(c, "agent-body", slices.DeleteFunc(assistantFields(), func(x field) bool { return x.path == "phone_number" }))
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

// run does the steps.
func (u *setup) run(c *cobra.Command) error {
	at, numberBody, agentBody, secrets, err := u.check(c)
	if err != nil {
		return err
	}
	if err := u.rehearse(c, at, cmp.Or(u.modelID, dryModelID)); err != nil {
		return err
	}
	numbers, err := u.openNumbers(c, at, secrets)
	if err != nil {
		return err
	}
	defer numbers.close()
	agents, err := u.openAssistants(c, at, secrets)
	if err != nil {
		return err
	}
	defer agents.close()
	var agent setupAgent
	if !u.dryRun {
		if agent, err = u.findAgent(c, agents, agentBody); err != nil {
			return err
		}
		if err := u.rehearse(c, at, cmp.Or(agent.id, newModelID)); err != nil {
			return err
		}
	}
	show := newShower(c.OutOrStdout(), agents.hide, false)
	fmt.Fprintln(show.out, "1  number")
	if err := sent(u.numbers().ensure(c, numbers, u.number, numberBody, false, show)); err != nil {
		return err
	}
	fmt.Fprintln(show.out, "2  agent")
	id, err := u.haveAgent(c, agents, agentBody, agent, show)
	if err != nil {
		return err
	}
	fmt.Fprintln(show.out, "3  configuration")
	cfg, err := u.configure(c, at, id)
	if err != nil || u.dryRun || !u.call {
		return err
	}
	fmt.Fprintln(show.out, "4  test call")
	return testcall.Through{Trunk: u.trunk, From: u.from, To: u.phoneNumber, Seconds: u.seconds}.Place(c.Context(), show.out, cfg)
}

// check reads all that was written, before anything is done.
func (u *setup) check(c *cobra.Command) (at access, number, agent rest.Object, secrets []string, err error) {
	fail := func(err error) (access, rest.Object, rest.Object, []string, error) {
		return access{}, nil, nil, nil, err
	}
	if u.target != "" {
		return fail(cli.Usage("--target is for the other commands: name the new target by --target-name, the account by --region and --token-file"))
	}
	number, more, err := u.number.read(c)
	if err != nil {
		return fail(err)
	}
	agent, secrets, err = u.agent.read(c)
	if err != nil {
		return fail(err)
	}
	if err = u.missing(agent); err != nil {
		return fail(err)
	}
	if !u.yes && !u.dryRun && !u.terminal() {
		return fail(cli.Usage("there is nobody to ask: write --yes to have the configuration written"))
	}
	if at, err = u.access(c); err != nil {
		return fail(err)
	}
	if err = needWorkspace(at); err != nil {
		return fail(err)
	}
	number["phone_number"], number["workspace_id"] = u.phoneNumber, at.workspace
	if err = checkNumber(number); err != nil {
		return fail(cli.Usage("%w", err))
	}
	agent["phone_number"] = u.phoneNumber
	kind, given := agent["type"]
	if !given || c.Flags().Changed("type") {
		kind = c.Flags().Lookup("type").Value.String()
	}
	if u.modelID == "" && kind != "inbound" {
		return fail(cli.Usage("type %v: to this platform all calls that come by SIP are inbound", kind))
	}
	return at, number, agent, append(secrets, more...), u.checkRest(at)
}

// checkRest looks at what concerns the configuration and the call.
func (u *setup) checkRest(at access) error {
	_, _, isHostPort := cli.HostPort(u.sip, 0)
	switch {
	case u.sip == "" && at.region.SIP == "":
		return cli.Usage("--sip is needed with --api: where do calls go?")
	case u.sip != "" && !isHostPort:
		return cli.Usage("--sip %q: write host and port, like sip.synthflow.ai:32681", u.sip)
	case u.modelID != "" && !isID(u.modelID):
		return cli.Usage("--model-id %q is no id: see flowbridge synthflow assistant list", u.modelID)
	case u.seconds < 1 || u.seconds > 3600:
		return cli.Usage("--seconds %d: 1 to 3600", u.seconds)
	case !cli.IsPrintable(u.from) || strings.ContainsAny(u.from, `<>"@:;`):
		return cli.Usage("--from %q: write a number", u.from)
	case !e164Like(u.phoneNumber):
		return cli.Usage("--phone-number %q: calls are routed by it: write it with + and country code", u.phoneNumber)
	}
	if err := u.checkSIP(at); err != nil {
		return err
	}
	if u.trunkSource != "" {
		if _, err := sourceOf(u.trunkSource); err != nil {
			return cli.Usage("--trunk-source %q: write a network like 203.0.113.0/24, or an address", u.trunkSource)
		}
	}
	return nil
}

func e164Like(number string) bool {
	digits, plus := strings.CutPrefix(number, "+")
	return plus && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// haveAgent creates the agent, unless it is there, and sees that it is bound to the number. It gives the agent's id.
func (u *setup) haveAgent(c *cobra.Command, agents things, body rest.Object, agent setupAgent, show shower) (string, error) {
	if u.dryRun {
		return u.drawAgent(c, agents, body)
	}
	if agent.have != nil {
		if err := u.agentThere(c, agents, agent, body, show); err != nil {
			return "", err
		}
		return agent.id, u.bound(c.Context(), agents, agent.id, show)
	}
	made, note, err := agents.create(c.Context(), body, agent.known)
	if err != nil {
		return "", err
	}
	if note != "" {
		fmt.Fprintln(show.out, note)
	}
	what, id := u.assistants().label(made)
	if err := show.did(wasCreated, what, id, nil); err != nil {
		return "", err
	}
	return id, u.bound(c.Context(), agents, id, show)
}

// drawAgent prints the request of the second step: that which creates the agent, if it could be created.
func (u *setup) drawAgent(c *cobra.Command, agents things, body rest.Object) (string, error) {
	if u.modelID != "" {
		_, err := agents.update(c.Context(), u.modelID, rest.Object{"phone_number": u.phoneNumber})
		return u.modelID, sent(err)
	}
	if _, ok := body.Object("agent"); !ok {
		_, err := agents.list(c.Context())
		return dryModelID, sent(err)
	}
	if err := u.completeAgent(c, body); err != nil {
		return "", err
	}
	_, _, err := agents.create(c.Context(), body, nil)
	return dryModelID, sent(err)
}

// agentThere compares an agent that is there with what was asked for, and binds it to the number if it has none.
func (u *setup) agentThere(c *cobra.Command, agents things, agent setupAgent, body rest.Object, show shower) error {
	id, have := agent.id, agent.have
	if number, _ := have.Text("phone_number"); number == "" {
		if _, err := agents.update(c.Context(), id, rest.Object{"phone_number": u.phoneNumber}); err != nil {
			return err
		}
		fmt.Fprintf(show.out, "bound agent %s to %s\n", id, u.phoneNumber)
		have["phone_number"] = u.phoneNumber
	}
	x := compared("agent "+id, id, synthflow.CompareAssistant(have, body))
	x.update = u.agent.updateCommand(c, u.assistants(), id, x.differences)
	for _, d := range x.differences {
		if d.Key == "phone_number" {
			x.update = fmt.Sprintf("flowbridge synthflow assistant update %s --phone-number %s%s", id, u.phoneNumber, u.args(c))
		}
	}
	return x.report(show)
}

// bound reads the binding back: an answer that says 200 binds nothing by itself.
func (u *setup) bound(ctx context.Context, agents things, id string, show shower) error {
	have, err := agents.get(ctx, id)
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

// configure puts target and route into the configuration file, and gives what is in it then.
func (u *setup) configure(c *cobra.Command, at access, model string) (*config.Config, error) {
	w, err := openSetupFile(u.file)
	if err != nil {
		return nil, err
	}
	plan, err := u.plan(w, at, model, u.env)
	if err != nil {
		return nil, err
	}
	return w.apply(plan, u.env, writer{out: c.OutOrStdout(), dryRun: u.dryRun, allowed: func() (bool, error) {
		if u.yes {
			return true, nil
		}
		return confirm(c.InOrStdin(), c.OutOrStdout(), "write it? [y/N] ")
	}})
}

// confirm asks a question.
func confirm(in io.Reader, out io.Writer, question string) (bool, error) {
	fmt.Fprint(out, question)
	line, err := bufio.NewReader(io.LimitReader(in, 64)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}

// tokenKey is how the configuration names the token.
func (u *setup) tokenKey() (string, error) {
	if u.tokenFile == "" {
		return "token_env: " + yamlText(u.tokenEnv), nil
	}
	file, err := filepath.Abs(u.tokenFile) // a service has another working directory
	return "token_file: " + yamlText(file), err
}
