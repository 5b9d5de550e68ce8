package packet

import (
	"encoding/binary"
	"strings"
)

// EventLen is the length of a telephone-event, in bytes.
const EventLen = 4

// digits are the telephone-events 0 to 15 (RFC 4733 §3.2). Higher codes are a hook flash, modem tones and the like.
const digits = "0123456789*#ABCD"

// Event is the payload of an RTP packet of type telephone-event (RFC 4733 §2.3).
type Event struct {
	Code     uint8  // event code
	End      bool   // E: the event is over
	Volume   uint8  // 0 to 63, the level in -dBm0
	Duration uint16 // duration since the packet's timestamp, in units of the clock rate
}

// ParseEvent parses the payload of an RTP packet. It ignores the reserved bit and any bytes after the event: some
// senders pad it, but they do not pack several events into a packet (RFC 4733 §2.5.1.5).
func ParseEvent(payload []byte) (Event, bool) {
	if len(payload) < EventLen {
		return Event{}, false
	}
	return Event{
		Code:     payload[0],
		End:      payload[1]&0x80 != 0,
		Volume:   payload[1] & 0x3f,
		Duration: binary.BigEndian.Uint16(payload[2:]),
	}, true
}

// Put writes the event, EventLen bytes, with the reserved bit clear.
func (e Event) Put(payload []byte) {
	payload[0], payload[1] = e.Code, e.Volume&0x3f
	if e.End {
		payload[1] |= 0x80
	}
	binary.BigEndian.PutUint16(payload[2:], e.Duration)
}

// Digit returns the event's key: 0 to 9, *, #, A to D. It returns false if the event is not a key.
func (e Event) Digit() (byte, bool) {
	if int(e.Code) >= len(digits) {
		return 0, false
	}
	return digits[e.Code], true
}

// DigitCode returns the event code of a key. It returns false if there is no such key.
func DigitCode(digit byte) (uint8, bool) {
	i := strings.IndexByte(digits, digit)
	return uint8(max(i, 0)), i >= 0 // i is at most 15
}

// EventID identifies an event. All packets of the event carry the timestamp of its start (RFC 4733 §2.2.1).
type EventID struct {
	SSRC      uint32 `cbor:"1,keyasint,omitempty"`
	Timestamp uint32 `cbor:"2,keyasint,omitempty"`
	Code      uint8  `cbor:"3,keyasint,omitempty"`
}

// EventID returns the identity of a packet's event, without its code.
func (h Header) EventID() EventID { return EventID{SSRC: h.SSRC, Timestamp: h.Timestamp} }
