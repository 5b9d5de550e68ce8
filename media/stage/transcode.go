package stage

import (
	"encoding/binary"
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
	if was != nil && c.On && c.Wants == was.config.Wants {
		c.codec = nil
		was.config = c // the streams go on
		return
	}
	if was == nil && !c.On {
		return
	}
	w.out.Leave(w.in) // what the side sends next continues from here
	w.edge = nil
	w.in, _ = w.session.Stream(w.side)
	if !c.On {
		return
	}
	if c, err := c.Ready(); err != nil { // never: Ready was called before
		w.session.Broke(w.side, err)
	} else {
		w.edge = newEdge(w, c)
	}
}

// edge lies between a side that speaks Opus and the stages. It is a value without clock or I/O, owned by the worker.
type edge struct {
	way    *way
	config Transcode
	codec  *codec
	in     inward
	out    outward
	broken bool // the codec has failed, and nothing passes any more
}

func newEdge(w *way, c Transcode) *edge {
	e := &edge{way: w, codec: c.codec, config: c}
	e.config.codec = nil
	e.in.edge, e.out.edge = e, e
	e.in.due, e.in.stream.Rate = stream.Never, opus.Rate
	w.in = &e.in.stream
	return e
}

// fail ends the audio of both directions for good.
func (e *edge) fail(err error) {
	if !e.broken {
		e.broken = true
		e.way.session.Broke(e.way.side, err)
	}
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
func (s *Stages) Exit(to Side, pkt []byte) (sent, is bool) {
	e := s.edge(to)
	if e == nil {
		return false, false
	}
	if e.broken {
		return false, true
	}
	return e.out.take(pkt), true
}

// InTime converts a timestamp of a side's RTCP to the stream that stages see, and OutTime one of that stream to what
// the side is sent.
func (s *Stages) InTime(from Side, timestamp uint32) uint32 {
	if e := s.edge(from); e != nil {
		return e.in.inner(timestamp)
	}
	return timestamp
}

// OutTime is described at InTime.
func (s *Stages) OutTime(to Side, timestamp uint32) uint32 {
	if s.edge(to) != nil {
		return timestamp * opus.Scale
	}
	return timestamp
}

// attendEdges calls the transcoder of a side if it is due.
func (s *Stages) attendEdge(from Side, now time.Duration) {
	if e := s.edge(from); e != nil && e.in.due <= now {
		e.in.attend(now)
	}
}

// edgeDue returns when the transcoder of a side has to do something without a packet.
func (s *Stages) edgeDue(from Side) time.Duration {
	if e := s.edge(from); e != nil {
		return e.in.due
	}
	return stream.Never
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
