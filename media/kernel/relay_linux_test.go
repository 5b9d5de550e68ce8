//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// relays adds a flow from a phone of a to one of b.
func (l *lab) relays(r *Relay, v6 bool) (a, b *phone, f Flow) {
	l.t.Helper()
	f = Flow{In: ap("10.81.1.1:20000"), Out: ap("10.81.2.1:20002"), SSRC: 7}
	a, b = l.a.phone("10.81.1.2:4000"), l.b.phone("10.81.2.2:5000")
	if v6 {
		f.In, f.Out = ap("[fd81:1::1]:20000"), ap("[fd81:2::1]:20002")
		a, b = l.a.phone("[fd81:1::2]:4000"), l.b.phone("[fd81:2::2]:5000")
	}
	f.Source, f.Dest = a.addr, b.addr
	must(l.t, put(r, f, State{}))
	return a, b, f
}

// Relayed packets have checksums that a receiver accepts, whether or not the sender, and this machine, leave
// checksums to the device.
func TestRelaysBetweenInterfaces(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, sender := range []bool{true, false} {
			for _, ours := range []bool{true, false} {
				t.Run(fmt.Sprintf("v6 %v, offload of the sender %v, ours %v", v6, sender, ours), func(t *testing.T) {
					inLab(t, func(t *testing.T, l *lab) {
						offload(t, "right", ours)
						l.a.in(func() error { offload(t, "eth0", sender); return nil })
						r := open(t)
						a, b, f := l.relays(r, v6)
						f.Rewrite = Rewrite{SSRC: 9, SeqOffset: 5, TimeOffset: 160, Payload: [8]PayloadChange{{From: 96, To: 101}}}
						must(t, r.Change(f))
						for seq := range uint16(20) {
							text := strings.Repeat("x", 160+int(seq%3))
							a.send(f.In, rtp(seq, 160*uint32(seq), 7, 96, text))
							b.expect(f.Out, rtp(seq+5, 160*uint32(seq)+160, 9, 101, text))
						}
						s, ok := r.Remove(f.In)
						if !ok || s.Packets != 20 || s.Sent != 20 || s.Received != 20 || s.Top != 19 {
							t.Errorf("got %+v, %v; want 20 packets", s, ok)
						}
					})
				})
			}
		}
	}
}

func TestRelaysOnLoopback(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		for _, host := range []string{"127.0.0.1", "127.0.1.1", "[::1]", "10.81.1.1", "[fd81:1::1]"} {
			r := open(t)
			a, b := newPhone(t, host+":0"), newPhone(t, host+":0")
			f := Flow{In: ap(host + ":20000"), Source: a.addr, Out: ap(host + ":20002"), Dest: b.addr, SSRC: 7}
			must(t, put(r, f, State{}))
			for seq := range uint16(20) {
				a.reaches(b, f, rtp(seq, 160*uint32(seq), 7, 0, "hello"))
			}
			if s, ok := r.Remove(f.In); !ok || s.Sent != 20 {
				t.Errorf("got %+v, %v; want 20 packets", s, ok)
			}
			must(t, put(r, f, State{}))
			socket := newPhone(t, f.In.String())
			for _, n := range []int{maxPacket, maxPacket + 1} {
				pkt := rtp(1, 160, 7, 0, strings.Repeat("x", n-12))
				a.send(f.In, pkt)
				if n == maxPacket {
					b.expect(f.Out, pkt)
				} else {
					socket.expect(a.addr, pkt)
				}
			}
			r.Close()
		}
	})
}

// Packets that are not the flow's arrive at the socket as if the program were not there. A flood of them does not.
func TestGoesUp(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		r := open(t)
		a, b, f := l.relays(r, false)
		f.Up.Add(101)
		must(t, r.Change(f))
		socket := newPhone(t, f.In.String())
		good := rtp(1, 160, 7, 0, "hello")
		a.send(f.In, good)
		b.expect(f.Out, good)
		for name, pkt := range map[string][]byte{
			"a telephone-event":     rtp(2, 160, 7, 101, "event"),
			"STUN":                  append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...),
			"RTCP on the RTP port":  {0x80, 200, 0, 1, 0, 0, 0, 7},
			"a short packet":        {0x80},
			"an empty packet":       {},
			"a fragmented packet":   rtp(3, 160, 7, 0, strings.Repeat("x", 3000)),
			"a packet with padding": append([]byte{0xa0}, rtp(4, 160, 7, 0, "\xff")[1:]...),
		} {
			a.send(f.In, pkt)
			if got, src, ok := socket.hear(patience); !ok || src != a.addr || string(got) != string(pkt) {
				t.Errorf("%s: the socket heard %x from %v, %v", name, got, src, ok)
			}
		}
		options, err := a.conn.SyscallConn()
		must(t, err)
		_ = options.Control(func(fd uintptr) {
			err = unix.SetsockoptString(int(fd), unix.IPPROTO_IP, unix.IP_OPTIONS, "\x01\x01\x01\x00")
		})
		must(t, err)
		a.send(f.In, good)
		socket.expect(a.addr, good)
		b.silent()
	})
}

