//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestUnfitFlows(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		run(t, "ip", "tuntap", "add", "dev", "tun0", "mode", "tun")
		run(t, "ip", "addr", "add", "10.81.3.1/24", "dev", "tun0")
		run(t, "ip", "link", "set", "tun0", "up")
		run(t, "ip", "route", "add", "blackhole", "10.81.4.0/24")
		run(t, "ip", "route", "add", "10.81.5.0/24", "via", "10.81.2.2")
		r := open(t)
		good := Flow{In: ap("10.81.1.1:20000"), Source: ap("10.81.1.2:4000"), Out: ap("10.81.2.1:20002"), Dest: ap("10.81.2.2:5000")}
		for _, tt := range []struct {
			why    string // why the flow is unfit; empty if it is fit
			change func(*Flow)
		}{
			{"", func(*Flow) {}},
			{"", func(f *Flow) { f.Dest = ap("10.81.5.9:1") }},
			{"is not an address", func(f *Flow) { f.Source = netip.AddrPort{} }},
			{"is not an address", func(f *Flow) { f.In = ap("0.0.0.0:20000") }},
			{"is not an address", func(f *Flow) { f.Dest = ap("10.81.2.2:0") }},
			{"both IP versions", func(f *Flow) { f.Out, f.Dest = ap("[fd81:2::1]:2"), ap("[fd81:2::2]:5000") }},
			{"IPv4 within IPv6", func(f *Flow) { f.Source = ap("[::ffff:10.81.1.2]:4000") }},
			{"zone", func(f *Flow) { f.Source = ap("[fe80::1%left]:4000") }},
			{"on this machine", func(f *Flow) { f.Dest = ap("127.0.0.1:5000") }},
			{"on this machine", func(f *Flow) { f.Source = ap("10.81.2.1:5000") }},
			{"no route", func(f *Flow) { f.In = ap("127.0.0.1:20000") }},
			{"no route", func(f *Flow) { f.Out = ap("127.0.0.1:20000") }},
			{"no route", func(f *Flow) { f.Dest = ap("192.0.2.7:5000") }},
			{"no route", func(f *Flow) { f.Dest = ap("10.81.4.7:5000") }},
			{"no route", func(f *Flow) { f.Out = ap("192.0.2.1:20002") }}, // the address is not ours
			{"not an Ethernet", func(f *Flow) { f.Dest = ap("10.81.3.7:5000"); f.Out = ap("10.81.3.1:1") }},
			{"one machine", func(f *Flow) { f.Dest = ap("10.81.2.255:5000") }},
			{"one machine", func(f *Flow) { f.Dest = ap("224.0.0.5:5000") }},
			{"RTCP", func(f *Flow) { f.Kind = RTCP; f.Rewrite.SSRC = 1 }},
			{"DSCP", func(f *Flow) { f.DSCP = 64 }},
		} {
			f := good
			tt.change(&f)
			err := put(r, f, State{})
			if tt.why == "" {
				if err != nil {
					t.Errorf("%+v: %v", f, err)
				}
				r.Remove(f.In)
			} else if !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("%+v: got %v; want %s", f, err, tt.why)
			}
		}
		if got, ok := local(r, "10.81.2.2"); !ok || got != netip.MustParseAddr("10.81.2.1") {
			t.Errorf("our address is %v, %v", got, ok)
		}
		if got, ok := local(r, "fd81:1::2"); !ok || got != netip.MustParseAddr("fd81:1::1") {
			t.Errorf("our address is %v, %v", got, ok)
		}
		if got, ok := local(r, "192.0.2.1"); ok {
			t.Errorf("our address is %v", got)
		}
	})
}

// local returns our address towards a peer, once its route is known.
func local(r *Relay, peer string) (netip.Addr, bool) {
	a := netip.MustParseAddr(peer)
	if _, err := r.Local(a); !errors.Is(err, ErrUnknown) {
		return netip.Addr{}, false
	}
	for {
		r.Look(Flow{Source: netip.AddrPortFrom(a, 1)})
		if got, err := r.Local(a); !errors.Is(err, ErrUnknown) {
			return got, err == nil
		}
	}
}

