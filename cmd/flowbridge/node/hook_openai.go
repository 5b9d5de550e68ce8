package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"flowbridge/b2bua/redirected"
	"flowbridge/b2bua/registry"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/internal/rest"
	"flowbridge/platform/openai"
	"flowbridge/store/record"
)

// sessions accepts the calls of this process that ring at OpenAI, and rejects all others.
type sessions struct {
	hooks *callHooks
	hook  *config.OpenAIHook
}

// The SIP statuses of rejections. The first is for an unknown call (603 is OpenAI's default). The second is for a call
// of ours whose session can't be created: the next target is then tried.
const (
	statusNotOurs   = 603
	statusNoSession = 500
)

func (s sessions) decide(ctx context.Context, c openai.Call) (openai.Decision, error) {
	live, found, err := s.callOf(ctx, c.Headers)
	if err != nil {
		return openai.Decision{}, err
	}
	log := s.hooks.log.With().Str("openai_call_id", c.ID).Str("call", live.Record.ID).Logger()
	if !found {
		log.Warn().Str("header", callHeader).Msg("openai call rejected: it is not one of ours")
		return openai.Decision{Status: statusNotOurs}, nil
	}
	attempt := ringing(live)
	if attempt == "" {
		log.Warn().Msg("openai call rejected: the call that it names is not ringing")
		return openai.Decision{Status: statusNotOurs}, nil
	}
	session, err := s.sessionOf(live.Vars)
	if err != nil {
		log.Warn().Err(err).Msg("openai call rejected: its session can't be created")
		return openai.Decision{Status: statusNoSession}, nil
	}
	return openai.Decision{Session: session, Attempt: attempt, Accepted: func() { s.note(ctx, live.Record.ID, c.ID) }}, nil
}

// callHeader is the header of the INVITE to OpenAI with our id of the call.
const callHeader = "X-Call"

// callOf finds the call that rings at OpenAI, by the Call-ID of our INVITE or else by the header. A caller may have
// written the header if pass_headers includes it. Both ids are random, so a caller who dials the project's address
// directly can't name another caller's call.
func (s sessions) callOf(ctx context.Context, h http.Header) (registry.LiveCall, bool, error) {
	for _, name := range []string{"Call-ID", callHeader} {
		id := h.Get(name)
		if id == "" {
			continue
		}
		live, err := s.hooks.find(ctx, id)
		switch {
		case err != nil && !errors.Is(err, redirected.ErrUnknownCall) && !errors.Is(err, redirected.ErrSeveralCalls):
			return live, false, err
		case err == nil && (id == live.Record.ID || id == ringing(live)) && live.Record.EndedAt.IsZero():
			return live, true, nil
		}
	}
	return registry.LiveCall{}, false, nil
}

// ringing returns the Call-ID of a call's INVITE that has no final answer yet, or "". In an answered call, that is the
// INVITE of a rescue or a transfer.
func ringing(live registry.LiveCall) string {
	all := live.Record.Attempts
	switch last := len(all) - 1; {
	case live.Record.AnsweredAt.IsZero():
		return live.Record.TargetSIPCallID
	case last >= 0 && all[last].Cause == "" && all[last].SIPStatus == 0:
		return all[last].SIPCallID
	default:
		return ""
	}
}

func (s sessions) sessionOf(vars template.Vars) (session rest.Object, err error) {
	text, err := s.hook.Session.JSON(vars)
	if err == nil {
		err = json.Unmarshal(text, &session)
	}
	if err != nil {
		return nil, fmt.Errorf("hooks.openai.%w", err)
	}
	return session, nil
}

// note puts OpenAI's id of a call into the call's record. If that fails, the call continues.
func (s sessions) note(ctx context.Context, id, platformID string) {
	_, err := s.hooks.store.PutReport(ctx, id,
		record.Report{CallID: platformID, Status: "accepted", ReceivedAt: record.TimeOf(time.Now()), Confirmed: true})
	if err != nil {
		s.hooks.log.Warn().Err(err).Str("call", id).Str("openai_call_id", platformID).
			Msg("openai's id of a call is not in its record")
	}
}
