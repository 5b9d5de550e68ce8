package stage

import (
	"time"

	"flowbridge/media/packet"
)

const (
	// orderLen is how far ahead of a missing packet others are held, in packets.
	orderLen = 8

	// orderPatience is how many packets are held before a missing one counts as lost, and orderWait how long the first of
	// them is held.
	orderPatience = 3
	orderWait     = 60 * time.Millisecond

	// orderJump is the difference of numbers that means a new stream (RFC 3550 section A.1).
	orderJump = 100
)

// order puts the packets of one stream in order, because a codec has to have them so. A packet in its turn is not held.
type order struct {
	started bool
	ssrc    uint32
	next    uint16 // number whose turn it is
	lost    int    // numbers that were given up before it, until a packet is taken
	count   int    // of held
	since   time.Duration
	held    [orderLen]held // by number
}

type held struct {
	packet.Header

	is, marker bool
	size       int
	payload    [1500]byte
}

// begins reports whether a packet is the first of another stream, and prepares for that.
func (o *order) begins(h packet.Header) bool {
	d := int16(h.Seq - o.next) // modulo 2^16 on purpose
	if o.started && h.SSRC == o.ssrc && d > -orderJump && d < orderJump {
		return false
	}
	o.started, o.ssrc, o.next, o.lost, o.count = true, h.SSRC, h.Seq, 0, 0
	for i := range o.held {
		o.held[i].is = false
	}
	return true
}

// due reports whether it is a packet's turn. If not, the packet is held, or dropped because it came too late or twice.
func (o *order) due(h packet.Header, marker bool, payload []byte, now time.Duration) bool {
	ahead := int16(h.Seq - o.next) // modulo 2^16 on purpose
	switch {
	case ahead == 0:
		o.next++
		return true
	case ahead < 0 || ahead >= orderLen: // drain has made room
		return false
	}
	p := &o.held[h.Seq%orderLen]
	if p.is || len(payload) > len(p.payload) {
		return false
	}
	p.Header, p.is, p.marker, p.size = h, true, marker, copy(p.payload[:], payload)
	if o.count++; o.count == 1 {
		o.since = now
	}
	return false
}

// isFar reports whether a packet can't be held yet.
func (o *order) isFar(h packet.Header) bool { return int16(h.Seq-o.next) >= orderLen }

// pop returns the held packet whose turn it is. If none has its turn, it gives up the missing ones once enough are
// held, or anyway if all is set.
func (o *order) pop(now time.Duration, all bool) *held {
	if o.count == 0 {
		return nil
	}
	if !o.held[o.next%orderLen].is {
		if !all && o.count < orderPatience && now-o.since < orderWait {
			return nil
		}
		for !o.held[o.next%orderLen].is {
			o.next, o.lost = o.next+1, o.lost+1
		}
		o.since = now
	}
	p := &o.held[o.next%orderLen]
	p.is = false
	o.next, o.count = o.next+1, o.count-1
	return p
}

// skip gives up everything before a packet. Nothing is held.
func (o *order) skip(h packet.Header) {
	o.lost, o.next = o.lost+int(h.Seq-o.next), h.Seq // modulo 2^16 on purpose
}
