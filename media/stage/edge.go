package stage

import (
	"time"

	"flowbridge/media/stream"
)

// edge stands between a side and all stages of both ways: the stages get what it makes of the side's packets, and the
// side gets what it makes of theirs. The kernel can't relay such packets. An edge belongs to the worker.
type edge interface {
	// enter handles a packet from the side, and leave one for it. leave reports whether what it made of it was sent.
	enter(p *Packet)
	leave(pkt []byte, now time.Duration) (sent bool)

	// rests reports whether nothing was made of the last packet for the side, as in a pause by DTX.
	rests() bool

	// due returns when attend must be called even without a packet.
	due() time.Duration
	attend(now time.Duration)

	// stream returns the stream that is made of the side's.
	stream() *stream.Stream

	// ahead returns how far the sequence numbers sent to the side are ahead of those of leave, modulo 2^16.
	ahead() uint16

	// retime converts the timestamps and the jitter in an RTCP compound from the side, or one to it.
	retime(compound []byte, toSide bool)
}

// edge returns the edge of a side, or nil.
func (s *Stages) edge(side Side) edge {
	if w := s.ways[side]; w != nil {
		return w.edge
	}
	return nil
}

// HasEdge reports whether a side's packets are made into others before the stages get them.
func (s *Stages) HasEdge(side Side) bool { return s.edge(side) != nil }

// Relayed returns the stream of a side as stages and the outlet see it: what its edge makes of it, or else own.
func (s *Stages) Relayed(from Side, own *stream.Stream) *stream.Stream {
	if e := s.edge(from); e != nil {
		return e.stream()
	}
	return own
}

// Enter gives a packet from a side to the side's edge, which passes on what it makes of it. It returns false if there
// is none.
func (s *Stages) Enter(from Side, p *Packet) bool {
	e := s.edge(from)
	if e != nil {
		e.enter(p)
	}
	return e != nil
}

// Exit gives a packet for a side to the side's edge, which sends what it makes of it. is is false if there is none.
func (s *Stages) Exit(to Side, pkt []byte, now time.Duration) (sent, is bool) {
	e := s.edge(to)
	if e == nil {
		return false, false
	}
	return e.leave(pkt, now), true
}

// Ahead returns how far the sequence numbers sent to a side are ahead of those of its stages, modulo 2^16.
func (s *Stages) Ahead(to Side) uint16 {
	if e := s.edge(to); e != nil {
		return e.ahead()
	}
	return 0
}

// Retime converts the timestamps and the jitter in an RTCP compound: from a side with an edge to the clock of the
// stages or, if out is set, from that clock to the clock of the side.
func (s *Stages) Retime(side Side, compound []byte, out bool) {
	if e := s.edge(side); e != nil {
		e.retime(compound, out)
	}
}
