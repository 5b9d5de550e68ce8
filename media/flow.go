package media

import (
	"encoding/binary"
	"net/netip"

	"flowbridge/media/audio"
	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

// never is later than any time.
const never = stream.Never

type flowID struct {
	Session uint64
	From    Side // the side whose packets the flow carries
	Kind    Kind
}

// flow is one direction of one kind of packet. A packet that arrives at In from exactly Source, with the SSRC, leaves
// from Out to Dest, changed by Rewrite. A flow is a plain comparable value, so that every path can carry it.
type flow struct {
	ID  flowID
	In  netip.AddrPort // our address for the sending side
	Out netip.AddrPort // our address for the receiving side
	course
}

// course is the part of a flow that changes during a call. Only this part is stored in an endpoint.
type course struct {
	Source      netip.AddrPort // the locked source; invalid if none is locked
	Dest        netip.AddrPort // if invalid, packets are dropped
	SSRC        uint32         // SSRC of the locked stream; RTP only
	Held        bool           // Dest wants no packets, so they are counted and dropped
	Unconfirmed bool           // Dest may not exist: endpoint.withholds decides which packets are not sent
	Rewrite     rewrite        // RTP flows only; RTCP is rewritten to match it
}

// flowPath carries the packets of flows. It does not decide which sources may send: it compares packets with
// flow.Source and flow.SSRC, and passes all others to the session's latch. Only the goroutine that owns the session
// calls it.
type flowPath interface {
	// Attach starts to carry f, or replaces the flow with the same ID. The path adds its counts to c, which is the same
	// for every call with that ID.
	Attach(f flow, c *counters) error
	// Detach stops carrying a flow and leaves the final figures in its counters. It ignores an unknown ID.
	Detach(id flowID)
}

// payloadOp says how to change the payload of an RTP packet.
type payloadOp uint8

// These are the operations of a PayloadChange.
const (
	PayloadKeep   payloadOp = iota
	PayloadToALaw           // PCMU becomes PCMA
	PayloadToULaw           // PCMA becomes PCMU
	PayloadDrop             // the packet is not relayed
)

// PayloadChange changes packets of one RTP payload type. The zero value changes nothing.
type PayloadChange struct {
	From uint8     `cbor:"1,keyasint,omitempty"` // 0 to 127, as is To
	To   uint8     `cbor:"2,keyasint,omitempty"`
	Op   payloadOp `cbor:"3,keyasint,omitempty"`
}

const maxPayloadChanges = 8

// rewrite is the change a flow makes to each RTP packet. The zero value changes nothing. It has a fixed size and no
// pointers, so that a kernel map can hold it; a rewrite with a PayloadOp other than PayloadKeep needs the userspace
// path.
type rewrite struct {
	stream.Shift

	Payload [maxPayloadChanges]PayloadChange
}

// apply changes pkt in place, and reports whether to relay it. The RTP header must be valid.
func (r *rewrite) apply(pkt []byte) bool {
	if r.SSRC != 0 {
		binary.BigEndian.PutUint32(pkt[8:12], r.SSRC)
	}
	binary.BigEndian.PutUint32(pkt[4:8], binary.BigEndian.Uint32(pkt[4:8])+r.TimeOffset)
	binary.BigEndian.PutUint16(pkt[2:4], binary.BigEndian.Uint16(pkt[2:4])+r.SeqOffset)
	marker, pt := pkt[1]&0x80, pkt[1]&0x7f
	for i := range r.Payload {
		if c := &r.Payload[i]; c.From == pt && *c != (PayloadChange{}) {
			pkt[1] = marker | c.To&0x7f
			return c.Op.apply(pkt)
		}
	}
	return true
}

func (o payloadOp) apply(pkt []byte) bool {
	switch o {
	case PayloadKeep:
	case PayloadToALaw:
		audio.ToALaw(packet.Payload(pkt))
	case PayloadToULaw:
		audio.ToULaw(packet.Payload(pkt))
	case PayloadDrop:
		return false
	}
	return true
}
