package synthflow

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/google/uuid"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

// numberShape is the body of POST /v2/custom-numbers, as the API reference
// (create-custom-number) has it.
func numberShape() *standin.Shape {
	return shape(fields{
		"uac_enabled": standin.IsBool, "uac_register_expires": standin.IsWhole,
		"provider_name": standin.IsOneOf("twilio", "telnyx", "vonage", "ring_central", "ringcx", "custom", "zoom", "five9",
			"8x8"),
	}.With(standin.IsString, "workspace_id", "phone_number", "friendly_name", "termination_uri", "sip_outbound_proxy",
		"sip_auth_username", "trunk_username", "trunk_pwd"),
		"workspace_id")
}

func (p *Platform) importNumber(r request) (any, *standin.Refusal) {
	a, number, provider := p.account, r.Sent.Text("phone_number"), r.Sent.Text("provider_name")
	if number == "" && provider == "8x8" { // the platform chooses the number
		number = fmt.Sprintf("%012d", rand.Int64N(1e12))
		r.Sent["phone_number"] = number
	}
	n := &accountNumber{slug: bareNumber(number)}
	switch workspace := r.Sent.Text("workspace_id"); {
	case !a.mayUse(workspace):
		return nil, notYours(workspace)
	case number == "":
		return nil, unprocessable(`field "phone_number" is missing`)
	case !e164.MatchString(number) && !slices.Contains([]string{"8x8", "five9", "zoom"}, provider):
		// those have identifiers
		return nil, badRequest(`field "phone_number": %q is not E.164`, number)
	case a.numbers.Get(n.slug) != nil:
		return nil, badRequest("phone number %s exists already", number)
	}
	if refusal := n.set(r.Sent); refusal != nil {
		return nil, refusal
	}
	a.numbers.Put(n.slug, n)
	p.opts.Log.Info().Str("number", number).Str("workspace", r.Sent.Text("workspace_id")).Msg("number imported")
	return okAnswer(map[string]any{"key": p.told("number", uuid.NewString()), "phone_number": number}), nil
}

// set sets the fields of a body.
func (n *accountNumber) set(body standin.Object) *standin.Refusal {
	next := maps.Clone(body)
	if uri, given := next["termination_uri"]; given {
		next["sip_term_uri"] = uri
		delete(next, "termination_uri")
	}
	// The API reference requires termination_uri for a provider whose domain is not known; the setup guides
	// import a number without either. Both forms are accepted.
	if provider := body.Text("provider_name"); next.Text("sip_term_uri") == "" &&
		slices.Contains([]string{"custom", "twilio", "telnyx", "vonage", "ring_central"}, provider) {
		return badRequest(`field "termination_uri" is required for provider %q`, provider)
	}
	user, password := next.Text("trunk_username"), next.Text("trunk_pwd")
	if next["uac_enabled"] == true && (user == "" || password == "") {
		return badRequest(`fields "trunk_username" and "trunk_pwd" are required with "uac_enabled"`)
	}
	n.fields, n.asks = next, nil
	if user != "" && password != "" {
		n.asks = sim.NewChallenger(sim.SIPAuth{User: user, Password: password, Realm: realm})
	}
	return nil
}

// inWorkspace refuses a request whose query does not name a workspace of the token.
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
	a, query := p.account, r.URL.Query()
	if refusal := a.inWorkspace(r); refusal != nil {
		return nil, refusal
	}
	list := []map[string]any{}
	for _, n := range a.numbers.All() {
		if n.fields["workspace_id"] == query.Get("workspace") {
			free := a.inboundAgent(n.number()) == nil
			list = append(list, map[string]any{"number": p.told("listed", n.number()), "sid": nil, "is_available": free})
		}
	}
	return page(r, "phone_numbers", list)
}

// getNumber answers without the envelope of the other routes, and without credentials.
func (p *Platform) getNumber(r request, n *accountNumber) (any, *standin.Refusal) {
	a := p.account
	if refusal := a.inWorkspace(r); refusal != nil {
		return nil, refusal
	}
	ids := []any{}
	for _, g := range a.agents.All() {
		if bareNumber(g.number()) == n.slug {
			ids = append(ids, p.told("agent", g.id))
		}
	}
	out := maps.Clone(n.fields)
	delete(out, "trunk_username")
	delete(out, "trunk_pwd")
	out["slug"], out["is_available"], out["assistants"] = p.told("slug", n.slug), a.inboundAgent(n.number()) == nil, ids
	return out, nil
}

// deleteNumber also removes the number from its agents.
func (p *Platform) deleteNumber(_ request, n *accountNumber) (any, *standin.Refusal) {
	for _, g := range p.account.agents.All() {
		if bareNumber(g.number()) == n.slug {
			g.fields["phone_number"] = ""
		}
	}
	p.account.numbers.Remove(n.slug)
	return ok, nil
}
