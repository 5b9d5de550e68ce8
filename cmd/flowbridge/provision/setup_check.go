package provision

import (
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/internal/yamledit"
)

// Placeholders for the id of an agent that does not exist yet.
const (
	dryModelID = "MODEL_ID"                  // it is unknown whether there is an agent
	newModelID = "MODEL_ID_OF_THE_NEW_AGENT" // the agent will be created
)

// check reads and checks all flags before any request is sent.
func (u *setup) check(c *cobra.Command) (err error) {
	if u.target != "" {
		return cli.Usage("--target is for the other commands: name the new target by --target-name, the account by --region and --token-file")
	}
	var ofNumber, ofAgent []string // secrets
	if u.number, ofNumber, err = u.numberFlags.read(c); err != nil {
		return err
	}
	if u.agent, ofAgent, err = u.agentFlags.read(c); err != nil {
		return err
	}
	if err := u.missing(); err != nil {
		return err
	}
	if !u.yes && !u.dryRun && !u.terminal() {
		return cli.Usage("there is no terminal to ask at: write --yes to have the configuration written")
	}
	if u.at, err = u.access(c); err != nil {
		return err
	}
	u.at.Secrets = append(ofNumber, ofAgent...)
	if err := needWorkspace(u.at); err != nil {
		return err
	}
	u.number["phone_number"], u.agent["phone_number"] = u.phoneNumber, u.phoneNumber
	if err := u.numbers().complete(c, &u.at, u.number); err != nil {
		return cli.Usage("%w", err)
	}
	if kind, given := u.agent["type"]; given && u.modelID == "" && kind != "inbound" {
		return cli.Usage("type %v: calls that reach this platform by SIP are always inbound", kind)
	}
	return u.checkRest()
}

// missing returns an error that names the missing flags, or nil.
func (u *setup) missing() error {
	var lacks []string
	if u.workspace == "" {
		lacks = append(lacks, "--workspace-id")
	}
	if os.Getenv(u.tokenEnv) == "" && u.tokenFile == "" && !u.dryRun && !u.flags.Changed("token-env") {
		lacks = append(lacks, "--token-file (or the variable "+u.tokenEnv+" of the environment)")
	}
	if u.phoneNumber == "" {
		lacks = append(lacks, "--phone-number")
	}
	hint := ""
	if strings.TrimSpace(text(u.agent, "name")) == "" && u.modelID == "" {
		lacks = append(lacks, "--name")
		hint = "; the agent is found by --name, or by --model-id in its place; one that is not there yet needs " +
			newAgentFlags + ", too"
	}
	switch last := len(lacks) - 1; last {
	case -1:
		return nil
	case 0:
		return cli.Usage("%s is missing%s", lacks[0], hint)
	default:
		return cli.Usage("%s and %s are missing%s", strings.Join(lacks[:last], ", "), lacks[last], hint)
	}
}

// newAgentFlags are the flags that describe a new agent.
const newAgentFlags = "--prompt or --prompt-file, --llm and --language"

// checkRest checks the flags for the configuration and the call.
func (u *setup) checkRest() error {
	_, _, isHostPort := cli.HostPort(u.sip, 0)
	_, badSource := sourceOf(u.trunkSource)
	number, plus := strings.CutPrefix(u.phoneNumber, "+")
	switch {
	case u.sip == "" && u.at.region.SIP == "":
		return cli.Usage("--sip is needed with --api: it says where calls go")
	case u.sip != "" && !isHostPort:
		return cli.Usage("--sip %q: write host and port, like sip.synthflow.ai:32681", u.sip)
	case u.modelID != "" && !isID(u.modelID):
		return cli.Usage("--model-id %q is no id: the platform's page of the agent shows it", u.modelID)
	case u.seconds < 1 || u.seconds > 3600:
		return cli.Usage("--seconds %d: 1 to 3600", u.seconds)
	case !cli.IsPrintable(u.from) || strings.ContainsAny(u.from, `<>"@:;`):
		return cli.Usage("--from %q: write a number", u.from)
	case !plus || number == "" || strings.Trim(number, "0123456789") != "":
		return cli.Usage("--phone-number %q: calls are routed by it: write it with + and country code", u.phoneNumber)
	case u.trunkSource != "" && badSource != nil:
		return cli.Usage("--trunk-source %q: write a network like 203.0.113.0/24, or an address", u.trunkSource)
	}
	return u.checkRegion()
}

// checkRegion checks that the SIP host is Synthflow's and belongs to the API's region, because an account exists in
// one region only.
func (u *setup) checkRegion() error {
	host, _, _ := cli.HostPort(u.sip, 0)
	kind, region, known := config.RegionOfHost(host)
	switch {
	case known && kind != config.KindSynthflow:
		return cli.Usage("--sip %s is a host of %s", u.sip, kind)
	case known && u.at.region.Name != "" && u.at.region.Name != region.Name:
		return cli.Usage("--sip %s is of region %s, and the API %s is of region %s: write --region %s alone, or the host of the account's region",
			u.sip, region.Name, u.at.BaseURL, u.at.region.Name, region.Name)
	}
	return nil
}

// rehearse checks the configuration file with the additions before the account is changed. It does not write the
// file.
func (u *setup) rehearse(c *cobra.Command, model string) error {
	f, plan, err := u.planned(model)
	if err != nil {
		return err
	}
	_, _, err = f.edited(plan, u.env)
	if !errors.Is(err, yamledit.ErrForm) {
		return err
	}
	if model == dryModelID { // the additions to paste have the id once it is known
		return nil
	}
	return f.byHand(plan, c.OutOrStdout())
}

// env is the environment for the configuration. With --dry-run it needs no token.
func (u *setup) env(name string) (string, bool) {
	v, set := os.LookupEnv(name)
	if u.dryRun && name == u.tokenEnv && v == "" {
		return noToken, true
	}
	return v, set
}
