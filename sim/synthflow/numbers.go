package synthflow

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

const (
	providerCustom = "custom"
	provider8x8    = "8x8"
	defaultExpires = 300 // seconds between REGISTERs
	defaultPage    = 20
	maxPage        = 100
)

// numberShape is the body of POST /v2/custom-numbers, as the API reference
// (create-custom-number) has it.
func numberShape() *standin.Shape {
	s := patchShape()
	s.Fields["workspace_id"], s.Fields["phone_number"] = standin.IsString, standin.IsString
	delete(s.Fields, "sip_term_uri") // another name of termination_uri, only for changes
	s.Required = []string{"workspace_id"}
	return s
}

// patchShape is the body of PATCH /v2/numbers/{slug}.
func patchShape() *standin.Shape {
	s := shape(fields{
		"uac_enabled": standin.IsBool, "uac_register_expires": standin.IsWhole,
		"provider_name": standin.IsOneOf("twilio", "telnyx", "vonage", "ring_central", "ringcx", providerCustom, "zoom", "five9", provider8x8),
	})
	for name := range (&accountNumber{}).texts() {
		if name != "provider_name" {
			s.Fields[name] = standin.IsString
		}
	}
	return s
}

// texts are the string fields of a number by their names in the API.
func (n *accountNumber) texts() map[string]*string {
	return map[string]*string{
		"friendly_name": &n.friendly, "provider_name": &n.provider, "termination_uri": &n.termURI, "sip_term_uri": &n.termURI,
		"sip_outbound_proxy": &n.proxy, "sip_auth_username": &n.authUser, "trunk_username": &n.user, "trunk_pwd": &n.password,
	}
}

// ownDomain is the SIP domain of a provider, if the platform knows it.
func ownDomain(provider string) string {
	return map[string]string{
		"five9": "sip.five9.example", "ringcx": "sip.ringcentral.com", "zoom": "sip.zoom.com", provider8x8: "sip.8x8.example",
	}[provider]
}

func (p *Platform) importNumber(r request) (any, *standin.Refusal) {
	a := p.account
	n := &accountNumber{
		key: uuid.NewString(), number: r.body.Text("phone_number"), workspace: r.body.Text("workspace_id"), expires: defaultExpires, created: time.Now(),
	}
	if n.workspace == "" {
		return nil, badRequest(`field "workspace_id" is empty`)
	}
	if !a.mayUse(n.workspace) {
		return nil, notYours(n.workspace)
	}
	if refusal := n.named(r.body.Text("provider_name")); refusal != nil {
		return nil, refusal
	}
	n.slug = bareNumber(n.number)
	if refusal := n.set(r.body); refusal != nil {
		return nil, refusal
	}
	switch {
	case a.numbers.Get(n.slug) != nil:
		return nil, badRequest("phone number %s exists already", n.number)
	case a.numbers.Len() == maxNumbers:
		return nil, badRequest("the account has %d numbers, which is the limit", maxNumbers)
	}
	a.numbers.Put(n.slug, n)
	p.opts.Log.Info().Str("number", n.number).Str("workspace", n.workspace).Msg("number imported")
	return okAnswer(map[string]any{"key": p.told("number", n.key), "phone_number": n.number}), nil
}

// named checks the number itself. It is E.164, but Five9 and Zoom have their own
// identifiers, and the platform chooses the number of 8x8.
func (n *accountNumber) named(provider string) *standin.Refusal {
	switch {
	case n.number == "" && provider == provider8x8:
		n.number = fmt.Sprintf("%012d", rand.Int64N(1e12))
	case n.number == "":
		return unprocessable(`field "phone_number" is missing`)
	case provider == "five9" || provider == "zoom":
		if len(n.number) > 64 || url.PathEscape(n.number) != n.number {
			return badRequest(`field "phone_number": %q is not an identifier`, n.number)
		}
	case !e164.MatchString(n.number):
		return badRequest(`field "phone_number": %q is not E.164`, n.number)
	}
	return nil
}

// set sets the fields of the body. A refusal changes nothing.
func (n *accountNumber) set(body standin.Object) *standin.Refusal {
	next := *n
	if body.Has("termination_uri") && body.Has("sip_term_uri") && body.Text("termination_uri") != body.Text("sip_term_uri") {
		return badRequest(`fields "termination_uri" and "sip_term_uri" mean the same and differ`)
	}
	for key, field := range next.texts() {
		if body.Has(key) {
			*field = body.Text(key)
		}
	}
	next.termURI = cmp.Or(next.termURI, ownDomain(next.provider))
	// The setup guides import a number without provider and URI, and the reference wants the URI with a provider. Both
	// forms are accepted.
	if body.Has("provider_name") && next.termURI == "" {
		return badRequest(`field "termination_uri" is required for provider %q`, next.provider)
	}
	next.provider = cmp.Or(next.provider, providerCustom)
	if body.Has("uac_enabled") {
		next.uac = body["uac_enabled"] == true
	}
	if expires, given := body["uac_register_expires"].(json.Number); given {
		next.expires, _ = strconv.Atoi(expires.String())
	}
	switch {
	case next.expires < 60 || next.expires > 3600:
		return badRequest(`field "uac_register_expires" must be from 60 to 3600`)
	case next.uac && (next.user == "" || next.password == ""):
		return badRequest(`fields "trunk_username" and "trunk_pwd" are required with "uac_enabled"`)
	}
	next.asks = nil
	if next.user != "" && next.password != "" {
		next.asks = sim.NewChallenger(sim.SIPAuth{User: next.user, Password: next.password, Realm: realm})
	}
	*n = next
	return nil
}

