package synthflow

import (
	"maps"
	"slices"

	"github.com/google/uuid"

	"flowbridge/sim/internal/standin"
)

// numberShape returns the shape of the body of POST /v2/custom-numbers: the members that a call depends on. Others are
// kept as they are.
func numberShape() *standin.Shape { return shape("workspace_id", "phone_number") }

func (p *Platform) importNumber(r request) (any, *standin.Refusal) {
	a, number, provider := p.account, r.Sent.Text("phone_number"), r.Sent.Text("provider_name")
	switch workspace := r.Sent.Text("workspace_id"); {
	case !a.mayUse(workspace):
		return nil, notYours(workspace)
	case !e164.MatchString(number):
		return nil, badRequest(`field "phone_number": %q is not E.164`, number)
	case a.numbers.Get(slugOf(number)) != nil:
		return nil, badRequest("phone number %s exists already", number)
	// The API reference requires termination_uri for a provider whose domain is unknown; the setup guides import a number
	// without either. Both forms are accepted.
	case r.Sent.Text("termination_uri") == "" &&
		slices.Contains([]string{"custom", "twilio", "telnyx", "vonage", "ring_central"}, provider):
		return nil, badRequest(`field "termination_uri" is required for provider %q`, provider)
	}
	n := maps.Clone(r.Sent)
	if uri, given := n["termination_uri"]; given {
		n["sip_term_uri"] = uri
		delete(n, "termination_uri")
	}
	a.numbers.Put(slugOf(number), n)
	p.opts.Log.Info().Str("number", number).Str("workspace", n.Text("workspace_id")).Msg("number imported")
	return okAnswer(map[string]any{"key": p.told("number", uuid.NewString()), "phone_number": number}), nil
}

// inWorkspace refuses a request whose query does not name one of the token's workspaces.
func (a *account) inWorkspace(r request) *standin.Refusal {
	switch id := r.URL.Query().Get("workspace"); {
	case id == "":
		return unprocessable(`query "workspace" is missing`)
	case !a.mayUse(id):
		return notYours(id)
	}
	return nil
}

func (p *Platform) listNumbers(r request) (any, *standin.Refusal) {
	a := p.account
	if refusal := a.inWorkspace(r); refusal != nil {
		return nil, refusal
	}
	list := []map[string]any{}
	for _, n := range a.numbers.All() {
		if n["workspace_id"] == r.URL.Query().Get("workspace") {
			number := n.Text("phone_number")
			list = append(list, map[string]any{
				"number": p.told("listed", number), "sid": nil, "is_available": a.inboundAgent(number) == nil,
			})
		}
	}
	return page(r, "phone_numbers", list)
}

// getNumber answers without the envelope of the other routes, and without credentials.
func (p *Platform) getNumber(r request, n standin.Object) (any, *standin.Refusal) {
	a, number := p.account, n.Text("phone_number")
	if refusal := a.inWorkspace(r); refusal != nil {
		return nil, refusal
	}
	out := maps.Clone(n)
	delete(out, "trunk_username")
	delete(out, "trunk_pwd")
	out["slug"], out["is_available"] = p.told("slug", slugOf(number)), a.inboundAgent(number) == nil
	return out, nil
}

// deleteNumber also removes the number from its agents.
func (p *Platform) deleteNumber(_ request, n standin.Object) (any, *standin.Refusal) {
	a, slug := p.account, slugOf(n.Text("phone_number"))
	for _, g := range a.agents.All() {
		if slugOf(g.Text("phone_number")) == slug {
			free := maps.Clone(g)
			free["phone_number"] = ""
			a.agents.Put(g.Text("model_id"), free)
		}
	}
	a.numbers.Remove(slug)
	return map[string]any{"status": "ok"}, nil
}
