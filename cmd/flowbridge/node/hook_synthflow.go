package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"flowbridge/b2bua/redirected"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/internal/rest"
	"flowbridge/store/record"
	"flowbridge/synthflow"
)

// Errors that make the platform repeat a report.
var (
	errNotOver = errors.New("the call is not over")
	errNoWord  = errors.New("the platform's API says that the call is not over")
)

var errNoSuchCall = errors.New("the platform's API does not know the call")

// takeReport adds Synthflow's report of a call to the call's record.
func (h *callHooks) takeReport(ctx context.Context, said synthflow.Report) (synthflow.Taken, error) {
	id, target, err := h.preparedCall(ctx, said.CallID)
	byExternal := err == nil && id == ""
	if byExternal {
		id, target, err = h.unpreparedCall(ctx, said.ExternalID)
	}
	if err != nil || id == "" {
		return synthflow.TakenUnknown, err
	}
	report, err := h.confirmed(ctx, target, said)
	if errors.Is(err, errNoSuchCall) {
		h.log.Warn().Str("synthflow_call_id", said.CallID).Msg("report of a call that the platform's API does not know")
		return synthflow.TakenUnknown, nil
	}
	if err != nil {
		return "", err
	}
	if byExternal && report.ExternalID != said.ExternalID { // also if the platform knows no external id
		h.log.Warn().Str("synthflow_call_id", said.CallID).Str("external_id", said.ExternalID).Str("is", report.ExternalID).
			Msg("a report names another external id than the platform's API")
		return synthflow.TakenUnknown, nil
	}
	kept, err := h.store.PutReport(ctx, id, report)
	if err == nil && !kept {
		return synthflow.TakenBefore, nil
	}
	return synthflow.TakenNew, err
}

// preparedCall finds the live or finished call to which the platform gave an id. It returns our id of the call and the
// call's target, or "" for both if there is no such call.
func (h *callHooks) preparedCall(ctx context.Context, platformID string) (id, target string, err error) {
	if live, err := h.find(ctx, platformID); err == nil && live.Record.SynthflowCallID == platformID {
		return live.Record.ID, live.Record.Target, nil
	}
	if c, _, found := h.redirects.Reported(platformID, ""); found {
		return c.ID, c.Target, nil
	}
	return h.store.Prepared(ctx, platformID)
}

// unpreparedCall finds the finished call that was dialled directly with an external id. It does not consider live
// calls: one may be the customer's next call.
func (h *callHooks) unpreparedCall(ctx context.Context, externalID string) (id, target string, err error) {
	if externalID == "" {
		return "", "", nil
	}
	id, target, err = h.store.Unreported(ctx, externalID)
	if err != nil || id != "" {
		return id, target, err
	}
	if _, unwritten, found := h.redirects.Reported("", externalID); found && unwritten {
		return "", "", errNotOver
	}
	live, found := h.find(ctx, externalID)
	switch {
	case errors.Is(found, redirected.ErrUnknownCall): // it may have been committed after the store was asked
		return h.store.Unreported(ctx, externalID)
	case errors.Is(found, redirected.ErrSeveralCalls):
		return "", "", nil
	case found != nil:
		return "", "", found
	case live.Record.ExternalID != externalID || live.Record.SynthflowCallID != "":
		return "", "", nil
	case live.Record.EndedAt.IsZero():
		return "", "", errNotOver
	}
	return live.Record.ID, live.Record.Target, nil
}

// confirmTimeout bounds a question to the platform's API.
const confirmTimeout = 3 * time.Second

// underWay lists the states of a live call (API reference, "get-phone-call").
var underWay = []string{"pending", "queue", "registered", "ringing", "in-progress"}

// confirmed returns a report for the record. If the target has a token, the platform's API must confirm the report. The
// signature covers only the call's id, so an attacker could copy it onto a forged report of that call.
func (h *callHooks) confirmed(ctx context.Context, target string, said synthflow.Report) (record.Report, error) {
	told, err := h.tellOf(ctx, target, said.CallID)
	switch {
	case errors.Is(err, errNoAccount):
	case rest.StatusOf(err) == http.StatusNotFound:
		return record.Report{}, errNoSuchCall
	case err != nil:
		h.log.Warn().Err(err).Str("target", target).Str("synthflow_call_id", said.CallID).
			Msg("a report could not be confirmed by the API")
	case slices.Contains(underWay, told.Status):
		return record.Report{}, fmt.Errorf("%w: %s", errNoWord, told.Status)
	default:
		said = told
	}
	return record.Report{
		CallID: said.CallID, Status: said.Status, EndReason: said.EndReason, DurationMS: said.Duration.Milliseconds(),
		ExternalID: said.ExternalID, ReceivedAt: record.TimeOf(time.Now()), Confirmed: err == nil,
	}, nil
}

var errNoAccount = errors.New("the target has no token")

// tellOf asks a target's API about a call.
func (h *callHooks) tellOf(ctx context.Context, target, id string) (synthflow.Report, error) {
	t := h.config().Target(target)
	if t == nil {
		return synthflow.Report{}, errNoAccount
	}
	api, token, workspace, known := t.Platform()
	if !known || t.Kind != config.KindSynthflow {
		return synthflow.Report{}, errNoAccount
	}
	a, err := synthflow.NewAccount(synthflow.AccountOptions{
		Options:     rest.Options{BaseURL: api, Token: token.Reveal(), Timeout: confirmTimeout, UserAgent: cli.UserAgent()},
		WorkspaceID: workspace,
	})
	if err != nil {
		return synthflow.Report{}, err
	}
	defer a.CloseIdle()
	return a.GetCall(ctx, id)
}
