package media

import "encoding/binary"

// PayloadChange replaces one RTP payload type by another, both 0 to 127. The
// zero value changes nothing.
type PayloadChange struct{ From, To uint8 }

// Rewrite is what a flow changes in the RTP header of each packet. The zero
// value is the identity. It has a fixed size and no pointers, so that a kernel
// map can hold it. RTCP is made to fit it.
type Rewrite struct {
	SSRC       uint32 // the new SSRC; 0 leaves it
	TimeOffset uint32 // added to the timestamp, modulo 2^32
	SeqOffset  uint16 // added to the sequence number, modulo 2^16
	Payload    [4]PayloadChange
}

// plus is r with a shift on top, which has no payload types.
func (r Rewrite) plus(shift Rewrite) Rewrite {
	if shift.SSRC != 0 {
		r.SSRC = shift.SSRC
	}
	r.TimeOffset += shift.TimeOffset
	r.SeqOffset += shift.SeqOffset
	return r
}

// apply changes pkt, whose RTP header has been checked, in place.
func (r *Rewrite) apply(pkt []byte) {
	if r.SSRC != 0 {
		binary.BigEndian.PutUint32(pkt[8:12], r.SSRC)
	}
	binary.BigEndian.PutUint32(pkt[4:8], binary.BigEndian.Uint32(pkt[4:8])+r.TimeOffset)
	binary.BigEndian.PutUint16(pkt[2:4], binary.BigEndian.Uint16(pkt[2:4])+r.SeqOffset)
	marker, pt := pkt[1]&0x80, pkt[1]&0x7f
	for _, c := range r.Payload {
		if c.From == pt && c.To != pt {
			pkt[1] = marker | c.To&0x7f
			return
		}
	}
}
