package peers

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/circuit"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/media/audio"
	"flowbridge/store/record"
)

// Snapshot holds the trunks, targets and routes of one configuration. It never changes: a reload creates another
// Snapshot, and a call keeps the one that it started with.
type Snapshot struct {
	Routes  []config.Route
	Numbers *config.Table           // nil if there is no number table
	Marks   []uint64                // hashes that identify the routes across configurations, in the order of Routes
	Trunks  []*Trunk                // in the file's order, followed by the targets that may call
	Targets map[string]*Target      // by name
	Callees map[string]*Target      // trunks that can be called, by name
	Allow   sip.Header              // the Allow header to trunks
	Tones   map[string]*audio.Sound // configured sounds, and tones that routes use, by name
	IDs     []*template.Template    // templates for additional ids of a call that hooks may use
	sources *Rates                  // limits the rate of new requests for each address; shared by all snapshots
}

// Trunk is a trunk, or a target that may call, with the counts of its calls.
type Trunk struct {
	Caller   *Caller
	Platform *Policy // the target's Policy if this is a target; nil for a real trunk
	*usage
	secret      *secret // checks its credentials; nil if none are needed
	kindAndName string
}

// Target is a target, or a trunk that can be called, with the counts of its calls.
type Target struct {
	Dial     *Dial
	Trunk    *Caller // the trunk's Caller if this is a trunk; nil for a real target
	Preparer Preparer
	SIP      *circuit.Breaker // circuit breaker of the target's SIP side; nil if there is none
	API      *circuit.Breaker // circuit breaker of the API that Preparer uses; nil if there is none
	*usage
}

func newTrunk(c *Caller, platform *Policy, n *usage) *Trunk {
	kind := "trunk "
	if platform != nil {
		kind = "target "
	}
	return &Trunk{Caller: c, Platform: platform, usage: n, secret: newSecret(c.auth), kindAndName: kind + c.Name}
}

// NeedsCredentials reports whether calls from the trunk need credentials.
func (t *Trunk) NeedsCredentials() bool { return t.secret != nil }

// options returns the options for a leg to the peer.
func (p *Peer) options(allow sip.Header) leg.PeerOptions {
	return leg.PeerOptions{Rel100: p.rel100, SessionExpires: p.sessionExpires, Allow: allow, NAT: p.NAT}
}

// Options returns the options for a leg to the trunk.
func (t *Trunk) Options(p *Snapshot) leg.PeerOptions { return t.Caller.options(p.Allow) }

// Options returns the options for a leg to the target.
func (t *Target) Options() leg.PeerOptions {
	if t.Dial.Transfer == config.TransferRefuse {
		return t.Dial.options(withoutREFER)
	}
	return t.Dial.options(withREFER)
}

// The Allow headers to targets.
var (
	withREFER    = leg.AllowHeader(leg.Methods + ", REFER, INFO")
	withoutREFER = leg.AllowHeader(leg.Methods + ", INFO")
)

// allowedToTrunks returns the Allow header to trunks. It depends on what the targets relay.
func allowedToTrunks(targets []config.Target) sip.Header {
	allow := leg.Methods + ", INFO"
	if slices.ContainsFunc(targets, func(t config.Target) bool { return t.Transfer == config.TransferRelay }) {
		allow += ", NOTIFY"
	}
	return leg.AllowHeader(allow)
}

// TrunkName returns the name of the trunk that places a call, or "" if a target does.
func (t *Trunk) TrunkName() string {
	if t.Platform != nil {
		return ""
	}
	return t.Caller.Name
}

// TargetName returns the name of the target that places a call, or "" if a trunk does.
func (t *Trunk) TargetName() string {
	if t.Platform != nil {
		return t.Caller.Name
	}
	return ""
}

// Direction returns the direction to record for a call that t places.
func (t *Trunk) Direction() string {
	if t.Platform != nil {
		return record.DirectionOutbound
	}
	return record.DirectionInbound
}