// The latch sees one packet of wrong sources a second, or all of them while the right source is silent.
func TestWrongSources(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		r := open(t)
		a, b, f := l.relays(r, false)
		socket, spoofer := newPhone(t, f.In.String()), l.a.phone("10.81.1.2:4444")
		pkt, bad := rtp(1, 160, 7, 0, "good"), rtp(1, 160, 7, 0, "bad")
		for range 10 { // the flow was never heard, so any source may be the first
			spoofer.send(f.In, bad)
			socket.expect(spoofer.addr, bad)
		}
		const flood = 2000
		began := time.Now()
		for range flood {
			a.send(f.In, pkt)
			b.expect(f.Out, pkt)
			spoofer.send(f.In, bad)
		}
		seconds := int(time.Since(began)/time.Second) + 2
		up := 0
		for {
			if _, _, ok := socket.hear(100 * time.Millisecond); !ok {
				break
			}
			up++
		}
		s, _ := r.Remove(f.In)
		if up > seconds || s.WrongSource != uint64(flood-up) || s.Packets != flood {
			t.Errorf("%d went up in %d s, %d were dropped of %d; %d relayed", up, seconds, s.WrongSource, flood, s.Packets)
		}
		b.silent()
	})
}

// Headers outside the linear part of the packet are found.
func TestPacketInPieces(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		r := open(t)
		a, b, f := l.relays(r, false)
		pkt := rtp(1, 160, 7, 0, strings.Repeat("x", 160))
		conn, err := a.conn.SyscallConn()
		must(t, err)
		to := &unix.SockaddrInet4{Addr: f.In.Addr().As4(), Port: int(f.In.Port())}
		_ = conn.Control(func(fd uintptr) {
			err = errors.Join(
				unix.Sendto(int(fd), pkt[:2], unix.MSG_MORE, to), unix.Sendto(int(fd), pkt[2:7], unix.MSG_MORE, to), unix.Sendto(int(fd), pkt[7:], 0, to))
		})
		must(t, err)
		b.expect(f.Out, pkt)
		if s, _ := r.State(f.In); s.Sent != 1 || s.SentBytes != uint64(len(pkt)) {
			t.Errorf("got %+v; want one packet", s)
		}
	})
}

// A flow moves to userspace and back. Each packet is counted once, wherever it was relayed.
func TestHandedOver(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		r := open(t)
		a, b, f := l.relays(r, false)
		socket := newPhone(t, f.In.String())
		seq := uint16(65500)
		say := func() {
			pkt := rtp(seq, 160*uint32(seq), 7, 0, "hello")
			seq++
			a.send(f.In, pkt)
			b.expect(f.Out, pkt)
		}
		for range 50 {
			say()
		}
		s, ok := r.Remove(f.In)
		if !ok || s.Packets != 50 || s.Top != 65549 {
			t.Fatalf("got %+v, %v", s, ok)
		}
		pkt := rtp(seq, 0, 7, 0, "by a socket")
		a.send(f.In, pkt)
		socket.expect(a.addr, pkt)
		if _, ok := r.Remove(f.In); ok {
			t.Error("the flow is there after it was removed")
		}
		seq += 3 // two more are lost
		must(t, put(r, f, s))
		for range 50 {
			say()
		}
		got, _ := r.State(f.In)
		if got.Packets != 100 || got.Sent != 100 || got.Base != 65500 || got.Top != 65602 || got.Received != 100 || got.Reordered != 0 || got.First != s.First {
			t.Errorf("got %+v", got)
		}
		last, _ := r.Remove(f.In)
		if last.At, got.At = 0, 0; last != got { // these differ, because they were read one after the other
			t.Errorf("removed %+v; want %+v", last, got)
		}
	})
}

func TestReadsAll(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		r := open(t, func(o *Options) { o.Capacity = 1000 })
		want, got := map[netip.AddrPort]uint64{}, map[netip.AddrPort]uint64{}
		for i := range 700 {
			f := Flow{Source: ap("127.0.0.1:4000"), Out: ap("127.0.0.1:9000"), Dest: ap("127.0.0.1:5000"), SSRC: 7}
			f.In = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(10000+i))
			f.Figures = func(s *State) { got[f.In] = s.Packets }
			must(t, put(r, f, State{Packets: uint64(i)}))
			want[f.In] = uint64(i)
		}
		for i := range 700 {
			if i%3 == 0 {
				in := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(10000+i))
				if s, ok := r.Remove(in); !ok || s.Packets != want[in] {
					t.Errorf("%v: got %+v, %v", in, s, ok)
				}
				delete(want, in)
			}
		}
		if err := r.Read(); err != nil || !maps.Equal(got, want) {
			t.Errorf("got %d of %d flows, %v", len(got), len(want), err)
		}
		// A process that only relays reads every second, and must allocate little, because otherwise it would not return
		// memory.
		if n := testing.AllocsPerRun(10, func() { _ = r.Read() }); n > 50 {
			t.Errorf("reading %d flows allocates %v times", len(want), n)
		}
	})
}

func TestTry(t *testing.T) {
	needsRoot(t)
	must(t, Try())
}

func TestFull(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		r := open(t, func(o *Options) { o.Capacity = 2 })
		f := Flow{In: ap("127.0.0.1:20000"), Source: ap("127.0.0.1:4000"), Out: ap("127.0.0.1:9000"), Dest: ap("127.0.0.1:5000")}
		for i := range 3 {
			f.In = netip.AddrPortFrom(f.In.Addr(), uint16(20000+i))
			if err := put(r, f, State{}); errors.Is(err, ErrFull) != (i == 2) {
				t.Errorf("%d: %v", i, err)
			}
		}
		r.Remove(ap("127.0.0.1:20000"))
		must(t, put(r, f, State{}))
		if err := put(r, f, State{}); err == nil {
			t.Error("a flow was put twice")
		}
	})
}