// If the route of a flow is gone, its packets come to the socket, and Flow.Lost is called.
func TestRouteIsGone(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		r := open(t)
		a, b, f := l.relays(r, false)
		lost := make(chan error, 1)
		f.Lost = func(why error) { lost <- why }
		must(t, r.Change(f))
		socket := newPhone(t, f.In.String())
		pkt := rtp(1, 160, 7, 0, "hello")
		a.reaches(b, f, pkt)
		run(t, "ip", "link", "set", "right", "down")
		if why := <-lost; !errors.Is(why, ErrUnfit) {
			t.Errorf("lost: %v", why)
		}
		a.send(f.In, pkt)
		socket.expect(a.addr, pkt)
		if err := r.Change(f); !errors.Is(err, ErrUnfit) {
			t.Errorf("a lost flow is changed: %v", err)
		}
		s, ok := r.Remove(f.In)
		if !ok || s.Packets != 1 {
			t.Errorf("got %+v, %v", s, ok)
		}
		run(t, "ip", "link", "set", "right", "up")
		await(t, "the route", func() bool { return put(r, f, s) == nil })
		a.send(f.In, pkt)
		b.expect(f.Out, pkt)
	})
}

// If the route of a flow changes, its packets take the new route.
func TestRouteMoves(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		run(t, "ip", "link", "add", "spare", "type", "veth", "peer", "name", "eth1")
		run(t, "ip", "link", "set", "eth1", "netns", tid(l.b))
		run(t, "ip", "addr", "add", "10.81.3.1/24", "dev", "spare")
		run(t, "ip", "link", "set", "spare", "up")
		l.b.run("ip", "addr", "add", "10.81.3.2/24", "dev", "eth1")
		l.b.run("ip", "link", "set", "eth1", "up")
		r := open(t)
		a, b, f := l.relays(r, false)
		f.Lost = func(why error) { t.Errorf("lost: %v", why) }
		must(t, r.Change(f))
		pkt := rtp(1, 160, 7, 0, "hello")
		a.reaches(b, f, pkt)
		run(t, "ip", "route", "add", "10.81.2.2/32", "via", "10.81.3.2")
		before := received(t, "spare")
		await(t, "the other way", func() bool {
			a.send(f.In, pkt)
			b.expect(f.Out, pkt)
			return received(t, "spare") > before+1 // more than the request for the neighbour's address
		})
		run(t, "ip", "link", "set", "spare", "mtu", "100")
		socket := newPhone(t, f.In.String())
		long := rtp(2, 160, 7, 0, strings.Repeat("x", 160))
		await(t, "the smaller MTU", func() bool {
			a.send(f.In, long)
			_, _, up := socket.hear(20e6)
			return up
		})
	})
}

func TestInterfacesComeAndGo(t *testing.T) {
	needsRoot(t)
	t.Run("in a lab", func(t *testing.T) {
		if err := isolate(); err != nil {
			t.Skipf("needs network namespaces: %v", err)
		}
		l := &lab{t: t, a: newHost(t), b: newHost(t)}
		run(t, "ip", "link", "set", "lo", "up")
		r := open(t)
		if got := where(r); got != "lo" {
			t.Fatalf("it is on %q", got)
		}
		l.cable("left", 1, l.a)
		l.cable("right", 2, l.b)
		await(t, "the interfaces", func() bool { return where(r) == "left, lo, right" })
		a, b, f := l.relays(r, false)
		a.reaches(b, f, rtp(1, 160, 7, 0, "hello"))
		run(t, "ip", "link", "add", "bridge", "type", "bridge")
		run(t, "ip", "link", "set", "left", "master", "bridge")
		await(t, "the port of a bridge to be left alone", func() bool { return where(r) == "lo, right" })
		run(t, "ip", "link", "del", "right")
		await(t, "the interface to be gone", func() bool { return where(r) == "lo" })
	})
}

