package provision

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/internal/rest"
	"flowbridge/internal/yamledit"
)

// Ids of an agent that stand in a planned configuration as long as there is none.
const (
	dryModelID = "MODEL_ID"                  // it is not known whether there is one
	newModelID = "MODEL_ID_OF_THE_NEW_AGENT" // it will be created
)

// missing says which flags are needed and were not written.
func (u *setup) missing(agent rest.Object) error {
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
	if name, _ := agent.Text("name"); strings.TrimSpace(name) == "" && u.modelID == "" {
		lacks = append(lacks, "--name")
		hint = "; the agent is found by --name, or by --model-id in its place; one that is not there yet needs " + newAgentFlags + ", too"
	}
	switch len(lacks) {
	case 0:
		return nil
	case 1:
		return cli.Usage("%s is missing%s", lacks[0], hint)
	}
	last := len(lacks) - 1
	return cli.Usage("%s and %s are missing%s", strings.Join(lacks[:last], ", "), lacks[last], hint)
}

// newAgentFlags are the flags that describe a new agent.
const newAgentFlags = "--prompt or --prompt-file, --llm and --language"

// checkSIP holds host of SIP and region of the API together: an account of one region is not known in another.
func (u *setup) checkSIP(at access) error {
	host, _ := config.HostPort("sip:" + u.sip)
	kind, r, ok := config.RegionOfHost(host)
	switch {
	case !ok:
		return nil
	case kind != config.KindSynthflow:
		return cli.Usage("--sip %s is a host of %s", u.sip, kind)
	case at.region.Name != "" && at.region.Name != r.Name:
		return cli.Usage("--sip %s is of region %s, and the API %s is of region %s: write --region %s alone, or the host of the account's region", u.sip, r.Name, at.api, at.region.Name, r.Name)
	}
	return nil
}

// rehearse looks at the configuration file, and at what it would be with the additions, before anything is changed in the
// account. It writes nothing.
func (u *setup) rehearse(c *cobra.Command, at access, model string) error {
	f, err := openSetupFile(u.file)
	if err != nil {
		return err
	}
	plan, err := u.plan(f, at, model, u.env)
	if err != nil {
		return err
	}
	_, _, err = f.edited(plan, u.env)
	if errors.Is(err, yamledit.ErrForm) {
		if model == dryModelID { // what is to be put in by hand has the id, once it is known
			return nil
		}
		return f.byHand(plan, c.OutOrStdout())
	}
	return err
}

// env is the environment that the configuration is read with. --dry-run needs no token.
func (u *setup) env(name string) (string, bool) {
	v, set := os.LookupEnv(name)
	if u.dryRun && name == u.tokenEnv && v == "" {
		return noToken, true
	}
	return v, set
}

// setupAgent is the agent of a setup.
type setupAgent struct {
	id    string          // "": it has to be created
	have  rest.Object     // as it is in the account
	known map[string]bool // ids of the agents that are there
}

// findAgent looks for the agent, by its id or its name, and changes nothing.
func (u *setup) findAgent(c *cobra.Command, agents things, body rest.Object) (a setupAgent, err error) {
	a.id = u.modelID
	if a.id == "" {
		var hit rest.Object
		hit, a.known, err = u.assistants().find(c.Context(), agents, body)
		switch {
		case err != nil && a.known != nil:
			return a, fmt.Errorf("%w; name one of them by --model-id", err)
		case err != nil:
			return a, err
		case hit == nil:
			return a, u.completeAgent(c, body)
		}
		a.id = text(hit, "model_id")
	}
	if a.have, err = agents.get(c.Context(), a.id); err != nil {
		return a, err
	}
	if kind, _ := a.have.Text("type"); kind != "" && kind != "inbound" {
		return a, fmt.Errorf("agent %s is of type %s: to this platform all calls that come by SIP are inbound, so it takes none", a.id, cli.Shown(kind))
	}
	return a, nil
}

// completeAgent makes the body of a new agent.
func (u *setup) completeAgent(c *cobra.Command, body rest.Object) error {
	if _, ok := body.Object("agent"); !ok {
		name, _ := body.Text("name")
		return cli.Usage("there is no agent named %q: to create it %s are needed; --model-id names one that is there", name, newAgentFlags)
	}
	if err := completeAssistant(c, body); err != nil {
		return cli.Usage("%w", err)
	}
	return nil
}
