package platform

import (
	"cmp"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/google/uuid"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

// describeAPI returns the API of the description.
func (p *Platform) describeAPI() standin.API {
	tokenIn, created, routes := "", 0, map[string]standin.Route{}
	if a := p.of.API; a != nil {
		tokenIn, created = a.TokenIn, a.Status
		for _, route := range a.routes() {
			routes[route] = standin.Route{Body: &a.Body, Do: p.announce}
		}
	}
	if p.of.Asks != nil {
		tokenIn = cmp.Or(tokenIn, p.of.Asks.TokenIn)
		maps.Copy(routes, p.decisions())
	}
	return standin.API{
		Token: p.opts.Token, TokenIn: tokenIn, Created: created, Routes: routes,
		Envelope: func(_ int, words []string) any {
			return map[string]string{"status": "error", "message": strings.Join(words, "; ")}
		},
	}
}

// routes returns the requests that the API accepts.
func (a *API) routes() []string {
	if a.Route != "" {
		return []string{a.Route}
	}
	return []string{"GET /", "PATCH /", "POST /", "PUT /"}
}

// announce accepts the request before a call.
func (p *Platform) announce(r standin.Request) (any, *standin.Refusal) {
	id := p.remember(r.Sent, time.Now())
	answer := filled(p.of.API.Answer, p.told(id), p.agent.SIPAddr().String(), r.Sent).(map[string]any)
	if p.agent.Fault().Kind == sim.FaultFailed {
		maps.Copy(answer, p.of.API.Failed)
	}
	p.opts.Log.Info().Str("id", id).Msg("call announced")
	return answer, nil
}

// told returns an id for an answer.
func (p *Platform) told(id string) any { return p.given.Told(p.agent.Fault(), "call", id) }

// remember gives a call an id.
func (p *Platform) remember(body standin.Object, now time.Time) string {
	id := "call_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	if p.of.API.Digits {
		id = fmt.Sprintf("%09d", 123_456_000+p.count.Add(1))
	}
	p.ids.Add(id, body, now, p.of.API.Lifetime)
	return id
}

// filled returns an answer's template with its placeholders replaced. If an id is not a text, its placeholder must
// be the whole text.
func filled(v any, id any, at string, body standin.Object) any {
	switch v := v.(type) {
	case standin.Object:
		return filled(map[string]any(v), id, at, body)
	case map[string]any:
		out := map[string]any{}
		for name, inner := range v {
			out[name] = filled(inner, id, at, body)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = filled(inner, id, at, body)
		}
		return out
	case string:
		if v == "{id}" {
			return id
		}
		if name, ok := strings.CutPrefix(v, "{body."); ok {
			return body[strings.TrimSuffix(name, "}")]
		}
		return strings.NewReplacer("{id}", fmt.Sprint(id), "{sip}", at).Replace(v)
	}
	return v
}
