package stage

import (
	"time"

	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

const (
	// orderLen is how far ahead of a missing packet other packets are held, in packets.
	orderLen = 8

	// orderPatience is how many packets are held before a missing one counts as lost, and orderWait how long the first of
	// them is held. A packet that comes later than that raises them by one and by orderMore, up to orderLen-1 packets.
	orderPatience = 3
	orderWait     = 60 * time.Millisecond
	orderMore     = 20 * time.Millisecond

	// orderJump is the difference of sequence numbers that means a restart once a second packet confirms it (RFC 3550
	// section A.1).
	orderJump = 100
)

// piece is an RTP packet on its way to a codec.
type piece struct {
	packet.Header

	marker  bool
	payload []byte
}

func pieceOf(pkt []byte, h packet.Header) piece {
	return piece{h, packet.Marker(pkt), packet.Payload(pkt)}
}

// ordered receives packets in order.
type ordered interface {
	begin(p piece, now time.Duration) // starts a stream with p, which is passed later
	pass(p piece, now time.Duration)  // handles p, whose turn it is
	overtaken()                       // counts a packet that came after its turn
}

// order puts the packets of one stream in order, as a codec needs them. A packet whose turn it is is not held.
type order struct {
	to      ordered
	started bool
	ssrc    uint32
	next    uint16 // the number whose turn it is
	far     int    // the number, modulo 2^16, that would confirm a restart; 0 if none
	lost    int    // numbers given up since the last packet was passed
	gone    uint64 // bit i: the number next-1-i was given up, and has not come since
	more    int    // packets that are held beyond orderPatience
	count   int    // of held
	since   time.Duration
	held    [orderLen]held // by number
}

type held struct {
	piece

	is   bool
	room [1500]byte // of piece.payload
}

// take passes a packet on if it is its turn, and then the held packets behind it. Otherwise the packet is held, or
// dropped because it came too late or twice. take returns false if it dropped the packet because its number is far
// away.
func (o *order) take(p piece, now time.Duration) bool {
	ahead := int16(p.Seq - o.next) // modulo 2^16 on purpose
	if far := ahead <= -orderJump || ahead >= orderJump; far || !o.started || p.SSRC != o.ssrc {
		if o.started && p.SSRC == o.ssrc && (o.far == 0 || p.Seq != uint16(o.far)) {
			o.far = int(p.Seq) + 1
			return false
		}
		for i := range o.held {
			o.held[i].is = false
		}
		o.started, o.ssrc, o.next, o.far, o.lost, o.count, o.gone, ahead = true, p.SSRC, p.Seq, 0, 0, 0, 0, 0
		o.to.begin(p, now)
	}
	if ahead >= orderLen {
		o.drain(now, true)
		if ahead = int16(p.Seq - o.next); ahead >= orderLen {
			o.skip(int(ahead))
			ahead = 0
		}
	}
	switch h := &o.held[p.Seq%orderLen]; {
	case ahead == 0:
		o.pass(p, now)
	case ahead < 0:
		o.late(-int(ahead))
	case ahead > 0 && !h.is && len(p.payload) <= len(h.room):
		h.piece, h.is = p, true
		h.payload = h.room[:copy(h.room[:], p.payload)]
		if o.count++; o.count == 1 {
			o.since = now
		}
	}
	o.drain(now, false)
	return true
}

// drain passes on the held packets whose turn it is. A packet missing before them is given up once enough packets are
// held, or long enough, or at once if all is set.
func (o *order) drain(now time.Duration, all bool) {
	for o.count > 0 {
		if !o.held[o.next%orderLen].is {
			if !all && o.count < orderPatience+o.more && now < o.due() {
				return
			}
			for !o.held[o.next%orderLen].is {
				o.skip(1)
			}
			o.since = now
		}
		p := &o.held[o.next%orderLen]
		p.is, o.count = false, o.count-1
		o.pass(p.piece, now)
	}
}

// due returns when drain gives up a missing packet if no other packet comes.
func (o *order) due() time.Duration {
	if o.count > 0 {
		return o.since + orderWait + time.Duration(o.more)*orderMore
	}
	return stream.Never
}

// skip gives up the next n numbers.
func (o *order) skip(n int) {
	o.next, o.lost = o.next+uint16(n), o.lost+n // n is at most orderJump
	o.gone = o.gone<<n | 1<<n - 1
}

// late counts a packet whose number, by behind before the next one, was given up. Another one has come twice.
func (o *order) late(behind int) {
	if bit := uint64(1) << (behind - 1); o.gone&bit != 0 {
		o.gone &^= bit
		o.more = min(o.more+1, orderLen-1-orderPatience)
		o.to.overtaken()
	}
}

func (o *order) pass(p piece, now time.Duration) {
	o.next, o.gone = o.next+1, o.gone<<1
	o.to.pass(p, now)
	o.lost = 0
}
