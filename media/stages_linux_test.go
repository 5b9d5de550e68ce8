package media

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"flowbridge/media/answerer"
	"flowbridge/media/audio"
	"flowbridge/media/packet"
	"flowbridge/media/stage"
)

// glimpse is a tap that records the first byte of each payload.
type glimpse struct{ seen []byte }

func (g *glimpse) Packet(p Tapped) { g.seen = append(g.seen, packet.Payload(p.Data)[0]) }

// TestOrderOfStages: the result for a packet if all stages that may affect it are on. A later stage does not see what
// an earlier one has hidden or dropped.
func TestOrderOfStages(t *testing.T) {
	key, speech := []byte{5, 0x80 | 10, 3, 32}, bytes.Repeat([]byte{0x55}, 160) // the end of a key, and speech
	hides := Mask{On: true, Always: true, Events: setOf(101), ULaw: setOf(0)}
	for _, tt := range []struct {
		name    string
		mask    Mask
		sound   Play
		held    bool // it is held back
		payload []byte
		tapped  byte // the first byte that the tap sees
		digits  string
		dropped Drops
		pauses  bool // the sound pauses
		sent    uint64
	}{
		{"a masked key", hides, Play{Yield: true}, false, key, 10, "", Drops{Masked: 1}, false, 0},
		{"a key", Mask{}, Play{Yield: true}, false, key, 5, "5", Drops{Diverted: 1}, false, 0},
		{"muted speech", hides, Play{Yield: true}, false, speech, audio.ULaw.Silence(), "", Drops{}, true, 1},
		{"speech under a sound", Mask{}, Play{}, false, speech, 0x55, "", Drops{Replaced: 1}, false, 0},
		{"a key that is held back", Mask{}, Play{Yield: true}, true, key, 5, "5", Drops{Diverted: 1}, false, 0},
		{"speech that is held back", Mask{}, Play{Yield: true}, true, speech, 0x55, "", Drops{}, false, 0},
		{"muted speech that is held back", hides, Play{Yield: true}, true, speech, audio.ULaw.Silence(), "", Drops{}, false, 0},
		{"speech that pauses a sound", Mask{}, Play{Yield: true}, false, speech, 0x55, "", Drops{}, true, 1},
	} {
		k, tap, digits := newTalker(t), &glimpse{}, ""
		k.r.onEvent = func(e Event) {
			if d, ok := e.(EventDigit); ok {
				digits += string(d.Digit)
			}
		}
		tt.sound.Sound, tt.sound.Loop = counted(t, 3), true
		k.listens(tap, tt.mask)
		k.order(command{op: opOrder, side: SideA, order: stage.HoldBack(tt.held)})
		k.plays(SideB, tt.sound)
		payloadType := uint8(0)
		if len(tt.payload) == len(key) {
			payloadType = 101
		}
		k.say(SideA, payloadType, 1, 160, bytes.Clone(tt.payload))
		ep := &k.r.endpoint[SideA][RTP]
		dropped, _ := k.r.ledger.dropped(SideA)
		if !bytes.Equal(tap.seen, []byte{tt.tapped}) || digits != tt.digits || dropped != tt.dropped {
			t.Errorf("%s: tapped % x, digits %q, dropped %+v; want %x, %q, %+v", tt.name, tap.seen, digits, dropped, tt.tapped, tt.digits, tt.dropped)
		}
		if is := ep.count.TxPackets.Load(); is != tt.sent || k.r.stages.Speaks(SideA) == tt.pauses {
			t.Errorf("%s: %d sent, and a sound replaces the stream: %v; want %d, %v", tt.name, is, k.r.stages.Speaks(SideA), tt.sent, !tt.pauses)
		}
	}
}

// TestMaskComesAfterDetection: answer detection and speech detection see the packets as they arrived.
func TestMaskComesAfterDetection(t *testing.T) {
	told, tap, k := []Event{}, &glimpse{}, newTalker(t)
	k.r.onEvent = func(e Event) {
		if by, ok := e.(EventAnsweredBy); ok {
			told = append(told, by)
		}
	}
	k.listens(tap, Mask{On: true, Always: true, ULaw: setOf(0)})
	k.detects(SideA, answerer.Limits{})
	samples := sine([2]float64{800, 0}, [2]float64{300, 1000}, [2]float64{2000, 0})
	for i := 0; i+160 <= len(samples); i += 160 {
		payload := make([]byte, 160)
		for j := range payload {
			payload[j] = audio.EncodeULaw(int16(8000 * samples[i+j]))
		}
		k.w.now += 20 * ms
		k.say(SideA, 0, uint16(i/160), uint32(i), payload)
	}
	if len(told) != 1 || told[0].(EventAnsweredBy).Verdict != answerer.Machine || k.utterances(SideA) != 1 {
		t.Errorf("told %+v, heard %d times", told, k.utterances(SideA))
	}
	if n := bytes.Count(tap.seen, []byte{audio.ULaw.Silence()}); n != len(tap.seen) || n == 0 {
		t.Errorf("%d packets of %d were silent for the tap", n, len(tap.seen))
	}
}

// TestOrderOfAttention: several things are due at the same moment. The end of a key is missed, which lets a waiting
// digit start, and the digit precedes the sound.
func TestOrderOfAttention(t *testing.T) {
	l, digits := newLine(t), ""
	l.r.onEvent = func(e Event) {
		if d, ok := e.(EventDigit); ok {
			digits += string(d.Digit)
		}
	}
	l.hears(TelephoneEvents{On: true, PayloadType: 101})
	pkt := append(sourcePacket(t, 0xa, 1)[:packet.HeaderLen], 5, 10, 3, 32) // a key that is still pressed
	pkt[1] = 0x80 | 101
	binary.BigEndian.PutUint32(pkt[4:], 160)
	if errno := send(l.from, pkt, &l.into[0]); errno != 0 {
		t.Fatal(errno)
	}
	l.serve()
	l.presses('7')
	l.play(Play{Sound: counted(t, 3), Loop: true})
	start := l.w.now
	for _, p := range l.runs(time.Second) {
		if p.PayloadType == 101 && p.at > start {
			if p.at != start+time.Second || p.payload[0] != 7 || digits != "5" {
				t.Errorf("event %d after %v, when %q was reported", p.payload[0], p.at-start, digits)
			}
			start = never
		} else if p.at == l.w.now && p.PayloadType == 0 {
			t.Errorf("a sound beside the digit: %+v", p.Header)
		}
	}
	if start != never || digits != "5" {
		t.Errorf("no digit after the key; reported %q", digits)
	}
}

func (k *talker) listens(tap Tap, m Mask) {
	k.order(command{op: opOrder, order: stage.Tapping{Tap: tap, Epoch: k.w.epoch, Local: k.r.local}})
	k.order(command{op: opOrder, side: SideA, order: TelephoneEvents{On: true, PayloadType: 101, Divert: true}})
	k.order(command{op: opOrder, side: SideA, order: m})
}

func (k *talker) plays(to Side, p Play) { k.order(command{op: opOrder, side: to.Other(), order: p}) }

func (k *talker) detects(side Side, l answerer.Limits) {
	k.order(command{op: opOrder, side: side, order: stage.Detect(l)})
}

func (l *line) hears(c TelephoneEvents) { l.gives(l.r, SideA, c) }

func (l *line) presses(digit byte) {
	l.gives(l.r, SideA, Digit{Digit: digit, PayloadType: 101})
}
