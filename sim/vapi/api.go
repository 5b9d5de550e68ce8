package vapi

import (
	"maps"
	"net/http"
	"slices"

	"flowbridge/sim/internal/standin"
)

const (
	defaultLimit = 100 // objects in a list, according to the API reference
	maxLimit     = 1000
)

// api returns the routes for Assistants, Phone Numbers and Calls in the API reference that are useful here.
func (p *Platform) api() standin.API {
	a := p.account
	routes := map[string]standin.Route{
		"GET /call": {Do: func(r standin.Request) (any, *standin.Refusal) { return listed(r, p.callObjects()) }},
		"GET /call/{id}": {Do: func(r standin.Request) (any, *standin.Refusal) {
			for _, o := range p.callObjects() {
				if o["id"] == r.PathValue("id") {
					return o, nil
				}
			}
			return nil, standin.Refuse(http.StatusNotFound, "Couldn't find Call %q.", r.PathValue("id"))
		}},
	}
	p.addObjects(routes, "assistant", &a.assistants, assistantShape)
	p.addObjects(routes, "phone-number", &a.numbers, numberShape)
	return standin.API{Token: p.opts.Key, Created: http.StatusCreated, Lock: &a.mu, Routes: routes, Envelope: envelope}
}

// addObjects adds the routes for a sort of objects, which are created with members of this shape.
func (p *Platform) addObjects(routes map[string]standin.Route, sort string, all *objects, created standin.Shape) {
	one := func(do func(*objects, standin.Request) (standin.Object, *standin.Refusal)) standin.Do {
		return func(r standin.Request) (any, *standin.Refusal) {
			o, refusal := do(all, r)
			if refusal != nil {
				return nil, refusal
			}
			if r.Method != http.MethodGet {
				p.opts.Log.Info().Str("id", o.Text("id")).Str("path", r.URL.Path).Msg("account changed")
			}
			return p.shown(sort, o), nil
		}
	}
	routes["POST /"+sort] = standin.Route{Body: &created, Do: one(p.account.put)}
	if sort == "phone-number" { // the documents describe how to change it
		change := standin.Shape{Open: true, Fields: created.Fields}
		routes["PATCH /"+sort+"/{id}"] = standin.Route{Body: &change, Do: one(p.account.put)}
	}
	routes["DELETE /"+sort+"/{id}"] = standin.Route{Do: one(p.account.remove)}
	routes["GET /"+sort+"/{id}"] = standin.Route{Do: one(func(_ *objects, r standin.Request) (standin.Object,
		*standin.Refusal,
	) {
		return all.find(r.PathValue("id"))
	})}
	routes["GET /"+sort] = standin.Route{Do: func(r standin.Request) (any, *standin.Refusal) {
		list := all.All()
		for i, o := range list {
			list[i] = p.shown(sort, o)
		}
		return listed(r, list)
	}}
}

// envelope returns the platform's error body. Several faults of a body become a list.
func envelope(code int, words []string) any {
	var message any = words
	if len(words) == 1 {
		message = words[0]
	}
	return map[string]any{"message": message, "error": http.StatusText(code), "statusCode": code}
}

// listed answers with the start of a list.
func listed(r standin.Request, list []standin.Object) (any, *standin.Refusal) {
	part, _, refusal := standin.Page(r.Request, list, defaultLimit, maxLimit)
	return part, refusal
}

// shown returns an object for an answer.
func (p *Platform) shown(sort string, object standin.Object) standin.Object {
	out := withoutSecrets(object)
	out["id"] = p.given.Told(p.Fault(), sort, object.Text("id"))
	return out
}

// withoutSecrets returns a copy of an object without its secrets.
func withoutSecrets(object map[string]any) standin.Object { return clean(object).(map[string]any) }

func clean(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := maps.Clone(v)
		for name, inner := range v {
			out[name] = clean(inner)
		}
		for _, secret := range []string{"password", "secret", "serverUrlSecret", "headers", "credentials"} {
			delete(out, secret)
		}
		return out
	case []any:
		out := slices.Clone(v)
		for i := range out {
			out[i] = clean(out[i])
		}
		return out
	}
	return v
}
