package media

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/media/kernel"
)

// sent returns duplicates of the sockets, as another process gets them.
func (s Sockets) sent(t *testing.T) *Sockets {
	t.Helper()
	for side := range s {
		for kind, fd := range s[side] {
			if fd < 0 {
				continue
			}
			var err error
			s[side][kind], err = unix.Dup(fd)
			must(t, err)
		}
	}
	return &s
}

// says makes side A send n packets, numbered from from.
func (br *bridge) says(t *testing.T, from, n uint16) {
	t.Helper()
	for seq := range n {
		br.a.send(br.Local(SideA), sourcePacket(t, 7, from+seq))
	}
}

// hear checks that side B gets n packets of side A, numbered from from, each once. They must be in order, unless the
// kernel has started to relay in the middle of a burst.
func (br *bridge) hear(t *testing.T, from, n uint16) {
	t.Helper()
	missing := map[string]bool{}
	for seq := range n {
		missing[string(sourcePacket(t, 7, from+seq))] = true
	}
	for seq := range n {
		got, _ := br.b.read()
		if !missing[string(got)] || (path.kernel == nil && !bytes.Equal(got, sourcePacket(t, 7, from+seq))) {
			t.Fatalf("got % x as packet %d of %d to %d", got, from+seq, from, from+n-1)
		}
		delete(missing, string(got))
	}
	br.b.expectNothing()
}

// waits checks that packets wait in the sockets, unless the kernel relays them.
func (br *bridge) waits() {
	if path.kernel == nil {
		br.b.expectNothing()
	}
}

// A session is handed over while packets are on their way: no packet is lost or relayed twice.
func TestHandOver(t *testing.T) {
	needsNextKernel(t)
	noLeaks(t)
	old := openEngine(t, nil)
	br := newBridge(t, old)
	br.Start()
	br.says(t, 0, 20)
	br.hear(t, 0, 20)

	old.Freeze()
	br.says(t, 20, 50)
	_, _ = br.HandOver()
	br.waits()
	old.Thaw() // the first attempt is given up
	br.hear(t, 20, 50)
	br.says(t, 70, 10)
	br.hear(t, 70, 10)

	for again := range uint16(3) {
		at := 80 + again*90
		take := heirOfKernel(t)
		old.Freeze()
		br.says(t, at, 50)
		st, fds := br.HandOver()
		take()
		next := openEngine(t, nil)
		next.Freeze()
		s, err := next.Resume(SessionConfig{Sockets: fds.sent(t), OnEvent: func(ev Event) { br.events <- ev }}, filed(t, st))
		must(t, err)
		br.Session = s
		old.Leave()
		br.waits()
		next.Thaw()
		br.hear(t, at, 50)
		br.says(t, at+50, 40)
		br.hear(t, at+50, 40)
		old = next
	}
	stats := br.Close()
	if a := stats.A; a.RxPackets != 350 || a.Lost+a.Duplicates+a.SSRCChanges+a.DroppedTotal != 0 || stats.B.TxPackets != 350 {
		t.Errorf("got %+v", stats)
	}
}

// next hands the session over to another engine.
func (br *bridge) next(t *testing.T) {
	t.Helper()
	br.nextAfter(t, func() {})
}

// nextAfter is next, just after something was done.
func (br *bridge) nextAfter(t *testing.T, do func()) {
	t.Helper()
	old := br.engine
	take := heirOfKernel(t)
	do()
	old.Freeze()
	st, fds := br.HandOver()
	take()
	s, err := openEngine(t, nil).Resume(SessionConfig{Sockets: fds.sent(t), OnEvent: func(ev Event) { br.events <- ev }}, filed(t, st))
	must(t, err)
	br.Session = s
	old.Leave()
}

