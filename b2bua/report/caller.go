package report

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
)

// Caller is the party that places the call of a question, and the way the call arrives.
type Caller struct {
	Trunk     *peers.Trunk // the question's trunk, or the only one; nil if the source decides
	Source    netip.Addr   // where the call comes from
	Transport string       // config.Transport…; empty means udp
}

// Caller finds the party that places the call. listeners are the addresses that receive
// SIP.
func (q *Question) Caller(cfg *config.Config, p *peers.Snapshot, listeners []config.Listener) (Caller, error) {
	trunk, err := q.trunk(p)
	if err != nil {
		return Caller{}, err
	}
	return Caller{Trunk: trunk, Source: q.source(cfg, trunk), Transport: arrival(cfg, trunk, listeners)}, nil
}

// trunk finds the trunk or target in the question, or the only trunk. It returns nil if
// the source decides.
func (q *Question) trunk(p *peers.Snapshot) (*peers.Trunk, error) {
	all, callers := p.Callers()
	switch {
	case q.Target != "" && q.Trunk != "":
		return nil, fmt.Errorf("%w: it comes from a trunk or from a target, not from both", ErrQuestion)
	case q.Target != "":
		i := slices.IndexFunc(callers, func(t *peers.Trunk) bool { return t.Caller.Name == q.Target })
		if i < 0 {
			return nil, fmt.Errorf("%w: there is no target %q with sources or call_auth, which calls; there are: %s",
				ErrQuestion, q.Target, trunkNames(callers))
		}
		return callers[i], nil
	case q.Trunk != "":
		i := slices.IndexFunc(all, func(t *peers.Trunk) bool { return t.Caller.Name == q.Trunk })
		if i < 0 {
			return nil, fmt.Errorf("%w: there is no trunk %q; there are: %s", ErrQuestion, q.Trunk, trunkNames(all))
		}
		return all[i], nil
	case q.Source.IsValid():
	case len(all) == 1:
		return all[0], nil
	case len(all) > 1:
		return nil, fmt.Errorf("%w: there are several trunks: %s. Say which one calls, like --trunk %s", ErrQuestion,
			trunkNames(all), all[0].TrunkName())
	}
	return nil, nil
}

// arrival returns the transport of the call: TCP from this process if it is one of a browser, TLS if its trunk needs
// certificates, or else one that we listen on.
func arrival(cfg *config.Config, trunk *peers.Trunk, listeners []config.Listener) string {
	if ofBrowsers(cfg, trunk) {
		return config.TransportTCP
	}
	if trunk != nil && len(trunk.Caller.Certificates) > 0 {
		return config.TransportTLS
	}
	if len(listeners) > 0 && message.IsStream(listeners[0].Transport) {
		return listeners[0].Transport
	}
	return ""
}

// source returns the address that the call would come from.
func (q *Question) source(cfg *config.Config, trunk *peers.Trunk) netip.Addr {
	if q.Source.IsValid() {
		return q.Source
	}
	switch {
	case ofBrowsers(cfg, trunk):
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case trunk != nil && len(trunk.Caller.Sources) > 0:
		return trunk.Caller.Sources[0].Sample()
	}
	return sampleAddr(cfg)
}

// ofBrowsers reports whether a trunk is the one of browsers, whose calls this process itself places over loopback.
func ofBrowsers(cfg *config.Config, trunk *peers.Trunk) bool {
	b := cfg.BrowserTrunk()
	return b != nil && trunk != nil && trunk.Platform == nil && trunk.Caller.Name == b.Name
}

// Sender returns the sender of the call. It meets the trunk's conditions, unless the question says
// otherwise.
func (c *Caller) Sender() peers.Sender {
	from := peers.Sender{Addr: netip.AddrPortFrom(c.Source, uint16(sip.DefaultUdpPort))}
	if c.Trunk != nil {
		from.Names = c.Trunk.Caller.Certificates
	}
	return from
}

// Read parses the INVITE as transport does.
func (c *Caller) Read(text []byte) (*sip.Request, error) {
	msg, err := message.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrQuestion, err)
	}
	req, ok := msg.(*sip.Request)
	if !ok {
		return nil, fmt.Errorf("%w: it is no request", ErrQuestion)
	}
	req.SetTransport(message.ViaTransport(c.Transport))
	req.SetSource(c.Sender().Addr.String())
	return req, nil
}

// TrunkOf finds the trunk for the INVITE as for a real call, by address, certificate and match. It
// assumes right credentials. It returns nil if the call belongs to no trunk, and so is refused.
func (c *Caller) TrunkOf(req *sip.Request, all *peers.Snapshot, e *Explanation) (*peers.Trunk, error) {
	from := c.Sender()
	fit := all.Candidates(req, from)
	if len(fit) == 0 {
		if all.TrustOf(from).Known {
			e.Refuse(403, message.StatusText(403), "the address belongs to a trunk, but the call does not meet its match")
		} else {
			e.Refuse(0, "", fmt.Sprintf(
				"the address %v is in no trunk's sources, and the call does not meet the match of a trunk without sources",
				c.Source))
		}
		return nil, nil
	}
	asked, other := peers.Contenders(fit, from)
	switch {
	case c.Trunk == nil && len(asked) > 0:
		return asked[0], nil
	case c.Trunk == nil:
		return other, nil
	case c.Trunk == other || slices.Contains(asked, c.Trunk):
		return c.Trunk, nil
	default:
		return nil, fmt.Errorf("%w: such a call from %v belongs to %s, not to %s",
			ErrQuestion, from.Addr.Addr(), fit[0].KindAndName(), c.Trunk.KindAndName())
	}
}

func trunkNames(all []*peers.Trunk) string {
	names := make([]string, 0, len(all))
	for _, t := range all {
		names = append(names, t.Caller.Name)
	}
	return strings.Join(names, ", ")
}

// These documentation addresses replace unknown addresses (RFC 5737, RFC 3849).
var (
	sampleV4 = netip.AddrFrom4([4]byte{192, 0, 2, 1})
	sampleV6 = netip.MustParseAddr("2001:db8::1")
)

// sampleAddr returns a made-up address of the family that we listen on.
func sampleAddr(cfg *config.Config) netip.Addr {
	if l := cfg.SIP.Listen; len(l) > 0 && l[0].AddrPort.Addr().Is6() {
		return sampleV6
	}
	return sampleV4
}

// sampleLike returns a made-up address of the same family as another one.
func sampleLike(a netip.Addr) netip.Addr {
	if a.Is6() {
		return sampleV6
	}
	return sampleV4
}
