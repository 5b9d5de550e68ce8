//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// outlet describes how packets to an address leave this machine.
type outlet struct {
	index  int           // number of the interface; 0 if the address is on this machine
	hop    netip.Addr    // the next hop on the link; invalid if the address is on this machine
	mtu    int           // largest size of an IP packet
	src    netip.Addr    // our address towards the destination, if the caller requires none
	err    error         // ErrUnknown, or an error that wraps ErrUnfit and says why the program can't send there
	asked  time.Duration // when the known outlet was last used
	looked time.Duration // when it was looked up, other than by renew
}

// maxPacket is the longest RTP packet that media relays. Longer ones go up and are counted there.
const maxPacket = 1500

// longest returns the length of an IP packet with maxPacket bytes of RTP.
func longest(dst netip.Addr) int {
	if dst.Is4() {
		return 20 + 8 + maxPacket
	}
	return 40 + 8 + maxPacket
}

// routes looks up how packets leave, and caches the results until the network changes.
type routes struct {
	*netlink.Handle
	ipsec func() bool

	mu      sync.Mutex // guards the fields below
	found   map[[2]netip.Addr]*outlet
	began   time.Duration // start of the last renewal
	secured bool          // there are IPsec policies, which the program would bypass
}

func openRoutes(ipsec func() bool) (*routes, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	w := &routes{Handle: h, ipsec: ipsec, found: map[[2]netip.Addr]*outlet{}}
	if w.ipsec == nil {
		w.ipsec = func() bool { return hasPolicies(netlink.XfrmPolicyList(netlink.FAMILY_ALL)) }
	}
	w.secured = w.ipsec()
	return w, nil
}

func (w *routes) close() {
	if w != nil {
		w.Close()
	}
}

// foundFor is how long a route that no flow needs is remembered.
const foundFor = time.Minute

// renew looks up again how packets leave, for the given pairs of addresses and for recently used ones, and forgets the
// rest. The old outlets stay valid until renew is done.
func (w *routes) renew(pairs map[[2]netip.Addr]bool) {
	now := Now()
	w.mu.Lock()
	w.began = now
	for pair, o := range w.found {
		if now-o.asked < foundFor {
			pairs[pair] = true
		}
	}
	w.mu.Unlock()
	secured := w.ipsec()
	found := make(map[[2]netip.Addr]*outlet, len(pairs))
	for pair := range pairs {
		o := w.find(pair[0], pair[1], secured)
		found[pair] = &o
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for pair, was := range w.found {
		if o := found[pair]; o != nil {
			o.asked = was.asked
		} else if was.looked >= now {
			found[pair] = was // looked up since renew started
		}
	}
	w.found, w.secured = found, secured
}

// changed reports whether IPsec policies have appeared or disappeared since the last renewal.
func (w *routes) changed() bool {
	is := w.ipsec()
	w.mu.Lock()
	defer w.mu.Unlock()
	return is != w.secured
}

// hasPolicies reports whether IPsec may apply to relayed packets: a policy may require that incoming packets are
// encrypted, or may encrypt outgoing ones. If in doubt, it returns true.
func hasPolicies(policies []netlink.XfrmPolicy, err error) bool {
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT) {
		return false // the kernel has no IPsec
	}
	return err != nil || slices.ContainsFunc(policies, func(p netlink.XfrmPolicy) bool {
		return p.Dir == netlink.XFRM_DIR_OUT || p.Dir == netlink.XFRM_DIR_IN
	})
}

// to returns how packets leave to dst from our address src. src may be invalid. to may wait for the kernel.
func (w *routes) to(dst, src netip.Addr) outlet {
	if o := w.known(dst, src); !errors.Is(o.err, ErrUnknown) {
		return o
	}
	now := Now()
	w.mu.Lock()
	secured := w.secured
	w.mu.Unlock()
	o := w.find(dst, src, secured)
	o.looked, o.asked = now, now
	w.mu.Lock()
	defer w.mu.Unlock()
	if now >= w.began && secured == w.secured { // else the result may be older than the renewal
		w.found[[2]netip.Addr{dst, src}] = &o
	}
	return o.anytime()
}

// known is like to, but only looks in the cache. If the outlet is not there, its error is ErrUnknown.
func (w *routes) known(dst, src netip.Addr) outlet {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.found[[2]netip.Addr{dst, src}]
	if o == nil {
		return outlet{err: ErrUnknown}
	}
	o.asked = Now()
	return o.anytime()
}

