package b2bua

import (
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

// Bounds of what a peer says of a party, in bytes.
const (
	maxURI  = 512
	maxName = 128
)

// party is how templates see one side of the call. Of a URI that is too long,
// or holds a control character, only the name is kept: half a number would be
// another one.
func party(name string, uri *sip.Uri, country string) config.Party {
	p := config.Party{Name: printable(unquoted(name), maxName)}
	text := uri.String()
	if len(text) > maxURI || strings.ContainsFunc(text, isControl) {
		return p
	}
	p.User, p.Host, p.URI = uri.User, uri.Host, text
	if raw := uri.Raw(); raw != "" { // tel: and others
		p.User = raw
	}
	number := p.User
	if context, ok := uri.UriParams.Get("phone-context"); ok && !strings.Contains(number, ";") {
		number += ";phone-context=" + context // of the user part by RFC 3966, but seen behind the host
	}
	if p.Number = normalise(number, country); p.Number == number {
		p.Number = normalise(p.User, country)
	}
	return p
}

// callerOf is the calling party: of a trunk that is trusted
// P-Asserted-Identity (RFC 3325 section 9.1), or Remote-Party-ID where there
// is none of it (draft-ietf-sip-privacy-04), else From.
func callerOf(invite *sip.Request, t *config.Trunk) config.Party {
	if t.Trusted {
		for _, name := range []string{"p-asserted-identity", "remote-party-id"} {
			if p, ok := identified(values(invite, name), t.Country); ok {
				return p
			}
		}
	}
	from := invite.From()
	return party(from.DisplayName, &from.Address, t.Country)
}

// identified is the first of these identities that has a number, else the
// first that names anybody. They are of one party: the name may stand in
// another.
func identified(identities []string, country string) (best config.Party, ok bool) {
	name := ""
	for _, v := range identities {
		p, params, good := parseParty(v, country)
		if !good || nobody(p) || !calling(params) {
			continue
		}
		if name == "" {
			name = p.Name
		}
		if !ok || (isNumber(p.Number) && !isNumber(best.Number)) {
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
	of := paramOf(params, "party")
	return of == "" || strings.EqualFold(of, "calling")
}

func isNumber(s string) bool { return allDigits(strings.TrimPrefix(s, "+")) }

// hidden says that a party is a placeholder for one who does not want to be
// named (RFC 3323 section 4.1.1.3, and what carriers make of it).
func hidden(p config.Party) bool {
	user := plainUser(p)
	return user == "anonymous" || user == "restricted" || user == "private" || strings.EqualFold(p.Host, "anonymous.invalid")
}

// plainUser is a party's user part in lower case, without parameters.
func plainUser(p config.Party) string {
	user, _, _ := strings.Cut(p.User, ";")
	return strings.ToLower(unescape(user))
}

// nobody says that a party names nobody: it is hidden, or not known.
func nobody(p config.Party) bool {
	user := plainUser(p)
	return hidden(p) || user == "" || user == "unavailable" || user == "unknown" || strings.EqualFold(p.Host, "unknown.invalid")
}

// privacy is what a caller wants to be withheld from the target.
type privacy struct {
	number  bool // and with it whatever else names the caller
	name    bool
	history bool // who was called before
}

// privacyOf reads Privacy (RFC 3323 section 4.2, RFC 3325 section 9.3, RFC
// 7044 section 10.1), the privacy of a trusted Remote-Party-ID, and a From
// that is anonymous by itself. The other services, header and session, are
// what a B2BUA that carries the media does in any case; so critical asks for
// nothing that is not done.
func privacyOf(invite *sip.Request, t *config.Trunk) privacy {
	var p privacy
	none := false
	for _, h := range invite.GetHeaders("privacy") {
		for v := range strings.FieldsFuncSeq(h.Value(), func(r rune) bool { return strings.ContainsRune(";, \t", r) }) {
			switch strings.ToLower(v) {
			case "id", "user", "full":
				p = privacy{number: true, name: true, history: true}
			case "history":
				p.history = true
			case "none":
				none = true
			}
		}
	}
	if none && p == (privacy{}) { // RFC 3323 section 4.2: nobody may add any
		return p
	}
	if t.Trusted {
		p.askedBy(invite)
	}
	if from := invite.From(); hidden(party("", &from.Address, "")) {
		p = privacy{number: true, name: true, history: true}
	}
	return p
}

// askedBy adds what Remote-Party-ID says: full, name, uri or off, each with a
// suffix at most ("full-network").
func (p *privacy) askedBy(invite *sip.Request) {
	for _, v := range values(invite, "remote-party-id") {
		_, params, ok := parseParty(v, "")
		if !ok || !calling(params) {
			continue
		}
		for _, one := range privacyTokens(params) {
			switch one {
			case "full":
				*p = privacy{number: true, name: true, history: true}
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
	all := strings.Split(strings.ToLower(paramOf(params, "privacy")), ",")
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

// callingParty is who calls as a target sees it: the customer, also where a PBX
// has called the customer and hands the answered call over; or a target that
// has placed the call itself.
func callingParty(vars config.Vars) config.Party {
	if vars.Target != "" {
		return vars.From
	}
	return vars.Lead()
}

// withheldFrom is what of the calling party a target must not be told. What
// who placed an outbound call wants to be withheld is for the customer.
func withheldFrom(vars config.Vars, p privacy) privacy {
	if vars.Target == "" && vars.Direction == config.DirectionOutbound {
		return privacy{history: p.history}
	}
	return p
}
