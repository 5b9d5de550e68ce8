package media

import (
	"encoding/binary"

	"flowbridge/audio"
)

// PayloadOp is what becomes of the payload of an RTP packet.
type PayloadOp uint8

// The operations of a PayloadChange.
const (
	PayloadKeep   PayloadOp = iota
	PayloadToALaw           // PCMU becomes PCMA
	PayloadToULaw           // PCMA becomes PCMU
	PayloadDrop             // the packet is not relayed
)

// PayloadChange says what becomes of packets of one RTP payload type. The zero
// value changes nothing.
type PayloadChange struct {
	From, To uint8 // 0 to 127
	Op       PayloadOp
}

// maxPayloadChanges is how many payload types of a flow may be changed.
const maxPayloadChanges = 8

// Rewrite is what a flow changes in each RTP packet. The zero value is the
// identity. It has a fixed size and no pointers, so that a kernel map can hold
// it; one with a PayloadOp other than PayloadKeep needs the userspace path. RTCP is
// made to fit it.
type Rewrite struct {
	SSRC       uint32 // the new SSRC; 0 leaves it
	TimeOffset uint32 // added to the timestamp, modulo 2^32
	SeqOffset  uint16 // added to the sequence number, modulo 2^16
	Payload    [maxPayloadChanges]PayloadChange
}

// apply changes pkt, whose RTP header has been checked, in place, and says
// whether to relay it.
func (r *Rewrite) apply(pkt []byte) bool {
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

// apply changes the payload of pkt, and says whether to relay it.
func (o PayloadOp) apply(pkt []byte) bool {
	switch o {
	case PayloadKeep:
	case PayloadToALaw:
		audio.ToALaw(rtpPayload(pkt))
	case PayloadToULaw:
		audio.ToULaw(rtpPayload(pkt))
	case PayloadDrop:
		return false
	}
	return true
}
