package stage

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/opus"
	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

// Transcode has the Opus of a side appear as G.711 everywhere in the session: packets from the side are decoded
// before any stage sees them, and packets to it are encoded last. The zero value, the default of a session, is off.
// The payload types are the side's own, except Number.
type Transcode struct {
	On     bool              `cbor:"1,keyasint,omitempty"`
	Takes  packet.PayloadSet `cbor:"2,keyasint,omitzero"`  // with which it may send Opus
	Opus   uint8             `cbor:"3,keyasint,omitempty"` // with which it is sent Opus
	Number uint8             `cbor:"5,keyasint,omitempty"` // of the G.711 that stands for it: 0 (PCMU) or 8 (PCMA)
	Events packet.PayloadSet `cbor:"6,keyasint,omitzero"`  // its telephone-events
	Scaled packet.PayloadSet `cbor:"7,keyasint,omitzero"`  // those of Events whose durations are in units of 48 kHz
	Wants  opus.Settings     `cbor:"8,keyasint,omitzero"`

	// Short makes the packets of G.711 10 ms long instead of 20 ms, for an other side that takes no longer ones.
	Short bool `cbor:"9,keyasint,omitempty"`

	codec *codec `cbor:"-"` // made by Ready
}

// codec is the state of a side's decoder and encoder: half a megabyte.
type codec struct {
	decoder *opus.Decoder
	encoder *opus.Encoder
}

// Ready returns the order with its codec, which takes too long to create in the worker.
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

// valid reports whether the order, read from a state, is possible.
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

// frame returns the length of the packets of G.711, in samples.
func (c *Transcode) frame() int {
	if c.Short {
		return opus.Frame / 2
	}
	return opus.Frame
}

func (c Transcode) apply(w *way, _ time.Duration) {
	was, _ := w.edge.(*transcoder)
	if was != nil && !was.broken && c.On && c.Wants == was.config.Wants {
		c.codec = was.config.codec
		was.config = c // the streams go on
		return
	}
	if was == nil && !c.On {
		return
	}
	w.out.Leave(w.in) // both directions continue from here
	if (was != nil) != c.On {
		w.reclock(c.On)
	}
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
	e := &transcoder{way: w, config: c}
	e.in.edge, e.in.order.to, e.out.edge, e.out.order.to = e, &e.in, e, &e.out
	e.in.stream.Rate = opus.Rate
	w.edge, w.in = e, &e.in.stream
}

// reclock converts the time of the stream that the side is sent, because a transcoder that multiplies all timestamps
// begins or ends. So the side's timestamps follow on (RFC 3550 section 5.1), within a unit.
func (w *way) reclock(begins bool) {
	time := func(t uint32) uint32 { return t * opus.Scale }
	if begins {
		const third = 0xaaaaaaab // times 3 it is 1, modulo 2^32
		time = func(t uint32) uint32 { return t / 2 * third }
	}
	s, o := w.session.Stream(w.side.Other())
	o.Convert(s, time)
	if other := w.both.ways[w.side.Other()]; other != nil && other.dialer != nil {
		other.dialer.timestamp = time(other.dialer.timestamp)
	}
}

// transcoder is the edge of a side that speaks Opus. It has neither a clock nor I/O.
type transcoder struct {
	way    *way
	config Transcode
	in     inward
	out    outward
	broken bool // the codec has failed: nothing passes until the next order

	top, lost uint64 // highest number and losses of the side's stream at the last report to it
}

// broke reports whether the codec has failed, which ends the audio of both directions until the next order. Any other
// error concerns one packet.
func (e *transcoder) broke(err error) bool {
	if !e.broken && errors.Is(err, opus.ErrBroken) {
		e.broken = true
		e.way.session.Broke(e.way.side, err)
	}
	return e.broken
}

// budgetMost is how much more than real time a side may have us decode or encode at once.
const budgetMost = 2 * time.Second

// budget bounds the CPU time of a direction, whatever packets come, to a quarter more than real time in the long run.
// With the most costly packets this is 3 % of a processor. Audio above the budget is dropped. Before the codec does the
// work, a side is charged for
//
//   - decoding: the length that a packet of Opus declares, 2.5 to 120 ms; any other packet is dropped
//   - audio made up for lost packets and pauses: its length, 2.5 to 120 ms
//   - encoding: 20 ms a frame, including one completed with silence because a timestamp jumps or a key is pressed
//   - resetting a codec when a stream begins: 20 ms
type budget struct {
	spent time.Duration // beyond real time
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

func (e *transcoder) enter(p *Packet) {
	if !e.broken {
		e.in.take(p)
		e.way.session.Arm(e.way.side)
	}
}

func (e *transcoder) leave(pkt []byte, now time.Duration) (sent bool) {
	sent = !e.broken && e.out.take(pkt, now)
	e.way.session.Arm(e.way.side)
	return sent
}

func (e *transcoder) rests() bool { return !e.out.made }

func (e *transcoder) due() time.Duration { return min(e.in.due(), e.out.order.due()) }

func (e *transcoder) attend(now time.Duration) {
	e.in.attend(now)
	e.out.order.drain(now, false)
}

func (e *transcoder) stream() *stream.Stream { return &e.in.stream }

func (e *transcoder) ahead() uint16 {
	if e.out.begun {
		return e.out.seq + 1 - e.out.order.next
	}
	return 0
}

func (e *transcoder) retime(compound []byte, toSide bool) {
	if toSide {
		packet.Retime(compound, func(units uint32) uint32 { return units * opus.Scale }, e.report)
		return
	}
	packet.Retime(compound, e.in.inner, func(block []byte) {
		binary.BigEndian.PutUint32(block[12:], binary.BigEndian.Uint32(block[12:])/opus.Scale)
	})
}

// report converts a report block sent to the side. If it is about the side's stream, its highest number and its losses
// become those of the packets received from the side (RFC 3550 section 6.4.1): the reporter knows only our packets.
func (e *transcoder) report(block []byte) {
	jitter := min(binary.BigEndian.Uint32(block[12:]), math.MaxUint32/opus.Scale)
	binary.BigEndian.PutUint32(block[12:], jitter*opus.Scale)
	own, out := e.way.session.Stream(e.way.side)
	is := out.Alias(own)
	if !is.Known || is.From != binary.BigEndian.Uint32(block) {
		return
	}
	lost, fraction := own.Lost(), uint64(0)
	if e.top > 0 && is.Top > e.top && lost > e.lost {
		fraction = min((lost-e.lost)*256/(is.Top-e.top), 255)
	}
	e.top, e.lost = is.Top, lost
	binary.BigEndian.PutUint32(block[4:], uint32(fraction<<24|min(lost, 1<<23-1)))
	binary.BigEndian.PutUint32(block[8:], uint32(is.Top))
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
