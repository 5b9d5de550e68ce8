package stage

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"flowbridge/media/packet"
)

// maskPacket is RTP of a payload type with its timestamp.
func maskPacket(payloadType byte, first bool, timestamp uint32, payload ...byte) []byte {
	pkt := []byte{0x80, payloadType, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9}
	if first {
		pkt[1] |= 0x80
	}
	binary.BigEndian.PutUint32(pkt[4:], timestamp)
	return append(pkt, payload...)
}

// maskStep is a packet at a time, and what is to become of it.
type maskStep struct {
	at    int // ms
	what  string
	pkt   []byte
	fate  string // passes, silent, starred (and not relayed), gone
	after func(m *masker)
}

func runMask(t *testing.T, m *masker, steps []maskStep) {
	t.Helper()
	for _, s := range steps {
		before := bytes.Clone(s.pkt)
		h, ok := packet.ParseRTP(s.pkt)
		if !ok {
			t.Fatalf("%d ms, %s: no RTP", s.at, s.what)
		}
		v := m.packet(&Packet{Header: h, Data: s.pkt, Now: time.Duration(s.at) * time.Millisecond})
		got := "?"
		switch payload := packet.Payload(s.pkt); {
		case v == Hidden:
			got = "gone"
		case v == Relay && bytes.Equal(before, s.pkt):
			got = "passes"
		case v == Relay && bytes.Count(payload, []byte{0xff})+bytes.Count(payload, []byte{0xd5}) == len(payload):
			got = "silent"
		case v == Masked && payload[0] == maskCode && bytes.Equal(before[:12], s.pkt[:12]):
			got = "starred"
		}
		if got != s.fate {
			t.Errorf("%d ms, %s: %s; want %s", s.at, s.what, got, s.fate)
		}
		if s.after != nil {
			s.after(m)
		}
	}
}

func testMask() Mask {
	m := Mask{On: true}
	m.Events.Add(101)
	m.Events.Add(96)
	m.ULaw.Add(0)
	m.ALaw.Add(8)
	return m
}

func TestMask(t *testing.T) {
	speech := func() []byte { return maskPacket(0, false, 5000, 1, 2, 3) }
	key := func(ts uint32, first bool, flags byte) []byte { return maskPacket(101, first, ts, 5, flags|10, 0, 160) }
	off := func(m *masker) { m.config.On = false }
	on := func(m *masker) { m.config.On = true }
	m := &masker{config: testMask()}
	runMask(t, m, []maskStep{
		{at: 0, what: "speech before any key", pkt: speech(), fate: "passes"},
		{at: 20, what: "a key begins", pkt: key(100, true, 0), fate: "starred"},
		{at: 40, what: "its tone in PCMU", pkt: speech(), fate: "silent"},
		{at: 40, what: "its tone in PCMA", pkt: maskPacket(8, false, 1, 1, 2), fate: "silent"},
		{at: 40, what: "its tone in another codec", pkt: maskPacket(9, false, 1, 1, 2), fate: "gone"},
		{at: 60, what: "the key goes on", pkt: key(100, false, 0), fate: "starred"},
		{at: 309, what: "a tone while packets are lost", pkt: speech(), fate: "silent"},
		{at: 310, what: "speech when no more come", pkt: speech(), fate: "passes"},
		{at: 320, what: "the end", pkt: key(100, false, 0x80), fate: "starred"},
		{at: 419, what: "the tail", pkt: speech(), fate: "silent"},
		{at: 420, what: "speech after it", pkt: speech(), fate: "passes"},
		{at: 500, what: "a key with another clock", pkt: maskPacket(96, true, 900, 1, 0, 0, 160), fate: "starred"},
		{at: 520, what: "its end", pkt: maskPacket(96, false, 900, 1, 0x80, 0, 160), fate: "starred"},
		{at: 900, what: "an event without payload", pkt: maskPacket(101, true, 950, 4), fate: "starred"},
		{at: 900, what: "two in one packet", pkt: maskPacket(101, true, 960, 4, 0, 0, 1, 5, 0, 0, 1), fate: "starred"},
		{at: 2000, what: "a key is pressed", pkt: key(2000, true, 0), fate: "starred", after: off},
		{at: 2020, what: "the mask is lifted: its tone", pkt: speech(), fate: "silent"},
		{at: 2020, what: "what is left of the key", pkt: key(2000, false, 0), fate: "starred"},
		{at: 2040, what: "its next segment", pkt: key(2160, false, 0), fate: "starred"},
		{at: 2060, what: "its end", pkt: key(2160, false, 0x80), fate: "starred"},
		{at: 2180, what: "its end again, late", pkt: key(2160, false, 0x80), fate: "starred"},
		{at: 2500, what: "its end again, very late", pkt: key(2000, false, 0x80), fate: "starred"},
		{at: 2600, what: "speech", pkt: speech(), fate: "passes"},
		{at: 2620, what: "another key", pkt: key(4000, true, 0), fate: "passes"},
		{at: 2640, what: "its end", pkt: key(4000, false, 0x80), fate: "passes", after: on},
		{at: 2660, what: "the mask is back: its end again", pkt: key(4000, false, 0x80), fate: "starred"},
	})
}

// TestMaskWithoutEvents: a side whose keys can't be told from its speech is
// silent for as long as the mask is on.
func TestMaskWithoutEvents(t *testing.T) {
	c := testMask()
	c.Events, c.Always = packet.PayloadSet{}, true
	m := &masker{config: c}
	runMask(t, m, []maskStep{
		{at: 0, what: "PCMU", pkt: maskPacket(0, false, 1, 1, 2, 3), fate: "silent"},
		{at: 20, what: "another codec", pkt: maskPacket(18, false, 1, 1, 2), fate: "gone"},
		{at: 40, what: "PCMA", pkt: maskPacket(8, false, 1, 9), fate: "silent", after: func(m *masker) { m.config.On = false }},
		{at: 60, what: "speech afterwards", pkt: maskPacket(0, false, 1, 1, 2, 3), fate: "passes"},
	})
}

// FuzzMask: whatever a side sends, a masked event shows no key, and nothing but
// the payload is changed.
func FuzzMask(f *testing.F) {
	f.Add(maskPacket(101, true, 1, 5, 0, 0, 160), true)
	f.Add(maskPacket(101, false, 1), false)
	f.Add(append([]byte{0xb1, 101, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 1, 2, 3, 4, 0, 0, 0, 0}, 5, 0, 0, 160, 1, 1), true)
	f.Fuzz(func(t *testing.T, pkt []byte, always bool) {
		h, ok := packet.ParseRTP(pkt)
		if !ok {
			return
		}
		c := testMask()
		c.Always = always
		m := &masker{config: c}
		before := bytes.Clone(pkt)
		relay := m.packet(&Packet{Header: h, Data: pkt, Now: time.Second}) == Relay
		payload := packet.Payload(pkt)
		start := cap(pkt) - cap(payload)
		if c.Events.Has(h.PayloadType) {
			if relay {
				t.Error("an event is relayed")
			}
			for i := 0; i < len(payload); i += packet.EventLen {
				if payload[i] != maskCode {
					t.Errorf("byte %d of the payload is %d", i, payload[i])
				}
			}
		}
		if !bytes.Equal(before[:start], pkt[:start]) || !bytes.Equal(before[start+len(payload):], pkt[start+len(payload):]) {
			t.Error("more than the payload is changed")
		}
	})
}
