package media

import (
	"encoding/binary"
	"net/netip"

	"flowbridge/media/audio"
	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

// never is a time that does not come.
const never = stream.Never

type flowID struct {
	Session uint64
	From    Side // the side whose packets the flow takes
	Kind    Kind
}

// flow is one direction of one kind of packet. A packet that arrives at In from exactly Source, with the SSRC, leaves
// from Out to Dest, changed by Rewrite. A flow is a plain comparable value, so that every path carries the same one.
type flow struct {
	ID  flowID
	In  netip.AddrPort // our address on the side that sends
	Out netip.AddrPort // our address on the side that receives
	course
}

// course is what of a flow changes during a call. Only that is kept of it.
type course struct {
	Source      netip.AddrPort // the locked source; invalid while none is
	Dest        netip.AddrPort // invalid: packets are dropped
	SSRC        uint32         // of the locked stream; of RTP only
	Held        bool           // Dest wants no packets: they are counted and dropped
	Unconfirmed bool           // Dest is: endpoint.withholds says which packets do not go
	Rewrite     rewrite        // of RTP flows only; RTCP is made to fit it
}

// flowPath carries the packets of flows. It does not decide which sources may send: it compares with flow.Source and
// flow.SSRC, and passes other packets to the session's latch. The goroutine that owns the session calls it.
type flowPath interface {
	// Attach starts to carry f, or replaces the flow with the same ID. It adds what it carries to c, which is the
	// same in every call for one ID.
	Attach(f flow, c *counters) error
	// Detach stops carrying a flow and leaves its final figures in its counters. It ignores an unknown ID.
	Detach(id flowID)
}

// payloadOp says what happens to the payload of an RTP packet.
type payloadOp uint8

// The operations of a PayloadChange.
const (
	PayloadKeep   payloadOp = iota
	PayloadToALaw           // PCMU becomes PCMA
	PayloadToULaw           // PCMA becomes PCMU
	PayloadDrop             // the packet is not relayed
)

// PayloadChange says what happens to packets of one RTP payload type. The zero value changes nothing.
type PayloadChange struct {
	From uint8     `cbor:"1,keyasint,omitempty"` // 0 to 127, as To
	To   uint8     `cbor:"2,keyasint,omitempty"`
	Op   payloadOp `cbor:"3,keyasint,omitempty"`
}

const maxPayloadChanges = 8

// rewrite is what a flow changes in each RTP packet. The zero value changes nothing. It has a fixed size and no
// pointers, so that a kernel map can hold it; one with a PayloadOp other than PayloadKeep needs the userspace path.
type rewrite struct {
	stream.Shift

	Payload [maxPayloadChanges]PayloadChange
}

// apply changes pkt in place, and reports whether to relay it. The RTP header has been checked.
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
