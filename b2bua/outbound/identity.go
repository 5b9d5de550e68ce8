package outbound

import (
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
)

// CallerOf is the calling party: of a trunk that is trusted
// P-Asserted-Identity (RFC 3325 section 9.1), or Remote-Party-ID where there
// is none of it (draft-ietf-sip-privacy-04), else From.
func CallerOf(invite *sip.Request, t *peers.Caller) config.Party {
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

// identified is the first of these identities that has a number, else the
// first that names anybody. They are of one party: the name may stand in
// another.
func identified(identities []string, country string) (best config.Party, ok bool) {
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

// calling says that a Remote-Party-ID is of the calling party, which is what
// it means where it does not say.
func calling(params sip.HeaderParams) bool {
	of := message.ParamOf(params, "party")
	return of == "" || strings.EqualFold(of, "calling")
}

// Privacy is what a caller wants to be withheld from the target.
type Privacy struct {
	number  bool // and with it whatever else names the caller
	name    bool
	history bool // who was called before
}

// PrivacyOf reads Privacy (RFC 3323 section 4.2, RFC 3325 section 9.3, RFC
// 7044 section 10.1), the privacy of a trusted Remote-Party-ID, and a From
// that is anonymous by itself. The other services, header and session, are
// what a B2BUA that carries the media does in any case; so critical asks for
// nothing that is not done.
func PrivacyOf(invite *sip.Request, t *peers.Caller) Privacy {
	var p Privacy
	none := false
	for _, h := range invite.GetHeaders("privacy") {
		for v := range strings.FieldsFuncSeq(h.Value(), func(r rune) bool { return strings.ContainsRune(";, \t", r) }) {
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
	if none && p == (Privacy{}) { // RFC 3323 section 4.2: nobody may add any
		return p
	}
	if t.Trusted {
		p.askedBy(invite)
	}
	if from := invite.From(); message.IsHidden(message.PartyOf("", &from.Address, "")) {
		p = Privacy{number: true, name: true, history: true}
	}
	return p
}

// askedBy adds what Remote-Party-ID says: full, name, uri or off, each with a
// suffix at most ("full-network").
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

// privacyTokens are the values of the privacy parameter of Remote-Party-ID or
// Diversion, in lower case and without suffix.
func privacyTokens(params sip.HeaderParams) []string {
	all := strings.Split(strings.ToLower(message.ParamOf(params, "privacy")), ",")
	for i, one := range all {
		one, _, _ = strings.Cut(strings.TrimSpace(one), "-")
		all[i] = one
	}
	return all
}

// withheld says whether the diverting party of a Diversion wants not to be
// named (RFC 5806 section 4).
func withheld(params sip.HeaderParams) bool {
	return slices.ContainsFunc(privacyTokens(params), func(s string) bool { return s == "full" || s == "uri" })
}

// CallingParty is who calls as a target sees it: the customer, also where a PBX
// has called the customer and hands the answered call over; or a target that
// has placed the call itself.
func CallingParty(vars config.Vars) config.Party {
	if vars.Target != "" {
		return vars.From
	}
	return vars.Lead()
}

// WithheldFrom is what of the calling party a target must not be told. What
// who placed an outbound call wants to be withheld is for the customer.
func WithheldFrom(vars config.Vars, p Privacy) Privacy {
	if vars.Target == "" && vars.Direction == config.DirectionOutbound {
		return Privacy{history: p.history}
	}
	return p
}
