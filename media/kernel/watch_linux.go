//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watcher watches the network for changes that affect the program.
type watcher struct {
	relay  *Relay
	events *os.File // messages about interfaces, addresses, routes and rules
	home   *os.File // the network namespace of Open
	ended  chan struct{}
}

const (
	// everythingEvery is how often everything is checked without a message, because path MTUs change without one.
	everythingEvery = 30 * time.Second

	// settling is how long the watcher waits after a change before it handles the next one, so that a busy routing
	// daemon does not cost much.
	settling = 10 * time.Millisecond
)

func watch(r *Relay) (*watcher, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	w := &watcher{relay: r, events: os.NewFile(uintptr(fd), "netlink"), ended: make(chan struct{})}
	groups := uint32(0)
	for _, g := range []int{
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE,
		unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_NEXTHOP,
	} {
		groups |= 1 << (g - 1)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return nil, errors.Join(fmt.Errorf("netlink: %w", err), w.events.Close())
	}
	if w.home, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return nil, errors.Join(fmt.Errorf("the network namespace: %w", err), w.events.Close())
	}
	at, began := namespace(), make(chan error)
	go func() {
		defer close(w.ended)
		err := w.enter(at)
		began <- err
		if err == nil {
			w.run()
		}
	}()
	if err := <-began; err != nil {
		return nil, errors.Join(err, w.events.Close(), w.home.Close())
	}
	return w, nil
}

// enter moves the goroutine into the namespace of Open, if the process has another one. The thread then ends with the
// goroutine.
func (w *watcher) enter(at uint64) error {
	if namespace() == at {
		return nil
	}
	runtime.LockOSThread()
	return os.NewSyscallError("setns", unix.Setns(int(w.home.Fd()), unix.CLONE_NEWNET))
}

func (w *watcher) stop() {
	if w == nil {
		return
	}
	_ = w.events.Close()
	<-w.ended
	_ = w.home.Close()
}

func (w *watcher) run() {
	var refreshed, reaped time.Duration
	for {
		changed, err := w.wait()
		if err != nil {
			return
		}
		now := Now()
		if changed || now-refreshed >= everythingEvery || (now-reaped >= time.Second && w.relay.routes.changed()) {
			w.relay.refresh()
			refreshed = now
		}
		if now-reaped >= time.Second {
			w.relay.reap(now)
			reaped = now
		}
		if changed {
			time.Sleep(settling)
		}
	}
}

// wait returns after a message, with all waiting messages read, or after a second. An error means that the watcher is
// stopped.
func (w *watcher) wait() (changed bool, err error) {
	if err := w.events.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return false, err
	}
	conn, err := w.events.SyscallConn()
	if err != nil {
		return false, err
	}
	var buf [1 << 14]byte
	err = conn.Read(func(fd uintptr) bool {
		for {
			_, err := unix.Read(int(fd), buf[:])
			if errors.Is(err, syscall.EAGAIN) {
				return changed
			}
			changed = true // messages may have been lost
			if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
				return true
			}
		}
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return changed, err
}

// refresh updates how flows leave to match the interfaces, addresses and routes. It does not block any other
// goroutine all that time.
func (r *Relay) refresh() {
	r.routes.renew(r.pairs())
	_ = r.attach() // if an interface does not accept the program, the packets there go up
	for _, c := range r.all() {
		if f, known := r.reroute(c); !known { // the flow was put after pairs was called
			r.Look(f)
			r.reroute(c)
		}
	}
	for _, a := range r.orphans() {
		r.redirect(a)
	}
}

// reroute updates how a flow leaves, if the route is known.
func (r *Relay) reroute(c *carried) (f Flow, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost || c.over {
		return c.flow, true
	}
	out, err := r.fits(c.flow, r.routes.known)
	switch {
	case err == nil && out == c.out:
		return c.flow, true
	case errors.Is(err, ErrUnknown):
		return c.flow, false
	}
	if err == nil {
		c.out = out
		err = r.change(c.slot, c.id, c.value())
	}
	if err != nil {
		r.lose(c, err)
	}
	return c.flow, true
}

// pairs returns the pairs of addresses between which flows need a route.
func (r *Relay) pairs() map[[2]netip.Addr]bool {
	all := map[[2]netip.Addr]bool{}
	for _, c := range r.all() {
		c.mu.Lock()
		all[[2]netip.Addr{c.flow.Source.Addr(), c.in.Addr()}] = true
		all[[2]netip.Addr{c.flow.Dest.Addr(), c.flow.Out.Addr()}] = true
		c.mu.Unlock()
	}
	for _, a := range r.orphans() {
		a.mu.Lock()
		all[[2]netip.Addr{address(a.value.Src), a.in.Addr()}] = true
		all[[2]netip.Addr{address(a.value.To), a.out.Addr()}] = true
		a.mu.Unlock()
	}
	return all
}

// lose makes the packets of a flow go up, and reports the flow as lost. The caller holds c.mu.
func (r *Relay) lose(c *carried, why error) {
	_ = r.program.Flows.Delete(keyOf(c.in))
	r.hint(c.in, 0) // the flow keeps its slot, which the hint would lead to
	c.lost = true
	if c.flow.Lost != nil {
		go c.flow.Lost(why)
	}
}

// redirect updates how an adopted flow leaves. Only the kernel can carry an adopted flow.
func (r *Relay) redirect(a *adopted) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := a.value
	from, to := r.routes.to(address(v.Src), a.in.Addr()), r.routes.to(address(v.To), a.out.Addr())
	if from.err != nil || to.err != nil || (from.index == 0) != (to.index == 0) {
		return // until the flow fits again, or is removed because it is silent
	}
	to.into(&v)
	if v == a.value || a.gone {
		return
	}
	a.value = v
	_ = r.change(a.slot, a.id, &v)
}
