package media

import (
	"encoding/binary"
	"testing"
	"time"

	"flowbridge/media/packet"
)

// eventPacket returns a packet of a telephone-event, payload type 101, that began at this time.
func eventPacket(tb testing.TB, seq uint16, timestamp uint32, e packet.Event) []byte {
	tb.Helper()
	var payload [packet.EventLen]byte
	e.Put(payload[:])
	pkt := rtpPacket(tb, 101, seq, string(payload[:]))
	binary.BigEndian.PutUint32(pkt[4:8], timestamp)
	return pkt
}

// pressed returns the packets of a key of 100 ms, whose end is sent three times.
func pressed(tb testing.TB, seq uint16, code uint8) (packets [][]byte) {
	tb.Helper()
	timestamp := uint32(seq) * 160
	for i := range uint16(8) {
		e := packet.Event{Code: code, Volume: 10, Duration: min(i+1, 5) * 160, End: i >= 5}
		packets = append(packets, eventPacket(tb, seq+i, timestamp, e))
	}
	return packets
}

func TestDigitsAreReported(t *testing.T) {
	for name, divert := range map[string]bool{"relayed": false, "diverted": true} {
		t.Run(name, func(t *testing.T) {
			br := newBridge(t, openEngine(t, nil))
			br.SetTelephoneEvents(SideB, TelephoneEvents{On: true, PayloadType: 101, Divert: divert})
			seq := uint16(10)
			relayed := func(pkt []byte) {
				t.Helper()
				br.b.send(br.Local(SideB), pkt)
				br.a.expect(br.Local(SideA), pkt)
			}
			relayed(rtpPacket(t, 0, seq, "speech"))
			for _, code := range []uint8{4, 4, 11, 15} {
				seq += 20
				for _, pkt := range pressed(t, seq, code) {
					if divert {
						br.b.send(br.Local(SideB), pkt)
					} else {
						relayed(pkt)
					}
				}
			}
			flash := eventPacket(t, seq+20, 9999, packet.Event{Code: 16, End: true})
			relayed(flash)
			relayed(rtpPacket(t, 100, seq+21, "\x05\x8a\x03\x20")) // another payload type

			if ev := br.event(t); ev != Event(EventLatched{SideB, br.b.addr}) {
				t.Errorf("got %+v; want a lock", ev)
			}
			for _, want := range []byte("44#D") {
				if ev := br.event(t); ev != Event(EventDigit{SideB, want, 100 * time.Millisecond}) {
					t.Errorf("got %+v; want %c", ev, want)
				}
			}
			st := br.Close()
			var want Drops
			if divert {
				want.Diverted = 4 * 8
			}
			if st.B.Dropped != want || st.B.RxPackets != 3+4*8 || len(br.events) != 0 {
				t.Errorf("got %+v and %d events more; want %+v", st.B, len(br.events), want)
			}
			if !divert && st.A.TxPackets != st.B.RxPackets {
				t.Errorf("%d relayed of %d", st.A.TxPackets, st.B.RxPackets)
			}
		})
	}
}

// If the end of a digit is lost and nothing follows, a timer reports the digit.
func TestDigitWithoutAnEnd(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	br.SetTelephoneEvents(SideA, TelephoneEvents{On: true, PayloadType: 101})
	begin := time.Now()
	br.a.send(br.Local(SideA), pressed(t, 1, 7)[0])
	br.event(t) // wait for the lock
	if ev := br.event(t); ev != Event(EventDigit{SideA, '7', 20 * time.Millisecond}) {
		t.Errorf("got %+v; want a 7", ev)
	}
	if took := time.Since(begin); took < eventTimeout {
		t.Errorf("reported after %v; want %v", took, eventTimeout)
	}
}

func TestDigitsOfASideThatIsNotRead(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	br.SetTelephoneEvents(SideA, TelephoneEvents{On: true, PayloadType: 101, Divert: true})
	br.SetTelephoneEvents(SideA, TelephoneEvents{})
	for _, from := range []struct {
		c, to *client
		side  Side
	}{{br.a, br.b, SideA}, {br.b, br.a, SideB}} {
		for _, pkt := range pressed(t, 1, 7) {
			from.c.send(br.Local(from.side), pkt)
			from.to.expect(br.Local(from.side.Other()), pkt)
		}
	}
	br.Close()
	for len(br.events) > 0 {
		if ev, ok := (<-br.events).(EventDigit); ok {
			t.Errorf("got %+v", ev)
		}
	}
}

