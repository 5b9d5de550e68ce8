// Package namespace makes network namespaces, and links between them, for loads whose ends are as if they were machines
// of their own. It needs root.
package namespace

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

// Namespace is a descriptor of a network namespace.
type Namespace int

// Here is the namespace that this process is in.
const Here Namespace = -1

// New makes a namespace whose loopback is up.
func New() (ns Namespace, err error) {
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		ns = Namespace(fd)
		return err
	})
	if err != nil {
		return -1, err
	}
	return ns, ns.Up("lo")
}

// Named is a namespace that ip-netns(8) has made.
func Named(name string) (Namespace, error) {
	fd, err := unix.Open("/run/netns/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return Namespace(fd), os.NewSyscallError("open "+name, err)
}

// Close gives the namespace up. It ends with the last process and descriptor in it.
func (ns Namespace) Close() error { return unix.Close(int(ns)) }

// Do runs f on a thread in the namespace. Sockets that f opens and processes that it starts stay there.
func (ns Namespace) Do(f func() error) error {
	return onThread(func() error {
		if ns == Here {
			return f()
		}
		if err := unix.Setns(int(ns), unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("setns", err)
		}
		return f()
	})
}

// ListenUDP opens a UDP socket in the namespace.
func (ns Namespace) ListenUDP(at netip.AddrPort) (conn *net.UDPConn, err error) {
	err = ns.Do(func() error {
		conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
		return err
	})
	return conn, err
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

// Pair links the namespace to another one. Both ends have the name.
func (ns Namespace) Pair(name string, other Namespace) error {
	err := ns.Do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.TxQLen = name, 1000
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name, PeerNamespace: netlink.NsFd(int(other))})
	})
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	return errors.Join(ns.Up(name), other.Up(name))
}

// Up takes a link up.
func (ns Namespace) Up(name string) error { return ns.link(name, netlink.LinkSetUp) }

// Down takes a link down.
func (ns Namespace) Down(name string) error { return ns.link(name, netlink.LinkSetDown) }

func (ns Namespace) link(name string, f func(netlink.Link) error) error {
	return ns.Do(func() error {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = f(l)
		}
		return err
	})
}

// Address gives a link an address of a network.
func (ns Namespace) Address(name string, at netip.Addr, bits int) error {
	return ns.Do(func() error {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: at.AsSlice(), Mask: net.CIDRMask(bits, 32)}})
		}
		return err
	})
}

// Route has the namespace send what is for others through a gateway.
func (ns Namespace) Route(by netip.Addr) error {
	return ns.Do(func() error { return netlink.RouteAdd(&netlink.Route{Gw: by.AsSlice()}) })
}
