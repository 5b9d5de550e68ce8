// Package namespace creates network namespaces, and links between them, for loads whose ends behave like separate
// machines. It needs root.
package namespace

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Namespace is a descriptor of a network namespace.
type Namespace int

// Here is the namespace of this process.
const Here Namespace = -1

// New creates a namespace whose loopback interface is up.
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
	return ns, ns.IP("link set lo up")
}

// Named returns a namespace created by ip-netns(8).
func Named(name string) (Namespace, error) {
	fd, err := unix.Open("/run/netns/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return Namespace(fd), os.NewSyscallError("open "+name, err)
}

// Close releases the namespace. It ends with the last process and descriptor in it.
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

// onThread runs f on a new thread, which ends afterwards.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		done <- f()
	}()
	return <-done
}

// IP runs a command of ip(8) in the namespace.
func (ns Namespace) IP(form string, values ...any) error {
	line := fmt.Sprintf(form, values...)
	var said []byte
	err := ns.Do(func() (err error) {
		said, err = exec.CommandContext(context.Background(), "ip", strings.Fields(line)...).CombinedOutput()
		return err
	})
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", line, err, said)
	}
	return nil
}

// Link links the namespace to another one, with an address in a 24-bit network at each end. Both interfaces have the
// name.
func (ns Namespace) Link(name string, at netip.Addr, to Namespace, far netip.Addr) error {
	if err := ns.IP("link add %s type veth peer name %s netns /proc/%d/fd/%d", name, name, os.Getpid(), to); err != nil {
		return err
	}
	return errors.Join(
		ns.IP("address add %v/24 dev %s", at, name), ns.IP("link set %s up", name),
		to.IP("address add %v/24 dev %s", far, name), to.IP("link set %s up", name))
}
