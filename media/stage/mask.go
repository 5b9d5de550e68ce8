package stage

import (
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/packet"
	"flowbridge/media/stream"
	"flowbridge/media/voice/turns"
)

const (
	// keyGap is how long to wait for the next packet of a pressed key. Senders repeat it every 20 to 50 ms (RFC 4733
	// §2.5.1.2).
	keyGap = 250 * time.Millisecond

	// keyTail is how long after the end of a key its tone may remain in the speech. A gateway delays speech less than the
	// event.
	keyTail = 100 * time.Millisecond

	// maskCode is the event that replaces a masked one: the key *.
	maskCode = 10
)

// Mask starts or stops hiding the keys that a side presses from the other side and from the tap. Its telephone-events
// are dropped, and the tap sees the key * instead. During a key, and for 100 ms afterwards, G.711 speech becomes
// silence and other speech is dropped, because a gateway may leave the tone in it. The zero value is off, the default
// of a session. If the mask is set during a key, packets relayed earlier have been heard; if it is lifted during a key,
// that key stays masked to its end.
type Mask struct {
	On bool `cbor:"1,keyasint,omitempty"`

	// Always mutes all speech while the mask is on, for a side whose keys can't be told from speech.
	Always bool `cbor:"2,keyasint,omitempty"`

	Events packet.PayloadSet `cbor:"3,keyasint,omitzero"` // the side's payload types that are telephone-events
	ULaw   packet.PayloadSet `cbor:"4,keyasint,omitzero"`
	ALaw   packet.PayloadSet `cbor:"5,keyasint,omitzero"` // ULaw and ALaw are its G.711 payload types
}

// masker masks the keys of a side. It is a value without clock or I/O, owned by the worker.
type masker struct {
	idle
	config Mask
	until  time.Duration // a key is assumed to be pressed until then
	past   pastEvents    // masked events
}

func (m *masker) packet(p *Packet) Verdict {
	switch {
	case m.config.Events.Has(p.PayloadType):
		if m.concerns(p.Header, p.Data, p.Now) {
			m.press(p.Header, p.Data, p.Now)
			return Masked
		}
	case m.config.On && m.config.Always, p.Now < m.until:
		return m.mute(p.Header, p.Data)
	}
	return Relay
}

// plain reports whether no key is being masked.
func (m *masker) plain(now time.Duration) bool { return !m.config.On && now >= m.until }

func (m *masker) pauses(now time.Duration) turns.Why {
	if m.plain(now) {
		return 0
	}
	return turns.Mask
}

// up returns the payload types of masked keys, whose packets may be repeated.
func (m *masker) up() packet.PayloadSet { return m.config.Events }

// concerns reports whether to mask a telephone-event. While the mask is on, every event is masked; afterwards, the rest
// of a key that was pressed before: its repeated packets and further segments (RFC 4733 §2.5.1.3).
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
	for i := 0; i < len(payload); i += packet.EventLen { // a packet may contain several events
		payload[i] = maskCode
	}
}

func (m *masker) mute(h packet.Header, pkt []byte) Verdict {
	var silence byte
	switch {
	case m.config.ULaw.Has(h.PayloadType):
		silence = audio.ULaw.Silence()
	case m.config.ALaw.Has(h.PayloadType):
		silence = audio.ALaw.Silence()
	default:
		return Hidden
	}
	payload := packet.Payload(pkt)
	for i := range payload {
		payload[i] = silence
	}
	return Relay
}

func (c Mask) apply(w *way, _ time.Duration) {
	if w.mask == nil {
		if !c.On {
			return
		}
		w.mask = &masker{}
		w.arrange()
	}
	w.mask.config = c
}

// maskerState is the state of masked keys that a hand-over passes on.
type maskerState struct {
	Until time.Duration    `cbor:"1,keyasint,omitempty"`
	Past  []packet.EventID `cbor:"2,keyasint,omitempty"`
}

func (m *masker) save(st *SideState, c stream.Clock) {
	st.Masker = &maskerState{Until: c.At(m.until), Past: m.past.all()}
}

func (m *masker) restore(st *SideState, c stream.Clock) {
	if s := st.Masker; s != nil {
		m.until, m.past = c.Until(s.Until, keyGap), pastOf(s.Past)
	}
}