// keysBeside returns the packets of a key that is sent with an SSRC of its own.
func keysBeside(tb testing.TB, seq uint16, code uint8) [][]byte {
	packets := pressed(tb, seq, code)
	for _, pkt := range packets {
		binary.BigEndian.PutUint32(pkt[8:12], intruder)
	}
	return packets
}

// TestKeysBesideTheStream: some gateways send telephone-events beside their audio, with an SSRC of their own. The
// events become part of the one stream that the other side is sent. Listeners and masks treat them as part of the
// stream.
func TestKeysBesideTheStream(t *testing.T) {
	for name, tt := range map[string]struct {
		events   uint8 // the agreed payload type
		order    command
		relayed  int
		reported string
		dropped  Drops
	}{
		"relayed":         {events: 101, relayed: 16},
		"another number":  {events: 96, dropped: Drops{WrongSSRC: 16}},
		"as digits":       {events: 101, order: command{op: opOrder, order: TelephoneEvents{On: true, PayloadType: 101, Divert: true}}, reported: "57", dropped: Drops{Diverted: 16}},
		"masked":          {events: 101, order: command{op: opOrder, order: Mask{On: true, Events: setOf(101)}}, dropped: Drops{Masked: 16}},
		"renumbered":      {events: 101, order: command{op: opPayloads, payloads: &[maxPayloadChanges]PayloadChange{{From: 0, To: 8}}}, relayed: 16},
		"beside no sound": {events: 101, relayed: 16},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t)
			reported := ""
			l.r.onEvent = func(e Event) {
				if d, ok := e.(EventDigit); ok {
					reported += string(d.Digit)
				}
			}
			p := *l.r.party[SideA].named
			p.Events = setOf(tt.events)
			must(t, l.w.perform(command{op: opPeer, relay: l.r, peer: &p}))
			if tt.order.op != 0 {
				tt.order.relay = l.r
				must(t, l.w.perform(tt.order))
			}
			seq, voices := l.talkOn(speaker, 1, 3), 3
			for i, code := range []uint8{5, 7} {
				for _, pkt := range keysBeside(t, 9000+100*uint16(i), code) {
					if name != "beside no sound" {
						l.talk(speaker, seq)
						seq, voices = seq+1, voices+1
					}
					l.pass(10 * ms)
					if errno := send(l.from, pkt, &l.into[0]); errno != 0 {
						t.Fatal(errno)
					}
					l.serve()
					l.collect()
					l.pass(10 * ms)
				}
				seq, voices = l.talkOn(speaker, seq, 3), voices+3
			}
			got := l.take()
			keys, starts := events(got), map[uint32]bool{}
			for i, s := range got {
				if i > 0 && name != "masked" && (s.SSRC != got[0].SSRC || s.Seq != got[i-1].Seq+1) {
					t.Errorf("packet %d: %+v after %+v; want one stream", i, s, got[i-1])
				}
				if s.isEvent {
					starts[s.Timestamp] = true
				}
			}
			if name == "masked" { // speech during the key is masked, too
				tt.dropped.Masked += uint64(voices - len(got))
				voices = len(got)
			}
			if st := l.r.ledger.stats(l.w.epoch).A; len(keys) != tt.relayed || len(got)-len(keys) != voices || len(starts)*8 != tt.relayed ||
				reported != tt.reported || st.Dropped != tt.dropped || st.Lost != 0 || st.SSRCChanges != 0 {
				t.Errorf("%d keys of %d times, %d of %d voices, reported %q; %+v", len(keys), len(starts), len(got)-len(keys), voices, reported, st)
			}
		})
	}
}

func setOf(payloadType uint8) (p PayloadSet) {
	p.Add(payloadType)
	return p
}

// TestKeysBesideAStreamInTheKernel: the process takes the flow back from the kernel, because its numbers change.
func TestKeysBesideAStreamInTheKernel(t *testing.T) {
	onKernelPath(t)
	br := newBridge(t, openEngine(t, nil))
	go func() {
		for range br.events { // the events are not needed
		}
	}()
	br.SetPeer(SideA, Peer{RTP: br.a.addr, Events: setOf(101)})
	k := startTalk(t, br)
	for i := range uint16(3) {
		k.offloaded(t)
		br.a.send(br.Local(SideA), keysBeside(t, 9000+100*i, 5)[0])
		await(t, "the process has the stream", func() bool { return !isInKernel(br.Local(SideA)) })
	}
	k.offloaded(t)
	if st := k.end(t); k.own != 3 || len(k.heard) < k.sent-3 || st.A.Dropped != (Drops{}) {
		t.Errorf("heard %d of 3 keys and %d of %d others; %+v", k.own, len(k.heard), k.sent, st.A)
	}
}
