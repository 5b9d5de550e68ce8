package transport

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/locate"
	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// cachedRoute is our address toward a peer, cached from the kernel's routing table.
type cachedRoute struct {
	addr  netip.Addr
	until time.Time
}

// Limits of the cache of routes.
const (
	routeTTL = 30 * time.Second
	cacheMax = 10_000
)

// remember adds an entry to a cache. It empties a full cache first.
func remember[K comparable, V any](cache map[K]V, key K, value V) {
	if _, known := cache[key]; !known && len(cache) >= cacheMax {
		clear(cache)
	}
	cache[key] = value
}

// Names returns the resolver of the stack, which also remembers which addresses have failed.
func (s *Stack) Names() *locate.Resolver { return s.names }

// Locate returns the hops for a request, in the order in which to try them. It leaves out hops whose address family
// or transport this server has no socket for, unless there are no others. of is the owner of the hops, as in package
// locate.
func (s *Stack) Locate(ctx context.Context, of string, q locate.Query) ([]locate.Hop, error) {
	hops, err := s.names.Locate(ctx, of, q)
	if len(hops) < 2 {
		return hops, err
	}
	usable := slices.DeleteFunc(slices.Clone(hops), func(h locate.Hop) bool {
		_, err := s.LocalFor(h.Transport, h.Addr.Addr())
		return err != nil
	})
	if len(usable) == 0 {
		return hops, nil
	}
	return usable, nil
}

// Resolve returns an address of a host that a message within a dialog names. It looks up no SRV or NAPTR records.
func (s *Stack) Resolve(ctx context.Context, host string) (netip.Addr, error) {
	hops, err := s.Locate(ctx, "", locate.Query{Host: host, Port: anyPort})
	if err != nil {
		return netip.Addr{}, err
	}
	return hops[0].Addr.Addr(), nil
}

// anyPort makes the resolver look up only a host's addresses, because a host with a port has no SRV or NAPTR records.
const anyPort = 1

// LocalFor returns our address toward a peer over a transport: the socket of the peer's address family, and the
// address at which the peer reaches us. If we don't listen on that transport, Port is 0, because each connection then
// has a port of its own.
func (s *Stack) LocalFor(transport string, peer netip.Addr) (leg.Local, error) {
	if !message.IsStream(transport) {
		transport = ""
	}
	if at, found := s.bound(transport, peer.Is4()); found {
		return s.localAt(transport, at, peer)
	}
	if transport == "" {
		return leg.Local{}, fmt.Errorf("no udp listener for the address family of %v", peer)
	}
	for _, other := range [...]string{config.TransportTCP, ""} {
		if at, found := s.bound(other, peer.Is4()); found {
			return s.localAt(transport, netip.AddrPortFrom(at.Addr(), 0), peer)
		}
	}
	any := netip.IPv4Unspecified()
	if !peer.Is4() {
		any = netip.IPv6Unspecified()
	}
	return s.localAt(transport, netip.AddrPortFrom(any, 0), peer)
}

// bound returns the first address of a family that we listen on for a transport. A listener that asks for a proof is
// not for other peers.
func (s *Stack) bound(transport string, is4 bool) (at netip.AddrPort, found bool) {
	for _, g := range s.sockets {
		if transport == "" && g.local.Addr().Is4() == is4 {
			return g.local, true
		}
	}
	for _, l := range s.listeners {
		if l.transport == transport && l.local.Addr().Is4() == is4 && l.conns.proof == "" {
			return l.local, true
		}
	}
	return at, false
}

func (s *Stack) localAt(transport string, at netip.AddrPort, peer netip.Addr) (leg.Local, error) {
	l := leg.Local{Transport: transport, Listen: at, Host: s.cfg.Advertise, Port: at.Port()}
	if s.IsAdvertised(l.Host, peer) {
		return l, nil
	}
	a := at.Addr()
	if a.IsUnspecified() {
		own, err := s.SourceToward(peer)
		if err != nil {
			return leg.Local{}, err
		}
		a = own
	}
	l.Host = a.String()
	return l, nil
}

// LocalOver returns our address on a connection.
func (s *Stack) LocalOver(c *Stream) (leg.Local, error) {
	l, err := s.LocalFor(c.transport, c.remote.Addr())
	if l.Port == 0 {
		l.Port = c.local.Port()
	}
	return l, err
}

// IsAdvertised reports whether a peer must be given host, the advertised address, instead of the socket's. It returns
// false if no address is advertised, if the peer has the other address family, or if the peer is on our side of the
// NAT.
func (s *Stack) IsAdvertised(host string, peer netip.Addr) bool {
	if host == "" { // the usual case, checked first because an error from ParseAddr allocates
		return false
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is4() != peer.Is4() {
		return false
	}
	return !slices.ContainsFunc(s.cfg.LocalNetworks, func(p netip.Prefix) bool { return p.Contains(peer) })
}

// SourceToward returns the address from which the kernel would send to peer. It sends no
// packet.
func (s *Stack) SourceToward(peer netip.Addr) (netip.Addr, error) {
	now := time.Now()
	s.mu.Lock()
	known, ok := s.routes[peer]
	s.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.addr, nil
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(peer, 9)))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the route to %v: %w", peer, err)
	}
	defer conn.Close()
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}, fmt.Errorf("find the route to %v: no UDP address", peer)
	}
	addr := local.AddrPort().Addr().Unmap()
	s.mu.Lock()
	remember(s.routes, peer, cachedRoute{addr, now.Add(routeTTL)})
	s.mu.Unlock()
	return addr, nil
}
