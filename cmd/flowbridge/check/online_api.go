package check

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/internal/rest"
	"flowbridge/platform/vapi"
	"flowbridge/synthflow"
)

// api sends the platform's API a request that changes nothing.
func (p prober) api(ctx context.Context, t *config.Target, api string, token config.Secret, workspace string) finding {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	knows, err := p.ask(ctx, t.Kind, api, token, workspace)
	if err == nil {
		return finding{Step: "api", OK: true, Detail: api + " takes the token; it knows " + knows}
	}
	f := finding{Step: "api"}
	f.Detail, f.Remedy, _ = strings.Cut(err.Error(), "\n")
	if status := rest.StatusOf(err); status == http.StatusUnauthorized || status == http.StatusForbidden {
		f.Remedy = "a token is good in one region only, and the target has no region: write the account's, and check that the token is complete"
		if t.Region != "" {
			f.Remedy = "a token is good in one region only, and the target is of region " + t.Region +
				": check that the token is of that one, and complete"
		}
	}
	return f
}

// reach opens a connection to the API of a target of kind http. It sends no request, because it can't know the
// effect of one.
func (p prober) reach(ctx context.Context, t *config.Target) finding {
	f := finding{Step: "api"}
	origin := t.Prepare.Origin()
	u, err := url.Parse(origin)
	if err != nil {
		f.Detail = err.Error()
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	at := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme]))
	var conn net.Conn
	if u.Scheme == "https" {
		conn, err = (&tls.Dialer{}).DialContext(ctx, "tcp", at)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", at)
	}
	if err != nil {
		f.Detail, f.Remedy = "no connection to "+origin+": "+rest.Reason(err, u.Host),
			"check prepare.url, and whether a firewall is in the way"
		return f
	}
	_ = conn.Close()
	f.OK, f.Detail = true, origin+" takes connections; the request is not tried, because it may begin something there"
	return f
}

// ask describes the contents of an account.
func (p prober) ask(ctx context.Context, kind, api string, token config.Secret, workspace string) (string, error) {
	if kind == config.KindVapi {
		a, err := vapi.NewAccount(p.access(api, token))
		if err != nil {
			return "", err
		}
		defer a.CloseIdle()
		numbers, err := a.Numbers().List(ctx)
		return cli.Count(len(numbers), "number"), err
	}
	a, err := p.synthflow(api, token, workspace)
	if err != nil {
		return "", err
	}
	defer a.CloseIdle()
	if workspace == "" { // required for listing numbers
		agents, err := a.Assistants().List(ctx)
		return cli.Count(len(agents), "agent"), err
	}
	numbers, err := a.Numbers().List(ctx)
	return cli.Count(len(numbers), "number") + " of workspace " + workspace, err
}

func (p prober) synthflow(api string, token config.Secret, workspace string) (*synthflow.Account, error) {
	return synthflow.NewAccount(synthflow.AccountOptions{Options: p.access(api, token), WorkspaceID: workspace})
}

func (p prober) access(api string, token config.Secret) rest.Options {
	return rest.Options{BaseURL: api, Token: token.Reveal(), Timeout: p.timeout, UserAgent: cli.UserAgent()}
}

// agents looks for the agent of prepare.model_id, unless the id depends on the call.
func (p prober) agents(ctx context.Context, t *config.Target, workspace string) []finding {
	model, ok := t.Prepare.ModelID.Constant()
	switch {
	case !ok:
		return []finding{{
			Target: t.Name, Step: "agent", OK: true, Skipped: true,
			Detail: "not tried: model_id depends on the call", Remedy: "explain shows which agent a call gets",
		}}
	case model == "":
		return nil
	}
	f := p.agent(ctx, t, workspace, model)
	f.Target = t.Name
	return []finding{f}
}

func (p prober) agent(ctx context.Context, t *config.Target, workspace, model string) finding {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	a, err := p.synthflow(t.Prepare.API, t.Prepare.Token, workspace)
	if err != nil {
		return finding{Step: "agent", Detail: err.Error()}
	}
	defer a.CloseIdle()
	agent, err := a.Assistants().Get(ctx, model)
	if err != nil {
		detail, _, _ := strings.Cut(err.Error(), "\n")
		return finding{Step: "agent", Detail: detail, Remedy: "is prepare.model_id that of an agent of this account? The platform's page of the agent shows it"}
	}
	name, _ := agent.Text("name")
	return finding{Step: "agent", OK: true, Detail: fmt.Sprintf("model_id is agent %q", name)}
}
