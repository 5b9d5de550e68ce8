package outbound

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/config/template"
)

// anonymousURI replaces the URI of a private or unknown caller (RFC 3323 section 4.1.1.3).
const anonymousURI = "sip:anonymous@anonymous.invalid"

// errNotSIPURI means that a target's uri template did not give a well-formed SIP URI: a
// caller's values must not decide where the call goes.
var errNotSIPURI = errors.New("the uri template did not give a well-formed sip: URI")

// Inbound describes the carrier's INVITE that the INVITE to the target is made from.
type Inbound struct {
	Invite  *sip.Request
	Source  *sip.Request // message with the headers that are passed on: Invite, or a REFER
	Trusted bool         // the caller's identity as the trunk states it is trusted
	Privacy Privacy
	Extra   []Field // additional headers for the target's INVITE
}

// Draft is the INVITE to a target, without the headers that the leg adds.
type Draft struct {
	uri         sip.Uri
	hops        sip.MaxForwardsHeader
	configured  []Field // in file order
	passed      []Field
	own         []Field
	Offer       []byte
	LocalParty  string   // value of From
	RemoteParty string   // value of To
	Dropped     []string // names of headers and types of body parts that were left out
}

// Field is a header with all its values.
type Field struct {
	Name   string
	Values []string
	Kept   bool // never left out to save space

	own sip.Header // a header of our own, instead of Values
}

// renderURI returns the Request-URI of an attempt.
func renderURI(t *peers.Dial, vars template.Vars) (sip.Uri, error) {
	var uri sip.Uri
	text, err := t.URI.Render(vars)
	if err != nil {
		return uri, fmt.Errorf("uri: %w", err)
	}
	if err := sip.ParseUri(text, &uri); err != nil || !message.IsSound(text, &uri) {
		return uri, fmt.Errorf("%w: %q", errNotSIPURI, text)
	}
	return message.AsRequestURI(uri), nil
}

// RouteField returns the Route header for proxies on the way to a target (RFC 3261 section 8.1.2), or nothing if there
// are none.
func RouteField(proxies []string) []Field {
	if len(proxies) == 0 {
		return nil
	}
	return []Field{{Name: "Route", Values: proxies, Kept: true}}
}

// Build returns the INVITE to a target: with the caller in From and P-Asserted-Identity, one hop less in Max-Forwards,
// the configured headers byte for byte in file order, and the passed headers. A configured header replaces a passed
// one with the same name, and either replaces one of our own.
func Build(t *peers.Dial, uri sip.Uri, vars template.Vars, in Inbound, local leg.Local, peer leg.PeerOptions,
	offer []byte,
) (Draft, error) {
	configured, err := RenderHeaders(t, vars)
	if err != nil {
		return Draft{}, err
	}
	out := Draft{
		uri: uri, hops: 69, configured: configured, own: make([]Field, 0, 4), // as many as usual
		RemoteParty: message.AddrText(&uri), Offer: offer,
	}
	if t.Registered && vars.To.Number != "" { // the Contact leads to a PBX, but does not name the called number
		out.RemoteParty = "<sip:" + message.UserOf(vars.To) + "@" + uri.Host + ">"
	}
	if mf := in.Invite.MaxForwards(); mf != nil && *mf > 0 && *mf <= maxHops {
		out.hops = *mf - 1
	}
	for _, f := range in.Extra {
		if !has(configured, f.Name) {
			out.configured = append(out.configured, f)
		}
	}
	out.pass(Wanted(t.PassHeaders, in.Source.Headers(), t.Headers), in)
	out.identify(vars, in, local)
	out.add(peer.Allow, false)
	out.add(leg.Supported(peer), true)
	if peer.Rel100 == config.Rel100Required {
		out.add(sip.NewHeader("Require", "100rel"), true)
	}
	if peer.SessionExpires > 0 {
		interval := message.SessionExpires{Interval: peer.SessionExpires}.String()
		out.add(sip.NewHeader("Session-Expires", interval), true)
	}
	out.add(leg.UserAgent, false)
	return out, nil
}

// identify sets From, Privacy and P-Asserted-Identity from the caller.
func (out *Draft) identify(vars template.Vars, in Inbound, local leg.Local) {
	from := CallingParty(vars)
	caller := local.Address(message.UserOf(from))
	known := !in.Privacy.number && !message.NamesNobody(from)
	out.LocalParty = caller
	if !known {
		out.LocalParty = "<" + anonymousURI + ">"
	}
	switch {
	case !known && (from.Name == "" || in.Privacy.name):
		out.LocalParty = `"Anonymous" ` + out.LocalParty
	case from.Name != "" && !in.Privacy.name:
		var room [96]byte
		quoted := append(message.AppendQuoted(room[:0], from.Name), ' ')
		out.LocalParty = string(append(quoted, out.LocalParty...))
	}
	if in.Privacy.number {
		out.add(sip.NewHeader("Privacy", "id"), true)
	}
	if known && in.Trusted { // an identity that is not trusted is not asserted (RFC 3325 section 5)
		out.add(sip.NewHeader("P-Asserted-Identity", caller), false)
	}
}

