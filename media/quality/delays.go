package quality

import "time"

const (
	// buffer is how much later than the fastest packet one may come and still be heard. Receivers' adaptive buffers grow
	// to about that: 200 ms is the most by default with Asterisk and with Telnyx.
	buffer = 200 // ms

	// startsOver is how long packets have to stay late until the receiver plays all of them later.
	startsOver = time.Second
)

// Delays counts the packets that come too late for a receiver's jitter buffer, which discards them (RFC 3611 §4.7.1).
// Where the delay stays, as after a pause of the sender's clock, the receiver plays what follows later and discards
// none. So packets count when one comes in time after them. It is plain data: another process can continue it.
type Delays struct {
	Behind  uint64        `cbor:"1,keyasint,omitempty"` // of the last packet to the fastest, in units of the timestamp
	Waiting uint64        `cbor:"2,keyasint,omitempty"` // how many came late in a row, up to the last packet
	Lasted  time.Duration `cbor:"3,keyasint,omitempty"` // since the first of them
	Late    uint64        `cbor:"4,keyasint,omitempty"` // that count
	Bursts  uint64        `cbor:"5,keyasint,omitempty"` // runs of them
}

// Begin starts over: the next packet is the fastest.
func (d *Delays) Begin() { d.Behind, d.Waiting = 0, 0 }

// Add follows a packet that came passed after the one before, and was under way for change longer, in units of a clock.
// The fastest packet counts as slower by a unit with each packet, so that a slow clock of the sender is no delay. Add
// reports whether Late changed.
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
