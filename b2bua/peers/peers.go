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

// Snapshot holds the trunks, targets and routes of one configuration. It never changes: a reload makes another, and
// a call keeps the one that it began with.
type Snapshot struct {
	Routes  []config.Route
	Numbers *config.Table           // nil if none
	Marks   []uint64                // marks of the routes, which identify them across configurations, in route order
	Trunks  []*Trunk                // in file order, followed by the targets that may call
	Targets map[string]*Target      // by name
	Callees map[string]*Target      // trunks that can be called, by name
	Allow   string                  // methods that a trunk may send
	Tones   map[string]*audio.Sound // tones and sounds, by name
	IDs     []*template.Template    // additional ids of a call, which hooks may use
	sources *Rates                  // rates of new requests by address; shared by all snapshots
}

// Trunk is a trunk with its open calls, or a target that may call.
type Trunk struct {
	Caller   *Caller
	Platform *Policy // its Policy if it is a target; nil for a real trunk
	*usage
	secret      *secret // checks its credentials; nil if it need not show any
	kindAndName string
}

// Target is a target with its open calls, or a trunk that can be called.
type Target struct {
	Dial     *Dial
	Trunk    *Caller // its Caller if it is a trunk; nil for a real target
	Preparer Preparer
	SIP      *circuit.Breaker // circuit of the target's SIP side; nil if it never opens
	API      *circuit.Breaker // circuit of the API that Preparer asks; nil if it never opens
	*usage
}

func newTrunk(c *Caller, platform *Policy, n *usage) *Trunk {
	kind := "trunk "
	if platform != nil {
		kind = "target "
	}
	return &Trunk{Caller: c, Platform: platform, usage: n, secret: newSecret(c.auth), kindAndName: kind + c.Name}
}

// NeedsCredentials reports whether calls of the trunk must show credentials.
func (t *Trunk) NeedsCredentials() bool { return t.secret != nil }

// options returns the options of a leg to the peer.
func (p *Peer) options(allow string) leg.PeerOptions {
	return leg.PeerOptions{Rel100: p.rel100, SessionExpires: p.sessionExpires, Allow: allow, NAT: p.NAT}
}

// Options returns the options of a call's leg to the trunk.
func (t *Trunk) Options(p *Snapshot) leg.PeerOptions { return t.Caller.options(p.Allow) }

// Options returns the options of a call's leg to the target.
func (t *Target) Options() leg.PeerOptions {
	allow := leg.Methods + ", REFER, INFO"
	if t.Dial.Transfer == config.TransferRefuse {
		allow = leg.Methods + ", INFO"
	}
	return t.Dial.options(allow)
}

// allowedToTrunks returns the methods that a trunk may send, depending on the targets.
func allowedToTrunks(targets []config.Target) string {
	allow := leg.Methods + ", INFO"
	if slices.ContainsFunc(targets, func(t config.Target) bool { return t.Transfer == config.TransferRelay }) {
		allow += ", NOTIFY"
	}
	return allow
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

// Direction returns the direction, for the record, of a call that t places.
func (t *Trunk) Direction() string {
	if t.Platform != nil {
		return record.DirectionOutbound
	}
	return record.DirectionInbound
}

// LogField returns the field of a call's log lines that names the trunk or target that
// places it.
func (t *Trunk) LogField() (key, name string) {
	if t.Platform != nil {
		return "from_target", t.Caller.Name
	}
	return "trunk", t.Caller.Name
}

// KindAndName returns a description for humans, like "trunk carrier".
func (t *Trunk) KindAndName() string { return t.kindAndName }

// CallerNamed returns the trunk, or the target that calls, with this kind and name. If there is none it returns a
// placeholder and false.
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

// Callers returns the real trunks, and the targets that may call.
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
	Names []string // names in its verified client certificate
}

// couldBe reports whether the sender meets the trunk's conditions, except those about the
// content of messages.
func (t *Trunk) couldBe(from Sender) bool {
	return (len(t.Caller.Sources) == 0 && !t.Caller.bound() || t.prefix(from.Addr.Addr()) >= 0) &&
		(len(t.Caller.Certificates) == 0 || t.certified(from.Names))
}

// Has reports whether the sender has an address or certificate of the trunk.
func (t *Trunk) Has(from Sender) bool { return t.isListed() && t.couldBe(from) }

// isListed reports whether the trunk's addresses or certificates are known.
func (t *Trunk) isListed() bool {
	return len(t.Caller.Sources)+len(t.Caller.Certificates) > 0 || t.Caller.bound()
}