// maxHops is the largest Max-Forwards (RFC 3261 section 20.22).
const maxHops = 255

// add adds a header of our own, unless the draft has a header with this name. kept says that it must not be left out.
func (o *Draft) add(h sip.Header, kept bool) {
	if name := h.Name(); !has(o.configured, name) && !has(o.passed, name) {
		o.own = append(o.own, Field{Name: name, own: h, Kept: kept})
	}
}

func has(fields []Field, name string) bool {
	return slices.ContainsFunc(fields, func(f Field) bool { return strings.EqualFold(f.Name, name) })
}

// Request returns the INVITE as the leg needs it, without the headers that the leg adds.
func (o *Draft) Request() *sip.Request {
	var room [32]sip.Header
	out := &message.Outgoing{Hops: o.hops, Length: sip.ContentLengthHeader(len(o.Offer))}
	out.Method, out.Recipient = sip.INVITE, o.uri
	all := append(room[:0], &out.Hops)
	for _, fields := range [...][]Field{o.configured, o.passed} {
		for _, f := range fields {
			for _, v := range f.Values {
				all = append(all, sip.NewHeader(f.Name, v))
			}
		}
	}
	for _, f := range o.own {
		all = append(all, f.own)
	}
	message.SetHeaders(&out.Request, append(all, &out.Length, leg.ContentSDP)...)
	out.SetBody(o.Offer)
	return &out.Request
}

// RenderHeaders returns the configured headers that have a value for this call.
func RenderHeaders(t *peers.Dial, vars template.Vars) (fields []Field, err error) {
	if len(t.Headers) == 0 {
		return nil, nil
	}
	fields = make([]Field, 0, len(t.Headers))
	values := make([]string, 0, len(t.Headers))
	for _, h := range t.Headers {
		value, err := h.Value.Render(vars)
		if err != nil && vars.Prepare == nil && h.Value.UsesPrepare() {
			continue // the platform was not asked or has not answered, so headers that need its answer are left out
		}
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", h.Name, err)
		}
		if err := checkXEI(h, value); err != nil {
			return nil, fmt.Errorf("header %s: %w", h.Name, err)
		}
		if value != "" {
			n := len(values)
			values = append(values, value)
			fields = append(fields, Field{Name: h.Name, Values: values[n : n+1 : n+1], Kept: indispensable(h.Name)})
		}
	}
	return fields, nil
}

// indispensable reports whether a header may never be left out: without it the platform
// would not recognise the call, or a private caller would be named.
func indispensable(name string) bool {
	return strings.EqualFold(name, "X-EI") || strings.EqualFold(name, "Privacy")
}

// HeaderOf returns the function with which templates read the first value of a header of
// the carrier's INVITE.
func HeaderOf(invite *sip.Request) func(string) string {
	return func(name string) string { return message.FirstHeader(invite, name) }
}

// PlatformID is an id within X-EI.
type PlatformID struct {
	Value    string
	External bool // set by the caller, not by the platform
}

// IDsIn returns the ids in a value of X-EI (Synthflow's page "X-EI SIP header"). The value is either one bare id, or a
// list of tokens, of which the first S token and the first E token count.
func IDsIn(xei string) (ids []PlatformID) {
	var of [2]string // the values of S and E
	tokens := false
	for part := range strings.SplitSeq(xei, ";") {
		name, value, found := strings.Cut(strings.TrimSpace(part), ".")
		if !found || value == "" || strings.Contains(value, "\n") || len(name) != 1 {
			continue
		}
		i := strings.Index("SEO", name)
		tokens = tokens || i >= 0
		if i >= 0 && i < len(of) && of[i] == "" { // the token O is a number, not an id
			of[i] = value
		}
	}
	if bare := strings.TrimSpace(xei); !tokens && bare != "" && !strings.Contains(bare, ";") {
		return []PlatformID{{bare, true}}
	}
	for i, id := range of {
		if id != "" {
			ids = append(ids, PlatformID{id, i == 1})
		}
	}
	return ids
}

// errTokens means that a value within X-EI would be read as several tokens.
var errTokens = errors.New("a value holds a ';', which would begin another token")

// checkXEI refuses an X-EI with more tokens than its template, because a caller must have
// injected them. A template that passes on the carrier's X-EI may have any number.
func checkXEI(h config.Header, value string) error {
	if !strings.EqualFold(h.Name, "X-EI") || strings.Count(value, ";") <= strings.Count(h.Value.String(), ";") {
		return nil
	}
	template := strings.ToUpper(h.Value.String())
	tokens := strings.Count(template, ";") + strings.Count(template, `XEI "`)
	if strings.Count(value, ";") > tokens && !strings.Contains(template, "X-EI") {
		return fmt.Errorf("%w: %q", errTokens, value)
	}
	return nil
}
