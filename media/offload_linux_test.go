package media

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flowbridge/media/answerer"
	"flowbridge/media/kernel"
	"flowbridge/media/packet"
)

// onKernelPath skips a test of the kernel path on other paths.
func onKernelPath(t *testing.T) {
	t.Helper()
	if path.kernel == nil {
		t.Skip("needs the kernel path, which it is about")
	}
}

// monologue is a call in which side A speaks without a pause. It records what side B hears.
type monologue struct {
	br    *bridge
	sent  int
	heard map[uint32]int // how often each number arrived
	own   int            // number of the engine's own packets

	came            atomic.Uint64 // number of all packets that arrived
	stop            chan struct{}
	speaker, hearer sync.WaitGroup
}

// saying marks the packets of side A, in front of their number.
const saying = "said by side A "

func startTalk(t *testing.T, br *bridge) *monologue {
	t.Helper()
	k := &monologue{br: br, heard: map[uint32]int{}, stop: make(chan struct{})}
	k.speaker.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for ; ; k.sent++ {
			pkt := rtpPacket(t, 0, uint16(k.sent), saying)
			br.a.send(br.Local(SideA), binary.BigEndian.AppendUint32(pkt, uint32(k.sent)))
			for first := true; first || k.ahead(); first = false {
				select {
				case <-tick.C:
				case <-k.stop:
					k.sent++
					return
				}
			}
		}
	})
	k.hearer.Go(func() {
		buf := make([]byte, 2048)
		for ; ; k.came.Add(1) {
			n, _, err := br.b.conn.ReadFromUDPAddrPort(buf)
			switch {
			case err != nil: // the socket is closed
				return
			case n == packet.HeaderLen+len(saying)+4 && string(buf[packet.HeaderLen:n-4]) == saying:
				k.heard[binary.BigEndian.Uint32(buf[n-4:])]++
			default:
				k.own++
			}
		}
	})
	return k
}

// ahead reports whether more packets may be on their way, from side A or to side B, than a socket can hold. It checks
// only every few packets, which is often enough.
func (k *monologue) ahead() bool {
	const often, most = 16, 64
	if k.sent%often != 0 {
		return false
	}
	if k.br.relay.ledger.flow[SideA][RTP].TxPackets.Load() > k.came.Load()+most {
		return true
	}
	if uint64(k.sent) <= k.br.relay.ledger.flow[SideA][RTP].RxPackets.Load()+most {
		return false
	}
	st := k.br.Stats()
	return uint64(k.sent) > st.A.RxPackets+most || st.B.TxPackets > k.came.Load()+most
}

// end stops the talk and returns the session's figures once everything that was sent is counted.
func (k *monologue) end(t *testing.T) Stats {
	t.Helper()
	close(k.stop)
	k.speaker.Wait()
	await(t, "all packets", func() bool { return k.br.Stats().A.RxPackets >= uint64(k.sent) })
	st := k.br.Close()
	await(t, "what was sent", func() bool { return k.came.Load() >= st.B.TxPackets })
	_ = k.br.b.conn.Close()
	k.hearer.Wait()
	return st
}

// offloaded returns when the kernel has relayed some packets.
func (k *monologue) offloaded(t *testing.T) {
	t.Helper()
	await(t, "the kernel has relayed some packets", func() bool { return k.br.relayedThere(SideA) > 3 })
}

func isInKernel(in netip.AddrPort) bool {
	_, ok := path.kernel.State(in)
	return ok
}

// relayedThere returns how many packets of a side's flow the kernel has relayed since the flow was last offloaded.
func (s *Session) relayedThere(side Side) uint64 {
	r := &s.relay
	if !r.enter() {
		return 0
	}
	defer r.leave()
	ep := &r.endpoint[side][RTP]
	if ep.rtpState == nil {
		return 0
	}
	st, ok := path.kernel.State(ep.offload.in)
	if !ok {
		return 0
	}
	return st.Packets - ep.offload.had
}