// anytime returns the outlet without its times, for comparison.
func (o outlet) anytime() outlet {
	o.looked, o.asked = 0, 0
	return o
}

func (w *routes) find(dst, src netip.Addr, secured bool) outlet {
	if !dst.IsValid() {
		return unfit("there is no address to send to")
	}
	var options netlink.RouteGetOptions
	if src.IsValid() {
		options.SrcAddr = src.AsSlice()
	}
	found, err := w.RouteGetWithOptions(dst.AsSlice(), &options)
	if err != nil || len(found) == 0 {
		return unfit("there is no route from %v to %v", src, dst)
	}
	o, route := outlet{hop: dst}, found[0]
	o.src, _ = netip.AddrFromSlice(route.Src)
	o.src = o.src.Unmap()
	switch {
	case route.Type == unix.RTN_LOCAL:
		return outlet{mtu: longest(dst), src: o.src}
	case route.Type != unix.RTN_UNICAST:
		return unfit("%v is not the address of one machine", dst)
	case secured:
		return unfit("there are IPsec policies on this machine, and packets of the program would not be secured")
	case route.Encap != nil || route.MPLSDst != nil || len(route.MultiPath) > 0:
		return unfit("the route to %v wraps packets", dst)
	}
	if gw := gateway(route); gw.IsValid() {
		o.hop = gw
	}
	l, err := w.LinkByIndex(route.LinkIndex)
	switch {
	case err != nil:
		return unfit("the interface to %v: %w", dst, err)
	case l.Attrs().EncapType != "ether":
		return unfit("%s, which leads to %v, is not an Ethernet", l.Attrs().Name, dst)
	case l.Attrs().Flags&net.FlagUp == 0:
		return unfit("%s, which leads to %v, is down", l.Attrs().Name, dst)
	}
	o.index, o.mtu = l.Attrs().Index, min(l.Attrs().MTU, longest(dst))
	if route.MTU > 0 {
		o.mtu = min(o.mtu, route.MTU)
	}
	return o
}

// gateway returns the next hop of a route. It is invalid if the destination is on the link.
func gateway(r netlink.Route) netip.Addr {
	if via, ok := r.Via.(*netlink.Via); ok {
		a, _ := netip.AddrFromSlice(via.Addr)
		return a
	}
	a, _ := netip.AddrFromSlice(r.Gw)
	return a.Unmap()
}

func unfit(format string, a ...any) outlet {
	return outlet{err: fmt.Errorf("%w: %w", ErrUnfit, fmt.Errorf(format, a...))}
}

// fits returns how packets of a flow leave, or why the program can't carry it. outletTo is routes.to or routes.known.
func (r *Relay) fits(f Flow, outletTo func(dst, src netip.Addr) outlet) (outlet, error) {
	if err := f.check(); err != nil {
		return outlet{}, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	from, to := outletTo(f.Source.Addr(), f.In.Addr()), outletTo(f.Dest.Addr(), f.Out.Addr())
	switch {
	case from.err != nil:
		return outlet{}, from.err
	case to.err != nil:
		return outlet{}, to.err
	case (from.index == 0) != (to.index == 0):
		return outlet{}, fmt.Errorf("%w: one of %v and %v is on this machine", ErrUnfit, f.Source, f.Dest)
	case from.index != 0 && (f.In.Addr().IsLoopback() || f.Out.Addr().IsLoopback()):
		return outlet{}, fmt.Errorf("%w: a loopback address is not for the network", ErrUnfit)
	}
	return to, nil
}

func (f *Flow) check() error {
	for _, a := range []netip.AddrPort{f.In, f.Source, f.Out, f.Dest} {
		switch {
		case !a.IsValid() || a.Addr().IsUnspecified() || a.Port() == 0:
			return fmt.Errorf("%v is not an address and port", a)
		case a.Addr().Zone() != "" || a.Addr().Is4In6():
			return fmt.Errorf("%v has a zone, or is IPv4 within IPv6", a)
		case a.Addr().Is4() != f.In.Addr().Is4():
			return errors.New("its addresses are of both IP versions")
		}
	}
	if f.Kind == RTCP && (f.Rewrite != Rewrite{} || f.Up != PayloadTypes{}) {
		return errors.New("RTCP can't be rewritten")
	}
	if f.DSCP > 63 {
		return fmt.Errorf("DSCP %d is not in 0 to 63", f.DSCP)
	}
	return nil
}
