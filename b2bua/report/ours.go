package report

import (
	"net/netip"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
)

// sampleStreamPort is shown as the port of a connection, because none was opened.
const sampleStreamPort = 49152

// Local returns our address toward a peer, as a stack determines it.
func (e *Explanation) Local(s *transport.Stack, over string, peer netip.Addr) leg.Local {
	l, err := s.LocalFor(over, peer)
	if err != nil {
		e.Note("our address toward %v is not known (%v): this-host.invalid stands for it", peer, err)
		l = leg.Local{Transport: over, Host: "this-host.invalid", Port: 5060}
	}
	if l.Port == 0 {
		e.Note("the connection's own port is not known: %d stands for it", sampleStreamPort)
		l.Port = sampleStreamPort
	}
	return l
}

// AddrOf returns the address of a target, or a made-up one if the target has a name or
// registers here.
func (e *Explanation) AddrOf(host string, t *peers.Dial, cfg *config.Config) netip.Addr {
	if t.Registered {
		e.Note("%s: the call goes to what has registered; without a uri, its Contact stands in place of sip:%s", t.Name,
			config.RegisteredHost)
		return sampleAddr(cfg)
	}
	if a, err := netip.ParseAddr(message.TrimBrackets(host)); err == nil {
		return a.Unmap()
	}
	e.Note("%s is not looked up: our own address is the one toward the internet, which another route to it may change",
		host)
	return sampleAddr(cfg)
}

// Media returns our RTP address toward a target, as the resources of its bridge determine
// it.
func (e *Explanation) Media(r *bridge.Resources, peer, wanted netip.Addr) netip.AddrPort {
	_, name, err := r.Address(peer, wanted)
	if err != nil {
		e.Note("our media address toward %v is not known (%v): a made-up one stands for it", peer, err)
		name = sampleLike(peer)
	}
	return netip.AddrPortFrom(name, r.Config.PortLow)
}