// A flow moves between kernel and worker while side A speaks. Each packet is relayed once, or counted as replaced by
// another one, wherever it was relayed.
func TestMovesInMidCall(t *testing.T) {
	onKernelPath(t)
	for name, change := range map[string]struct {
		begin, end func(t *testing.T, br *bridge)
		returns    bool // the sound has no end
	}{
		"recorded": {
			begin: func(_ *testing.T, br *bridge) { br.SetTap(&witness{}) },
			end:   func(_ *testing.T, br *bridge) { br.SetTap(nil) },
		},
		"a sound": {
			begin: func(t *testing.T, br *bridge) { br.Play(SideB, Play{Sound: counted(t, 2), Loop: true}) },
			end:   func(_ *testing.T, br *bridge) { br.StopPlay(SideB) },
		},
		"a sound that is mixed in": {
			begin: func(t *testing.T, br *bridge) {
				br.Play(SideB, Play{Sound: counted(t, 2), PayloadType: 101, Loop: true, Mix: true})
			},
			end: func(_ *testing.T, br *bridge) { br.StopPlay(SideB) },
		},
		"a digit": {
			begin: func(t *testing.T, br *bridge) {
				must(t, br.SendDigit(SideB, Digit{Digit: '5', PayloadType: 101, Duration: 40 * time.Millisecond}))
			},
			returns: true,
		},
		"masked keys": {
			begin: func(_ *testing.T, br *bridge) { br.SetMask(SideA, Mask{On: true}) },
			end:   func(_ *testing.T, br *bridge) { br.SetMask(SideA, Mask{}) },
		},
		"another description": {
			begin: func(_ *testing.T, br *bridge) { br.SetPeer(SideB, Peer{RTP: br.b.addr, Mute: true}) }, returns: true,
		},
		"held": {
			begin: func(_ *testing.T, br *bridge) { br.SetPeer(SideB, Peer{RTP: br.b.addr, Held: true}) },
			end:   func(_ *testing.T, br *bridge) { br.SetPeer(SideB, Peer{RTP: br.b.addr}) },
		},
		"not confirmed": {
			begin: func(_ *testing.T, br *bridge) { br.SetPeer(SideB, Peer{RTP: br.b.addr, Unconfirmed: true}) },
			end:   func(_ *testing.T, br *bridge) { br.Confirm(SideB) },
		},
		"who answered": {
			begin: func(_ *testing.T, br *bridge) { br.DetectAnswer(SideA, answerer.Limits{Silence: 5 * time.Second}) },
			end: func(t *testing.T, br *bridge) {
				if n := br.relay.offloaded.Load(); n != 0 {
					t.Errorf("the kernel has %d flows again", n)
				}
				br.DetectAnswer(SideA, answerer.Limits{Silence: 1})
			},
		},
		"its figures are read": {begin: func(_ *testing.T, br *bridge) { br.Stats() }, returns: true},
	} {
		t.Run(name, func(t *testing.T) {
			br := newBridge(t, openEngine(t, nil))
			go func() {
				for range br.events { // the events are not needed
				}
			}()
			k := startTalk(t, br)
			for range 3 {
				k.offloaded(t)
				change.begin(t, br)
				if change.end == nil {
					continue
				}
				if n := br.relay.offloaded.Load(); n != 0 {
					t.Errorf("the kernel still has %d flows", n)
				}
				before := br.Stats().A.RxPackets
				await(t, "some packets", func() bool { return br.Stats().A.RxPackets > before+20 })
				change.end(t, br)
			}
			k.offloaded(t)
			st := k.end(t)
			d := st.A.Dropped
			if st.A.RxPackets != uint64(k.sent) || st.A.Lost != 0 || st.A.Duplicates != 0 {
				t.Errorf("received %d of %d, %d lost, %d twice", st.A.RxPackets, k.sent, st.A.Lost, st.A.Duplicates)
			}
			if got := uint64(len(k.heard)) + d.Replaced + d.Held + d.Unconfirmed; got != uint64(k.sent) || st.A.DroppedTotal != d.Replaced+d.Held+d.Unconfirmed {
				t.Errorf("%d of %d were relayed, %+v were not", len(k.heard), k.sent, d)
			}
			if st.B.TxPackets != uint64(len(k.heard)+k.own) {
				t.Errorf("%d and %d of our own came, %d were sent", len(k.heard), k.own, st.B.TxPackets)
			}
			for n, times := range k.heard {
				if times != 1 {
					t.Errorf("number %d came %d times", n, times)
				}
			}
		})
	}
}

// A recording of an offloaded flow has no gap at its beginning and its end.
func TestRecordingOfOffloadedFlow(t *testing.T) {
	onKernelPath(t)
	br := newBridge(t, openEngine(t, nil))
	k := startTalk(t, br)
	for range 5 {
		k.offloaded(t)
		tap := &witness{}
		br.SetTap(tap)
		await(t, "some packets", func() bool { return len(tap.taken()) > 20 })
		br.SetTap(nil)
		all := tap.taken()
		for i, p := range all {
			if got, want := binary.BigEndian.Uint16(p.Data[2:]), binary.BigEndian.Uint16(all[0].Data[2:])+uint16(i); got != want {
				t.Fatalf("packet %d of the recording has number %d; want %d", i, got, want)
			}
		}
	}
	k.end(t)
}

