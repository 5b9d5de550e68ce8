package peers

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"

	"flowbridge/audio"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/store"
)

// Snapshot are the trunks, targets and routes of one configuration. They don't
// change: a reload makes new ones, and a call keeps those it began with.
type Snapshot struct {
	Routes  []config.Route
	Trunks  []*Trunk // in the order of the file, and after them the targets that may call
	Targets map[string]*Target
	Allow   string             // methods that a trunk may send
	Parts   []string           // types of body parts that some target takes
	Callees map[string]*Target // trunks that can be called, by name
	Tones   tones
}

// Trunk is a trunk with its open calls, or a target that may call.
type Trunk struct {
	Config *Caller
	Caller *Policy // of the target that it is; nil: a real trunk
	*Tally
	Secret *secret // nil: it need not show credentials
}

// Target is a target with its open calls, or a trunk that can be called.
type Target struct {
	Config   *Dial
	Callee   *Caller // of the trunk that it is; nil: a real target
	Preparer Preparer
	*Tally
}

func newTrunk(c *Caller, platform *Policy, n *Tally) *Trunk {
	return &Trunk{Config: c, Caller: platform, Tally: n, Secret: newSecret(c.Auth)}
}

// options returns the options of a leg to the peer.
func (p *Peer) options(allow string, parts []string) leg.PeerOptions {
	return leg.PeerOptions{Rel100: p.Rel100, SessionExpires: p.SessionExpires, MinSE: p.MinSE, Allow: allow, Parts: parts, NAT: p.NAT}
}

// Options returns the options of a call's leg to the trunk.
func (t *Trunk) Options(p *Snapshot) leg.PeerOptions { return t.Config.options(p.Allow, p.Parts) }

// Options returns the options of a call's leg to the target.
func (t *Target) Options() leg.PeerOptions {
	allow := leg.Methods + ", REFER"
	if t.Config.Transfer == config.TransferRefuse {
		allow = leg.Methods
	}
	for _, m := range t.Config.PassMethods {
		allow += ", " + m
	}
	return t.Config.options(allow, nil)
}

// allowedToTrunks are the methods that some target passes on, besides those that
// every peer may send.
func allowedToTrunks(targets []config.Target) string {
	allow := leg.Methods
	for i := range targets {
		more := targets[i].PassMethods
		if targets[i].Transfer == config.TransferRelay {
			more = append(slices.Clone(more), string(sip.NOTIFY))
		}
		for _, m := range more {
			if !leg.Allowed(allow, sip.RequestMethod(m)) {
				allow += ", " + m
			}
		}
	}
	return allow
}

