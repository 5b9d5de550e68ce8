package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"flowbridge/b2bua"
	"flowbridge/cmd/flowbridge/cli"
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
func (g givenIDs) keep(cfg *config.Config, clients map[string]b2bua.Preparer) {
	for _, t := range cfg.Targets {
		if p, ok := clients[t.Name].(preparer); ok && t.Prepare != nil {
			g[t.Prepare.API] = p.given
		}
	}
}

// preparers makes a client for each target that prepares its calls.
func preparers(cfg *config.Config, trace *b2bua.Trace) (map[string]b2bua.Preparer, error) {
	clients, given := map[string]b2bua.Preparer{}, givenIDs{}
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		if t.Prepare == nil {
			continue
		}
		var transport http.RoundTripper // nil: the client's own
		if trace != nil {
			transport = tracedAPI{http.DefaultTransport, trace}
		}
		client, err := newPreparer(t, transport, given.of(t.Prepare.API))
		if err != nil {
			return nil, err
		}
		clients[t.Name] = client
	}
	return clients, nil
}

func newPreparer(t *config.Target, transport http.RoundTripper, given *synthflow.GivenIDs) (preparer, error) {
	client, err := synthflow.New(synthflow.Options{
		Given:   given,
		BaseURL: t.Prepare.API, Token: t.Prepare.Token.Reveal(), Timeout: t.Prepare.Timeout,
		UserAgent: cli.UserAgent(), Transport: transport,
	})
	if err != nil {
		return preparer{}, fmt.Errorf("target %s: %w", t.Name, err)
	}
	return preparer{client, given}, nil
}

// NewPreparer makes the client of one target, which knows no ids given before.
func NewPreparer(t *config.Target, transport http.RoundTripper) (b2bua.Preparer, error) {
	return newPreparer(t, transport, &synthflow.GivenIDs{})
}

// Prepare asks the platform for a call id.
func (p preparer) Prepare(ctx context.Context, r b2bua.PrepareRequest) (b2bua.Prepared, error) {
	in := synthflow.InboundRequest{
		FromNumber: r.FromNumber, ToNumber: r.ToNumber, ModelID: r.ModelID, WorkspaceID: r.WorkspaceID,
		IdempotencyKey: r.CallID,
	}
	for _, v := range r.Variables {
		in.CustomVariables = append(in.CustomVariables, synthflow.Variable{Name: v.Name, Value: v.Value})
	}
	call, err := p.client.PrepareInbound(ctx, in)
	if err != nil {
		return b2bua.Prepared{}, &b2bua.PrepareError{Cause: causeOf(err), Status: call.Status, Err: err}
	}
	return b2bua.Prepared{CallID: call.CallID, Shared: call.Shared, Body: call.Body, Status: call.Status}, nil
}

// causeOf is the record's word for why the platform gave no id.
func causeOf(err error) b2bua.Cause {
	var e *synthflow.Error
	if !errors.As(err, &e) {
		return b2bua.CausePrepareFailed
	}
	switch e.Kind {
	case synthflow.KindTimeout:
		return b2bua.CausePrepareTimeout
	case synthflow.KindConnect, synthflow.KindHTTPStatus, synthflow.KindRateLimited, synthflow.KindCancelled:
		return b2bua.CausePrepareFailed
	case synthflow.KindCallFailed:
		return b2bua.CausePrepareRefused
	case synthflow.KindMalformed, synthflow.KindMissingID, synthflow.KindBadID, synthflow.KindReusedID, synthflow.KindTooLarge:
		return b2bua.CausePrepareInvalid
	}
	return b2bua.CausePrepareFailed
}

// renewedPreparers makes the clients of a configuration. Those of targets
// whose API is as it was are used on, with their connections.
func renewedPreparers(cfg, old *config.Config, clients map[string]b2bua.Preparer) (map[string]b2bua.Preparer, error) {
	before := map[string]*config.Prepare{}
	for _, t := range old.Targets {
		before[t.Name] = t.Prepare
	}
	renewed, given := map[string]b2bua.Preparer{}, givenIDs{}
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
		client, err := newPreparer(t, nil, given.of(t.Prepare.API))
		if err != nil {
			return nil, err
		}
		renewed[t.Name] = client
	}
	return renewed, nil
}

// closeReplaced closes the connections of clients that are used no more. What
// one of them still has under way ends as it would have.
func closeReplaced(old, now map[string]b2bua.Preparer) {
	for name, client := range old {
		if p, ok := client.(preparer); ok && now[name] != client {
			p.client.CloseIdle()
		}
	}
}

// tracedAPI notes the exchange with the platform's API in the trace.
type tracedAPI struct {
	http.RoundTripper
	trace *b2bua.Trace
}

// RoundTrip passes a request on. The token is in a header, which is not
// looked at.
func (t tracedAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	t.trace.HTTP(time.Now(), false, r.Method+" "+r.URL.Path)
	res, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	t.trace.HTTP(time.Now(), true, "HTTP "+strings.TrimSpace(res.Status))
	return res, nil
}
