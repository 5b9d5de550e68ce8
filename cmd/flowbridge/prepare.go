package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/synthflow"
)

// preparer is a Synthflow client as calls see it.
type preparer struct {
	client *synthflow.Client
	given  *synthflow.GivenIDs
}

// givenIDs are the ids that each API gave lately, whichever of its targets
// asked. A reload keeps them.
type givenIDs map[string]*synthflow.GivenIDs // by API

// of gives those of an API.
func (g givenIDs) of(api string) *synthflow.GivenIDs {
	if g[api] == nil {
		g[api] = &synthflow.GivenIDs{}
	}
	return g[api]
}

// keep takes over what the clients of a configuration know.
func (g givenIDs) keep(cfg *config.Config, clients map[string]peers.Preparer) {
	for _, t := range cfg.Targets {
		if p, ok := clients[t.Name].(preparer); ok && t.Prepare != nil {
			g[t.Prepare.API] = p.given
		}
	}
}

// preparers makes a client for each target that prepares its calls.
func preparers(cfg *config.Config, wrap func(http.RoundTripper) http.RoundTripper) (map[string]peers.Preparer, error) {
	clients, given := map[string]peers.Preparer{}, givenIDs{}
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		if t.Prepare == nil {
			continue
		}
		var transport http.RoundTripper // nil: the client's own
		if wrap != nil {
			transport = wrap(http.DefaultTransport)
		}
		client, err := newPreparer(t, transport, given)
		if err != nil {
			return nil, err
		}
		clients[t.Name] = client
	}
	return clients, nil
}

func newPreparer(t *config.Target, transport http.RoundTripper, all givenIDs) (preparer, error) {
	given := all.of(t.Prepare.API)
	client, err := synthflow.New(synthflow.Options{
		Given:   given,
		BaseURL: t.Prepare.API, Token: t.Prepare.Token.Reveal(), Timeout: t.Prepare.Timeout,
		UserAgent: "flowbridge/" + programVersion(), Transport: transport,
	})
	if err != nil {
		return preparer{}, fmt.Errorf("target %s: %w", t.Name, err)
	}
	return preparer{client, given}, nil
}

// Prepare asks the platform for a call id.
func (p preparer) Prepare(ctx context.Context, r peers.PrepareRequest) (peers.Prepared, error) {
	in := synthflow.InboundRequest{
		FromNumber: r.FromNumber, ToNumber: r.ToNumber, ModelID: r.ModelID, WorkspaceID: r.WorkspaceID,
		IdempotencyKey: r.CallID,
	}
	for _, v := range r.Variables {
		in.CustomVariables = append(in.CustomVariables, synthflow.Variable{Name: v.Name, Value: v.Value})
	}
	call, err := p.client.PrepareInbound(ctx, in)
	if err != nil {
		return peers.Prepared{}, &b2bua.PrepareError{Cause: causeOf(err), Status: call.Status, Err: err}
	}
	return peers.Prepared{CallID: call.CallID, Shared: call.Shared, Body: call.Body, Status: call.Status}, nil
}

// causeOf is the record's word for why the platform gave no id.
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

// renewedPreparers makes the clients of a configuration. Those of targets
// whose API is as it was are used on, with their connections.
func renewedPreparers(cfg, old *config.Config, clients map[string]peers.Preparer) (map[string]peers.Preparer, error) {
	before := map[string]*config.Prepare{}
	for _, t := range old.Targets {
		before[t.Name] = t.Prepare
	}
	renewed, given := map[string]peers.Preparer{}, givenIDs{}
	given.keep(old, clients)
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		if t.Prepare == nil {
			continue
		}
		was := before[t.Name]
		if client := clients[t.Name]; client != nil && was != nil && was.API == t.Prepare.API &&
			was.Token == t.Prepare.Token && was.Timeout == t.Prepare.Timeout {
			renewed[t.Name] = client
			continue
		}
		client, err := newPreparer(t, nil, given)
		if err != nil {
			return nil, err
		}
		renewed[t.Name] = client
	}
	return renewed, nil
}

// closeReplaced closes the connections of clients that are used no more. What
// one of them still has under way ends as it would have.
func closeReplaced(old, now map[string]peers.Preparer) {
	for name, client := range old {
		if p, ok := client.(preparer); ok && now[name] != client {
			p.client.CloseIdle()
		}
	}
}
