// Package local finds the addresses of this machine.
package local

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// Addresses returns the addresses of the machine's interfaces, without zones.
func Addresses() (all []netip.Addr, err error) {
	found, err := net.InterfaceAddrs()
	for _, a := range found {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			all = append(all, p.Addr().Unmap().WithZone(""))
		}
	}
	return all, err
}

// Towards returns the address of the interface that leads to a host, such as 192.0.2.1:9. It sends no packet: the
// kernel picks the route.
func Towards(ctx context.Context, host string) (netip.Addr, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "udp", host)
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// fresh is how long the addresses are cached. They can change at any time, and each message of a stranger may need
// them.
const fresh = time.Second

type list struct {
	addrs []netip.Addr
	until time.Time
}

var read atomic.Pointer[list]

// Has reports whether an address belongs to this machine: a loopback address, or an address that an interface has, or
// had a second ago.
func Has(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if a.IsLoopback() {
		return true
	}
	now := time.Now()
	l := read.Load()
	if l == nil || now.After(l.until) {
		addrs, err := Addresses()
		if err != nil && l != nil {
			addrs = l.addrs
		}
		l = &list{addrs: addrs, until: now.Add(fresh)}
		read.Store(l)
	}
	return slices.Contains(l.addrs, a)
}

var (
	// sharedSpace is the range of addresses between a provider's NAT and its customers (RFC 6598).
	sharedSpace = netip.MustParsePrefix("100.64.0.0/10")
	// wellKnown is the prefix of IPv6 addresses that a NAT64 translates to the IPv4 address in their last 32 bits (RFC
	// 6052 section 2.1), and localNAT64 that of networks that choose where the address stands (RFC 8215).
	wellKnown  = netip.MustParsePrefix("64:ff9b::/96")
	localNAT64 = netip.MustParsePrefix("64:ff9b:1::/48")
)

// IsPublic reports whether the internet may be able to reach an address: it is neither of this machine's loopback or
// link, nor private. An address for NAT64 is as public as the IPv4 address in it.
func IsPublic(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if wellKnown.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	return a.IsGlobalUnicast() && !a.IsPrivate() && !sharedSpace.Contains(a) && !localNAT64.Contains(a)
}
