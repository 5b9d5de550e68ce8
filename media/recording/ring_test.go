package recording

import (
	"bytes"
	"net/netip"
	"reflect"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"flowbridge/media"
)

var (
	addrA  = netip.MustParseAddrPort("192.0.2.10:20000")
	addrB  = netip.MustParseAddrPort("[2001:db8::20]:30000")
	localA = netip.MustParseAddrPort("198.51.100.1:10000")
	localB = netip.MustParseAddrPort("[2001:db8::1]:10002")
)

// TestRingIsAQueue compares a ring with a list.
func TestRingIsAQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRing(1024)
		var want []tapped
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "put") {
				p := tapped{
					at: time.Duration(rapid.Int64().Draw(t, "at")), side: media.SideB, kind: media.RTCP,
					source: addrA, local: localB, codec: codecALaw, data: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data"),
				}
				if r.put(p) {
					p.data = bytes.Clone(p.data)
					want = append(want, p)
				} else if len(want) == 0 {
					t.Fatal("an empty ring has no room")
				}
				continue
			}
			got, ok := r.get()
			if ok != (len(want) > 0) {
				t.Fatalf("got a packet: %v; want %v", ok, !ok)
			}
			if !ok {
				continue
			}
			if !bytes.Equal(got.data, want[0].data) {
				t.Fatalf("got % x; want % x", got.data, want[0].data)
			}
			got.data, want[0].data = nil, nil
			if !reflect.DeepEqual(got, want[0]) {
				t.Fatalf("got %+v; want %+v", got, want[0])
			}
			r.drop()
			want = want[1:]
		}
	})
}

// TestRingBetweenGoroutines: what is put arrives whole and in order.
func TestRingBetweenGoroutines(t *testing.T) {
	const count = 50_000
	r := newRing(4096)
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; n < count; {
			if r.put(tapped{at: time.Duration(n), source: addrA, local: localA, data: bytes.Repeat([]byte{byte(n)}, n%400)}) {
				n++
			}
		}
	})
	for n := 0; n < count; {
		p, ok := r.get()
		if !ok {
			continue
		}
		if int(p.at) != n || len(p.data) != n%400 || bytes.Count(p.data, []byte{byte(n)}) != n%400 {
			t.Fatalf("packet %d: got number %d with %d bytes", n, p.at, len(p.data))
		}
		r.drop()
		n++
	}
	wg.Wait()
}

func TestRingRefusesWhatNeverFits(t *testing.T) {
	r := newRing(256)
	if r.put(tapped{source: addrA, local: localA, data: make([]byte, 256)}) {
		t.Error("a packet that is larger than the ring was taken")
	}
	if !r.put(tapped{source: addrA, local: localA, data: make([]byte, 200)}) {
		t.Error("a packet that fills the ring was refused")
	}
}

func TestPacketAllocatesNothing(t *testing.T) {
	r := &Recorder{intake: intake{ring: newRing(ringSize), began: time.Now()}}
	for side := range r.payloads {
		r.payloads[side].Store(&Payloads{})
	}
	p := media.Tapped{At: time.Now(), Source: addrA, Local: localA, Data: make([]byte, 172)}
	if n := testing.AllocsPerRun(1000, func() { r.Packet(p); r.ring.drop() }); n != 0 {
		t.Errorf("%v allocations; want 0", n)
	}
}

// BenchmarkPacket measures what a recording costs the worker for each packet.
func BenchmarkPacket(b *testing.B) {
	r := &Recorder{intake: intake{ring: newRing(ringSize), began: time.Now()}}
	for side := range r.payloads {
		r.payloads[side].Store(&Payloads{})
	}
	p := media.Tapped{At: time.Now(), Source: addrA, Local: localA, Data: make([]byte, 172)}
	b.ReportAllocs()
	for b.Loop() {
		r.Packet(p)
		r.ring.drop()
	}
}