// Packets that go up to an address without a socket arrive at the socket that the address is steered to.
func TestSteers(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		r := open(t)
		for _, tt := range []struct{ shared, to, other, from string }{
			{"10.81.1.1:9999", "10.81.1.1:20000", "10.81.1.1:20002", "10.81.1.2:4000"},
			{"0.0.0.0:9998", "10.81.1.1:20000", "10.81.2.1:20000", "10.81.1.2:4000"},
			{"[fd81:1::1]:9999", "[fd81:1::1]:20000", "[fd81:1::1]:20002", "[fd81:1::2]:4000"},
		} {
			shared, from := newPhone(t, tt.shared), l.a.phone(tt.from)
			conn, err := shared.conn.SyscallConn()
			must(t, err)
			_ = conn.Control(func(fd uintptr) {
				if err = r.Socket(3, int(fd)); err == nil {
					err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVORIGDSTADDR, 1)
				}
				if shared.addr.Addr().Is6() {
					err = errors.Join(err, unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVORIGDSTADDR, 1))
				}
			})
			must(t, err)
			must(t, r.Steer(ap(tt.to), 3, 100))
			from.send(ap(tt.other), []byte("not this"))
			from.send(ap(tt.to), []byte("hello"))
			buf, oob := make([]byte, 100), make([]byte, 100)
			n, oobn, _, src, err := shared.conn.ReadMsgUDPAddrPort(buf, oob)
			if err != nil || string(buf[:n]) != "hello" || src != from.addr {
				t.Errorf("%s heard %q from %v, %v", tt.shared, buf[:n], src, err)
			}
			if dst, err := originalDestination(oob[:oobn]); err != nil || dst != ap(tt.to) {
				t.Errorf("%s heard what was sent to %v, %v", tt.shared, dst, err)
			}
			r.Unsteer(ap(tt.to))
			bound := newPhone(t, tt.to)
			from.send(ap(tt.to), []byte("after"))
			bound.expect(from.addr, []byte("after"))
			_ = shared.conn.Close()
			_ = bound.conn.Close()
			_ = from.conn.Close()
		}
	})
}

// A flood to one address leaves room in the shared socket for packets to another address.
func TestSteersSoMany(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		r := open(t)
		for _, tt := range []struct{ shared, flooded, quiet, from string }{
			{"10.81.1.1:9999", "10.81.1.1:20001", "10.81.1.1:20003", "10.81.1.2:4000"},
			{"[fd81:1::1]:9999", "[fd81:1::1]:20001", "[fd81:1::1]:20003", "[fd81:1::2]:4000"},
		} {
			shared, from := newPhone(t, tt.shared), l.a.phone(tt.from)
			conn, err := shared.conn.SyscallConn()
			must(t, err)
			must(t, conn.Control(func(fd uintptr) { err = r.Socket(3, int(fd)) }))
			const most = 5
			for _, to := range []string{tt.flooded, tt.quiet} {
				err = errors.Join(err, r.Steer(ap(to), 3, most))
				must(t, err)
			}
			began := Now()
			for range 200 {
				from.send(ap(tt.flooded), []byte("flood"))
			}
			from.send(ap(tt.quiet), []byte("report"))
			flood := 0
			for {
				got, _, ok := shared.hear(patience)
				if !ok {
					t.Fatal("the report did not come")
				}
				if string(got) == "report" {
					break
				}
				flood++
			}
			if seconds := int((Now()-began)/time.Second) + 2; flood < most || flood > most*seconds {
				t.Errorf("%d packets of the flood came in %d s; want %d a second", flood, seconds, most)
			}
			// The flooder gets no error either, because its source address may be forged.
			if _, err := from.conn.WriteToUDPAddrPort([]byte("flood"), ap(tt.flooded)); err != nil {
				t.Errorf("the flooder hears %v", err)
			}
			_ = shared.conn.Close()
			_ = from.conn.Close()
		}
		if err := r.Socket(sink, 0); err == nil {
			t.Error("a socket that nobody reads was replaced")
		}
	})
}

func originalDestination(oob []byte) (netip.AddrPort, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for _, m := range messages {
		sa, err := unix.ParseOrigDstAddr(&m)
		if err != nil {
			continue
		}
		switch sa := sa.(type) {
		case *unix.SockaddrInet4:
			return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil
		case *unix.SockaddrInet6:
			return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)), nil
		}
	}
	return netip.AddrPort{}, errors.New("no original destination")
}

// The program would bypass IPsec, so it carries nothing while there are IPsec policies.
func TestIPsec(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		r := open(t)
		a, b, f := l.relays(r, false)
		lost := make(chan error, 1)
		f.Lost = func(why error) { lost <- why }
		must(t, r.Change(f))
		a.reaches(b, f, rtp(1, 160, 7, 0, "hello"))
		policy := []string{"ip", "xfrm", "policy", "add", "src", "10.81.2.1", "dst", "10.81.2.2", "dir", "out", "tmpl", "proto", "esp"}
		if out, err := exec.Command(policy[0], policy[1:]...).CombinedOutput(); err != nil {
			t.Skipf("needs IPsec: %v: %s", err, out)
		}
		if why := <-lost; !errors.Is(why, ErrUnfit) || !strings.Contains(why.Error(), "IPsec") {
			t.Errorf("lost: %v", why)
		}
		r.Remove(f.In)
		if err := put(r, f, State{}); !errors.Is(err, ErrUnfit) {
			t.Errorf("put: %v", err)
		}
	})
}

