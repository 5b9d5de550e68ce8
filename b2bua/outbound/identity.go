package outbound

import (
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config/template"
)

// CallerOf returns the calling party: the party in From, or, for a trusted trunk, the one in P-Asserted-Identity
// (RFC 3325 section 9.1) or else Remote-Party-ID (draft-ietf-sip-privacy-04), if there is one.
func CallerOf(invite *sip.Request, t *peers.Caller) template.Party {
	if t.Trusted {
		for _, name := range []string{"p-asserted-identity", "remote-party-id"} {
			if p, ok := identified(message.Values(invite, name), t.Country); ok {
				return p
			}
		}
	}
	from := invite.From()
	return message.PartyOf(from.DisplayName, &from.Address, t.Country)
}

// CalledOf returns the called party: the one in the Request-URI. If that is the Contact that we registered for the
// trunk, it is the one in P-Called-Party-ID (RFC 7315 section 4.2) or To.
func CalledOf(invite *sip.Request, t *peers.Trunk) template.Party {
	if !t.IsContact(invite.Recipient.User) {
		return message.PartyOf("", &invite.Recipient, t.Caller.Country)
	}
	for _, v := range message.Values(invite, "p-called-party-id") {
		if p, _, ok := message.ParseParty(v, t.Caller.Country); ok {
			return p
		}
	}
	return message.PartyOf("", &invite.To().Address, t.Caller.Country)
}

// identified returns the first identity that has a number, or else the first that names a party. All identities
// describe the same party, so a missing name is taken from another one.
func identified(identities []string, country string) (best template.Party, ok bool) {
	name := ""
	for _, v := range identities {
		p, params, good := message.ParseParty(v, country)
		if !good || message.NamesNobody(p) || !calling(params) {
			continue
		}
		if name == "" {
			name = p.Name
		}
		if !ok || (message.IsNumber(p.Number) && !message.IsNumber(best.Number)) {
			best, ok = p, true
		}
	}
	if best.Name == "" {
		best.Name = name
	}
	return best, ok
}

// calling reports whether a Remote-Party-ID names the calling party, which is the
// default.
func calling(params sip.HeaderParams) bool {
	of := message.ParamOf(params, "party")
	return of == "" || strings.EqualFold(of, "calling")
}

// Privacy is what a caller wants withheld from the target.
type Privacy struct {
	number  bool // the number and everything else that identifies the caller
	name    bool
	history bool // the parties called before
}

// PrivacyOf returns the privacy that a caller asks for by Privacy (RFC 3323 section 4.2, RFC 3325 section 9.3, RFC
// 7044 section 10.1), by a trusted Remote-Party-ID, or by an anonymous From. A B2BUA that carries the media always
// provides the other services, header and session, so that critical is satisfied as well.
func PrivacyOf(invite *sip.Request, t *peers.Caller) Privacy {
	var p Privacy
	none := false
	for _, value := range message.RawValues(invite, "privacy", "privacy") {
		for v := range strings.FieldsFuncSeq(value, func(r rune) bool { return strings.ContainsRune(";, \t", r) }) {
			switch strings.ToLower(v) {
			case "id", "user", "full":
				p = Privacy{number: true, name: true, history: true}
			case "history":
				p.history = true
			case "none":
				none = true
			}
		}
	}
	if none && p == (Privacy{}) { // the caller asks for no privacy (RFC 3323 section 4.2)
		return p
	}
	if t.Trusted {
		p.askedBy(invite)
	}
	if message.HidesCaller(&invite.From().Address) {
		p = Privacy{number: true, name: true, history: true}
	}
	return p
}

// askedBy adds the privacy that a Remote-Party-ID asks for: full, name, uri or off, perhaps with a suffix
// ("full-network").
func (p *Privacy) askedBy(invite *sip.Request) {
	for _, v := range message.Values(invite, "remote-party-id") {
		_, params, ok := message.ParseParty(v, "")
		if !ok || !calling(params) {
			continue
		}
		for _, one := range privacyTokens(params) {
			switch one {
			case "full":
				*p = Privacy{number: true, name: true, history: true}
			case "uri":
				p.number, p.history = true, true
			case "name":
				p.name = true
			}
		}
	}
}

// privacyTokens returns the privacy parameter of Remote-Party-ID or Diversion, in lower
// case and without suffixes.
func privacyTokens(params sip.HeaderParams) []string {
	all := strings.Split(strings.ToLower(message.ParamOf(params, "privacy")), ",")
	for i, one := range all {
		one, _, _ = strings.Cut(strings.TrimSpace(one), "-")
		all[i] = one
	}
	return all
}

// withheld reports whether the diverting party of a Diversion is private (RFC 5806
// section 4).
func withheld(params sip.HeaderParams) bool {
	return slices.ContainsFunc(privacyTokens(params), func(s string) bool { return s == "full" || s == "uri" })
}

// CallingParty returns the caller as a target sees it: the person whom the agent talks to (the lead), even if a
// PBX has called that person and hands over the call. If a target has placed the call, it is that target's caller.
func CallingParty(vars template.Vars) template.Party {
	if vars.Target != "" {
		return vars.From
	}
	return vars.Lead()
}

// WithheldFrom returns the privacy toward a target. In an outbound call, the privacy of the party that placed it
// does not concern the target, whose caller is the called party.
func WithheldFrom(vars template.Vars, p Privacy) Privacy {
	if vars.Target == "" && vars.Direction == template.DirectionOutbound {
		return Privacy{history: p.history}
	}
	return p
}

// VarsOf returns the template variables for a call with this id.
func VarsOf(id string, invite *sip.Request, t *peers.Trunk) template.Vars {
	return template.Vars{
		To: CalledOf(invite, t), From: CallerOf(invite, t.Caller), CallID: id,
		SIPCallID: strings.Clone(invite.CallID().Value()), Trunk: t.TrunkName(), Target: t.TargetName(),
		Diversion: Diversion(invite, t.Caller.Country), Direction: t.Direction(), HeaderFunc: HeaderOf(invite),
	}
}
