package stage

import (
	"encoding/binary"
	"errors"
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/opus"
	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

// Transcode says that a side speaks Opus, for which G.711 stands everywhere in the session: packets of the side are
// decoded before any stage sees them, and everything that it is sent is encoded last. The zero value is off, the
// default of a session. The payload types are the side's own, but for Number.
type Transcode struct {
	On     bool              `cbor:"1,keyasint,omitempty"`
	Takes  packet.PayloadSet `cbor:"2,keyasint,omitzero"`  // that it may send Opus with
	Opus   uint8             `cbor:"3,keyasint,omitempty"` // that it is sent Opus with
	Number uint8             `cbor:"5,keyasint,omitempty"` // of the G.711 that stands for it: 0 (PCMU) or 8 (PCMA)
	Events packet.PayloadSet `cbor:"6,keyasint,omitzero"`  // its telephone-events
	Scaled packet.PayloadSet `cbor:"7,keyasint,omitzero"`  // of these, the ones with durations of 48 kHz
	Wants  opus.Settings     `cbor:"8,keyasint,omitzero"`

	codec *codec `cbor:"-"` // made by Ready
}

// codec is the state of a side's Opus, half a megabyte.
type codec struct {
	decoder *opus.Decoder
	encoder *opus.Encoder
}

// Ready returns the order with its codec, which takes too long to make where packets are relayed.
func (c Transcode) Ready() (Transcode, error) {
	if !c.On || c.codec != nil {
		return c, nil
	}
	made := &codec{}
	var err error
	if made.decoder, err = opus.NewDecoder(); err == nil {
		made.encoder, err = opus.NewEncoder(c.Wants)
	}
	if err != nil {
		return Transcode{}, err
	}
	c.codec = made
	return c, nil
}

// valid reports whether a state can have the order.
func (c *Transcode) valid() bool {
	return c == nil || c.Opus <= 127 && (c.Number == 0 || c.Number == 8)
}

// law returns the kind of G.711 that stands for Opus.
func (c *Transcode) law() audio.Law {
	if c.Number == 8 {
		return audio.ALaw
	}
	return audio.ULaw
}

func (c Transcode) apply(w *way, _ time.Duration) {
	was := w.edge
	if was != nil && c.On && !was.broken && c.Wants == was.config.Wants {
		c.codec = was.config.codec
		was.config = c // the streams go on
		return
	}
	if was == nil && !c.On {
		return
	}
	w.out.Leave(w.in) // what the side sends next continues from here, as does what it is sent
	if ahead := w.both.Ahead(w.side); ahead != 0 {
		_, o := w.session.Stream(w.side.Other())
		o.Advance(ahead)
		w.session.Shifted()
	}
	w.edge = nil
	w.in, _ = w.session.Stream(w.side)
	if !c.On {
		return
	}
	c, err := c.Ready()
	if err != nil { // never: Ready was called before
		w.session.Broke(w.side, err)
		return
	}
	e := &edge{way: w, config: c}
	e.in.edge, e.in.order.to, e.out.edge, e.out.order.to = e, &e.in, e, &e.out
	e.in.due, e.in.stream.Rate = stream.Never, opus.Rate
	w.edge, w.in = e, &e.in.stream
}

// edge lies between a side that speaks Opus and the stages. It is a value without clock or I/O, owned by the worker.
type edge struct {
	way    *way
	config Transcode
	in     inward
	out    outward
	broken bool // the codec has failed, and nothing passes any more
}

// broke reports whether the codec has failed, which ends the audio of both directions for good. Other errors are of one
// packet.
func (e *edge) broke(err error) bool {
	if !e.broken && errors.Is(err, opus.ErrBroken) {
		e.broken = true
		e.way.session.Broke(e.way.side, err)
	}
	return e.broken
}

// budgetMost is how much more than real time a side may have us decode or encode at once.
const budgetMost = 2 * time.Second

// budget bounds what a direction costs, whatever packets come: for long a quarter more than real time, which with the
// most costly packets is 3 % of a processor. What is above the budget is dropped. Before the codec does it, a side is
// charged for
//
//   - decoding: the length that a packet of Opus says it has, 2.5 to 120 ms. One that says something else is dropped
//   - what is made up in place of lost packets and in pauses: its length, 2.5 to 120 ms
//   - encoding: 20 ms for a frame, also for one filled up with silence because a timestamp jumps or a key is pressed
//   - the reset of a codec, when a stream begins: 20 ms
type budget struct {
	spent time.Duration // above real time
	at    time.Duration
}

// affords reports whether samples may be handled, and charges for them.
func (b *budget) affords(samples int, reset bool, now time.Duration) bool {
	if reset {
		samples += frameLen
	}
	spent := time.Duration(samples) * time.Second / opus.Rate
	b.spent, b.at = max(b.spent-min(now-b.at, time.Hour)*5/4, 0), now
	if b.spent+spent > budgetMost {
		return false
	}
	b.spent += spent
	return true
}

// edge returns the transcoder of a side, nil if it has none.
func (s *Stages) edge(side Side) *edge {
	if w := s.ways[side]; w != nil {
		return w.edge
	}
	return nil
}

// Relayed returns the stream of a side that stages and the outlet see: what its transcoder makes of own, or own.
func (s *Stages) Relayed(from Side, own *stream.Stream) *stream.Stream {
	if e := s.edge(from); e != nil {
		return &e.in.stream
	}
	return own
}

// Transcoded reports whether a side's packets are.
func (s *Stages) Transcoded(side Side) bool { return s.edge(side) != nil }

// Enter gives a packet of a side to its transcoder, which passes on what it makes of it. False: it has none.
func (s *Stages) Enter(from Side, p *Packet) bool {
	e := s.edge(from)
	if e == nil {
		return false
	}
	if !e.broken {
		e.in.take(p)
		e.way.session.Arm(from)
	}
	return true
}

// Exit gives a packet for a side to its transcoder, which sends what it makes of it. is is false if the side has none.
func (s *Stages) Exit(to Side, pkt []byte, now time.Duration) (sent, is bool) {
	e := s.edge(to)
	if e == nil {
		return false, false
	}
	return !e.broken && e.out.take(pkt, now), true
}

// Ahead returns how far the numbers of what a side is sent are ahead of those that its transcoder takes, modulo 2^16.
func (s *Stages) Ahead(to Side) uint16 {
	if e := s.edge(to); e != nil && e.out.begun {
		return e.out.seq + 1 - e.out.order.next
	}
	return 0
}

// Retime converts the timestamps and the jitter in a compound of RTCP: of one from a side with a transcoder to the
// clock of the stages, or if out is set, of one to the side to the clock of what it is sent.
func (s *Stages) Retime(side Side, compound []byte, out bool) {
	e := s.edge(side)
	switch {
	case e == nil:
	case out:
		outer := func(units uint32) uint32 { return units * opus.Scale }
		packet.Retime(compound, outer, outer)
	default:
		packet.Retime(compound, e.in.inner, func(units uint32) uint32 { return units / opus.Scale })
	}
}

// scaled changes the duration of telephone-events by a factor, or by its inverse if that is negative.
func scaled(payload []byte, factor int) {
	for ; len(payload) >= packet.EventLen; payload = payload[packet.EventLen:] {
		d := int(binary.BigEndian.Uint16(payload[2:]))
		if factor < 0 {
			d /= -factor
		} else {
			d = min(d*factor, 0xffff) // a longer one needs segments (RFC 4733 section 2.5.1.3)
		}
		binary.BigEndian.PutUint16(payload[2:], uint16(d)) // at most 0xffff
	}
}

// putHeader writes the RTP header of a packet.
func putHeader(pkt []byte, h packet.Header, marker bool) {
	pkt[0], pkt[1] = 0x80, h.PayloadType
	if marker {
		pkt[1] |= 0x80
	}
	binary.BigEndian.PutUint16(pkt[2:], h.Seq)
	binary.BigEndian.PutUint32(pkt[4:], h.Timestamp)
	binary.BigEndian.PutUint32(pkt[8:], h.SSRC)
}
