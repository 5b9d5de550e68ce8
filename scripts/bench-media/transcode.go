package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"flowbridge/scripts/internal/rtp"
	"flowbridge/scripts/internal/sip"
)

// speech is what the ends of transcoded calls send, 20 ms in each packet: Opus of 24 kbit/s from the carrier's side,
// PCMU from the agent's. After a relay has encoded it again, a packet says no more what it is. So it is known by the
// port of the relay that it comes from and by its timestamp. Of the first one, the number is what it was: Flowbridge
// keeps the timestamps but for the clock, rtpengine only the numbers.
type speech struct {
	payloads [2][][]byte
	sent     [2][][sentKept]int64 // by side, call and number: when
	calls    [2]map[netip.AddrPort]int
	first    [2]map[int]uint32 // by side and call: the number of timestamp 0
	plain    int               // calls before the first transcoded one
}

const (
	sentKept  = 64
	opusType  = 111
	opusScale = 6 // units of Opus' clock in one of PCMU's
)

// readSpeech reads media/opus/testdata/speech.bin.
func readSpeech(file string) (*speech, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s := &speech{}
	n := int(binary.LittleEndian.Uint16(b))
	for at := 2; at < 2+n; at += 160 {
		s.payloads[1] = append(s.payloads[1], b[at:at+160])
	}
	b = b[2+n:]
	for range 2 { // the second are those of 24 kbit/s
		s.payloads[0] = nil
		for n = int(binary.LittleEndian.Uint16(b)); n != 0xffff; n = int(binary.LittleEndian.Uint16(b)) {
			s.payloads[0] = append(s.payloads[0], b[2:2+n])
			b = b[2+n:]
		}
		b = b[2:]
	}
	return s, nil
}

// begin prepares for the calls of a load.
func (s *speech) begin(calls int) *speech {
	if s == nil {
		return nil
	}
	is := &speech{payloads: s.payloads, plain: s.plain}
	for side := range is.sent {
		is.sent[side], is.calls[side] = make([][sentKept]int64, calls), map[netip.AddrPort]int{}
		is.first[side] = map[int]uint32{}
	}
	return is
}

// write makes a packet of speech of one that rtp.Write has written.
func (s *speech) write(p []byte, call, side int, number uint32, now int64) []byte {
	if call < s.plain {
		return p
	}
	s.sent[side][call][number%sentKept] = now
	if side == 0 {
		p[1] = opusType
		binary.BigEndian.PutUint32(p[4:], number*160*opusScale)
	}
	all := s.payloads[side]
	return p[:12+copy(p[12:], all[(int(number)+call)%len(all)])]
}

// has reports whether a packet to a side comes from a transcoded call.
func (s *speech) has(from netip.AddrPort, side int) bool {
	return s != nil && s.calls[side][from] >= s.plain
}

// read returns which packet of a transcoded call has come to a side, and when it was sent.
func (s *speech) read(p []byte, from netip.AddrPort, side int) (call, number uint32, sent int64, ok bool) {
	n, ok := s.calls[side][from]
	if !ok || len(p) < 13 || p[1]&0x7f != [2]byte{opusType, 0}[side] {
		return 0, 0, 0, false
	}
	number = binary.BigEndian.Uint32(p[4:]) / [2]uint32{160 * opusScale, 160}[side]
	if _, known := s.first[side][n]; !known {
		s.first[side][n] = uint32(binary.BigEndian.Uint16(p[2:])) - number
	}
	number += s.first[side][n]
	return uint32(n), number, s.sent[1-side][n][number%sentKept], true
}

// opusDescription is the SDP of an end that has Opus and nothing else.
func opusDescription(a netip.AddrPort) string {
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %[1]v\r\ns=-\r\nc=IN IP4 %[1]v\r\nt=0 0\r\nm=audio %[2]d RTP/AVP %[3]d\r\n"+
		"a=rtpmap:%[3]d opus/48000/2\r\na=fmtp:%[3]d maxaveragebitrate=24000\r\na=ptime:%[4]d\r\n",
		a.Addr(), a.Port(), opusType, rtp.Interval.Milliseconds())
}

// caller is the SDP of the carrier's end of a call.
func (s *system) caller(call int, a netip.AddrPort) string {
	if s.speech != nil && call >= s.speech.plain {
		return opusDescription(a)
	}
	return s.secure.describe(0, "", sip.Description(a))
}
