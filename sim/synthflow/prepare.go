package synthflow

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

// prepareShape returns the shape with exactly the five documented fields.
func prepareShape() *standin.Shape {
	all := []string{"from_number", "to_number", "model_id", "workspace_id", "custom_variables"}
	return &standin.Shape{Required: all, Fields: standin.Fields{
		"custom_variables": isFlat,
		"to_number":        standin.TextWithin(1, 200),
	}.
		With(standin.IsString, "from_number", "model_id", "workspace_id")}
}

// isFlat accepts an object of strings, numbers and booleans.
func isFlat(v any) string {
	object, ok := v.(map[string]any)
	if !ok {
		return "must be an object"
	}
	for name, value := range object {
		switch value.(type) {
		case string, json.Number, bool:
		default:
			return fmt.Sprintf("has custom variable %q, which must be a string, a number or a boolean", name)
		}
	}
	return ""
}

// prepare registers a call and gives it an id. It refuses an unknown workspace, and an unknown agent once the account
// has agents besides the demo agent.
func (p *Platform) prepare(r request) (any, *standin.Refusal) {
	a := p.account
	switch workspace, model := r.Sent.Text("workspace_id"), r.Sent.Text("model_id"); {
	case !a.mayUse(workspace):
		return nil, notYours(workspace)
	case a.hasAgents() && a.agents.Get(model) == nil:
		return nil, noSuch("no agent %q", model)
	case p.Fault().Kind == sim.FaultFailed:
		return prepared(r.Sent, "failed", "", "service outage"), nil
	}
	id := uuid.NewString()
	p.ids.Add(id, r.Sent, time.Now(), p.opts.IDLifetime)
	p.opts.Log.Info().Str("id", id).Str("from", r.Sent.Text("from_number")).Str("to", r.Sent.Text("to_number")).
		Msg("call prepared")
	return prepared(r.Sent, "registered", p.told("call", id), nil), nil
}

// hasAgents reports whether there are agents other than the demo agent. The caller must hold the lock.
func (a *account) hasAgents() bool {
	n := a.agents.Len()
	if a.agents.Get(a.opts.DemoAgent) != nil {
		n--
	}
	return n > 0
}

// prepared returns the answer of prepare_inbound, without the many members that are always empty in the documents.
func prepared(asked standin.Object, status string, id, problem any) any {
	answer := map[string]any{
		"call_status": status, "synthflow_call_id": id, "direction": "inbound", "error_message": problem,
	}
	for _, name := range []string{"model_id", "workspace_id", "custom_variables"} {
		answer[name] = asked[name]
	}
	return answer
}
