package synthflow

import (
	"net/http"
	"strings"

	"github.com/google/uuid"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

const (
	maxBody     = 64 << 10
	defaultPage = 20
	maxPage     = 100
)

// api is the platform's HTTP API: prepare_inbound, and the account as the API
// reference has it (phone numbers, assistants, calls).
func (p *Platform) api() standin.API {
	routes := map[string]standin.Route{
		"POST /v2/custom-numbers":                  p.locked(numberShape(), p.importNumber),
		"GET /v2/numbers":                          p.locked(nil, p.listNumbers),
		"GET /v2/numbers/{slug}":                   p.onNumber(nil, p.getNumber),
		"PATCH /v2/numbers/{slug}":                 p.onNumber(patchShape(), p.patchNumber),
		"DELETE /v2/numbers/{slug}":                p.onNumber(nil, p.deleteNumber),
		"POST /v2/assistants":                      p.locked(agentShape(), p.createAgent),
		"GET /v2/assistants/{$}":                   p.locked(nil, p.listAgents),
		"GET /v2/assistants/{model}":               p.onAgent(nil, p.getAgent),
		"PUT /v2/assistants/{model}":               p.onAgent(agentChangeShape(), p.changeAgent),
		"DELETE /v2/assistants/{model}":            p.onAgent(nil, p.deleteAgent),
		"PUT /v2/assistants/{model}/phone_numbers": p.onAgent(shape(fields{"phone_numbers": standin.IsStrings}, "phone_numbers"), p.attachNumbers),
		"GET /v2/calls/{call}":                     p.getCall,
	}
	for pattern, route := range routes {
		routes[pattern] = p.orFailed(route)
	}
	routes["POST /v2/prepare_inbound"] = p.prepare
	return standin.API{
		Token: p.opts.Token, TokenNeeded: "missing or wrong bearer token", MaxBody: maxBody, Routes: routes,
		NoRoute: func(_ *http.Request, methods []string) *standin.Refusal {
			if len(methods) == 0 {
				return noSuch("no such path")
			}
			return standin.Refuse(http.StatusMethodNotAllowed, "use %s", strings.Join(methods, ", "))
		},
		Envelope: p.envelope,
	}
}

// envelope is the error body of a region or of the global gateway.
func (p *Platform) envelope(code int, words []string) any {
	category, text := strings.ReplaceAll(strings.ToLower(http.StatusText(code)), " ", "_"), strings.Join(words, ", ")
	if p.opts.Account.Gateway {
		return map[string]string{"error": category, "message": text}
	}
	return map[string]any{"detail": map[string]string{
		"status": "error", "description": text, "request_id": uuid.NewString(), "category": category,
	}}
}

// orFailed lets a successful route answer with a failure if the fault says so.
func (p *Platform) orFailed(route standin.Route) standin.Route {
	return func(r *http.Request, body []byte) (any, *standin.Refusal) {
		out, refusal := route(r, body)
		if refusal == nil && p.Fault().Kind == sim.FaultFailed {
			out = map[string]any{"status": "failed", "response": nil}
		}
		return out, refusal
	}
}

// request is a request with its parsed body.
type request struct {
	*http.Request
	body standin.Object // may be nil
}

// action carries out a request about an object. The account is locked.
type action[T any] func(r request, on T) (any, *standin.Refusal)

// locked checks the body, if there is a shape, and locks the account.
func (p *Platform) locked(shape *standin.Shape, do func(request) (any, *standin.Refusal)) standin.Route {
	return func(r *http.Request, raw []byte) (any, *standin.Refusal) {
		var body standin.Object
		if shape != nil {
			var refusal *standin.Refusal
			if body, refusal = read(shape, raw); refusal != nil {
				return nil, refusal
			}
		}
		p.account.mu.Lock()
		defer p.account.mu.Unlock()
		return do(request{r, body})
	}
}

// onAgent finds the agent of the path.
func (p *Platform) onAgent(shape *standin.Shape, do action[*accountAgent]) standin.Route {
	return p.locked(shape, func(r request) (any, *standin.Refusal) {
		id := r.PathValue("model")
		if g := p.account.agents.Get(id); g != nil {
			return do(r, g)
		}
		return nil, noSuch("no agent %q", id)
	})
}

// onNumber finds the number of the path.
func (p *Platform) onNumber(shape *standin.Shape, do action[*accountNumber]) standin.Route {
	return p.locked(shape, func(r request) (any, *standin.Refusal) {
		slug := r.PathValue("slug")
		if n := p.account.numbers.Get(slug); n != nil && p.account.mayUse(n.fields.Text("workspace_id")) {
			return do(r, n)
		}
		return nil, noSuch("no phone number %q; a slug is the number without its +", slug)
	})
}

type fields = standin.Fields

// shape is a shape with the platform's words.
func shape(all fields, required ...string) *standin.Shape {
	return &standin.Shape{Fields: all, Required: required, Words: standin.Words{
		Unknown: "unknown field %q", Wrong: "field %q %s", Missing: "field %q is missing",
	}}
}

// read parses a body. A body that is not JSON gets 400, a body of another shape 422.
func read(s *standin.Shape, raw []byte) (standin.Object, *standin.Refusal) {
	body, err := standin.ParseObject(raw)
	if err != nil {
		return nil, badRequest("%v", err)
	}
	if wrong := s.Wrong(body); len(wrong) > 0 {
		return nil, unprocessable("%s", wrong[0])
	}
	return body, nil
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

// okAnswer is the envelope of the account API.
func okAnswer(response any) map[string]any {
	return map[string]any{"status": "ok", "response": response}
}

// ok is the answer to a change.
var ok = map[string]any{"status": "ok"}

// page answers with the part of a list that the query asks for.
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
