package vapi

import (
	"net/http"

	"flowbridge/sim/internal/standin"
)

const (
	maxBody      = 256 << 10
	defaultLimit = 100 // of objects in a list, as the API reference says
	maxLimit     = 1000
)

// api has the routes of Assistants, Phone Numbers and Calls in the API reference that
// are of use here.
func (p *Platform) api() standin.API {
	a := p.account
	routes := map[string]standin.Route{
		"GET /call": func(r *http.Request, _ []byte) (any, *standin.Refusal) { return listed(r, p.callObjects()) },
		"GET /call/{id}": func(r *http.Request, _ []byte) (any, *standin.Refusal) {
			for _, o := range p.callObjects() {
				if o["id"] == r.PathValue("id") {
					return o, nil
				}
			}
			return nil, standin.Refuse(http.StatusNotFound, "Couldn't find Call %q.", r.PathValue("id"))
		},
	}
	p.addObjects(routes, "assistant", &a.assistants, assistantShape, assistantShape)
	p.addObjects(routes, "phone-number", &a.numbers, newNumberShape, numberShape)
	return standin.API{
		Token: p.opts.Key, TokenNeeded: "Invalid Key. Use the private key of the account as the bearer token.", MaxBody: maxBody,
		Created: http.StatusCreated, Routes: routes, Envelope: envelope,
		NoRoute: func(r *http.Request, _ []string) *standin.Refusal {
			return standin.Refuse(http.StatusNotFound, "Cannot %s %s", r.Method, r.URL.Path)
		},
	}
}

// addObjects adds the routes of a sort of objects, which are created and changed with members of these shapes.
func (p *Platform) addObjects(routes map[string]standin.Route, sort string, all *objects, created, change standin.Shape) {
	a := p.account
	write := func(shape standin.Shape) standin.Route {
		return func(r *http.Request, raw []byte) (any, *standin.Refusal) {
			body, err := standin.ParseObject(raw)
			if err != nil {
				return nil, badRequest(err.Error())
			}
			o, refusal := a.put(all, r.PathValue("id"), body, shape)
			if refusal == nil {
				p.opts.Log.Info().Str("id", o.Text("id")).Str("path", r.URL.Path).Msg("account changed")
			}
			return p.shown(sort, o), refusal
		}
	}
	one := func(do func(*objects, string) (standin.Object, *standin.Refusal)) standin.Route {
		return func(r *http.Request, _ []byte) (any, *standin.Refusal) {
			o, refusal := do(all, r.PathValue("id"))
			return p.shown(sort, o), refusal
		}
	}
	routes["POST /"+sort] = write(created)
	routes["PATCH /"+sort+"/{id}"] = write(change)
	routes["GET /"+sort+"/{id}"] = one(a.get)
	routes["DELETE /"+sort+"/{id}"] = one(a.remove)
	routes["GET /"+sort] = func(r *http.Request, _ []byte) (any, *standin.Refusal) {
		a.mu.Lock()
		list := all.All()
		a.mu.Unlock()
		for i, o := range list {
			list[i] = p.shown(sort, o)
		}
		return listed(r, list)
	}
}

// envelope is the platform's error body. Several faults of a body are a list.
func envelope(code int, words []string) any {
	var message any = words
	if len(words) == 1 {
		message = words[0]
	}
	return map[string]any{"message": message, "error": http.StatusText(code), "statusCode": code}
}

// listed answers with the start of a list.
func listed(r *http.Request, list []standin.Object) (any, *standin.Refusal) {
	part, _, refusal := standin.Page(r, list, defaultLimit, maxLimit)
	return part, refusal
}

// shown is an object for an answer.
func (p *Platform) shown(sort string, object standin.Object) standin.Object {
	out := withoutSecrets(object)
	out["id"] = p.given.Told(p.Fault(), sort, object.Text("id"))
	return out
}

// withoutSecrets is a copy of an object without its secrets.
func withoutSecrets(object map[string]any) standin.Object {
	out := make(standin.Object, len(object))
	for name, value := range object {
		switch name {
		case "password", "secret", "serverUrlSecret", "headers", "credentials":
			continue
		}
		out[name] = clean(value)
	}
	return out
}

func clean(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return map[string]any(withoutSecrets(v))
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			out = append(out, clean(item))
		}
		return out
	}
	return v
}
