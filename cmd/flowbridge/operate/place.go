package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"flowbridge/admin"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/store/record"
)

// Placing holds the flags of a call that a running server places.
type Placing struct {
	Via       string // the trunk; if empty, the server does not place the call
	target    string
	key       string
	variables []string
	within    time.Duration
	at        access
	own       *pflag.FlagSet // flags that have no meaning for a test call
}

// PlacingFlags adds the flags to `flowbridge call`, which has --config already.
func PlacingFlags(c *cobra.Command) *Placing {
	p := &Placing{at: access{flags: c.Flags()}}
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.StringVar(&p.Via, "via", "", "have the running server call the number --to over this trunk, and connect an agent")
	f.StringVar(&p.target, "target", "", "the agent of a call with --via (default: a route with direction outbound says who)")
	f.StringArrayVar(&p.variables, "variable", nil, "NAME=VALUE for the agent of a call with --via; may be repeated")
	f.StringVar(&p.key, "key", "", "idempotency key of a call with --via: the same key is the same call")
	f.DurationVar(&p.within, "answer-within", 0, "how long the customer of a call with --via may ring (default ring_timeout of the trunk)")
	f.StringVar(&p.at.url, "url", "", "where to ask for a call with --via: http://127.0.0.1:8080, or unix:///run/flowbridge/admin.sock")
	f.StringVar(&p.at.tokenFile, "token-file", "", "file with the bearer token for a call with --via")
	p.own = f
	c.Flags().AddFlagSet(f)
	return p
}

// Check refuses flags that have no meaning with --via, or without it.
func (p *Placing) Check(f *pflag.FlagSet) (err error) {
	f.Visit(func(flag *pflag.Flag) {
		switch own := p.own.Lookup(flag.Name) != nil; {
		case p.Via == "" && own:
			err = cli.Usage("--%s: it is for a call that a running server places; name the trunk in --via", flag.Name)
		case p.Via != "" && !own && !slices.Contains([]string{"to", "from", "header", "config", "json"}, flag.Name):
			err = cli.Usage("--%s: it is not for a call with --via, which the running server places; leave it out", flag.Name)
		}
	})
	switch {
	case err != nil || p.Via == "":
		return err
	case !f.Changed("from"):
		return cli.Usage("--from: a call with --via needs the number that the customer sees; write it like +12125550100")
	case p.within < 0 || p.within > 300*time.Second || p.within%time.Second != 0:
		return cli.Usage("--answer-within %v: write whole seconds, like 20s, and at most 300s", p.within)
	}
	return nil
}

// followEvery is how often a placed call is checked.
const followEvery = 200 * time.Millisecond

var errNotConnected = errors.New("no agent was connected to the customer")

// Place makes the server place a call from one number to another, and follows it to its end. If ctx ends, the call is
// hung up.
func (p *Placing) Place(ctx context.Context, w io.Writer, file, from, to string, headers []string, asJSON bool) error {
	o := admin.Origination{
		To: to, From: from, Trunk: p.Via, Target: p.target, IdempotencyKey: p.key,
		AnswerWithin: int(p.within / time.Second),
	}
	var err error
	if o.Variables, err = pairs("--variable", "=", p.variables); err != nil {
		return err
	}
	if o.Headers, err = pairs("--header", ":", headers); err != nil {
		return err
	}
	p.at.file = file
	api, err := p.at.open(config.RightsOperate)
	if err != nil {
		return err
	}
	if api.body, err = json.Marshal(o); err != nil {
		return err
	}
	var c admin.Call
	if err := api.do(ctx, http.MethodPost, strings.TrimSuffix(callsPath, "/"), &c); err != nil {
		return err
	}
	api.body = nil
	text := w
	if asJSON {
		text = io.Discard
	}
	fmt.Fprintf(text, "call %s: calling %s over the trunk %s\n", c.ID, cli.Shown(c.To), cli.Shown(c.Trunk))
	hungUp := ctx.Done()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	said := ""
	for c.Phase != "ended" {
		select {
		case <-time.After(followEvery):
		case <-hungUp:
			hungUp = nil
			if err := api.do(ctx, http.MethodPost, idPath(c.ID)+"/hangup", &admin.Call{}); err != nil {
				return err
			}
		}
		fresh := admin.Call{} // new, so that members that are gone do not stay
		if err := api.do(ctx, http.MethodGet, idPath(c.ID), &fresh); err != nil {
			return err
		}
		c = fresh
		if now := progress(&c); now != said && c.Phase != "ended" {
			said = now
			fmt.Fprintln(text, said)
		}
	}
	if asJSON {
		err = cli.PrintJSON(w, c)
	} else {
		printCall(w, &c)
	}
	if !c.IsConnected() {
		err = errors.Join(err, fmt.Errorf("%w: %s", errNotConnected, c.Cause))
	}
	return err
}

// progress says how far a call has come.
func progress(c *admin.Call) string {
	switch {
	case c.IsConnected():
		return "connected to " + cli.Shown(c.Target)
	case slices.ContainsFunc(c.Attempts, func(a record.Attempt) bool { return a.Reason != record.ReasonCustomer }):
		return "answered; calling " + cli.Shown(c.Target)
	case !c.AnsweredAt.IsZero(): // answered, but it is not known yet by what
		return "answered"
	case !c.RingingAt.IsZero():
		return "ringing"
	}
	return "dialing"
}

// pairs parses names and values.
func pairs(flag, sign string, all []string) (map[string]string, error) {
	out := map[string]string{}
	for _, text := range all {
		name, value, ok := strings.Cut(text, sign)
		if !ok {
			return nil, cli.Usage("%s %q: write it like NAME%sVALUE", flag, text, sign)
		}
		out[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return out, nil
}
