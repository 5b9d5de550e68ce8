package b2bua

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

// snapshot are the trunks, targets and routes of one configuration. They don't
// change: a reload makes new ones, and a call keeps those it began with.
type snapshot struct {
	routes  []config.Route
	trunks  []*trunk // in the order of the file, and after them the targets that may call
	targets map[string]*target
	allow   string             // methods that a trunk may send
	parts   []string           // types of body parts that some target takes
	callees map[string]*target // trunks that can be called, by name
	tones   tones
}

// trunk is a configured trunk with what it has open now; or a target that may
// call, as a trunk.
type trunk struct {
	cfg    *config.Trunk
	caller *config.Target // that it is; nil: a real trunk
	*tally
	secret *secret // nil: it need not show credentials
}

// target is a configured target with what it has open now; or a trunk that can
// be called, as a target.
type target struct {
	cfg      *config.Target
	callee   *config.Trunk // that it is; nil: a real target
	preparer Preparer
	*tally
}

func newTrunk(cfg *config.Trunk, t *tally) *trunk {
	return &trunk{cfg: cfg, tally: t, secret: newSecret(cfg.Auth)}
}

// options are what the leg of a call from the trunk is made with.
func (t *trunk) options(p *snapshot) peerOptions {
	return peerOptions{rel100: t.cfg.Rel100, expiry: t.cfg.SessionExpires, minSE: t.cfg.MinSE, allow: p.allow, parts: p.parts, nat: t.cfg.NAT}
}

// options are what the leg of a call to the target is made with.
func (t *target) options() peerOptions {
	allow := methods + ", REFER"
	if t.cfg.Transfer == config.TransferRefuse {
		allow = methods
	}
	for _, m := range t.cfg.PassMethods {
		allow += ", " + m
	}
	return peerOptions{rel100: t.cfg.Rel100, expiry: t.cfg.SessionExpires, minSE: t.cfg.MinSE, allow: allow, nat: t.nat()}
}

// allowedToTrunks are the methods that some target passes on, besides those that
// every peer may send.
func allowedToTrunks(targets []config.Target) string {
	allow := methods
	for i := range targets {
		more := targets[i].PassMethods
		if targets[i].Transfer == config.TransferRelay {
			more = append(slices.Clone(more), string(sip.NOTIFY))
		}
		for _, m := range more {
			if !allowed(allow, sip.RequestMethod(m)) {
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

// sender is where a message comes from: what its transport knows of that.
type sender struct {
	addr  netip.AddrPort
	names []string // of its client certificate, verified
}

// couldBe says whether the sender meets the trunk's conditions, as far as they
// are not about what a message says.
func (t *trunk) couldBe(from sender) bool {
	return (len(t.cfg.Sources) == 0 || t.prefix(from.addr.Addr()) >= 0) &&
		(len(t.cfg.Certificates) == 0 || t.certified(from.names)) &&
		(t.cfg.Match.Port == 0 || t.cfg.Match.Port == from.addr.Port())
}

// matches says whether a request has what the trunk's match asks for.
func (t *trunk) matches(req *sip.Request) bool {
	m := t.cfg.Match
	return (m.ToDomain == "" || sameHost(req.Recipient.Host, m.ToDomain)) &&
		(m.HeaderName == "" || slices.ContainsFunc(req.GetHeaders(m.HeaderName), func(h sip.Header) bool {
			return strings.TrimSpace(h.Value()) == m.HeaderValue
		}))
}

// sameHost compares hosts, an IPv6 address in any spelling.
func sameHost(a, b string) bool {
	a, b = trimBrackets(a), trimBrackets(b)
	if x, err := netip.ParseAddr(a); err == nil {
		y, err := netip.ParseAddr(b)
		return err == nil && x == y
	}
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

// prefix is the length of the longest of the trunk's sources that holds addr,
// -1: none.
func (t *trunk) prefix(addr netip.Addr) int {
	longest := -1
	for _, p := range t.cfg.Sources {
		if p.Bits() > longest && p.Contains(addr) {
			longest = p.Bits()
		}
	}
	return longest
}

func (t *trunk) certified(names []string) bool {
	for _, n := range names {
		for _, c := range t.cfg.Certificates {
			if strings.EqualFold(n, c) {
				return true
			}
		}
	}
	return false
}

// rank compares two trunks that a sender could be: negative where a is the
// more specific one. A certificate counts more than an address, a longer prefix
// more than a shorter one, more conditions more than fewer.
func rank(a, b *trunk, from sender) int {
	certificate := func(t *trunk) int { return min(len(t.cfg.Certificates), 1) }
	addr := from.addr.Addr()
	return cmp.Or(
		cmp.Compare(certificate(b), certificate(a)),
		cmp.Compare(b.prefix(addr), a.prefix(addr)),
		cmp.Compare(b.cfg.Match.Conditions(), a.cfg.Match.Conditions()),
	)
}

// candidates are the trunks whose conditions a request meets, credentials
// aside, the most specific first; of equals those that want credentials.
func (p *snapshot) candidates(req *sip.Request, from sender) []*trunk {
	var fit []*trunk
	for _, t := range p.trunks {
		if t.couldBe(from) && t.matches(req) {
			fit = append(fit, t)
		}
	}
	slices.SortStableFunc(fit, func(a, b *trunk) int {
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

// likely is the trunk that a request seems to come from, before anything is
// proven; nil where its sender can be none.
func (p *snapshot) likely(req *sip.Request, from sender) *trunk {
	var best *trunk
	fits := false
	for _, t := range p.trunks {
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

// standing is what a sender can be, by its transport alone.
type standing struct {
	known bool // a trunk, by its address or certificate
	open  bool // a trunk that can come from anywhere, and proves itself by its credentials
	asked bool // whatever trunk it is has to show credentials

	natOn, natAuto bool // config.NATMode of a trunk that it can be
}

// behindNAT says whether a peer that names itself so in Via is answered at the
// port that it sends from, although it does not ask for that.
func (s standing) behindNAT(viaHost []byte, source netip.Addr) bool {
	if !s.natOn && !s.natAuto {
		return false
	}
	sentBy, err := netip.ParseAddr(string(viaHost))
	if err == nil && sentBy.Unmap() == source {
		return false
	}
	return s.natOn || (err == nil && isPrivate(sentBy.Unmap()) && !isPrivate(source))
}

// standing looks at a sender. It allocates nothing.
func (p *snapshot) standing(from sender) standing {
	s := standing{asked: true}
	for _, t := range p.trunks {
		if !t.couldBe(from) {
			continue
		}
		if len(t.cfg.Sources) > 0 || len(t.cfg.Certificates) > 0 {
			s.known = true
		} else {
			s.open = true
		}
		s.asked = s.asked && t.secret != nil
		s.natOn = s.natOn || t.cfg.NAT == config.NATOn
		s.natAuto = s.natAuto || t.cfg.NAT == config.NATAuto
	}
	s.asked = s.asked && (s.known || s.open)
	return s
}
