package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"flowbridge/b2bua/redirected"
	"flowbridge/b2bua/registry"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/platform/vapi"
	"flowbridge/store/record"
)

// assistants chooses the assistant of a call by rules.
type assistants struct {
	hooks  *callHooks
	rules  []config.VapiRule
	secret bool // the platform presents a secret
}

var errNoRule = errors.New("no rule of hooks.vapi matches")

func (a assistants) decide(ctx context.Context, r vapi.Request) (vapi.Answer, error) {
	vars, known := a.varsOf(ctx, r)
	for i := range a.rules {
		rule := &a.rules[i]
		matches, err := ruleMatches(rule, vars)
		if err != nil {
			return vapi.Answer{}, fmt.Errorf("hooks.vapi.rules[%d].when: %w", i, err)
		}
		if !matches {
			continue
		}
		answer, err := answerOf(rule, vars)
		if err != nil {
			return vapi.Answer{}, fmt.Errorf("hooks.vapi.rules[%d]: %w", i, err)
		}
		a.hooks.log.Info().Str("vapi_call_id", r.CallID).Str("call", vars.CallID).Bool("known", known).Int("rule", i).
			Msg("assistant chosen")
		return answer, nil
	}
	a.hooks.log.Warn().Str("vapi_call_id", r.CallID).Str("call", vars.CallID).Bool("known", known).
		Msg("no rule of hooks.vapi matches")
	return vapi.Answer{}, errNoRule
}

// varsOf returns the variables for the rules. If the call came through this process, they come from the carrier's
// INVITE, otherwise from the platform's request.
func (a assistants) varsOf(ctx context.Context, r vapi.Request) (vars template.Vars, known bool) {
	if live, ok := a.hooks.vapiCall(ctx, r); ok {
		vars := live.Vars
		carrier := vars.HeaderFunc
		vars.HeaderFunc = func(name string) string {
			if v := carrier(name); v != "" {
				return v
			}
			return r.Header(name)
		}
		return vars, true
	}
	return template.Vars{
		To: partyOf(r.CalledNumber, r.CalledURI), From: partyOf(r.CustomerNumber, r.CustomerURI),
		SIPCallID: r.SIPCallID, Direction: template.DirectionInbound, HeaderFunc: r.Header,
	}, false
}

func partyOf(number, uri string) template.Party {
	if number != "" {
		return redirected.PartyOf(number)
	}
	return redirected.PartyOf(uri)
}

// vapiCall finds the call that the platform asks about: by the Call-ID of the INVITE to the platform, or else by the
// call's id in a header of that INVITE. Callers may have written such a header. Both ids are random, so a caller who
// dials the platform directly can't name another caller's call. If the headers have the ids of several calls, none is
// found.
func (h *callHooks) vapiCall(ctx context.Context, r vapi.Request) (registry.LiveCall, bool) {
	var found []registry.LiveCall
	for i, id := range append([]string{r.SIPCallID}, slices.Sorted(maps.Values(r.Headers))...) {
		live, err := h.find(ctx, id)
		if err != nil || !live.Given(id) || !h.atVapi(live) ||
			slices.ContainsFunc(found, func(l registry.LiveCall) bool { return l.Record.ID == live.Record.ID }) {
			continue
		}
		found = append(found, live)
		if i == 0 {
			break
		}
	}
	if len(found) != 1 {
		return registry.LiveCall{}, false
	}
	return found[0], true
}

// takeReport adds Vapi's report of a finished call to the call's record.
func (a assistants) takeReport(kind string, body []byte) error {
	if kind != "end-of-call-report" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), reportTimeout)
	defer cancel()
	said, err := vapi.ParseReport(body)
	h, id := a.hooks, ""
	if err == nil {
		id, err = h.dialled(ctx, said.SIPCallID)
	}
	first := false
	if err == nil && id != "" {
		first, err = h.store.PutReport(ctx, id, record.Report{
			CallID: said.CallID, Status: "ended", EndReason: said.EndedReason, DurationMS: said.Duration.Milliseconds(),
			ReceivedAt: record.TimeOf(time.Now()), Confirmed: a.secret,
		})
	}
	h.log.Info().Err(err).Str("vapi_call_id", said.CallID).Str("call", id).Str("end_reason", said.EndedReason).
		Bool("first", first).Msg("end-of-call-report")
	if errors.Is(err, vapi.ErrReport) { // if sent again, it would still be invalid
		return nil
	}
	return err
}

const reportTimeout = 5 * time.Second

// dialled returns the id of the live or finished call whose INVITE to a target of kind vapi has this Call-ID, or "".
func (h *callHooks) dialled(ctx context.Context, callID string) (string, error) {
	id, target := "", ""
	if live, err := h.find(ctx, callID); err == nil && live.Record.TargetSIPCallID == callID {
		id, target = live.Record.ID, live.Record.Target
	} else if id, target, err = h.store.Dialled(ctx, callID); err != nil {
		return "", err
	}
	if !h.isVapi(target) {
		return "", nil
	}
	return id, nil
}

func (h *callHooks) isVapi(target string) bool {
	t := h.config().Target(target)
	return t != nil && t.Kind == config.KindVapi
}

func (h *callHooks) atVapi(live registry.LiveCall) bool {
	return h.isVapi(live.Record.Target) && live.Vars.HeaderFunc != nil
}

func ruleMatches(r *config.VapiRule, vars template.Vars) (bool, error) {
	switch {
	case !r.To.Match(vars.To.Number),
		!r.From.Match(vars.From.Number):
		return false, nil
	case r.When == nil:
		return true, nil
	}
	text, err := r.When.Render(vars)
	return strings.TrimSpace(text) == "true", err
}

func answerOf(r *config.VapiRule, vars template.Vars) (a vapi.Answer, err error) {
	a = vapi.Answer{Assistant: r.Assistant, Destination: r.Destination}
	for _, t := range []struct {
		of *template.Template
		to *string
	}{{r.AssistantID, &a.AssistantID}, {r.Error, &a.Error}} {
		if t.of == nil {
			continue
		}
		if *t.to, err = t.of.Render(vars); err != nil {
			return vapi.Answer{}, err
		}
	}
	a.Overrides, err = overridesOf(r, vars)
	return a, err
}

// overridesOf adds the rule's variables to its overrides.
func overridesOf(r *config.VapiRule, vars template.Vars) (json.RawMessage, error) {
	if len(r.Variables) == 0 {
		return r.Overrides, nil
	}
	overrides, values := map[string]any{}, map[string]any{}
	if len(r.Overrides) > 0 {
		if err := json.Unmarshal(r.Overrides, &overrides); err != nil {
			return nil, err
		}
		if given, ok := overrides["variableValues"].(map[string]any); ok {
			values = given
		}
	}
	for _, v := range r.Variables {
		text, err := v.Value.Render(vars)
		if err != nil {
			return nil, fmt.Errorf("variables.%s: %w", v.Name, err)
		}
		values[v.Name] = text
	}
	overrides["variableValues"] = values
	return json.Marshal(overrides)
}
