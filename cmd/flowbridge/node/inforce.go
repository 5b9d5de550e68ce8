package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/ladder"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/internal/rest"
	"flowbridge/internal/tracecontext"
	"flowbridge/synthflow"
)

// inForce is the configuration for new calls, with the API clients of its targets. It never changes: a reload replaces
// it as a whole.
type inForce struct {
	cfg       *config.Config
	preparers map[string]peers.Preparer // by target
}

// newInForce makes the clients of a configuration that replaces another one.
func newInForce(cfg *config.Config, before *inForce) (*inForce, error) {
	clients, err := newPreparers(cfg, before.preparers)
	return &inForce{cfg, clients}, err
}

func (f *inForce) targetNamed(name string) *config.Target {
	for i := range f.cfg.Targets {
		if f.cfg.Targets[i].Name == name {
			return &f.cfg.Targets[i]
		}
	}
	return nil
}

// running is a configuration as read, but with the running process's sections that only a restart can change. It names
// those that differ.
func running(old, read *config.Config) (next *config.Config, needRestart []string) {
	merged := *read
	is, wanted := reflect.ValueOf(*old), reflect.ValueOf(&merged).Elem()
	for _, section := range []string{"SIP", "Media", "Recording", "Store", "Fleet", "Hooks", "Telemetry", "Limits"} {
		if !reflect.DeepEqual(is.FieldByName(section).Interface(), wanted.FieldByName(section).Interface()) {
			needRestart = append(needRestart, strings.ToLower(section))
		}
		wanted.FieldByName(section).Set(is.FieldByName(section))
	}
	// A token that is revoked does not wait for a restart, but the listener stays.
	a, b := &old.Admin, &merged.Admin
	if a.Listen != b.Listen || a.SocketMode != b.SocketMode || a.SocketGroup != b.SocketGroup {
		needRestart = append(needRestart, "admin")
	}
	b.Listen, b.SocketMode, b.SocketGroup = a.Listen, a.SocketMode, a.SocketGroup
	return &merged, needRestart
}

// preparer is a Synthflow client as calls see it.
type preparer struct {
	of     *config.Prepare
	client *synthflow.Client
	given  *synthflow.GivenIDs // by the API lately, whichever of its targets asked
}

// newPreparers makes a client for each target with a prepare section. A client of before stays, with its connections,
// if its API, token and timeout are the same. The ids that an API gave are remembered in any case.
func newPreparers(cfg *config.Config, before map[string]peers.Preparer) (map[string]peers.Preparer, error) {
	given := map[string]*synthflow.GivenIDs{} // by API
	for _, client := range before {
		if p, ok := client.(*preparer); ok {
			given[p.of.API] = p.given
		}
	}
	clients := map[string]peers.Preparer{}
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		if t.Prepare == nil {
			continue
		}
		if p, ok := before[t.Name].(*preparer); ok && p.of.API == t.Prepare.API && p.of.Token == t.Prepare.Token && p.of.Timeout == t.Prepare.Timeout {
			clients[t.Name] = p
			continue
		}
		if given[t.Prepare.API] == nil {
			given[t.Prepare.API] = &synthflow.GivenIDs{}
		}
		p, err := newPreparer(t, ladder.RoundTripper{RoundTripper: synthflow.Transport()}, given[t.Prepare.API])
		if err != nil {
			return nil, err
		}
		clients[t.Name] = p
	}
	return clients, nil
}

func newPreparer(t *config.Target, transport http.RoundTripper, given *synthflow.GivenIDs) (*preparer, error) {
	client, err := synthflow.New(rest.Options{
		BaseURL: t.Prepare.API, Token: t.Prepare.Token.Reveal(), Timeout: t.Prepare.Timeout, UserAgent: cli.UserAgent(), Transport: transport,
	}, given)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", t.Name, err)
	}
	return &preparer{t.Prepare, client, given}, nil
}

// NewPreparer makes the client of one target, without ids from before.
func NewPreparer(t *config.Target, transport http.RoundTripper) (peers.Preparer, error) {
	return newPreparer(t, transport, &synthflow.GivenIDs{})
}

// Prepare asks the platform for a call id.
func (p *preparer) Prepare(ctx context.Context, r peers.PrepareRequest) (peers.Prepared, error) {
	in := synthflow.InboundRequest{
		FromNumber: r.FromNumber, ToNumber: r.ToNumber, ModelID: r.ModelID, WorkspaceID: r.WorkspaceID,
		IdempotencyKey: r.CallID, Traceparent: tracecontext.From(ctx),
	}
	in.CustomVariables = make([]synthflow.Variable, 0, len(r.Variables))
	for _, v := range r.Variables {
		in.CustomVariables = append(in.CustomVariables, synthflow.Variable{Name: v.Name, Value: v.Value})
	}
	call, err := p.client.PrepareInbound(ctx, in)
	if err != nil {
		return peers.Prepared{}, &outbound.PrepareError{Cause: causeOf(err), Status: call.Status, Err: err}
	}
	return peers.Prepared{CallID: call.CallID, Shared: call.Shared, Body: call.Body, Status: call.Status}, nil
}

// causeOf is the cause for the record when the platform gave no id.
func causeOf(err error) cause.Cause {
	var e *synthflow.Error
	if !errors.As(err, &e) {
		return cause.PrepareFailed
	}
	switch e.Kind {
	case synthflow.KindTimeout:
		return cause.PrepareTimeout
	case synthflow.KindConnect, synthflow.KindHTTPStatus, synthflow.KindRateLimited, synthflow.KindCancelled:
		return cause.PrepareFailed
	case synthflow.KindCallFailed:
		return cause.PrepareRefused
	case synthflow.KindMalformed, synthflow.KindMissingID, synthflow.KindBadID, synthflow.KindReusedID, synthflow.KindTooLarge:
		return cause.PrepareInvalid
	}
	return cause.PrepareFailed
}

// closeReplaced closes the idle connections of clients that are no longer used. Their requests under way end normally.
func closeReplaced(old, now map[string]peers.Preparer) {
	for name, client := range old {
		if p, ok := client.(*preparer); ok && now[name] != client {
			p.client.CloseIdle()
		}
	}
}