// The same packets have the same figures on either path.
func TestFiguresOnTheKernelPath(t *testing.T) {
	onKernelPath(t)
	var figures func(kernel bool) SideStats
	figures = func(kernel bool) SideStats {
		br := newBridge(t, openEngine(t, func(c *Config) {
			if !kernel {
				c.Kernel, c.path = nil, nil
			}
		}))
		const apart = 7900 // almost a second, because the machine may be slow
		timestamp, top, slowest, at := uint32(0), uint16(65499), time.Duration(0), time.Now()
		seqs := []uint16{65500, 65501, 65502, 65503, 65503, 65505, 65507, 65506, 65510, 65535, 0, 1, 2, 200, 201, 199, 201, 202, 40000, 40001, 40002, 40010}
		for i, seq := range seqs {
			pkt := rtpPacket(t, uint8(8*(i%2)), seq, fmt.Sprint(i))
			if int16(seq-top) > 0 {
				top, timestamp = seq, timestamp+apart
			}
			binary.BigEndian.PutUint32(pkt[4:], timestamp)
			if seq != top {
				binary.BigEndian.PutUint32(pkt[4:], timestamp-apart)
			}
			slowest, at = max(slowest, time.Since(at)), time.Now()
			br.carries(pkt)
			if kernel {
				await(t, "the kernel has the flow", func() bool { return isInKernel(br.Local(SideA)) })
			}
		}
		if slowest > 300*time.Millisecond { // the packet may really have been late
			return figures(kernel)
		}
		if kernel && br.relayedThere(SideA) != uint64(len(seqs)-1) {
			t.Errorf("the kernel has relayed %d of %d packets; want all but the first", br.relayedThere(SideA), len(seqs))
		}
		newClient(t, "127.0.9.9:0").send(br.Local(SideA), rtpPacket(t, 0, 1, "x"))
		br.a.send(br.Local(SideA), sourcePacket(t, 5, 1))
		await(t, "both are refused", func() bool { return br.Stats().A.DroppedTotal == 2 })
		st := br.Close().A
		st.FirstRTP, st.LastRTP, st.Source, st.Refused = time.Time{}, time.Time{}, netip.AddrPort{}, netip.AddrPort{}
		st.JitterMS, st.JitterMaxMS, st.JitterMeanMS = 0, 0, 0
		return st
	}
	if want, got := figures(false), figures(true); got != want || got.Late != 2 {
		t.Errorf("kernel    %+v\nuserspace %+v; want 2 late", got, want)
	}
}

// Both sides are on other hosts, reached over Ethernet.
func TestOffloadOverEthernet(t *testing.T) {
	onKernelPath(t)
	inNetwork(t, func(t *testing.T, n *network) {
		relay, err := kernel.Open(kernel.Options{Capacity: 16}) // for this network only
		must(t, err)
		defer relay.Close()
		e := openEngine(t, func(c *Config) { c.Listen, c.Kernel = []netip.Addr{nearEnd}, relay })
		s := newSession(t, e, SessionConfig{})
		a, b := n.client(), n.client()
		s.SetPeer(SideA, Peer{RTP: a.addr})
		s.SetPeer(SideB, Peer{RTP: b.addr})
		const packets = 20
		for seq := range uint16(packets) {
			there, back := sourcePacket(t, 1, seq), sourcePacket(t, 2, seq)
			a.send(s.Local(SideA), there)
			b.expect(s.Local(SideB), there)
			b.send(s.Local(SideB), back)
			a.expect(s.Local(SideA), back)
			await(t, "the kernel has both flows", func() bool { return s.relay.offloaded.Load() == 2 })
		}
		if st, ok := relay.State(s.Local(SideA)); !ok || st.Packets != packets || st.Sent != packets {
			t.Errorf("the kernel knows of %d of %d packets", st.Sent, packets)
		}
		if st := s.Close(); st.A.RxPackets != packets || st.B.RxPackets != packets || st.A.TxPackets != packets || st.A.Lost+st.A.DroppedTotal != 0 {
			t.Errorf("got %+v", st)
		}
	})
}

