//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"flowbridge/media/quality"
	"flowbridge/media/voice"
)

// model is the program written a second time, in Go: it decides about packets and counts them. It shares no code
// with the program or the loader.
type model struct {
	device [6]byte // the address of the interface that packets come to
	index  int     // its number
	flows  map[netip.AddrPort]*modelFlow
}

// modelFlow is a flow with everything that the program knows about it.
type modelFlow struct {
	Flow
	out   int // number of the interface; 0 means this machine
	mtu   int
	state State
	ended bool

	speech Speech // only if Listen is set
}

// fate is the result for a packet.
type fate struct {
	verdict int32
	frame   []byte
	flow    *modelFlow // the flow that counts it; nil if none does
	foreign bool       // it was refused because of its SSRC
	refused bool       // refused for its source or SSRC: it goes up or is dropped, depending on the rate
}

// modelPacket holds the fields that the model reads from a frame.
type modelPacket struct {
	v6               bool
	src, dst         netip.AddrPort
	length, udp      int // length of the IP packet, and of UDP with its header
	ip, l4, checksum int // offsets
}

const loopback = 1

func (m *model) judge(frame []byte, gso bool, now time.Duration) fate {
	up := fate{verdict: verdictUp, frame: frame}
	p, ok := m.read(frame)
	if !ok || gso {
		return up
	}
	f := m.flows[p.dst]
	if f == nil {
		return up
	}
	var h header
	whole := p.udp >= 8 && 14+p.length <= len(frame)
	if whole {
		payload := frame[p.l4+8 : p.l4+p.udp]
		if f.Kind == RTP {
			h, whole = modelRTP(payload)
		} else {
			whole = modelRTCP(payload)
		}
	}
	if whole {
		up.frame = slices.Clone(frame[:14+p.length])
	}
	refused := fate{verdict: verdictUp, frame: up.frame, flow: f, refused: true}
	switch {
	case f.ended, (m.index == loopback) != (f.out == 0):
		return up
	case p.src != f.Source:
		return refused
	case !whole:
		return up
	case f.Kind == RTP && h.SSRC != f.SSRC:
		refused.foreign = true
		return refused
	case f.Kind == RTP && f.Up.Has(h.PayloadType), p.length > f.mtu:
		return up
	}
	return m.relay(f, p, up.frame, now)
}

// relay counts a packet and turns it into the packet that leaves.
func (m *model) relay(f *modelFlow, p modelPacket, out []byte, now time.Duration) fate {
	payload := out[p.l4+8 : p.l4+p.udp]
	dropped := false
	before := slices.Clone(out)
	if f.Kind == RTP {
		h, _ := modelRTP(payload)
		if f.Listen {
			f.speech.hear(f.Events, h, payload, now)
		}
		f.state.observe(h, int64(rateOrDefault(f.ClockRate)), now)
		to := h.PayloadType
		for _, c := range f.Rewrite.Payload {
			if c.From == h.PayloadType && c != (PayloadChange{}) {
				to, dropped = c.To&0x7f, c.Drop
				break
			}
		}
		if dropped {
			f.state.Discarded++
			return fate{verdict: verdictDrop, frame: before, flow: f}
		}
		payload[1] = payload[1]&0x80 | to
		binary.BigEndian.PutUint16(payload[2:], h.Seq+f.Rewrite.SeqOffset)
		binary.BigEndian.PutUint32(payload[4:], h.Timestamp+f.Rewrite.TimeOffset)
		if f.Rewrite.SSRC != 0 {
			binary.BigEndian.PutUint32(payload[8:], f.Rewrite.SSRC)
		}
	} else {
		f.state.arrived(len(payload), now)
	}
	f.state.Sent++
	f.state.SentBytes += uint64(len(payload))
	f.address(p, out)
	f.sum(p, before, out)
	if f.out == 0 {
		return fate{verdict: verdictOK, frame: out, flow: f}
	}
	return fate{verdict: verdictRedirect, frame: out, flow: f}
}

func rateOrDefault(rate uint32) uint32 {
	if rate == 0 {
		return 8000
	}
	return rate
}

// address writes the new addresses and the fields that a router changes.
func (f *modelFlow) address(p modelPacket, out []byte) {
	tos := f.DSCP << 2
	if p.v6 {
		out[14] = 0x60 | tos>>4
		out[15] = tos<<4 | out[15]&0x0f
		out[21]--
		copy(out[22:], f.Out.Addr().AsSlice())
		copy(out[38:], f.Dest.Addr().AsSlice())
	} else {
		out[15] = tos
		out[22]--
		copy(out[26:], f.Out.Addr().AsSlice())
		copy(out[30:], f.Dest.Addr().AsSlice())
	}
	binary.BigEndian.PutUint16(out[p.l4:], f.Out.Port())
	binary.BigEndian.PutUint16(out[p.l4+2:], f.Dest.Port())
}

