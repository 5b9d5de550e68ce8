package platform

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

// maxBody bounds the body of a request, in bytes.
const maxBody = 64 << 10

// describeAPI makes the API of the description.
func (p *Platform) describeAPI() standin.API {
	tokenIn, created, routes := "", 0, map[string]standin.Route{}
	if a := p.of.API; a != nil {
		tokenIn, created, routes = a.TokenIn, a.Status, map[string]standin.Route{a.Route: p.announce}
	}
	if p.of.Asks != nil {
		tokenIn = cmp.Or(tokenIn, p.of.Asks.TokenIn)
		maps.Copy(routes, p.decisions())
	}
	return standin.API{
		Token: p.opts.Token, TokenIn: tokenIn, TokenNeeded: "the token is missing or not known", MaxBody: maxBody, Created: created,
		Routes: routes,
		NoRoute: func(r *http.Request, methods []string) *standin.Refusal {
			if len(methods) > 0 {
				return standin.Refuse(http.StatusMethodNotAllowed, "%s is not a method of %s", r.Method, r.URL.Path)
			}
			return standin.Refuse(http.StatusNotFound, "there is no %s", r.URL.Path)
		},
		Envelope: func(_ int, words []string) any {
			return map[string]string{"status": "error", "message": strings.Join(words, "; ")}
		},
	}
}

// announce takes the request before a call.
func (p *Platform) announce(_ *http.Request, body []byte) (any, *standin.Refusal) {
	object, err := standin.ParseObject(body)
	if err != nil {
		return nil, standin.Refuse(http.StatusBadRequest, "%v", err)
	}
	if wrong := p.of.API.Body.Wrong(object); len(wrong) > 0 {
		return nil, &standin.Refusal{Code: http.StatusBadRequest, Words: wrong}
	}
	id := p.remember(object, time.Now())
	answer := filled(p.of.API.Answer, p.told(id), p.agent.SIPAddr().String(), object).(map[string]any)
	if p.agent.Fault().Kind == sim.FaultFailed {
		maps.Copy(answer, p.of.API.Failed)
	}
	p.opts.Log.Info().Str("id", id).Msg("call announced")
	return answer, nil
}

// told is an id for an answer.
func (p *Platform) told(id string) any { return p.given.Told(p.agent.Fault(), "call", id) }

// remember gives a call an id.
func (p *Platform) remember(body standin.Object, now time.Time) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	id := fmt.Sprintf("%09d", 123_456_000+p.count)
	if !p.of.API.Digits {
		id = "call_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	}
	p.ids[id] = &asked{body: body, expires: now.Add(p.of.API.Lifetime)}
	p.order = append(p.order, id)
	if len(p.order) > maxIDs {
		delete(p.ids, p.order[0])
		p.order = p.order[1:]
	}
	return id
}

// use spends an id on an INVITE. The reason is empty if it is good.
func (p *Platform) use(id string, now time.Time) (body standin.Object, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.ids[id]
	switch {
	case a == nil:
		return nil, "Request-URI user is no id that was given"
	case a.used:
		return nil, "the id was used before"
	case !now.Before(a.expires):
		return nil, "the id has expired"
	}
	a.used = true
	return a.body, ""
}

// filled is a template of an answer with its places filled in. An id that is no text stands alone.
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
