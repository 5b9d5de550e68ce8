package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// network is what carrier, relay and agents are in: a namespace each, as if they were three machines.
//
//	carrier c0 --- c0 relay a0 --- a0 agent
//	        d0 ------------------- d0
//
// The relay has one address, which both reach through it. The link between carrier and agent is for what nothing relays.
// A namespace ends with the last process and descriptor in it.
type network struct{ carrier, relay, agent namespace }

// The addresses.
var (
	systemAddr  = netip.MustParseAddr("10.205.1.1")
	carrierAddr = netip.MustParseAddr("10.205.2.2")
	agentAddr   = netip.MustParseAddr("10.205.3.2")
	gateways    = [2]netip.Addr{netip.MustParseAddr("10.205.2.1"), netip.MustParseAddr("10.205.3.1")} // the relay's, of both links
	directAddrs = [2]netip.Addr{netip.MustParseAddr("10.205.4.1"), netip.MustParseAddr("10.205.4.2")} // of carrier and agent
)

func newNetwork() (n *network, err error) {
	n = &network{carrier: -1, relay: -1, agent: -1}
	for _, ns := range []*namespace{&n.carrier, &n.relay, &n.agent} {
		if *ns, err = newNamespace(); err != nil {
			n.close()
			return nil, fmt.Errorf("a network of our own: %w; it needs root", err)
		}
	}
	link := func(from namespace, name string, at netip.Addr, to namespace, far netip.Addr) {
		if err == nil {
			err = errors.Join(from.pair(name, to), from.address(name, at, 24), to.address(name, far, 24))
		}
	}
	link(n.carrier, "c0", carrierAddr, n.relay, gateways[0])
	link(n.agent, "a0", agentAddr, n.relay, gateways[1])
	link(n.carrier, "d0", directAddrs[0], n.agent, directAddrs[1])
	if err == nil {
		err = errors.Join(n.relay.address("lo", systemAddr, 32), n.carrier.route(gateways[0]), n.agent.route(gateways[1]))
	}
	if err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *network) close() {
	for _, ns := range []namespace{n.carrier, n.relay, n.agent} {
		if ns >= 0 {
			_ = unix.Close(int(ns))
		}
	}
}

// forward has the relay's machine forward packets by itself.
func (n *network) forward() error {
	return n.relay.do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })
}

// namespace is a descriptor of a network namespace.
type namespace int

func newNamespace() (ns namespace, err error) {
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		ns = namespace(fd)
		return err
	})
	if err != nil {
		return -1, err
	}
	return ns, ns.up("lo")
}

// do runs f on a thread in the namespace. Sockets that f opens and processes that it starts stay there.
func (ns namespace) do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(ns), unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("setns", err)
		}
		return f()
	})
}

// onThread runs f on a thread of its own, which ends with it.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		done <- f()
	}()
	return <-done
}

// pair links the namespace to another one. Both ends have the name.
func (ns namespace) pair(name string, other namespace) error {
	err := ns.do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.TxQLen = name, 1000
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name, PeerNamespace: netlink.NsFd(int(other))})
	})
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	return errors.Join(ns.up(name), other.up(name))
}

func (ns namespace) up(name string) error {
	return ns.do(func() error {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(l)
		}
		return err
	})
}

func (ns namespace) address(name string, at netip.Addr, bits int) error {
	return ns.do(func() error {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: at.AsSlice(), Mask: net.CIDRMask(bits, 32)}})
		}
		return err
	})
}

// route has the namespace send what is for others through a gateway.
func (ns namespace) route(by netip.Addr) error {
	return ns.do(func() error { return netlink.RouteAdd(&netlink.Route{Gw: by.AsSlice()}) })
}
