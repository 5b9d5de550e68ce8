package media

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"
)

const telephoneEventLen = 4

// digits are the telephone-events 0 to 15 (RFC 4733 §3.2). Higher codes are a hook flash, tones of modems and the
// like.
const digits = "0123456789*#ABCD"

// telephoneEvent is the payload of an RTP packet of that type (RFC 4733 §2.3).
type telephoneEvent struct {
	code     uint8  // of the event
	end      bool   // E: the event is over
	volume   uint8  // 0 to 63, the level in -dBm0
	duration uint16 // from the packet's timestamp on, in units of the clock rate
}

// parseTelephoneEvent reads the payload of an RTP packet. It ignores the reserved bit and what follows: nobody packs
// several events into a packet (RFC 4733 §2.5.1.5), but some senders fill it up.
func parseTelephoneEvent(payload []byte) (telephoneEvent, bool) {
	if len(payload) < telephoneEventLen {
		return telephoneEvent{}, false
	}
	return telephoneEvent{
		code:     payload[0],
		end:      payload[1]&0x80 != 0,
		volume:   payload[1] & 0x3f,
		duration: binary.BigEndian.Uint16(payload[2:]),
	}, true
}

// eventID tells events apart: all packets of one carry the timestamp of its start (RFC 4733 §2.2.1).
type eventID struct {
	ssrc, timestamp uint32
	code            uint8
}

// eventsKept is how many events are remembered, so that their late and repeated packets count as theirs.
const eventsKept = 8

// pastEvents is a ring of the last events.
type pastEvents struct {
	ids       [eventsKept]eventID
	next, met int
}

func (e *pastEvents) add(id eventID) {
	e.ids[e.next] = id
	e.next, e.met = (e.next+1)%eventsKept, min(e.met+1, eventsKept)
}

func (e *pastEvents) has(id eventID) bool { return slices.Contains(e.ids[:e.met], id) }

func (e telephoneEvent) put(payload []byte) {
	payload[0], payload[1] = e.code, e.volume&0x3f
	if e.end {
		payload[1] |= 0x80
	}
	binary.BigEndian.PutUint16(payload[2:], e.duration)
}

func (e telephoneEvent) digit() (byte, bool) {
	if int(e.code) >= len(digits) {
		return 0, false
	}
	return digits[e.code], true
}

func digitCode(digit byte) (uint8, bool) {
	i := strings.IndexByte(digits, digit)
	return uint8(max(i, 0)), i >= 0 // at most 15
}

// units is d in units of a clock rate in Hz, rounded down and modulo 2^32. 0 Hz means 8000.
func units(d time.Duration, rate int64) uint32 {
	if rate == 0 {
		rate = defaultClockRate
	}
	return uint32(d.Microseconds() * rate / 1e6)
}

// span is the duration of n units of a clock. 0 Hz means 8000.
func span(n uint64, rate uint32) time.Duration {
	if rate == 0 {
		rate = defaultClockRate
	}
	return time.Duration(n * uint64(time.Second) / uint64(rate)) // 18 hours at the least fit
}
