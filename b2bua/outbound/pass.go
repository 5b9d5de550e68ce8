package outbound

import (
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/config/template"
)

// maxPassed bounds the header lines that pass from a target's message to the carrier, and
// the lines that an entry makes from one header.
const maxPassed = 24

// pass adds the headers of the carrier's INVITE that list passes to the target. It drops a header
// entirely if one of its values can't be passed on.
func (o *Draft) pass(list []config.Pass, in Inbound) {
	for _, p := range list {
		if has(o.configured, p.To) || has(o.passed, p.To) {
			continue
		}
		found, sound := headerValues(in.Source.Headers(), p.From)
		if sound && len(found) > 0 && !in.Reveals(p.From, found) && !in.Reveals(p.To, found) {
			found, sound = mapped(p, found)
		} else if len(found) > 0 {
			sound = false
		}
		switch {
		case !sound:
			o.drop(p.To)
		case len(found) > 0:
			o.passed = append(o.passed, Field{Name: p.To, Values: found, Kept: indispensable(p.To)})
		}
	}
}

// drop records that a header was left out.
func (o *Draft) drop(name string) { o.Dropped = append(o.Dropped, name) }

// Passed returns the headers of a target's message that list passes to the carrier, and the names
// of headers that can't be passed on.
func Passed(headers []sip.Header, list []config.Pass) (out []sip.Header, dropped []string) {
	for _, p := range Wanted(list, headers, nil) {
		found, sound := headerValues(headers, p.From)
		if sound {
			found, sound = mapped(p, found)
		}
		if !sound || slices.ContainsFunc(found, tooLongToPass) || len(out)+len(found) > maxPassed {
			dropped = append(dropped, p.To)
			continue
		}
		for _, v := range found {
			out = append(out, sip.NewHeader(p.To, v))
		}
	}
	return out, dropped
}

// mapped returns the values that a pass_headers entry makes from a header's values. sound is false
// if the entry can't convert one of them, or if the results are too many or too long: each value of
// a User-to-User becomes a line.
func mapped(p config.Pass, found []string) (out []string, sound bool) {
	if !p.Decodes() && !p.Encodes() {
		return found, true
	}
	for _, v := range found {
		if p.Encodes() {
			out = append(out, message.UserToUser(v))
			continue
		}
		texts, ok := message.UserToUserTexts(v)
		if !ok {
			return nil, false
		}
		out = append(out, texts...)
		if len(out) > maxPassed {
			return nil, false
		}
	}
	return out, len(out) <= maxPassed && !slices.ContainsFunc(out, tooLongToPass)
}

func tooLongToPass(value string) bool { return len(value) > message.MaxPassedValue }

// headerValues returns the values of all headers of this name, in order. sound is false
// if one has a control character: our parser takes a lone LF for part of the value, but
// others take it for the end of the header.
func headerValues(headers []sip.Header, name string) (found []string, sound bool) {
	compact := message.CompactForm(name)
	sound = true
	for _, h := range headers {
		if n := h.Name(); !strings.EqualFold(n, name) && !strings.EqualFold(n, compact) {
			continue
		}
		v := h.Value()
		sound = sound && !strings.ContainsFunc(v, func(r rune) bool { return template.IsControl(r) && r != '\t' })
		found = append(found, v)
	}
	return found, sound
}

// Reveals reports whether a header would name a caller or an earlier called party that
// is withheld (RFC 3323 section 4.1, RFC 3325 section 7, RFC 5806 section 6, RFC 7044
// section 10.1), or would assert the identity of a trunk that is not trusted (RFC 3325
// section 5).
func (in Inbound) Reveals(name string, found []string) bool {
	switch strings.ToLower(name) {
	case "p-asserted-identity", "remote-party-id":
		return in.Privacy.number || in.Privacy.name || !in.Trusted
	case "p-preferred-identity", "identity", "y", "identity-info", "n", "p-charge-info", "p-access-network-info",
		"call-info", "reply-to", "organization", "geolocation":
		return in.Privacy.number || in.Privacy.name
	case "diversion", "cc-diversion":
		return in.Privacy.number || anyValue(found, func(v string) bool {
			_, params, ok := message.ParseParty(v, "")
			return !ok || withheld(params)
		})
	case "history-info":
		return in.Privacy.history || anyValue(found, entryWithheld)
	default:
		return false
	}
}

func anyValue(headers []string, is func(string) bool) bool {
	return slices.ContainsFunc(headers, func(h string) bool { return slices.ContainsFunc(message.SplitValues(h), is) })
}

// Wanted returns the entries of pass_headers that apply to a message, one for each header. An entry
// that ends in * is replaced by entries for all headers with this prefix, in the order and spelling
// of the message. It does not select other names in the list, headers that belong to one side,
// X-EI, which identifies one call, or headers that the target's configuration sets.
func Wanted(list []config.Pass, headers []sip.Header, set []config.Header) []config.Pass {
	if !slices.ContainsFunc(list, isPattern) {
		return list
	}
	var all []config.Pass
	for _, p := range list {
		if !isPattern(p) {
			all = append(all, p)
			continue
		}
		begin := strings.TrimSuffix(p.From, "*")
		for _, h := range headers {
			n := message.FullName(h.Name())
			if beginsWith(n, begin) && mayMatch(n) && !isSet(set, n) && !listed(list, n) && !listed(all, n) {
				p.From, p.To = n, n
				all = append(all, p)
			}
		}
	}
	return all
}

func isPattern(p config.Pass) bool { return strings.HasSuffix(p.From, "*") }

func beginsWith(name, begin string) bool {
	return len(name) >= len(begin) && strings.EqualFold(name[:len(begin)], begin)
}

// mayMatch reports whether a pattern may select this header name. The name is sent to the other
// side unchanged.
func mayMatch(name string) bool {
	return len(name) <= maxPassedName && message.IsToken(name) && config.Passable(name) && !strings.EqualFold(name, "X-EI")
}

// isSet reports whether the target's configuration sets this header. Without this check, the
// caller's header would replace it in a call for which it has no value.
func isSet(set []config.Header, name string) bool {
	return slices.ContainsFunc(set, func(h config.Header) bool { return strings.EqualFold(h.Name, name) })
}

// listed reports whether an entry reads this header, or writes a header with this name.
func listed(list []config.Pass, name string) bool {
	return slices.ContainsFunc(list, func(p config.Pass) bool {
		return strings.EqualFold(p.From, name) ||
			strings.EqualFold(p.To, name)
	})
}

// maxPassedName bounds a header name that a peer chose, in bytes.
const maxPassedName = 64

// Extensions returns the X- headers that may be passed on, each with its first value.
func Extensions(headers []sip.Header) (all []peers.Variable) {
	for _, p := range Wanted(config.PassNamed("X-*"), headers, nil) {
		i := slices.IndexFunc(headers,
			func(h sip.Header) bool { return strings.EqualFold(message.FullName(h.Name()), p.From) })
		if i >= 0 {
			all = append(all, peers.Variable{Name: p.From, Value: headers[i].Value()})
		}
	}
	return all
}
