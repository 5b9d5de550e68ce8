package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/ladder"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/prepare"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/internal/rest"
	"flowbridge/internal/tracecontext"
)

// inForce is the configuration for new calls, with the API clients of its targets. It never changes: a reload replaces
// it as a whole.
type inForce struct {
	cfg       *config.Config
	preparers map[string]peers.Preparer // by target
	bots      *bots

	before      []byte   // the text of the configuration that it replaced; nil for the first one
	needRestart []string // sections of its file that wait for a restart
}

// newInForce creates the clients of a configuration. before is the configuration that it replaces.
func newInForce(cfg *config.Config, before *inForce) (*inForce, error) {
	clients, err := newPreparers(cfg, before.preparers)
	next := &inForce{cfg: cfg, preparers: clients, bots: before.bots}
	for i := range cfg.Targets {
		if t := &cfg.Targets[i]; err == nil && t.Kind == config.KindWebsocket {
			clients[t.Name], err = newBot(t, next.bots, clients[t.Name])
		}
	}
	if before.cfg != nil {
		next.before = before.cfg.Source
	}
	return next, err
}

// running returns a configuration as read, except that sections that need a restart keep the running process's values.
// It also names the sections that differ.
func running(old, read *config.Config) (next *config.Config, needRestart []string) {
	merged := *read
	is, wanted := reflect.ValueOf(*old), reflect.ValueOf(&merged).Elem()
	for _, section := range []string{"SIP", "Media", "Recording", "Store", "Fleet", "Telemetry"} {
		if !reflect.DeepEqual(is.FieldByName(section).Interface(), wanted.FieldByName(section).Interface()) {
			needRestart = append(needRestart, strings.ToLower(section))
		}
		wanted.FieldByName(section).Set(is.FieldByName(section))
	}
	// A revoked token takes effect without a restart, but the listener stays.
	var waits bool
	merged.Hooks, waits = hooksAfter(old.Hooks, read.Hooks)
	if waits {
		needRestart = append(needRestart, "hooks")
	}
	a, b := &old.Admin, &merged.Admin
	if a.Listen != b.Listen {
		needRestart = append(needRestart, "admin")
	}
	b.Listen = a.Listen
	return &merged, needRestart
}

// hooksAfter returns the hooks after a reload, and reports whether a change must wait for a restart. Three kinds of
// changes wait: another socket, because it may be open to more peers; a new hook, because existing calls do not have
// its ids; and Twilio's settings except the token, because they belong to calls that have started.
func hooksAfter(is, read config.Hooks) (next config.Hooks, waits bool) {
	if is.Listen != read.Listen || is.TLS != read.TLS {
		return is, true
	}
	running, now := reflect.ValueOf(is), reflect.ValueOf(&read).Elem()
	for i := range running.NumField() {
		if running.Field(i).IsZero() && !now.Field(i).IsZero() {
			now.Field(i).SetZero()
			waits = true
		}
	}
	if is.Twilio != nil {
		twilio := *is.Twilio
		if read.Twilio != nil {
			twilio.AuthToken = cmp.Or(read.Twilio.AuthToken, twilio.AuthToken)
		}
		waits = waits || !reflect.DeepEqual(&twilio, read.Twilio)
		read.Twilio = &twilio
	}
	return read, waits
}

// preparer is the client of a target's API as calls see it.
type preparer struct {
	of     access
	client *prepare.Client
	given  *prepare.GivenIDs // ids that the API gave lately, for any of its targets
}

// access says how an API is reached. Targets with equal access share a client.
type access struct {
	origin  string
	token   config.Secret
	tokenIn string
	timeout time.Duration
	secrets string // secrets from the environment, one per line
}

func accessOf(p *config.Prepare) access {
	return access{p.Origin(), p.Token, p.TokenHeader, p.Timeout, strings.Join(p.FromEnvironment(), "\n")}
}

