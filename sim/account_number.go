package sim

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
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
func numberShape() bodyShape {
	s := patchShape()
	s.fields["workspace_id"], s.fields["phone_number"] = isText, isText
	delete(s.fields, "sip_term_uri") // termination_uri's other name, for changes only
	s.required = []string{"workspace_id"}
	return s
}

// patchShape is the body of PATCH /v2/numbers/{slug}.
func patchShape() bodyShape {
	return bodyShape{fields: map[string]valueType{
		"friendly_name": isText, "trunk_username": isText, "trunk_pwd": isText, "termination_uri": isText, "sip_term_uri": isText,
		"sip_outbound_proxy": isText, "sip_auth_username": isText, "uac_enabled": isFlag, "uac_register_expires": isWhole,
		"provider_name": oneOf("twilio", "telnyx", "vonage", "ring_central", "ringcx", providerCustom, "zoom", "five9", provider8x8),
	}}
}

// ownDomain are the providers whose SIP domain the platform knows.
func ownDomain(provider string) string {
	return map[string]string{
		"five9": "sip.five9.example", "ringcx": "sip.ringcentral.com", "zoom": "sip.zoom.com", provider8x8: "sip.8x8.example",
	}[provider]
}

func (s *Synthflow) importNumber(_ *http.Request, raw []byte) (any, *apiRefusal) {
	body, refused := numberShape().read(raw)
	if refused != nil {
		return nil, refused
	}
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	n := &accountNumber{
		key: uuid.NewString(), number: body.text("phone_number"), workspace: body.text("workspace_id"), expires: defaultExpires, created: time.Now(),
	}
	if n.workspace == "" {
		return nil, badRequest(`field "workspace_id" is empty`)
	}
	if !a.mayUse(n.workspace) {
		return nil, &apiRefusal{http.StatusForbidden, fmt.Sprintf("workspace %q is not yours", n.workspace)}
	}
	if refused := n.named(body.text("provider_name")); refused != nil {
		return nil, refused
	}
	n.slug = bareNumber(n.number)
	if refused := n.set(body, true); refused != nil {
		return nil, refused
	}
	switch {
	case a.findNumber(n.slug) != nil:
		return nil, badRequest("phone number %s exists already", n.number)
	case len(a.numbers) == maxNumbers:
		return nil, badRequest("the account has %d numbers, which is the limit", maxNumbers)
	}
	a.numbers = append(a.numbers, n)
	s.opts.Log.Info().Str("number", n.number).Str("workspace", n.workspace).Msg("number imported")
	return okAnswer(map[string]any{"key": s.told("number", n.key), "phone_number": n.number}), nil
}

// named checks the number itself: E.164, but Five9 and Zoom have identifiers of
// their own, and 8x8 may leave it to the platform.
func (n *accountNumber) named(provider string) *apiRefusal {
	switch {
	case n.number == "" && provider == provider8x8:
		n.number = fmt.Sprintf("%012d", rand.Int64N(1e12))
	case n.number == "":
		return &apiRefusal{http.StatusUnprocessableEntity, `field "phone_number" is missing`}
	case provider == "five9" || provider == "zoom":
		if len(n.number) > 64 || url.PathEscape(n.number) != n.number {
			return badRequest(`field "phone_number": %q is no identifier`, n.number)
		}
	case !e164.MatchString(n.number):
		return badRequest(`field "phone_number": %q is not E.164`, n.number)
	}
	return nil
}

// set takes over the fields that are there. Nothing is changed where it refuses.
func (n *accountNumber) set(body accountBody, fresh bool) *apiRefusal {
	next := *n
	if body.has("termination_uri") && body.has("sip_term_uri") && body.text("termination_uri") != body.text("sip_term_uri") {
		return badRequest(`fields "termination_uri" and "sip_term_uri" are one, and differ`)
	}
	for key, field := range map[string]*string{
		"friendly_name": &next.friendly, "provider_name": &next.provider, "termination_uri": &next.termURI, "sip_term_uri": &next.termURI,
		"sip_outbound_proxy": &next.proxy, "sip_auth_username": &next.authUser, "trunk_username": &next.user, "trunk_pwd": &next.password,
	} {
		if body.has(key) {
			*field = body.text(key)
		}
	}
	if next.termURI == "" {
		next.termURI = ownDomain(next.provider)
	}
	// The setup guides import a number with neither provider nor URI; the reference wants the URI where the provider is
	// named, or defaults to custom. Both are taken as they are shown.
	if body.has("provider_name") && next.termURI == "" {
		return badRequest(`field "termination_uri" is required for provider %q`, next.provider)
	}
	if next.provider == "" {
		next.provider = providerCustom
	}
	if body.has("uac_enabled") {
		next.uac = body.flag("uac_enabled")
	}
	next.expires = body.number("uac_register_expires", next.expires)
	switch {
	case next.expires < 60 || next.expires > 3600:
		return badRequest(`field "uac_register_expires" must be from 60 to 3600`)
	case next.uac && (next.user == "" || next.password == ""):
		return badRequest(`fields "trunk_username" and "trunk_pwd" are required with "uac_enabled"`)
	}
	if !fresh {
		next.updated = time.Now()
	}
	next.asks = nil
	if next.user != "" && next.password != "" {
		next.asks = newChallenger(SIPAuth{User: next.user, Password: next.password})
	}
	*n = next
	return nil
}