// LogField returns the name and value of the log field that says who placed a call.
func (t *Trunk) LogField() (key, name string) {
	if t.Platform != nil {
		return "from_target", t.Caller.Name
	}
	return "trunk", t.Caller.Name
}

// KindAndName returns the trunk's kind and name, such as "trunk carrier".
func (t *Trunk) KindAndName() string { return t.kindAndName }

// CallerNamed returns the trunk, or the target that calls, with this kind and name. If there is none it returns an
// empty trunk with the name, and false.
func (p *Snapshot) CallerNamed(kindAndName string) (*Trunk, bool) {
	for _, t := range p.Trunks {
		if t.KindAndName() == kindAndName {
			return t, true
		}
	}
	_, name, _ := strings.Cut(kindAndName, " ")
	return newTrunk(&Caller{Peer: Peer{Name: name}}, nil, &usage{}), false
}

// CalleeNamed returns the target, or the trunk that can be called, with this name, or nil if there is none.
func (p *Snapshot) CalleeNamed(name string) *Target {
	if t := p.Targets[name]; t != nil {
		return t
	}
	return p.Callees[name]
}

// CalleesNamed returns the callees with these names; it leaves out names that are not configured.
func (p *Snapshot) CalleesNamed(names []string) (all []*Target) {
	for _, name := range names {
		if t := p.CalleeNamed(name); t != nil {
			all = append(all, t)
		}
	}
	return all
}

// Callers returns the real trunks, and the targets that may call, separately.
func (p *Snapshot) Callers() (real, targets []*Trunk) {
	for _, t := range p.Trunks {
		if t.Platform == nil {
			real = append(real, t)
		} else {
			targets = append(targets, t)
		}
	}
	return real, targets
}

// Sender is what the transport knows about the origin of a message.
type Sender struct {
	Addr  netip.AddrPort
	Names []string // names in the sender's verified client certificate
}

// couldBe reports whether the sender's address and certificate meet the trunk's conditions.
func (t *Trunk) couldBe(from Sender) bool {
	return (len(t.Caller.Sources) == 0 && !t.Caller.bound() || t.prefix(from.Addr.Addr()) >= 0) &&
		(len(t.Caller.Certificates) == 0 || t.certified(from.Names))
}

// Has reports whether the sender has an address or certificate that belongs to the trunk.
func (t *Trunk) Has(from Sender) bool { return t.isListed() && t.couldBe(from) }

// isListed reports whether the trunk's addresses or certificates are known, so that a sender can be recognised by
// them.
func (t *Trunk) isListed() bool {
	return len(t.Caller.Sources)+len(t.Caller.Certificates) > 0 || t.Caller.bound()
}

// isOthers reports whether the sender belongs to another real trunk than caller or callee, by its address or
// certificate. callee may be nil. at is the address at which the callee was called: the result is false if a network
// of that other trunk also contains at.
func (p *Snapshot) isOthers(from Sender, caller *Trunk, callee *Target, at netip.Addr) bool {
	others := false
	for _, t := range p.Trunks {
		if t.Platform != nil || !t.Has(from) {
			continue
		}
		if t.Caller == caller.Caller || (callee != nil && (t.Caller == callee.Trunk || t.shares(from.Addr.Addr(), at))) {
			return false
		}
		others = true
	}
	return others
}

// shares reports whether one of the trunk's networks contains both addresses.
func (t *Trunk) shares(a, b netip.Addr) bool {
	return slices.ContainsFunc(t.Caller.Sources, func(s config.Source) bool { return s.Contains(a) && s.Contains(b) })
}

// matches reports whether a request meets the conditions of the trunk's match section.
func (t *Trunk) matches(req *sip.Request) bool {
	m := t.Caller.Match
	return (m.ToDomain == "" || SameHost(req.Recipient.Host, m.ToDomain)) &&
		(m.HeaderName == "" || slices.ContainsFunc(req.GetHeaders(m.HeaderName), func(h sip.Header) bool {
			return strings.TrimSpace(h.Value()) == m.HeaderValue
		}))
}