// The figures of all flows are read together. Each packet is counted once, however often the figures are read, and
// whatever happens to a flow in the meantime.
func TestFiguresOfAllFlows(t *testing.T) {
	onKernelPath(t)
	e := openEngine(t, nil)
	for _, w := range e.workers {
		w.offloader.age = time.Hour // sessions do not read figures by themselves
	}
	var calls []*steeredCall
	for range 20 {
		calls = append(calls, newSteeredCall(t, e))
	}
	for seq := range uint16(5) {
		for _, c := range calls {
			c.speak(t, 2+seq)
		}
		if n := calls[0].relayedThere(SideA); n != uint64(1+seq) {
			t.Errorf("the kernel has relayed %d packets; want %d", n, 1+seq)
		}
		for range 2 {
			if got, want := e.Totals().Sides[SideA].RxPackets, uint64(len(calls)*int(2+seq)); got != want {
				t.Errorf("%d packets in all; want %d", got, want)
			}
		}
	}
	// Figures that were read before a flow came back do not count any more, not even for the next flow.
	ep := &calls[0].relay.endpoint[SideA][RTP]
	late := ep.figures(ep.offload.times)
	old := ep.offload.seen
	late(&kernel.State{})
	calls[0].relay.recall()
	late(&old)
	calls[0].speak(t, 7)
	await(t, "the kernel has both flows", calls[0].inKernel)
	old.Packets += 1000
	late(&old)
	if st := calls[0].Close(); st.A.RxPackets != 7 || st.A.Lost != 0 || st.A.Duplicates != 0 {
		t.Errorf("got %+v", st.A)
	}
	late(&old)
}

// TestCarriesOutBeforeLaterPackets: a worker that reads several packets from a socket stops for a command. So a packet
// that was sent after the command is handled according to it.
func TestCarriesOutBeforeLaterPackets(t *testing.T) {
	b := newLateBench(t)
	r := b.relays[0]
	r.onEvent = func(Event) { // called while the first packet is being handled
		moved := Peer{RTP: netip.MustParseAddrPort("127.0.1.7:40000")}
		must(t, b.w.post(command{op: opPeer, relay: r, side: SideA, peer: &moved}, false))
		b.offer(b.from) // from the side's former address
		b.arrives(r.endpoint[SideA][RTP].fd)
	}
	for b.offer(b.from); b.handled() < 2; {
		b.w.turn()
	}
	c := &r.ledger.flow[SideA][RTP]
	if got, refused := c.RxPackets.Load(), c.dropped().WrongSource.Load(); got != 1 || refused != 1 {
		t.Errorf("%d packets were accepted and %d refused; want the second refused", got, refused)
	}
}

// newLateBench returns a bench with one session, whose flows the worker may give to the kernel at once.
func newLateBench(t *testing.T) *bench {
	t.Helper()
	onKernelPath(t)
	e := openEngine(t, func(c *Config) { c.Kernel = path.kernel })
	b := newBench(t, 1)
	b.w.offloader = e.workers[0].offloader
	must(t, b.w.perform(command{op: opConfirm, relay: b.relays[0], side: SideB}))
	return b
}

// TestOffloadsThoughBehind: a worker that lags behind finds packets waiting each time. The flow is offloaded
// nevertheless, after the waiting packets, and no packet is lost or overtaken. Packets of strangers among them change
// nothing.
func TestOffloadsThoughBehind(t *testing.T) {
	for name, strays := range map[string]int{"alone": 0, "a stray behind each": 1, "several behind each": 3} {
		t.Run(name, func(t *testing.T) {
			b := newLateBench(t)
			r := b.relays[0]
			const packets, before = 14, 7
			for n := range packets { // the worker is some packets behind, and each time another one arrives
				b.packet = rtpPacket(t, 0, uint16(n), string(make([]byte, 160)))
				b.offer(b.from)
				for range strays {
					b.offer(b.to)
				}
				if r.offloaded.Load() > 0 {
					continue
				}
				if b.arrives(r.endpoint[SideA][RTP].fd); n >= before {
					b.w.turn()
				}
			}
			if r.offloaded.Load() != 1 {
				t.Fatalf("%d flows are offloaded; want the one that is behind", r.offloaded.Load())
			}
			defer r.recall()
			for n := range packets {
				b.arrives(b.to)
				size, errno := receive(b.to, b.sink[:], &b.source)
				if h, ok := packet.ParseRTP(b.sink[:size]); errno != 0 || !ok || h.Seq != uint16(n) {
					t.Fatalf("packet %d came as %d (%v)", n, h.Seq, errno)
				}
			}
			for r.recall(); b.handled() < uint64(packets*(1+strays)); { // the kernel may have sent up a stranger's packet
				b.w.turn()
			}
		})
	}
}