// passedParts are the types of body parts that some target takes.
func passedParts(targets []config.Target) (all []string) {
	for i := range targets {
		for _, t := range targets[i].PassParts {
			if !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
	}
	return all
}

// TrunkName and targetName are the names of who places a call; one of the two
// is empty.
func (t *Trunk) TrunkName() string {
	if t.Caller != nil {
		return ""
	}
	return t.Config.Name
}

func (t *Trunk) TargetName() string {
	if t.Caller != nil {
		return t.Config.Name
	}
	return ""
}

func (t *Trunk) Direction() string {
	if t.Caller != nil {
		return store.DirectionOutbound
	}
	return store.DirectionInbound
}

// Logged adds who places a call to what is logged of it.
func (t *Trunk) Logged(c zerolog.Context) zerolog.Context {
	if t.Caller != nil {
		return c.Str("from_target", t.Config.Name)
	}
	return c.Str("trunk", t.Config.Name)
}

// KindAndName says in words who places calls.
func (t *Trunk) KindAndName() string {
	if t.Caller != nil {
		return "target " + t.Config.Name
	}
	return "trunk " + t.Config.Name
}

// Callers are those who may call: real trunks, and targets.
func (p *Snapshot) Callers() (real, targets []*Trunk) {
	for _, t := range p.Trunks {
		if t.Caller == nil {
			real = append(real, t)
		} else {
			targets = append(targets, t)
		}
	}
	return real, targets
}

// Destinations are the targets, or trunks, that a route leads to.
func (p *Snapshot) Destinations(r *config.Route) []*Target {
	all := make([]*Target, 0, len(r.Targets)+len(r.Trunks))
	for _, name := range r.Targets {
		all = append(all, p.Targets[name])
	}
	for _, name := range r.Trunks {
		all = append(all, p.Callees[name])
	}
	return all
}

// Sender is where a message comes from: what its transport knows of that.
type Sender struct {
	Addr  netip.AddrPort
	Names []string // of its client certificate, verified
}

// couldBe says whether the sender meets the trunk's conditions, as far as they
// are not about what a message says.
func (t *Trunk) couldBe(from Sender) bool {
	return (len(t.Config.Sources) == 0 || t.prefix(from.Addr.Addr()) >= 0) &&
		(len(t.Config.Certificates) == 0 || t.certified(from.Names)) &&
		(t.Config.Match.Port == 0 || t.Config.Match.Port == from.Addr.Port())
}

// matches says whether a request has what the trunk's match asks for.
func (t *Trunk) matches(req *sip.Request) bool {
	m := t.Config.Match
	return (m.ToDomain == "" || SameHost(req.Recipient.Host, m.ToDomain)) &&
		(m.HeaderName == "" || slices.ContainsFunc(req.GetHeaders(m.HeaderName), func(h sip.Header) bool {
			return strings.TrimSpace(h.Value()) == m.HeaderValue
		}))
}

// SameHost compares hosts, an IPv6 address in any spelling.
func SameHost(a, b string) bool {
	a, b = message.TrimBrackets(a), message.TrimBrackets(b)
	if x, err := netip.ParseAddr(a); err == nil {
		y, err := netip.ParseAddr(b)
		return err == nil && x == y
	}
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

// prefix is the length of the longest of the trunk's sources that holds addr,
// -1: none.
func (t *Trunk) prefix(addr netip.Addr) int {
	longest := -1
	for _, p := range t.Config.Sources {
		if p.Bits() > longest && p.Contains(addr) {
			longest = p.Bits()
		}
	}
	return longest
}

func (t *Trunk) certified(names []string) bool {
	for _, n := range names {
		for _, c := range t.Config.Certificates {
			if strings.EqualFold(n, c) {
				return true
			}
		}
	}
	return false
}

// Rank compares two trunks that a sender could be: negative where a is the
// more specific one. A certificate counts more than an address, a longer prefix
// more than a shorter one, more conditions more than fewer.
func Rank(a, b *Trunk, from Sender) int {
	certificate := func(t *Trunk) int { return min(len(t.Config.Certificates), 1) }
	addr := from.Addr.Addr()
	return cmp.Or(
		cmp.Compare(certificate(b), certificate(a)),
		cmp.Compare(b.prefix(addr), a.prefix(addr)),
		cmp.Compare(b.Config.Match.Conditions(), a.Config.Match.Conditions()),
	)
}

// Candidates are the trunks whose conditions a request meets, credentials
// aside, the most specific first; of equals those that want credentials.
func (p *Snapshot) Candidates(req *sip.Request, from Sender) []*Trunk {
	var fit []*Trunk
	for _, t := range p.Trunks {
		if t.couldBe(from) && t.matches(req) {
			fit = append(fit, t)
		}
	}
	slices.SortStableFunc(fit, func(a, b *Trunk) int {
		switch c := Rank(a, b, from); {
		case c != 0 || (a.Secret == nil) == (b.Secret == nil):
			return c
		case a.Secret == nil:
			return 1
		default:
			return -1
		}
	})
	return fit
}

// Likely is the trunk that a request seems to come from, before anything is
// proven; nil where its sender can be none.
func (p *Snapshot) Likely(req *sip.Request, from Sender) *Trunk {
	var best *Trunk
	fits := false
	for _, t := range p.Trunks {
		if !t.couldBe(from) {
			continue
		}
		m := t.matches(req)
		if best == nil || (m && !fits) || (m == fits && Rank(t, best, from) < 0) {
			best, fits = t, m
		}
	}
	return best
}

// Standing is what a sender can be, by its transport alone.
type Standing struct {
	Known bool // a trunk, by its address or certificate
	Open  bool // a trunk that can come from anywhere, and proves itself by its credentials
	Asked bool // whatever trunk it is has to show credentials

	natOn, natAuto bool // config.NATMode of a trunk that it can be
}

// BehindNAT says whether a peer that names itself so in Via is answered at the
// port that it sends from, although it does not ask for that.
func (s Standing) BehindNAT(viaHost []byte, source netip.Addr) bool {
	if !s.natOn && !s.natAuto {
		return false
	}
	sentBy, err := netip.ParseAddr(string(viaHost))
	if err == nil && sentBy.Unmap() == source {
		return false
	}
	return s.natOn || (err == nil && leg.IsPrivate(sentBy.Unmap()) && !leg.IsPrivate(source))
}

// Standing looks at a sender. It allocates nothing.
func (p *Snapshot) Standing(from Sender) Standing {
	s := Standing{Asked: true}
	for _, t := range p.Trunks {
		if !t.couldBe(from) {
			continue
		}
		if len(t.Config.Sources) > 0 || len(t.Config.Certificates) > 0 {
			s.Known = true
		} else {
			s.Open = true
		}
		s.Asked = s.Asked && t.Secret != nil
		s.natOn = s.natOn || t.Config.NAT == config.NATOn
		s.natAuto = s.natAuto || t.Config.NAT == config.NATAuto
	}
	s.Asked = s.Asked && (s.Known || s.Open)
	return s
}

// tones are the tones and sounds of a configuration, by name.
type tones map[string]*audio.Sound

// tonesOf are those that routes name, and the sounds.
func tonesOf(cfg *config.Config) tones {
	all := tones{}
	maps.Copy(all, cfg.Sounds)
	all[ToneBeep], _ = audio.Tone(ToneBeep)
	for i := range cfg.Routes {
		for _, name := range []string{cfg.Routes[i].Ringback, cfg.Routes[i].Hold} {
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

// ToneBeep is the tone that says that a call is recorded.
const ToneBeep = "beep"
