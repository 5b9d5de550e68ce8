package stage

import "flowbridge/media/packet"

// eventMost is the longest duration of a telephone-event, in units of its clock: 1.4 s at 48 kHz, and 8.2 s at 8 kHz.
const eventMost = 0xffff

// longEvent converts the telephone-events of a stream to another clock. An event that is too long for one duration has
// segments, each with its own timestamp (RFC 4733 section 2.5.1.3). Many receivers take each segment for another key.
// Segments that the new clock does not need become one event.
type longEvent struct {
	id    packet.EventID // of the latest segment
	units uint16         // the longest duration of that segment
	ended bool

	first uint32 // timestamp of the event
	began uint32 // the same in the new clock
	done  uint32 // length of its full segments in the new clock
}

// convert returns the timestamp and the duration of a packet of an event, in a clock of mul/div times the rate. begins
// is the packet's own timestamp in that clock.
func (l *longEvent) convert(h packet.Header, marker bool, e packet.Event, begins, mul, div uint32) (uint32, uint16) {
	same, behind := h.SSRC == l.id.SSRC && e.Code == l.id.Code, int32(h.Timestamp-l.id.Timestamp) // modulo 2^32
	switch next := uint32(behind); {
	case same && (behind == 0 || behind < 0 && int32(h.Timestamp-l.first) >= 0): // of this segment, or of an earlier one
	case same && !l.ended && behind > 0 && (next == eventMost || next == uint32(l.units) && !marker): // the next segment
		l.id.Timestamp, l.units = h.Timestamp, 0
	default:
		id := h.EventID()
		id.Code = e.Code
		*l = longEvent{id: id, first: h.Timestamp, began: begins}
	}
	if h.Timestamp == l.id.Timestamp {
		l.units, l.ended = max(l.units, e.Duration), l.ended || e.End
	}
	length := uint64(h.Timestamp-l.first+uint32(e.Duration)) * uint64(mul) / uint64(div)
	timestamp := l.began + l.done
	if length < uint64(l.done) {
		return timestamp, 0
	}
	duration := min(length-uint64(l.done), eventMost)
	if length > uint64(l.done)+eventMost && !e.End {
		l.done += eventMost
	}
	return timestamp, uint16(duration) // at most eventMost
}
