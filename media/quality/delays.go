package quality

import "time"

const (
	// buffer is how much later than the fastest packet a packet may arrive and still be played. Receivers' adaptive
	// buffers grow to about that: 200 ms is the default maximum in Asterisk and at Telnyx.
	buffer = 200 // ms

	// startsOver is how long packets must stay late before the receiver plays all of them later.
	startsOver = time.Second
)

// Delays counts the packets that come too late for a receiver's jitter buffer, which discards them (RFC 3611 §4.7.1).
// If the delay persists, for example after a pause of the sender's clock, the receiver plays later packets with that
// delay and discards none. So late packets count only when a packet in time follows them. Delays is plain data: another
// process can continue it.
type Delays struct {
	Behind  uint64        `cbor:"1,keyasint,omitempty"` // delay of the last packet behind the fastest, in timestamp units
	Waiting uint64        `cbor:"2,keyasint,omitempty"` // consecutive late packets up to the last one
	Lasted  time.Duration `cbor:"3,keyasint,omitempty"` // time since the first of these late packets
	Late    uint64        `cbor:"4,keyasint,omitempty"` // late packets that count
	Bursts  uint64        `cbor:"5,keyasint,omitempty"` // runs of late packets that count
}

// Begin starts over: the next packet is the fastest.
func (d *Delays) Begin() { d.Behind, d.Waiting = 0, 0 }

// Add adds a packet. passed is the time since the previous packet arrived. change is by how much longer this packet was
// in transit than the previous one, in units of a clock. The fastest packet counts as slower by a unit with each
// packet, so that a slow clock of the sender is not taken for delay. Add reports whether Late changed.
func (d *Delays) Add(change int64, passed time.Duration, clock int64) bool {
	d.Behind = uint64(max(int64(d.Behind)+change-1, 0))
	if n := d.Waiting; d.Behind <= uint64(clock)*buffer/1000 {
		d.Late, d.Bursts, d.Waiting = d.Late+n, d.Bursts+min(n, 1), 0
		return n > 0
	}
	if d.Waiting++; d.Waiting == 1 {
		d.Lasted = 0
	} else if d.Lasted += passed; d.Lasted > startsOver {
		d.Begin()
	}
	return false
}
