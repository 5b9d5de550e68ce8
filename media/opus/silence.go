package opus

import "bytes"

const (
	// cycle is after how many frames the packets of digital silence repeat: SILK's seed has four values (RFC 6716
	// section 4.2.7.7).
	cycle = 4
	// settled is how many packets in a row must repeat before the encoder is skipped: it has adapted to the silence by
	// then. 25 frames are 0.5 s.
	settled = 25
	// largestSilent bounds the packets that are kept, in bytes. Only a constant bitrate makes larger ones.
	largestSilent = 64
	// quietest is the sample that A-law has for silence; µ-law has 0.
	quietest = 8
)

// silence repeats the packets of digital silence: agents, whose speech is made, send nothing else in their pauses, and
// encoding it costs half as much as speech. The receiver gets the packets that the encoder would make.
type silence struct {
	level    int16 // of the samples
	repeated int   // packets in a row that equalled the one a cycle before; negative while the first ones are collected
	at       int   // index of the next packet in packets
	packets  [cycle]struct {
		data [largestSilent]byte
		size int
	}
}

// next returns the next packet, or nil if the samples must be encoded.
func (s *silence) next(samples []int16) []byte {
	if !isLevel(samples, s.level) {
		if s.level = samples[0]; !isLevel(samples, s.level) {
			s.level = 0
		}
		s.repeated = -cycle
		return nil
	}
	if s.repeated < settled {
		return nil
	}
	p := &s.packets[s.at]
	s.at = (s.at + 1) % cycle
	return p.data[:p.size]
}

// note stores an encoded packet. It is empty in a pause by DTX, which has another cycle.
func (s *silence) note(packet []byte) {
	p := &s.packets[s.at]
	s.at = (s.at + 1) % cycle
	switch {
	case len(packet) == 0 || len(packet) > largestSilent:
		s.repeated = -cycle
	case s.repeated < 0 || bytes.Equal(packet, p.data[:p.size]):
		s.repeated++
	default:
		s.repeated = 0
	}
	p.size = copy(p.data[:], packet)
}

// isLevel reports whether all samples have this level, and it is silent.
func isLevel(samples []int16, level int16) bool {
	if level < -quietest || level > quietest {
		return false
	}
	for _, v := range samples {
		if v != level {
			return false
		}
	}
	return true
}