// page answers with the part of a list that the query asks for.
func page[T any](r request, name string, all []T) (any, *standin.Refusal) {
	q := r.URL.Query()
	limit, offset := defaultPage, 0
	for name, field := range map[string]*int{"limit": &limit, "offset": &offset} {
		if !q.Has(name) {
			continue
		}
		var err error
		if *field, err = strconv.Atoi(q.Get(name)); err != nil || *field < 0 {
			return nil, unprocessable("query %q must be a whole number from 0", name)
		}
	}
	limit = min(limit, maxPage)
	from := min(offset, len(all))
	return okAnswer(map[string]any{
		"pagination": pagination(len(all), limit, offset), name: all[from:min(from+limit, len(all))],
	}), nil
}

func pagination(total, limit, offset int) map[string]int {
	return map[string]int{"total_records": total, "limit": limit, "offset": offset}
}

// workspaceOf reads the query's workspace, which is required.
func (a *account) workspaceOf(r request) (string, *standin.Refusal) {
	id := r.URL.Query().Get("workspace")
	switch {
	case id == "":
		return "", unprocessable(`query "workspace" is missing`)
	case !a.mayUse(id):
		return "", notYours(id)
	}
	return id, nil
}

func (p *Platform) listNumbers(r request) (any, *standin.Refusal) {
	a := p.account
	workspace, refusal := a.workspaceOf(r)
	if refusal != nil {
		return nil, refusal
	}
	wanted := r.URL.Query().Get("is_available")
	if wanted != "" && wanted != "true" && wanted != "false" {
		return nil, unprocessable(`query "is_available" must be true or false`)
	}
	list := []map[string]any{}
	for _, n := range a.numbers.All() {
		free := a.inboundAgent(n.number) == nil
		if n.workspace == workspace && (wanted == "" || wanted == strconv.FormatBool(free)) {
			list = append(list, map[string]any{"number": p.told("listed", n.number), "sid": nil, "is_available": free})
		}
	}
	return page(r, "phone_numbers", list)
}

// getNumber answers without the envelope of the other routes.
func (p *Platform) getNumber(r request, n *accountNumber) (any, *standin.Refusal) {
	a := p.account
	workspace, refusal := a.workspaceOf(r)
	switch {
	case refusal != nil:
		return nil, refusal
	case n.workspace != workspace:
		return nil, noSuch("no phone number %q in workspace %q", n.slug, workspace)
	}
	ids := []any{}
	for _, g := range a.agents.All() {
		if bareNumber(g.number) == n.slug || slices.Contains(g.attached, n.slug) {
			ids = append(ids, p.told("agent", g.id))
		}
	}
	return map[string]any{
		"slug": p.told("slug", n.slug), "phone_number": n.number, "friendly_name": n.friendly, "address_requirement": "none",
		"is_sms_capable": false, "is_voice_capable": true, "iso_country": "", "locality": "", "sid": "",
		"sip_auth_username": orNull(n.authUser), "sip_outbound_proxy": orNull(n.proxy), "sip_term_uri": n.termURI,
		"uac_enabled": n.uac, "uac_register_expires": n.expires, "provider_name": n.provider, "region": "simulated",
		"is_available": a.inboundAgent(n.number) == nil, "agency_workspace_id": nil, "workspace_id": n.workspace,
		"created_at": n.created.UTC().Format(time.RFC3339), "updated_at": orNullTime(n.updated), "assistants": ids,
	}, nil
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func orNullTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

func (p *Platform) patchNumber(r request, n *accountNumber) (any, *standin.Refusal) {
	if refusal := n.set(r.body); refusal != nil {
		return nil, refusal
	}
	n.updated = time.Now()
	return done()
}

// deleteNumber also removes the number from its agents.
func (p *Platform) deleteNumber(_ request, n *accountNumber) (any, *standin.Refusal) {
	for _, g := range p.account.agents.All() {
		if bareNumber(g.number) == n.slug {
			g.number = ""
			delete(g.fields, "phone_number")
		}
		g.detach(n.slug)
	}
	p.account.numbers.Remove(n.slug)
	return done()
}