// SameHost reports whether two hosts are the same. It ignores case and different spellings of an IPv6 address.
func SameHost(a, b string) bool {
	a, b = message.TrimBrackets(a), message.TrimBrackets(b)
	if x, err := netip.ParseAddr(a); err == nil {
		y, err := netip.ParseAddr(b)
		return err == nil && x == y
	}
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

// prefix returns the length of the longest network among the trunk's sources that contains addr, or -1 if none does.
// The address of the registrar at which we are registered counts as a source.
func (t *Trunk) prefix(addr netip.Addr) int {
	longest := -1
	if r := t.registered.Load(); r != nil && r.at == addr && t.Caller.Register != nil {
		return addr.BitLen()
	}
	for _, s := range t.Caller.Sources {
		longest = max(longest, s.Covers(addr))
	}
	return longest
}

func (t *Trunk) certified(names []string) bool {
	for _, n := range names {
		for _, c := range t.Caller.Certificates {
			if strings.EqualFold(n, c) {
				return true
			}
		}
	}
	return false
}

// rank compares two trunks that a sender may belong to. It is negative if a is more specific: a certificate counts
// more than an address, a longer prefix more than a shorter one, and then more match conditions more than fewer.
func rank(a, b *Trunk, from Sender) int {
	certificate := func(t *Trunk) int { return min(len(t.Caller.Certificates), 1) }
	addr := from.Addr.Addr()
	return cmp.Or(
		cmp.Compare(certificate(b), certificate(a)),
		cmp.Compare(b.prefix(addr), a.prefix(addr)),
		cmp.Compare(b.Caller.Match.Conditions(), a.Caller.Match.Conditions()),
	)
}

// Candidates returns the trunks that a request may belong to, apart from credentials. The most specific trunk comes
// first; among equals, trunks with credentials come first. If the request is for the Contact that we registered for
// a trunk, only that trunk is returned.
func (p *Snapshot) Candidates(req *sip.Request, from Sender) []*Trunk {
	var fit []*Trunk
	for _, t := range p.Trunks {
		if t.couldBe(from) && t.matches(req) {
			if t.IsContact(req.Recipient.User) {
				return []*Trunk{t}
			}
			fit = append(fit, t)
		}
	}
	slices.SortStableFunc(fit, func(a, b *Trunk) int {
		switch c := rank(a, b, from); {
		case c != 0 || (a.secret == nil) == (b.secret == nil):
			return c
		case a.secret == nil:
			return 1
		default:
			return -1
		}
	})
	return fit
}

// Registering returns the trunks, and targets that place calls, that a REGISTER may belong to.
func (p *Snapshot) Registering(req *sip.Request, from Sender) (all []*Trunk) {
	for _, t := range p.Trunks {
		if t.Caller.Registrar != nil && t.couldBe(from) && t.matches(req) {
			all = append(all, t)
		}
	}
	return all
}

// Record returns the user part of the address-of-record that phones of the trunk register.
func (t *Trunk) Record() string { return cmp.Or(t.Caller.Registrar.User, t.secret.username) }

// Contenders divides the candidates of a request. asked are the trunks whose credentials are checked. fallback is
// the trunk of a request without credentials, or nil if such a request must be challenged. A trunk with credentials
// comes before a trunk without that is equally specific, but does not prevent its use.
func Contenders(fit []*Trunk, from Sender) (asked []*Trunk, fallback *Trunk) {
	open := slices.IndexFunc(fit, func(t *Trunk) bool { return !t.NeedsCredentials() })
	switch {
	case open < 0:
		return fit, nil
	case open == 0 || rank(fit[0], fit[open], from) == 0:
		return fit[:open], fit[open]
	default:
		return fit[:open], nil
	}
}

// MergeKey returns a key that is the same for all copies of a trunk's INVITE that come by different paths (RFC 3261
// section 8.2.2.2).
func (t *Trunk) MergeKey(req *sip.Request) string {
	return t.KindAndName() + "\n" + req.CallID().
		Value() + "\n" + message.TagOf(req.From().Params) + "\n" + strconv.Itoa(int(req.CSeq().SeqNo))
}

// IsHolder reports whether phones of the trunk or target with this kind and name may register with us.
func (p *Snapshot) IsHolder(kindAndName string) bool {
	t, there := p.CallerNamed(kindAndName)
	return there && t.Caller.Registrar != nil
}

// IsContact reports whether user is the user part of the Contact that we have registered for the trunk.
func (t *Trunk) IsContact(user string) bool {
	r := t.registered.Load()
	return r != nil && user != "" && r.token == user && t.Caller.Register != nil
}

// Likely returns the trunk that a request seems to come from, before anything is proven, or nil if the sender can't
// belong to a trunk.
func (p *Snapshot) Likely(req *sip.Request, from Sender) *Trunk {
	var best *Trunk
	fits := false
	for _, t := range p.Trunks {
		if !t.couldBe(from) {
			continue
		}
		m := t.matches(req)
		if best == nil || (m && !fits) || (m == fits && rank(t, best, from) < 0) {
			best, fits = t, m
		}
	}
	return best
}

// SourceTrust says what a sender's address and certificate alone tell about it.
type SourceTrust struct {
	Known bool // the address or certificate belongs to a trunk
	Open  bool // the sender may belong to a trunk that may send from anywhere, with credentials
	Asked bool // every trunk that the sender may belong to needs credentials

	Registers bool // the sender may belong to a trunk whose phones register with us

	natOn, natAuto bool // NAT modes of the trunks that the sender may belong to
}

// BehindNAT reports whether to answer a request at its source port, although its Via, which names this host, does
// not ask for that.
func (s SourceTrust) BehindNAT(viaHost []byte, source netip.Addr) bool {
	if !s.natOn && !s.natAuto {
		return false
	}
	sentBy, err := netip.ParseAddr(string(viaHost))
	if err == nil && sentBy.Unmap() == source {
		return false
	}
	return s.natOn || (err == nil && leg.IsPrivate(sentBy.Unmap()) && !leg.IsPrivate(source))
}

// TrustOf returns what a sender's address and certificate tell about it. It allocates nothing.
func (p *Snapshot) TrustOf(from Sender) SourceTrust {
	s := SourceTrust{Asked: true}
	for _, t := range p.Trunks {
		if !t.couldBe(from) {
			continue
		}
		if t.isListed() {
			s.Known = true
		} else {
			s.Open = true
		}
		s.Asked = s.Asked && t.secret != nil
		s.Registers = s.Registers || t.Caller.Registrar != nil
		s.natOn = s.natOn || t.Caller.NAT == config.NATOn
		s.natAuto = s.natAuto || t.Caller.NAT == config.NATAuto
	}
	s.Asked = s.Asked && (s.Known || s.Open)
	return s
}

// tonesOf returns the configured sounds, and the tones that calls may need.
func tonesOf(cfg *config.Config) map[string]*audio.Sound {
	all := map[string]*audio.Sound{}
	maps.Copy(all, cfg.Sounds)
	all[ToneBeep], _ = audio.Tone(ToneBeep)
	all[ToneSilence], _ = audio.Tone(ToneSilence)
	for i := range cfg.Routes {
		for _, name := range cfg.Routes[i].Sounds() {
			if all[name] != nil {
				continue
			}
			if tone, ok := audio.Tone(name); ok {
				all[name] = tone
			}
		}
	}
	return all
}

// ToneBeep is the tone that tells of a recording. ToneSilence is played to a side that must not hear the other side.
const (
	ToneBeep    = "beep"
	ToneSilence = "silence"
)

// CallerTLS returns the TLS settings for connecting to a caller whose own connection has ended. own are the settings
// for a trunk that configures none.
func (t *Trunk) CallerTLS(own *config.TargetTLS) *config.TargetTLS {
	if t.Platform != nil || t.Caller.TLS != (config.TargetTLS{}) {
		return &t.Caller.TLS
	}
	return own
}

// NamesOf returns the names of targets.
func NamesOf(targets []*Target) (names []string) {
	for _, t := range targets {
		names = append(names, t.Dial.Name)
	}
	return names
}
