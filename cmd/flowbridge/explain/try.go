package explain

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/report"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/node"
	"flowbridge/config"
)

// Try returns the command `flowbridge targets try`.
func Try() *cobra.Command {
	c := cli.Command("try NAME", "Ask a target's API once, and show what its answer makes of a call",
		"Send the request that a target's API gets before a call, once and for real, and show the answer, whether it is a\n"+
			"success by the target's prepare section, the id that was found, and the INVITE that would go out. The INVITE is\n"+
			"not sent. The platform may note the call, and never sees it. The exit code is 1 if there is no success.",
		"  flowbridge targets try retell\n  flowbridge targets try retell --from +15075550100 --to +15075785607")
	file := cli.ConfigFlag(c)
	q := report.Question{Trunk: tryTrunk}
	c.Flags().StringVar(&q.From, "from", "+15075550100", "the caller: number, SIP URI or From value")
	c.Flags().StringVar(&q.To, "to", "+15075785607", "the called party: number or SIP URI")
	c.Args = cli.Args(cobra.ExactArgs(1))
	c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return config.Names(*file, "targets"), cobra.ShellCompDirectiveNoFileComp
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := config.Load(*file)
		if err != nil {
			return err
		}
		return try(c.OutOrStdout(), cfg, args[0], q)
	}
	return c
}

// tryTrunk and tryConfig are a trunk and a route that lead to the target.
const (
	tryTrunk  = "try"
	tryConfig = `
trunks: [{name: try, sources: [local]}]
targets: [{name: "%s", kind: sip, uri: "sip:try@127.0.0.1"}]
routes: [{trunk: try, targets: ["%[1]s"]}]
`
)

func try(w io.Writer, cfg *config.Config, name string, q report.Question) error {
	t := cfg.Target(name)
	switch {
	case t == nil:
		return cli.Usage("there is no target %q", name)
	case t.Kind == config.KindWebsocket:
		return cli.Usage("target %s is a bot: flowbridge check --online tries its socket", name)
	case t.Prepare == nil:
		return cli.Usage("target %s asks no API before a call: flowbridge check --online tries its SIP", name)
	}
	leading, err := config.Parse("try", fmt.Appendf(nil, tryConfig, name), os.LookupEnv)
	if err != nil {
		return err
	}
	cfg.Trunks, cfg.Routes, cfg.Targets = leading.Trunks, leading.Routes, []config.Target{*t}
	_ = cfg.FindAddress(func(string) (netip.Addr, error) { return unfound, nil })
	asked := &sentAPI{w: w, of: t.Prepare}
	client, err := node.NewPreparer(t, asked)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "target     %s, kind %s\n", t.Name, t.Kind)
	x, err := b2bua.Explain(cfg, map[string]peers.Preparer{name: client}, q)
	if err != nil {
		return err
	}
	if x.Refused || len(x.Targets) == 0 {
		return fmt.Errorf("the call does not reach the target: %s", x.Why)
	}
	got := &x.Targets[0]
	fmt.Fprintf(w, "success    is %s\n", got.PrepareSuccess)
	if got.Cause != cause.None {
		return fmt.Errorf("no success: the call would fail with cause %s: %s", got.Cause, got.Error)
	}
	fmt.Fprint(w, "           it is one; this INVITE would go out\n\n")
	var b strings.Builder
	indented(&b, got.Invite)
	_, err = io.WriteString(w, b.String())
	return err
}

// sentAPI sends requests, and shows them with their answers.
type sentAPI struct {
	w  io.Writer
	of *config.Prepare
}

// mostShown is how much of an answer is shown, in bytes.
const mostShown = 4096

// RoundTrip sends a request over a separate connection.
func (s *sentAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	req := shown(r, body, s.of)
	var b strings.Builder
	fmt.Fprintf(&b, "request    %s %s\n", req.Method, req.URL)
	indented(&b, req.Headers)
	fmt.Fprintf(&b, "\n    %s\n\n", req.Body)
	began := time.Now()
	transport := &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}
	res, err := transport.RoundTrip(r)
	if err != nil {
		fmt.Fprintf(&b, "answer     none: %v\n", err)
		_, failed := io.WriteString(s.w, b.String())
		return nil, errors.Join(err, failed)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, mostShown+1))
	fmt.Fprintf(&b, "answer     %s, after %v\n", res.Status, time.Since(began).Round(time.Millisecond))
	show := redacted(string(text[:min(len(text), mostShown)]), s.of)
	fmt.Fprintf(&b, "\n    %s\n\n", strings.ReplaceAll(strings.TrimSpace(show), "\n", "\n    "))
	if _, failed := io.WriteString(s.w, b.String()); err != nil || failed != nil {
		return nil, errors.Join(err, failed, res.Body.Close())
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(text), res.Body), res.Body}
	return res, nil
}