// isOthers reports whether the sender's address or certificate belongs to real trunks, but to neither caller nor
// callee. callee may be nil. The result is false if one network of such a trunk contains both the sender and at,
// the address at which the callee was called.
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

// matches reports whether a request meets the trunk's match section.
func (t *Trunk) matches(req *sip.Request) bool {
	m := t.Caller.Match
	return (m.ToDomain == "" || SameHost(req.Recipient.Host, m.ToDomain)) &&
		(m.HeaderName == "" || slices.ContainsFunc(req.GetHeaders(m.HeaderName), func(h sip.Header) bool {
			return strings.TrimSpace(h.Value()) == m.HeaderValue
		}))
}

// SameHost reports whether two hosts are the same, also with other spellings of an IPv6
// address.
func SameHost(a, b string) bool {
	a, b = message.TrimBrackets(a), message.TrimBrackets(b)
	if x, err := netip.ParseAddr(a); err == nil {
		y, err := netip.ParseAddr(b)
		return err == nil && x == y
	}
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

// prefix returns the length of the longest of the trunk's sources that contains addr, or
// -1 if none does. The address where the trunk is registered counts as a source.
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

// rank compares two possible trunks of a sender: it is negative if a is more specific.
// A certificate counts more than an address, a longer prefix more than a shorter one,
// and more conditions count more than fewer.
func rank(a, b *Trunk, from Sender) int {
	certificate := func(t *Trunk) int { return min(len(t.Caller.Certificates), 1) }
	addr := from.Addr.Addr()
	return cmp.Or(
		cmp.Compare(certificate(b), certificate(a)),
		cmp.Compare(b.prefix(addr), a.prefix(addr)),
		cmp.Compare(b.Caller.Match.Conditions(), a.Caller.Match.Conditions()),
	)
}

// Candidates returns the trunks whose conditions, other than credentials, a request meets. The most specific comes
// first, and among equals those with credentials.
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

// Registering returns the trunks that a REGISTER may belong to, including targets that
// place calls.
func (p *Snapshot) Registering(req *sip.Request, from Sender) (all []*Trunk) {
	for _, t := range p.Trunks {
		if t.Caller.Registrar != nil && t.couldBe(from) && t.matches(req) {
			all = append(all, t)
		}
	}
	return all
}

// Record returns the user part of the address-of-record of a trunk that registers here.
func (t *Trunk) Record() string { return cmp.Or(t.Caller.Registrar.User, t.secret.username) }

// Contenders divides the trunks that a request fits. It returns the trunks whose credentials are checked, and the
// trunk of a request without credentials, or nil if the request needs some. A trunk with credentials comes before a
// trunk that is no more specific, but does not hide it.
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

// MergeKey returns a key that is the same for all copies of an INVITE that come from a trunk by different ways (RFC
// 3261 section 8.2.2.2).
func (t *Trunk) MergeKey(req *sip.Request) string {
	return t.KindAndName() + "\n" + req.CallID().
		Value() + "\n" + message.TagOf(req.From().Params) + "\n" + strconv.Itoa(int(req.CSeq().SeqNo))
}

// IsHolder reports whether a trunk, or target, of this kind and name may register here.
func (p *Snapshot) IsHolder(kindAndName string) bool {
	t, there := p.CallerNamed(kindAndName)
	return there && t.Caller.Registrar != nil
}

// IsContact reports whether a Request-URI has the user of the Contact that the trunk has registered.
func (t *Trunk) IsContact(user string) bool {
	r := t.registered.Load()
	return r != nil && user != "" && r.token == user && t.Caller.Register != nil
}

// Likely returns the trunk that a request seems to come from, before any proof, or nil if
// its sender can't be a trunk.
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

// SourceTrust is how far a sender is trusted for its address or certificate alone.
type SourceTrust struct {
	Known bool // the sender has the address or certificate of a trunk
	Open  bool // the sender can be a trunk that may send from anywhere and shows credentials
	Asked bool // every trunk that it can be must show credentials

	Registers bool // the sender can be a trunk that registers here

	natOn, natAuto bool // the NAT modes of the trunks that it may be
}

// BehindNAT reports whether to answer a peer with this host in Via at its source port
// although it does not ask for that.
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

// TrustOf returns the trust in a sender. It allocates nothing.
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

// tonesOf returns the configured sounds, and the tones that routes name.
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

// ToneBeep is the tone that announces a recording. ToneSilence is played to a side that must not hear the other one.
const (
	ToneBeep    = "beep"
	ToneSilence = "silence"
)

// CallerTLS returns the TLS settings for connecting to a caller whose own connection is
// gone. For a trunk, the authorities are those of its client certificates, if configured.
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
