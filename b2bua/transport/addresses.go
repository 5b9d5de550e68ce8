package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// errLookup marks a name that has no address.
var errLookup = errors.New("name not found")

// cachedHost and cachedRoute are cached answers; a lookup that failed has err.
type cachedHost struct {
	addr  netip.Addr
	err   error
	until time.Time
}

type cachedRoute struct {
	addr  netip.Addr
	until time.Time
}

// How long answers stay good, and how long a name's lookup may take.
const (
	nameTTL       = 30 * time.Second
	failureTTL    = 2 * time.Second
	routeTTL      = 30 * time.Second
	lookupTimeout = 4 * time.Second
	cacheMax      = 10_000 // entries: names come from peers too
)

// remember keeps an entry; a cache that is full begins anew.
func remember[K comparable, V any](cache map[K]V, key K, value V) {
	if _, known := cache[key]; !known && len(cache) >= cacheMax {
		clear(cache)
	}
	cache[key] = value
}

// Resolve looks up a host. It keeps answers for a while, and failures for less. If
// the name server fails, the former address stays in use.
func (s *Stack) Resolve(ctx context.Context, host string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(message.TrimBrackets(host)); err == nil {
		return a.Unmap(), nil
	}
	now := time.Now()
	s.mu.Lock()
	known := s.hosts[host]
	s.mu.Unlock()
	if now.Before(known.until) {
		return known.addr, known.err
	}
	bounded, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	addr, err := s.network.Lookup(bounded, host)
	found := cachedHost{addr: addr, until: now.Add(nameTTL)}
	switch {
	case err != nil && ctx.Err() != nil:
		return netip.Addr{}, ctx.Err() // the caller has given up: the name is not at fault
	case err != nil && known.addr.IsValid():
		found = cachedHost{addr: known.addr, until: now.Add(failureTTL)}
	case err != nil:
		found = cachedHost{err: fmt.Errorf("look up %s: %w: %w", host, errLookup, err), until: now.Add(failureTTL)}
	}
	s.mu.Lock()
	remember(s.hosts, host, found)
	s.mu.Unlock()
	return found.addr, found.err
}

// LookupHost asks the system's resolver. IPv4 comes first where there is
// both: the platforms publish it and more networks carry it.
func LookupHost(ctx context.Context, host string) (netip.Addr, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		if a.Unmap().Is4() {
			return a.Unmap(), nil
		}
	}
	if len(addrs) == 0 {
		return netip.Addr{}, errors.New("no address")
	}
	return addrs[0], nil
}

// LocalFor is our own address toward a peer over a transport: the socket of its
// family, and the address at which it reaches us. Without a listener Port is 0,
// because each connection has its own.
func (s *Stack) LocalFor(transport string, peer netip.Addr) (leg.Local, error) {
	if !message.IsStream(transport) {
		transport = ""
	}
	for _, at := range s.bound(transport) {
		if at.Addr().Is4() == peer.Is4() {
			return s.localAt(transport, at, peer)
		}
	}
	if transport == "" {
		return leg.Local{}, fmt.Errorf("no udp listener for the address family of %v", peer)
	}
	for _, at := range append(s.bound(config.TransportTCP), s.bound("")...) {
		if at.Addr().Is4() == peer.Is4() {
			return s.localAt(transport, netip.AddrPortFrom(at.Addr(), 0), peer)
		}
	}
	any := netip.IPv4Unspecified()
	if !peer.Is4() {
		any = netip.IPv6Unspecified()
	}
	return s.localAt(transport, netip.AddrPortFrom(any, 0), peer)
}

// bound are the addresses that a transport is received on.
func (s *Stack) bound(transport string) []netip.AddrPort {
	var all []netip.AddrPort
	if transport == "" {
		for _, g := range s.sockets {
			all = append(all, g.local)
		}
	}
	for _, l := range s.listeners {
		if l.transport == transport {
			all = append(all, l.local)
		}
	}
	return all
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

// LocalOver is our own address over a connection.
func (s *Stack) LocalOver(c *Stream) (leg.Local, error) {
	l, err := s.LocalFor(c.transport, c.remote.Addr())
	if l.Port == 0 {
		l.Port = c.local.Port()
	}
	return l, err
}

// IsAdvertised says whether a peer is told the advertised address. It is not if there
// is none, if it has the other address family, or if the peer is on our side of the
// NAT.
func (s *Stack) IsAdvertised(host string, peer netip.Addr) bool {
	if host == "" { // nearly always: an error of ParseAddr is not free
		return false
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is4() != peer.Is4() {
		return false
	}
	return !slices.ContainsFunc(s.cfg.LocalNetworks, func(p netip.Prefix) bool { return p.Contains(peer) })
}

// SourceToward is the address from which the kernel would send to peer. It sends
// nothing.
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