// page reads limit and offset.
func page(q url.Values) (limit, offset int, refused *apiRefusal) {
	limit = defaultPage
	for name, field := range map[string]*int{"limit": &limit, "offset": &offset} {
		if !q.Has(name) {
			continue
		}
		n, err := strconv.Atoi(q.Get(name))
		if err != nil || n < 0 {
			return 0, 0, &apiRefusal{http.StatusUnprocessableEntity, fmt.Sprintf("query %q must be a whole number from 0", name)}
		}
		*field = n
	}
	return min(limit, maxPage), offset, nil
}

// cut is one page of a list.
func cut[T any](all []T, limit, offset int) []T {
	from := min(offset, len(all))
	return all[from:min(from+limit, len(all))]
}

func pagination(total, limit, offset int) map[string]int {
	return map[string]int{"total_records": total, "limit": limit, "offset": offset}
}

// okAnswer is the envelope of the account API.
func okAnswer(response any) map[string]any {
	return map[string]any{"status": "ok", "response": response}
}

// workspaceOf reads the query's workspace, which has to be there.
func (a *account) workspaceOf(q url.Values) (string, *apiRefusal) {
	id := q.Get("workspace")
	switch {
	case id == "":
		return "", &apiRefusal{http.StatusUnprocessableEntity, `query "workspace" is missing`}
	case !a.mayUse(id):
		return "", &apiRefusal{http.StatusForbidden, fmt.Sprintf("workspace %q is not yours", id)}
	}
	return id, nil
}

func (s *Synthflow) listNumbers(r *http.Request, _ []byte) (any, *apiRefusal) {
	q := r.URL.Query()
	a := s.account
	workspace, refused := a.workspaceOf(q)
	if refused != nil {
		return nil, refused
	}
	limit, offset, refused := page(q)
	if refused != nil {
		return nil, refused
	}
	wanted := q.Get("is_available")
	if wanted != "" && wanted != "true" && wanted != "false" {
		return nil, &apiRefusal{http.StatusUnprocessableEntity, `query "is_available" must be true or false`}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []map[string]any{}
	for _, n := range a.numbers {
		free := a.inboundAgent(n.number) == nil
		if n.workspace == workspace && (wanted == "" || wanted == strconv.FormatBool(free)) {
			list = append(list, map[string]any{"number": s.told("listed", n.number), "sid": nil, "is_available": free})
		}
	}
	return okAnswer(map[string]any{"pagination": pagination(len(list), limit, offset), "phone_numbers": cut(list, limit, offset)}), nil
}

// numberOf finds the number of a request's path; the caller has the lock.
func (s *Synthflow) numberOf(r *http.Request) (*accountNumber, *apiRefusal) {
	slug := r.PathValue("slug")
	n := s.account.findNumber(slug)
	if n == nil || slug != n.slug || !s.account.mayUse(n.workspace) {
		return nil, noSuch("no phone number %q; a slug is the number without its +", slug)
	}
	return n, nil
}

// getNumber answers flat, without the envelope of the others.
func (s *Synthflow) getNumber(r *http.Request, _ []byte) (any, *apiRefusal) {
	a := s.account
	workspace, refused := a.workspaceOf(r.URL.Query())
	if refused != nil {
		return nil, refused
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	n, refused := s.numberOf(r)
	switch {
	case refused != nil:
		return nil, refused
	case n.workspace != workspace:
		return nil, noSuch("no phone number %q in workspace %q", n.slug, workspace)
	}
	ids := []any{}
	for _, g := range a.agents {
		if bareNumber(g.number) == n.slug || slices.Contains(g.attached, n.slug) {
			ids = append(ids, s.told("agent", g.id))
		}
	}
	return map[string]any{
		"slug": s.told("slug", n.slug), "phone_number": n.number, "friendly_name": n.friendly, "address_requirement": "none",
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

func (s *Synthflow) patchNumber(r *http.Request, raw []byte) (any, *apiRefusal) {
	body, refused := patchShape().read(raw)
	if refused != nil {
		return nil, refused
	}
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	n, refused := s.numberOf(r)
	if refused != nil {
		return nil, refused
	}
	if refused := n.set(body, false); refused != nil {
		return nil, refused
	}
	return map[string]any{"status": "ok"}, nil
}

// deleteNumber takes the number from its agents, too.
func (s *Synthflow) deleteNumber(r *http.Request, _ []byte) (any, *apiRefusal) {
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	n, refused := s.numberOf(r)
	if refused != nil {
		return nil, refused
	}
	for _, g := range a.agents {
		if bareNumber(g.number) == n.slug {
			g.number = ""
			delete(g.fields, "phone_number")
		}
		g.attached = slices.DeleteFunc(g.attached, func(slug string) bool { return slug == n.slug })
	}
	a.numbers = slices.DeleteFunc(a.numbers, func(other *accountNumber) bool { return other == n })
	return map[string]any{"status": "ok"}, nil
}