// A key that is pressed during a hand-over is reported once, even if its end is repeated afterwards. Digits that wait
// are sent once.
func TestHandOverOfKeys(t *testing.T) {
	needsNextKernel(t)
	noLeaks(t)
	br := newBridge(t, openEngine(t, nil))
	br.SetTelephoneEvents(SideA, TelephoneEvents{On: true, PayloadType: 101})
	br.says(t, 0, 1)
	br.hear(t, 0, 1)
	if _, ok := br.event(t).(EventLatched); !ok {
		t.Fatal("not latched")
	}
	press := func(seq uint16, payload string) {
		t.Helper()
		pkt := rtpPacket(t, 101, seq, payload)
		copy(pkt[4:12], []byte{0, 0, 0, 1, 0, 0, 0, 7})
		br.carries(pkt)
	}
	br.nextAfter(t, func() { press(1, "\x05\x0a\x00\xa0") }) // a second without a packet would end the key
	press(2, "\x05\x0a\x01\x40")
	press(3, "\x05\x8a\x01\xe0")
	if e, ok := br.event(t).(EventDigit); !ok || e.Digit != '5' || e.Duration != 60*time.Millisecond {
		t.Errorf("got %+v; want a key of 60 ms", e)
	}
	br.next(t)
	press(4, "\x05\x8a\x01\xe0")

	for _, d := range []byte("12") {
		must(t, br.SendDigit(SideB, Digit{Digit: d, PayloadType: 101, Duration: 40 * time.Millisecond}))
	}
	br.next(t)
	ends := map[byte]int{}
	for ends[1]+ends[2] < 2*digitEnds {
		if got, _ := br.b.read(); got[13]&0x80 != 0 {
			ends[got[12]]++
		}
	}
	if ends[1] != digitEnds || ends[2] != digitEnds {
		t.Errorf("the digits' ends came %v times; want %d each", ends, digitEnds)
	}
	br.Close()
	select {
	case e := <-br.events:
		t.Errorf("got %+v besides", e)
	default:
	}
}

// TestHandOverOfFlowsThatEnd: if flows in the kernel end with the process, they are taken back before the hand-over.
// Each packet is relayed and counted once, whether the hand-over succeeds or not.
func TestHandOverOfFlowsThatEnd(t *testing.T) {
	onKernelPath(t)
	inNetwork(t, func(t *testing.T, n *network) {
		open := func() (*Engine, *kernel.Relay) {
			relay, err := kernel.Open(kernel.Options{Capacity: 16}) // for this network only, without a directory
			must(t, err)
			return openEngine(t, func(c *Config) { c.Listen, c.Kernel = []netip.Addr{nearEnd}, relay }), relay
		}
		old, before := open()
		defer before.Close()
		br := &bridge{a: n.client(), b: n.client()}
		br.Session = newSession(t, old, SessionConfig{})
		br.SetPeer(SideA, Peer{RTP: br.a.addr})
		br.SetPeer(SideB, Peer{RTP: br.b.addr})
		seq := br.talk(0, 3)
		inKernel := func() bool { return br.relay.offloaded.Load() == 2 }
		say := func(k int) {
			for range k {
				br.a.send(br.Local(SideA), rtpPacket(t, 0, seq, "there"))
				br.b.send(br.Local(SideB), rtpPacket(t, 0, seq, "back"))
				seq++
			}
		}
		hear := func(k int) { // in any order, because the kernel may start to relay in between
			for range k {
				br.a.read()
				br.b.read()
			}
		}

		for _, fails := range []bool{true, false} {
			seq = br.talk(seq, 3)
			await(t, "the kernel has both flows", inKernel)
			seq = br.talk(seq, 20) // packets that the engine has not read yet
			old.Freeze()
			say(10)
			st, fds := br.HandOver()
			say(10)
			if fails {
				old.Thaw()
				hear(20)
				continue
			}
			next, after := open()
			defer after.Close()
			next.Freeze()
			s, err := next.Resume(SessionConfig{Sockets: fds.sent(t)}, filed(t, st))
			must(t, err)
			br.Session = s
			old.Leave()
			before.Leave()
			next.Thaw()
			hear(20)
			seq = br.talk(seq, 3)
			await(t, "the kernel has both flows again", inKernel)
			seq = br.talk(seq, 3)
		}
		ended := br.Close()
		for side, is := range []SideStats{ended.A, ended.B} {
			if is.RxPackets != uint64(seq) || is.TxPackets != uint64(seq) || is.Lost+is.Duplicates+is.DroppedTotal != 0 {
				t.Errorf("%v: of %d packets, %+v", Side(side), seq, is)
			}
		}
	})
}