// sum updates the checksums by the changes (RFC 1624), so that a wrong one stays wrong.
func (f *modelFlow) sum(p modelPacket, before, out []byte) {
	if !p.v6 {
		binary.BigEndian.PutUint16(out[24:], adjust(binary.BigEndian.Uint16(before[24:]), before[14:34], out[14:34]))
	}
	was := binary.BigEndian.Uint16(before[p.checksum:])
	if was == 0 {
		return // IPv4 without a UDP checksum
	}
	addresses := 8
	if p.v6 {
		addresses = 32
	}
	is := adjust(was, before[p.l4-addresses:p.l4], out[p.l4-addresses:p.l4])
	if is == 0 {
		is = 0xffff
	}
	is = adjust(is, before[p.l4:], out[p.l4:])
	if is == 0 {
		is = 0xffff // RFC 768
	}
	binary.BigEndian.PutUint16(out[p.checksum:], is)
}

// adjust computes equation 3 of RFC 1624 over regions that begin at even offsets.
func adjust(sum uint16, was, is []byte) uint16 {
	n := uint64(^sum)
	for i := 0; i+1 < len(was); i += 2 {
		if w, s := binary.BigEndian.Uint16(was[i:]), binary.BigEndian.Uint16(is[i:]); w != s {
			n += uint64(^w) + uint64(s)
		}
	}
	for n > 0xffff {
		n = n>>16 + n&0xffff
	}
	return ^uint16(n)
}

// read parses a frame, and reports whether it may belong to a flow.
func (m *model) read(frame []byte) (p modelPacket, ok bool) {
	if len(frame) < 14 || [6]byte(frame[:6]) != m.device {
		return p, false
	}
	at := frame[14:]
	p.ip = 14
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		if len(at) < 28 || at[0] != 0x45 || at[9] != 17 || binary.BigEndian.Uint16(at[6:])&0x3fff != 0 || at[8] <= 1 {
			return p, false
		}
		p.l4 = 34
		p.length = int(binary.BigEndian.Uint16(at[2:]))
		p.udp = p.length - 20
		p.src, p.dst = modelAddr(at[12:16], frame[34:]), modelAddr(at[16:20], frame[36:])
	case 0x86dd:
		if len(at) < 48 || at[0]>>4 != 6 || at[6] != 17 || at[7] <= 1 || binary.BigEndian.Uint16(at[46:]) == 0 {
			return p, false
		}
		p.v6, p.l4 = true, 54
		p.udp = int(binary.BigEndian.Uint16(at[4:]))
		p.length = p.udp + 40
		p.src, p.dst = modelAddr(at[8:24], frame[54:]), modelAddr(at[24:40], frame[56:])
	default:
		return p, false
	}
	p.checksum = p.l4 + 6
	return p, int(binary.BigEndian.Uint16(frame[p.l4+4:])) == p.udp
}

func modelAddr(b, port []byte) netip.AddrPort {
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(port))
}

// modelRTP parses RTP like packet.ParseRTP, but rejects RTCP.
func modelRTP(pkt []byte) (h header, ok bool) {
	if len(pkt) < 12 || pkt[0]>>6 != 2 || (pkt[1] >= 192 && pkt[1] <= 223) {
		return h, false
	}
	size := 12 + 4*int(pkt[0]&0x0f)
	if pkt[0]&0x10 != 0 {
		if len(pkt) < size+4 {
			return h, false
		}
		size += 4 + 4*int(binary.BigEndian.Uint16(pkt[size+2:]))
	}
	if len(pkt) < size {
		return h, false
	}
	if pkt[0]&0x20 != 0 {
		if pad := int(pkt[len(pkt)-1]); pad == 0 || pad > len(pkt)-size {
			return h, false
		}
	}
	h = header{
		PayloadType: pkt[1] & 0x7f, Seq: binary.BigEndian.Uint16(pkt[2:]), Timestamp: binary.BigEndian.Uint32(pkt[4:]),
		SSRC: binary.BigEndian.Uint32(pkt[8:]), Length: len(pkt), From: size, To: len(pkt),
	}
	if pkt[0]&0x20 != 0 {
		h.To -= int(pkt[len(pkt)-1])
	}
	return h, true
}

