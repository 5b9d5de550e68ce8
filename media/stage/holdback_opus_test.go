package stage

import (
	"slices"
	"testing"
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/opus"
	"flowbridge/media/packet"
)

func (e *edges) Forward(from Side, pkt []byte) {
	pkt = e.shifted(from, pkt)
	e.forwarded = append(e.forwarded, pkt)
	e.Send(from, pkt)
}

// shifted returns a packet with the shift of the outlet.
func (e *edges) shifted(from Side, pkt []byte) []byte {
	h, _ := packet.ParseRTP(pkt)
	s, pkt := e.outlets[from].Shift, slices.Clone(pkt)
	h.Seq, h.Timestamp = h.Seq+s.SeqOffset, h.Timestamp+s.TimeOffset
	if s.SSRC != 0 {
		h.SSRC = s.SSRC
	}
	putHeader(pkt, h, packet.Marker(pkt))
	return pkt
}

// TestHeldBackOpus: silence is known in Opus that the conversation decodes.
func TestHeldBackOpus(t *testing.T) {
	var takes packet.PayloadSet
	takes.Add(111)
	for _, decoded := range []bool{true, false} {
		e := &edges{}
		e.Init(e)
		in, out := e.Stream(SideA)
		in.SetRate(opus.Clock)
		if decoded {
			c, err := Conversation{Agent: SideA, Opus: [2]packet.PayloadSet{SideA: takes}}.Ready()
			if err == nil {
				err = e.Order(SideA, c, e.now)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Order(SideA, HoldBack(true), e.now); err != nil {
			t.Fatal(err)
		}
		relayed := 0
		for i, payload := range encoded(t, twoWords(), opus.Settings{}) { // words in its first half
			h := packet.Header{PayloadType: 111, SSRC: 7, Seq: uint16(i), Timestamp: uint32(i) * opus.Frame * opus.Scale}
			if i == wordAt+wordPackets {
				_ = e.Order(SideA, HoldBack(false), e.now)
			}
			for range 4 {
				if e.Due(SideA) <= e.now {
					e.Attend(SideA, e.now)
				}
				e.now += 5 * time.Millisecond
			}
			in.Observe(h, e.now)
			pkt := rtpOf(111, h.Seq, h.Timestamp, payload)
			if e.Packet(SideA, &Packet{Header: h, Data: pkt, Now: e.now}) == Relay {
				if is, _ := out.Pass(h, opus.Clock, e.now); is {
					relayed++
				}
			}
			if !decoded && i == wordAt+wordPackets && len(e.forwarded) > 2 {
				t.Errorf("%d packets in 20 ms", len(e.forwarded))
			}
		}
		last, _ := packet.ParseRTP(e.forwarded[len(e.forwarded)-1])
		first, _ := packet.ParseRTP(e.forwarded[0])
		if n := uint32(len(e.forwarded) - 1); last.Timestamp-first.Timestamp != n*opus.Frame*opus.Scale ||
			uint32(last.Seq-first.Seq) != n {
			t.Errorf("decoded %v: %d packets: %+v to %+v", decoded, n+1, first, last)
		}
		if n := len(e.forwarded); decoded && (n < wordPackets || n > 2*wordPackets) || !decoded && n != 18 ||
			e.Speaks(SideA) || relayed < 100 {
			t.Errorf("decoded %v: %d were held back and sent, %d relayed", decoded, n, relayed)
		}
	}
}

// TestSentThroughOpus: a packet of a sound counts as sent if one was made of it. Silence that DTX leaves out counts
// neither as sent nor as missed.
func TestSentThroughOpus(t *testing.T) {
	for _, dtx := range []bool{false, true} {
		c := opusSide()
		c.Wants.DTX = dtx
		e := newEdges(t, c)
		sound, err := audio.NewSound(twoWords())
		if err == nil {
			err = e.Order(SideB, Play{Sound: sound}, e.now)
		}
		if err != nil {
			t.Fatal(err)
		}
		for len(e.played) == 0 && e.now < time.Minute {
			if e.Due(SideB) <= e.now {
				e.Attend(SideB, e.now)
			}
			e.now += 5 * time.Millisecond
		}
		so := e.played[0]
		if int(so.Packets) != len(e.put[SideA]) || so.Missed != 0 || so.At != sound.Duration() || dtx == (so.Packets == 200) {
			t.Errorf("DTX %v: %+v of %d packets", dtx, so, len(e.put[SideA]))
		}
	}
}
