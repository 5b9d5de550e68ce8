//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"fmt"
	"strings"
	"testing"
)

func (l *lab) relays(r *Relay, v6 bool) (a, b *phone, f Flow) {
	l.t.Helper()
	f = Flow{In: ap("10.81.1.1:20000"), Out: ap("10.81.2.1:20002"), SSRC: 7}
	a, b = l.a.phone("10.81.1.2:4000"), l.b.phone("10.81.2.2:5000")
	if v6 {
		f.In, f.Out = ap("[fd81:1::1]:20000"), ap("[fd81:2::1]:20002")
		a, b = l.a.phone("[fd81:1::2]:4000"), l.b.phone("[fd81:2::2]:5000")
	}
	f.Source, f.Dest = a.addr, b.addr
	if err := r.Put(f, State{}); err != nil {
		l.t.Fatal(err)
	}
	return a, b, f
}

// Packets are relayed with the checksums that a receiver verifies: whether the sender leaves them to its device, or
// ours does, or not.
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
						if err := r.Change(f); err != nil {
							t.Fatal(err)
						}
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
		for _, host := range []string{"127.0.1.1", "[::1]", "10.81.1.1", "[fd81:1::1]"} {
			r := open(t)
			a, b := newPhone(t, host+":0"), newPhone(t, host+":0")
			f := Flow{In: ap(host + ":20000"), Source: a.addr, Out: ap(host + ":20002"), Dest: b.addr, SSRC: 7}
			if err := r.Put(f, State{}); err != nil {
				t.Fatal(err)
			}
			for seq := range uint16(20) {
				pkt := rtp(seq, 160*uint32(seq), 7, 0, "hello")
				a.send(f.In, pkt)
				b.expect(f.Out, pkt)
			}
			if s, ok := r.Remove(f.In); !ok || s.Sent != 20 {
				t.Errorf("got %+v, %v; want 20 packets", s, ok)
			}
			r.Close()
		}
	})
}