// hear passes a packet to the worker's detector.
func (s *Speech) hear(events PayloadTypes, h header, pkt []byte, now time.Duration) {
	p := voice.Packet{
		Arrival: now / voice.Tick * voice.Tick, SSRC: h.SSRC, Timestamp: h.Timestamp, Content: voice.ContentOf(h.PayloadType),
		Payload: pkt[h.From:h.To],
	}
	if events.Has(h.PayloadType) {
		p.Content = voice.Keys
	}
	heard, ok := s.Detector.Packet(p)
	if !ok {
		return
	}
	copy(s.Last[1:], s.Last[:])
	s.Last[0] = Spoken{
		From: int64(heard.From / voice.Tick), Length: uint32((heard.To - heard.From) / voice.Tick),
		Level: uint16(heard.Level), Noise: uint16(heard.Noise),
	}
	if heard.Sparse {
		s.Last[0].Level |= sparse
	}
	if heard.Tone {
		s.Last[0].Level |= tone
	}
	s.Told++
}

func modelRTCP(pkt []byte) bool {
	return len(pkt) >= 4 && pkt[0]>>6 == 2 && pkt[1] >= 192 && pkt[1] <= 223 && 4*(1+int(binary.BigEndian.Uint16(pkt[2:]))) <= len(pkt)
}

// The following functions repeat media's stream and losses for a State.

func (s *State) arrived(n int, now time.Duration) {
	s.Packets++
	s.Bytes += uint64(n)
	if s.First == 0 {
		s.First = now
	}
	s.Last = now
}

func (s *State) observe(h header, rate int64, now time.Duration) {
	s.arrived(h.Length, now)
	s.LastPayloadType = h.PayloadType
	if !s.Started || s.Renewed || h.SSRC != s.SSRC {
		if s.Started && !s.Renewed {
			s.SSRCChanges++
		}
		s.restart(h.Seq)
		s.SSRC, s.Started, s.Renewed, s.Timed, s.Jitter = h.SSRC, true, false, false, 0
	}
	twice := s.Duplicates
	s.count(h.Seq)
	if s.Duplicates == twice {
		s.time(h.Timestamp, h.Seq == uint16(s.Top), rate, now)
	}
}

func (s *State) lost() uint64 {
	if expected := s.Top - s.Base + 1; s.Started && expected > s.Received {
		return s.LostPast + expected - s.Received
	}
	return s.LostPast
}

func (s *State) restart(seq uint16) {
	s.LostPast, s.WrapsPast = s.lost(), s.WrapsPast+s.Top>>16
	s.Base, s.Top = uint64(seq), uint64(seq)
	s.Received, s.Jumped = 0, false
	if s.Started {
		s.losses().Finish()
	}
	s.losses().Begin()
}

func (s *State) count(seq uint16) {
	ahead := seq - uint16(s.Top)
	switch {
	case ahead < 3000:
		s.losses().Advance(uint64(ahead))
		s.Top += uint64(ahead)
	case ahead > 65535-100:
		s.Jumped = false
		if by := uint64(-ahead); by > s.Top-s.Base || s.mark(by) {
			s.Reordered++
		}
		return
	default:
		if !s.Jumped || seq != s.Expect {
			s.Jumped, s.Expect = true, seq+1
			return
		}
		s.restart(seq)
	}
	s.Jumped = false
	s.mark(0)
}

func (s *State) mark(behind uint64) (first bool) {
	if first = s.losses().Mark(behind); first {
		s.Received++
	} else {
		s.Duplicates++
	}
	return first
}

// Losses and delays are counted by the process's own package, which the program repeats in C.
func (s *State) losses() *quality.Losses { return (*quality.Losses)(&s.Losses) }

func (s *State) time(timestamp uint32, newest bool, rate int64, now time.Duration) {
	step := int64(int32(timestamp - s.Timestamp))
	if s.Timed && (step == 0 || newest && step < 0 && step >= -2*rate) {
		return
	}
	known, passed := s.Timed, now-s.TimestampAt
	d := int64(int32(uint32(passed.Microseconds()*rate/1e6) - uint32(step)))
	s.Timed, s.Timestamp, s.TimestampAt = true, timestamp, now
	if !known || max(d, -d) > 2*rate && max(step, -step) > 2*rate {
		s.Delays.Behind, s.Delays.Waiting = 0, 0
		return
	}
	(*quality.Delays)(&s.Delays).Add(d, passed, rate)
	if d = max(d, -d); d > 2*rate {
		return
	}
	s.Jitter += uint64(d) - (s.Jitter+8)>>4
	s.Timings++
	s.JitterSum += s.Jitter
	s.JitterMax = max(s.JitterMax, s.Jitter)
}

// header holds the fields of an RTP packet that the model uses.
type header struct {
	PayloadType uint8
	Seq         uint16
	Timestamp   uint32
	SSRC        uint32
	Length      int // length of the packet in bytes, with its header, without UDP and IP
	From, To    int // offsets of the payload's beginning and end
}