// newPreparers returns a client for each target with a prepare section. It keeps an old client, with its connections,
// if the API, secrets and timeout are the same. The ids that an API gave are remembered in any case.
func newPreparers(cfg *config.Config, before map[string]peers.Preparer) (map[string]peers.Preparer, error) {
	given := map[string]*prepare.GivenIDs{} // by API
	for _, client := range before {
		if p := clientOf(client); p != nil {
			given[p.of.origin] = p.given
		}
	}
	clients := map[string]peers.Preparer{}
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		if !t.Requests() {
			continue
		}
		of := accessOf(t.Prepare)
		if p := clientOf(before[t.Name]); p != nil && p.of == of {
			clients[t.Name] = p
			continue
		}
		if given[of.origin] == nil {
			given[of.origin] = &prepare.GivenIDs{}
		}
		p, err := newPreparer(t, ladder.RoundTripper{RoundTripper: prepare.Transport(), Secrets: unreadable(t.Prepare)},
			given[of.origin])
		if err != nil {
			return nil, err
		}
		clients[t.Name] = p
	}
	return clients, nil
}

// shortestSecret is the minimum length of an environment value that counts as a secret. A shorter value would be
// hidden inside other words.
const shortestSecret = 8

// secretsOf returns a request's values from the environment that may be secret.
func secretsOf(p *config.Prepare) (all []string) {
	for _, text := range p.FromEnvironment() {
		if len(text) >= shortestSecret {
			all = append(all, text)
		}
	}
	return all
}

// unreadable returns the texts that ladders must hide. Ladders always hide the credentials in Authorization.
func unreadable(p *config.Prepare) (all [][]byte) {
	secrets := secretsOf(p)
	if p.TokenHeader != "" {
		secrets = append(secrets, p.Token.Reveal())
	}
	forms := rest.Forms(secrets)
	slices.Sort(forms)
	for _, text := range slices.Compact(forms) {
		all = append(all, []byte(text))
	}
	return all
}

func newPreparer(t *config.Target, transport http.RoundTripper, given *prepare.GivenIDs) (*preparer, error) {
	p := t.Prepare
	client, err := prepare.New(rest.Options{
		BaseURL: p.Origin(), Token: p.Token.Reveal(), TokenIn: p.TokenHeader, Anonymous: p.Token == "", Secrets: secretsOf(p),
		Timeout: p.Timeout, UserAgent: cli.UserAgent(), Transport: transport,
	}, given)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", t.Name, err)
	}
	return &preparer{accessOf(p), client, given}, nil
}

// NewPreparer returns the client of one target. It knows no ids from earlier calls.
func NewPreparer(t *config.Target, transport http.RoundTripper) (peers.Preparer, error) {
	return newPreparer(t, transport, &prepare.GivenIDs{})
}

// Prepare asks the platform about a call.
func (p *preparer) Prepare(ctx context.Context, r peers.PrepareRequest) (peers.Prepared, error) {
	call, err := p.client.Prepare(ctx, prepare.Request{
		Ask: r.Ask, IdempotencyKey: r.CallID,
		Traceparent: tracecontext.From(ctx),
	})
	if err != nil {
		return peers.Prepared{}, &outbound.PrepareError{Cause: causeOf(err), Status: call.Status, Err: err}
	}
	return peers.Prepared{CallID: call.CallID, Shared: call.Shared, Body: call.Body, Status: call.Status}, nil
}

// causeOf returns the cause for the record after the step failed.
func causeOf(err error) cause.Cause {
	var e *prepare.Error
	if !errors.As(err, &e) {
		return cause.PrepareFailed
	}
	switch e.Kind {
	case prepare.KindTimeout:
		return cause.PrepareTimeout
	case prepare.KindConnect, prepare.KindHTTPStatus, prepare.KindRateLimited, prepare.KindCancelled:
		return cause.PrepareFailed
	case prepare.KindCallFailed:
		return cause.PrepareRefused
	case prepare.KindMalformed, prepare.KindMissingID, prepare.KindBadID, prepare.KindReusedID, prepare.KindTooLarge:
		return cause.PrepareInvalid
	}
	return cause.PrepareFailed
}

// clientOf returns the client of the API that a target asks, or nil.
func clientOf(of peers.Preparer) *preparer {
	if b, ok := of.(*bot); ok {
		of = b.asks
	}
	p, _ := of.(*preparer)
	return p
}

// closeReplaced closes the idle connections of replaced clients. Requests under way end normally.
func closeReplaced(old, now map[string]peers.Preparer) {
	for name, client := range old {
		if p := clientOf(client); p != nil && clientOf(now[name]) != p {
			p.client.CloseIdle()
		}
	}
}
