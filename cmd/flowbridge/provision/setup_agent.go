package provision

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/internal/rest"
	"flowbridge/synthflow"
)

// setupAgent is the agent of a setup.
type setupAgent struct {
	id    string          // "": it has to be created
	have  rest.Object     // as it is in the account
	known map[string]bool // ids of the agents that are there
}

// findAgent looks for the agent by its id or name. It changes nothing.
func (u *setup) findAgent(c *cobra.Command, agents things) (a setupAgent, err error) {
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
			return a, u.completeAgent(c)
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

// completeAgent completes the body of a new agent.
func (u *setup) completeAgent(c *cobra.Command) error {
	if _, ok := u.agent.Object("agent"); !ok {
		return cli.Usage("there is no agent named %q: to create it %s are needed; --model-id names one that is there", text(u.agent, "name"), newAgentFlags)
	}
	if err := completeAssistant(c, u.agent); err != nil {
		return cli.Usage("%w", err)
	}
	return nil
}

// haveAgent creates the agent if it is missing, checks that it is bound to the number, and gives its id.
func (u *setup) haveAgent(c *cobra.Command, agents things, agent setupAgent, show shower) (string, error) {
	if u.dryRun {
		return u.drawAgent(c, agents)
	}
	if agent.have != nil {
		if err := u.agentThere(c, agents, agent, show); err != nil {
			return "", err
		}
		return agent.id, u.bound(c.Context(), agents, agent.id, show)
	}
	made, note, err := agents.create(c.Context(), u.agent, agent.known)
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

// drawAgent prints the request of this step for --dry-run.
func (u *setup) drawAgent(c *cobra.Command, agents things) (string, error) {
	if u.modelID != "" {
		_, err := agents.update(c.Context(), u.modelID, rest.Object{"phone_number": u.phoneNumber})
		return u.modelID, sent(err)
	}
	if _, ok := u.agent.Object("agent"); !ok {
		_, err := agents.list(c.Context())
		return dryModelID, sent(err)
	}
	if err := u.completeAgent(c); err != nil {
		return "", err
	}
	_, _, err := agents.create(c.Context(), u.agent, nil)
	return dryModelID, sent(err)
}

// agentThere binds an existing agent without a number to the number, and compares it with the wanted one.
func (u *setup) agentThere(c *cobra.Command, agents things, agent setupAgent, show shower) error {
	id, have := agent.id, agent.have
	if text(have, "phone_number") == "" {
		if _, err := agents.update(c.Context(), id, rest.Object{"phone_number": u.phoneNumber}); err != nil {
			return err
		}
		fmt.Fprintf(show.out, "bound agent %s to %s\n", id, u.phoneNumber)
		have["phone_number"] = u.phoneNumber
	}
	x := compared("agent "+id, id, synthflow.CompareAssistant(have, u.agent))
	x.update = u.agentFlags.updateCommand(c, u.assistants(), id, x.differences)
	for _, d := range x.differences {
		if d.Key == "phone_number" {
			x.update = fmt.Sprintf("flowbridge synthflow assistant update %s --phone-number %s%s", id, u.phoneNumber, u.args(c))
		}
	}
	return x.report(show)
}

// bound reads the binding back, because the platform may answer 200 without binding.
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