// IPsec counts as present unless the kernel reports that it has none: in doubt, nothing must be sent unencrypted.
func TestIPsecIsFound(t *testing.T) {
	policy := func(dir netlink.Dir) []netlink.XfrmPolicy { return []netlink.XfrmPolicy{{Dir: dir}} }
	for name, tt := range map[string]struct {
		policies []netlink.XfrmPolicy
		err      error
		want     bool
	}{
		"none":                      {},
		"of forwarded packets":      {policies: policy(netlink.XFRM_DIR_FWD)},
		"of a socket":               {policies: policy(netlink.XFRM_SOCKET_OUT)},
		"of what is sent":           {policies: append(policy(netlink.XFRM_DIR_FWD), policy(netlink.XFRM_DIR_OUT)...), want: true},
		"of what comes":             {policies: policy(netlink.XFRM_DIR_IN), want: true},
		"no IPsec":                  {err: os.NewSyscallError("socket", unix.EPROTONOSUPPORT)},
		"not allowed":               {err: unix.EPERM, want: true},
		"too many":                  {err: unix.ENOBUFS, want: true},
		"they change just now":      {err: netlink.ErrDumpInterrupted, want: true},
		"no more open files":        {err: unix.EMFILE, want: true},
		"some, and then an error":   {policies: policy(netlink.XFRM_DIR_OUT), err: unix.EINTR, want: true},
		"others, and then an error": {policies: policy(netlink.XFRM_DIR_FWD), err: unix.EINTR, want: true},
	} {
		if got := hasPolicies(tt.policies, tt.err); got != tt.want {
			t.Errorf("%s: %v; want %v", name, got, tt.want)
		}
	}
}

// At the physical interface, tagged frames go up. At the VLAN interface they are relayed, and packets that leave
// through a VLAN are tagged again.
func TestVLAN(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		if out, err := exec.Command("ip", "link", "add", "link", "left", "name", "vlan", "type", "vlan", "id", "5").CombinedOutput(); err != nil {
			t.Skipf("needs VLANs: %v: %s", err, out)
		}
		run(t, "ip", "addr", "add", "10.81.5.1/24", "dev", "vlan")
		run(t, "ip", "link", "set", "vlan", "up")
		l.a.run("ip", "link", "add", "link", "eth0", "name", "vlan", "type", "vlan", "id", "5")
		l.a.run("ip", "addr", "add", "10.81.5.2/24", "dev", "vlan")
		l.a.run("ip", "link", "set", "vlan", "up")
		r := open(t)
		a, b := l.a.phone("10.81.5.2:4000"), l.b.phone("10.81.2.2:5000")
		there := Flow{In: ap("10.81.5.1:20000"), Source: a.addr, Out: ap("10.81.2.1:20002"), Dest: b.addr, SSRC: 7}
		back := Flow{In: there.Out, Source: b.addr, Out: there.In, Dest: a.addr, SSRC: 7}
		for _, f := range []Flow{there, back} {
			must(t, put(r, f, State{}))
		}
		for seq := range uint16(20) {
			pkt := rtp(seq, 160, 7, 0, "hello")
			a.reaches(b, there, pkt)
			b.send(back.In, pkt)
			a.expect(back.Out, pkt)
		}
		for _, f := range []Flow{there, back} {
			if s, ok := r.Remove(f.In); !ok || s.Sent != 20 {
				t.Errorf("%v: got %+v, %v; want 20 packets", f.In, s, ok)
			}
		}
	})
}

// Change replaces the flow with the same In, which keeps its state. After an error the flow is unchanged. The Figures
// function passed to Put stays. Change may wait for routes.
func (r *Relay) Change(f Flow) error {
	if !r.enter() {
		return errClosed
	}
	defer r.leave()
	c := r.find(f.In)
	if c == nil {
		return fmt.Errorf("%w: there is no flow to %v", ErrUnfit, f.In)
	}
	defer c.mu.Unlock()
	switch {
	case c.lost:
		return fmt.Errorf("%w: there is no flow to %v", ErrUnfit, f.In)
	case f.Kind != c.flow.Kind:
		return fmt.Errorf("the flow to %v is of another kind", f.In)
	}
	out, err := r.fits(f, r.routes.to)
	if err != nil {
		return err
	}
	is := &carried{flow: f, out: out}
	if err := r.change(c.slot, c.id, is.value()); err != nil {
		return err
	}
	c.flow, c.out = f, out
	return nil
}
