package synthflow

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"flowbridge/internal/rest"
)

const callsPath = "/v2/calls"

// GetCall returns the account's report of an ended call (GET /v2/calls/{call_id}). Unlike the content of a webhook,
// it certainly comes from the platform.
func (a *Account) GetCall(ctx context.Context, id string) (Report, error) {
	e, err := a.call(ctx, rest.Request{Method: http.MethodGet, Path: callsPath + "/" + rest.Segment(id)})
	if err != nil {
		return Report{}, err
	}
	one, ok := e.oneCall()
	if !ok {
		return Report{}, e.unusable("the answer has no call")
	}
	raw, err := json.Marshal(map[string]any{"call": one})
	if err != nil {
		return Report{}, e.unusable(err.Error())
	}
	report, err := parseReport(raw)
	switch {
	case err != nil:
		return Report{}, e.unusable(err.Error())
	case report.CallID != id:
		return Report{}, e.unusable(fmt.Sprintf("the answer is about another call, %q", rest.Clean(report.CallID)))
	}
	return report, nil
}

// oneCall returns the call in an answer. The API reference has it in a list of one; an answer without envelope is the
// call itself.
func (e envelope) oneCall() (map[string]any, bool) {
	of := map[string]any(e.whole)
	if e.response != nil {
		of = e.response
	}
	if all, ok := of["calls"].([]any); ok {
		if len(all) != 1 {
			return nil, false
		}
		one, ok := all[0].(map[string]any)
		return one, ok
	}
	_, ok := of["call_id"]
	return of, ok
}
