package media

import (
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/packet"
)

const (
	// keyGap is how long to wait for the next packet of a pressed key. Senders repeat it every 20 to 50 ms (RFC 4733
	// §2.5.1.2).
	keyGap = 250 * time.Millisecond

	// keyTail is how long after the end of a key its tone may still be in the speech. A gateway delays speech less
	// than the event.
	keyTail = 100 * time.Millisecond

	// maskCode is the event that replaces a masked one: the key *.
	maskCode = 10
)

// PayloadSet is a set of RTP payload types, 0 to 127.
type PayloadSet [2]uint64

// Add adds a payload type to the set.
func (p *PayloadSet) Add(payloadType uint8) { p[payloadType>>6&1] |= 1 << (payloadType & 63) }

// Has reports whether a payload type is in the set.
func (p PayloadSet) Has(payloadType uint8) bool {
	return p[payloadType>>6&1]&(1<<(payloadType&63)) != 0
}

// Mask hides the keys that a side presses from the other side and from the session's tap. Its telephone-events are
// dropped, and the tap sees the key * instead. During a key, and 100 ms longer, G.711 speech becomes silence and
// other speech is dropped, because a gateway may leave the tone in it. The zero value is off.
type Mask struct {
	On bool `cbor:"1,keyasint,omitempty"`

	// Always mutes the speech while the mask is on, for a side whose keys can't be told from it.
	Always bool `cbor:"2,keyasint,omitempty"`

	Events PayloadSet `cbor:"3,keyasint,omitzero"` // those of the side's payload types that are telephone-events
	ULaw   PayloadSet `cbor:"4,keyasint,omitzero"`
	ALaw   PayloadSet `cbor:"5,keyasint,omitzero"` // and those that are G.711
}

// SetMask starts or stops masking the keys of a side. A session starts without a mask. If the mask is lifted during a
// key, that key stays masked to its end. If it is put on during a key, what was relayed before has been heard.
func (s *Session) SetMask(side Side, m Mask) { s.set(command{op: opMask, side: side, mask: &m}) }

// masker masks the keys of a side. It is a value without clock or I/O, owned by the worker.
type masker struct {
	config Mask
	until  time.Duration // a key is pressed for that long, as far as is known
	past   pastEvents    // that were masked
}

// hide masks keys in pkt. It reports whether the tap may see the packet, and whether to relay it.
func (m *masker) hide(h packet.Header, pkt []byte, now time.Duration) (show, relay bool) {
	switch {
	case m.config.Events.Has(h.PayloadType):
		if m.concerns(h, pkt, now) {
			m.press(h, pkt, now)
			return true, false
		}
	case m.config.On && m.config.Always, now < m.until:
		return m.mute(h, pkt)
	}
	return true, true
}

// concerns reports whether to mask a telephone-event: every one while the mask is on, and afterwards the rest of a
// key that was pressed before, its repeated packets and its further segments (RFC 4733 §2.5.1.3).
func (m *masker) concerns(h packet.Header, pkt []byte, now time.Duration) bool {
	return m.config.On || m.past.has(h.EventID()) || (now < m.until && !packet.Marker(pkt))
}

func (m *masker) press(h packet.Header, pkt []byte, now time.Duration) {
	if id := h.EventID(); !m.past.has(id) {
		m.past.add(id)
	}
	payload := packet.Payload(pkt)
	e, ok := packet.ParseEvent(payload)
	m.until = now + keyGap
	if ok && e.End {
		m.until = now + keyTail
	}
	for i := 0; i < len(payload); i += packet.EventLen { // a packet may hold several
		payload[i] = maskCode
	}
}

func (m *masker) mute(h packet.Header, pkt []byte) (show, relay bool) {
	var silence byte
	switch {
	case m.config.ULaw.Has(h.PayloadType):
		silence = audio.ULaw.Silence()
	case m.config.ALaw.Has(h.PayloadType):
		silence = audio.ALaw.Silence()
	default:
		return false, false
	}
	payload := packet.Payload(pkt)
	for i := range payload {
		payload[i] = silence
	}
	return true, true
}

func (r *relay) setMask(side Side, c Mask) {
	ep := r.heard(side)
	if ep.masker == nil {
		if !c.On {
			return
		}
		ep.masker = &masker{}
	}
	ep.masker.config = c
}
