package synthflow

import (
	"net/http"
	"strings"

	"github.com/google/uuid"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

const (
	defaultPage = 20
	maxPage     = 100
)

// api returns the platform's HTTP API: prepare_inbound, and the account according to the API reference (phone numbers,
// assistants, calls).
func (p *Platform) api() standin.API {
	agents, numbers := &p.account.agents, &p.account.numbers
	routes := map[string]standin.Route{
		"POST /v2/custom-numbers":       {Body: numberShape(), Do: p.importNumber},
		"GET /v2/numbers":               {Do: p.listNumbers},
		"GET /v2/numbers/{number}":      {Do: one(numbers, "number", p.getNumber)},
		"DELETE /v2/numbers/{number}":   {Do: one(numbers, "number", p.deleteNumber)},
		"POST /v2/assistants":           {Body: agentShape(), Do: p.createAgent},
		"GET /v2/assistants/{$}":        {Do: p.listAgents},
		"GET /v2/assistants/{agent}":    {Do: one(agents, "agent", p.getAgent)},
		"PUT /v2/assistants/{agent}":    {Body: shape(), Do: one(agents, "agent", p.changeAgent)},
		"DELETE /v2/assistants/{agent}": {Do: one(agents, "agent", p.deleteAgent)},
		"GET /v2/calls/{call}":          {Do: p.getCall},
	}
	for pattern, route := range routes {
		routes[pattern] = standin.Route{Body: route.Body, Do: p.orFailed(route.Do)}
	}
	routes["POST /v2/prepare_inbound"] = standin.Route{Body: prepareShape(), Do: p.prepare}
	return standin.API{Token: p.opts.Token, Lock: &p.account.mu, Routes: routes, Envelope: envelope}
}

// envelope returns the error body of a region.
func envelope(code int, words []string) any {
	return map[string]any{"detail": map[string]string{
		"status": "error", "description": strings.Join(words, ", "), "request_id": uuid.NewString(),
		"category": strings.ReplaceAll(strings.ToLower(http.StatusText(code)), " ", "_"),
	}}
}

// orFailed makes a successful route answer with a failure if the fault requires it.
func (p *Platform) orFailed(do standin.Do) standin.Do {
	return func(r request) (any, *standin.Refusal) {
		out, refusal := do(r)
		if refusal == nil && p.Fault().Kind == sim.FaultFailed {
			out = map[string]any{"status": "failed", "response": nil}
		}
		return out, refusal
	}
}

type request = standin.Request

// one finds the object whose id is in the path.
func one(all *standin.Table[standin.Object], name string,
	do func(request, standin.Object) (any, *standin.Refusal),
) standin.Do {
	return func(r request) (any, *standin.Refusal) {
		id := r.PathValue(name)
		if o := all.Get(id); o != nil {
			return do(r, o)
		}
		return nil, noSuch("no %s %q", name, id)
	}
}

// shape returns the shape of an account request's body that requires these texts.
func shape(texts ...string) *standin.Shape {
	return &standin.Shape{
		Fields: standin.Fields{}.With(standin.IsString, texts...), Required: texts, Code: http.StatusUnprocessableEntity,
		Open: true,
	}
}

func badRequest(format string, args ...any) *standin.Refusal {
	return standin.Refuse(http.StatusBadRequest, format, args...)
}

func unprocessable(format string, args ...any) *standin.Refusal {
	return standin.Refuse(http.StatusUnprocessableEntity, format, args...)
}

func noSuch(format string, args ...any) *standin.Refusal {
	return standin.Refuse(http.StatusNotFound, format, args...)
}

func notYours(workspace string) *standin.Refusal {
	return standin.Refuse(http.StatusForbidden, "workspace %q is not yours", workspace)
}

// okAnswer returns the envelope of the account API.
func okAnswer(response any) map[string]any {
	return map[string]any{"status": "ok", "response": response}
}

// page answers with the part of a list that the query selects.
func page[T any](r request, name string, all []T) (any, *standin.Refusal) {
	part, asked, refusal := standin.Page(r.Request, all, defaultPage, maxPage)
	if refusal != nil {
		return nil, unprocessable("query %s", refusal.Words[0])
	}
	return okAnswer(map[string]any{"pagination": pagination(len(all), asked["limit"], asked["offset"]), name: part}), nil
}

func pagination(total, limit, offset int) map[string]int {
	return map[string]int{"total_records": total, "limit": limit, "offset": offset}
}
