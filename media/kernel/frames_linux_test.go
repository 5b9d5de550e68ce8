//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"pgregory.net/rapid"
)

// flowsOf draws some random flows of both versions of IP, and adds them.
func (m *machine) flowsOf(rt *rapid.T) (flows []*modelFlow) {
	port := rapid.Uint16Range(1, 65535)
	for i := range rapid.IntRange(1, 4).Draw(rt, "flows") {
		v6 := rapid.Bool().Draw(rt, "IPv6")
		addr := func(of string) netip.AddrPort {
			a := netip.AddrFrom4([4]byte{10, byte(i), rapid.Byte().Draw(rt, of), rapid.Byte().Draw(rt, of)})
			if v6 {
				a = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, of))) // any, but not IPv4
				b := a.As16()
				b[0] = 0xfd
				a = netip.AddrFrom16(b)
			}
			return netip.AddrPortFrom(a, port.Draw(rt, of))
		}
		f := &modelFlow{Flow: Flow{In: addr("in"), Source: addr("source"), Out: addr("out"), Dest: addr("dest")}}
		f.DSCP = uint8(rapid.IntRange(0, 63).Draw(rt, "DSCP"))
		f.mtu = rapid.SampledFrom([]int{localMTU, localMTU, 1500, 100}).Draw(rt, "MTU")
		if rarely(rt, "RTCP", 5) {
			f.Kind = RTCP
		} else {
			m.rtpFlow(rt, f)
		}
		// A flow that leaves through another kind of interface must not be relayed.
		if (m.model.index != loopback) != rarely(rt, "elsewhere", 9) {
			f.out = m.out
		}
		f.ended = rarely(rt, "ended", 15)
		if m.model.flows[f.In] == nil {
			m.put(rt, uint32(i+1), f)
			flows = append(flows, f)
		}
	}
	return flows
}

// rarely returns true about once in so many times. rapid draws small numbers more often than
// others.
func rarely(rt *rapid.T, of string, once int) bool {
	return rapid.IntRange(0, 1000*once).Draw(rt, of)%once == once-1
}

func (m *machine) rtpFlow(rt *rapid.T, f *modelFlow) {
	f.SSRC = rapid.Uint32().Draw(rt, "SSRC")
	f.ClockRate = rapid.SampledFrom([]uint32{0, 8000, 16000, 48000, 90000}).Draw(rt, "rate")
	if rapid.Bool().Draw(rt, "rewrites") {
		f.Rewrite.SSRC = rapid.SampledFrom([]uint32{0, 1, 0xffffffff, 0x12345678}).Draw(rt, "new SSRC")
		f.Rewrite.SeqOffset = rapid.Uint16().Draw(rt, "offset")
		f.Rewrite.TimeOffset = rapid.Uint32().Draw(rt, "time offset")
	}
	for i := range rapid.IntRange(0, MaxPayloadChanges).Draw(rt, "changes") {
		f.Rewrite.Payload[i] = PayloadChange{
			From: uint8(rapid.IntRange(94, 100).Draw(rt, "from")), To: uint8(rapid.IntRange(0, 127).Draw(rt, "to")),
			Drop: rarely(rt, "drop", 3),
		}
	}
	for range rapid.IntRange(0, 2).Draw(rt, "up") {
		f.Up.Add(uint8(rapid.IntRange(0, 127).Draw(rt, "goes up")))
	}
}

// later changes the times in a flow's state, as if time had passed: for the jitter, and for
// refused packets.
func (m *machine) later(rt *rapid.T, f *modelFlow) {
	slot, v := m.raw(rt, f)
	ago := func(of string) time.Duration {
		return rapid.SampledFrom([]time.Duration{
			0, time.Millisecond, 20 * time.Millisecond, 49 * time.Millisecond, 51 * time.Millisecond,
			999 * time.Millisecond, 1001 * time.Millisecond, 1999 * time.Millisecond, 2001 * time.Millisecond, time.Hour,
		}).Draw(rt, of)
	}
	now, s := Now(), figuresOf(&v, 0)
	if s.Last > 0 {
		s.Last = now - ago("last")
		s.First = min(s.First, s.Last)
	}
	if s.Timed {
		s.TimestampAt = now - ago("timestamp") + rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(rt, "ahead")
	}
	s.Renewed = s.Renewed || rarely(rt, "renewed", 9)
	v.F.Last, v.F.First, v.F.TimestampAt = uint64(s.Last), uint64(s.First), uint64(s.TimestampAt)
	if s.Renewed {
		v.F.Renewed = 1
	}
	v.F.StraysAt, v.F.ForeignAt = uint64(now-ago("strays")), uint64(now-ago("foreign"))
	v.F.Strays = rapid.SampledFrom([]uint32{0, 1, 2, 999, 1000}).Draw(rt, "strays")
	v.F.Foreign = rapid.SampledFrom([]uint32{0, 15, 16, 17, 999, 1000}).Draw(rt, "foreign")
	must(rt, m.program.States.Update(slot, &v, ebpf.UpdateLock))
	f.state = s
}

// frameOf draws a frame for a flow, or a frame that differs slightly. sound reports whether its
// checksums are right.
func (m *machine) frameOf(rt *rapid.T, f *modelFlow) (frame []byte, sound bool) {
	odd := func(of string, one int) bool { return rarely(rt, of, one) }
	src, dst := f.Source, f.In
	if odd("another source", 8) {
		src = netip.AddrPortFrom(src.Addr(), src.Port()^uint16(1<<rapid.IntRange(0, 15).Draw(rt, "bit")))
	}
	if odd("another address", 20) {
		src = netip.AddrPortFrom(src.Addr().Next(), src.Port())
	}
	if odd("another port", 20) {
		dst = netip.AddrPortFrom(dst.Addr(), dst.Port()^1)
	}
	payload := m.payloadOf(rt, f)
	ttl := rapid.SampledFrom([]uint8{64, 64, 64, 255, 2, 64, 1, 0}).Draw(rt, "TTL")
	frame = datagram(src, dst, rapid.Byte().Draw(rt, "TOS"), ttl, payload)
	copy(frame, m.model.device[:])
	sound = true
	if src.Addr().Is4() && odd("no checksum", 10) {
		frame[40], frame[41] = 0, 0
	}
	if odd("mangled", 3) {
		frame, sound = m.mangle(rt, frame), false
	}
	if odd("padded", 8) {
		frame = append(frame, rapid.SliceOfN(rapid.Byte(), 1, 30).Draw(rt, "padding")...)
		sound = false // a trimmed packet no longer has the device's checksum, which a test run does not notice
	}
	return frame, sound
}

// payloadOf draws RTP or RTCP, or bytes that look like it.
func (m *machine) payloadOf(rt *rapid.T, f *modelFlow) []byte {
	body := rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(rt, "body")
	if rarely(rt, "long", 9) {
		body = make([]byte, rapid.SampledFrom([]int{1400, 1459, 1460, 1461, 1600}).Draw(rt, "length"))
	}
	if f.Kind == RTCP {
		pkt := []byte{0x80, rapid.SampledFrom([]byte{200, 192, 223, 191, 224, 0}).Draw(rt, "type"), 0, 1, 1, 2, 3, 4}
		pkt[0] = rapid.SampledFrom([]byte{0x80, 0x81, 0x40, 0}).Draw(rt, "first")
		pkt[3] = byte(rapid.IntRange(0, 3).Draw(rt, "words"))
		return append(pkt, body...)
	}
	ssrc := f.SSRC
	if rarely(rt, "foreign", 8) {
		ssrc++
	}
	top := uint16(f.state.Top)
	seq := rapid.SampledFrom([]uint16{
		top + 1, top + 1, top + 2, top, top - 1, top - 99, top - 100, top - 101, top + 2999, top + 3000, top + 64, top + 65, top + 129, f.state.Expect,
	}).Draw(rt, "seq")
	payloadType := rapid.SampledFrom([]uint8{0, 8, 94, 95, 96, 97, 98, 99, 100, 127, 64, 72, 0x80, 0x80 | 96, 0x80 | 72}).Draw(rt, "payload type")
	timestamp := f.state.Timestamp + rapid.SampledFrom([]uint32{0, 160, 160, 320, 0xffffff60, 0x80000000, 100000}).Draw(rt, "timestamp")
	pkt := append(rtp(seq, timestamp, ssrc, payloadType, ""), body...)
	pkt[0] = rapid.SampledFrom([]byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x90, 0xa0, 0x81, 0x8f, 0xb2, 0x40, 0x00, 0xc0}).Draw(rt, "first")
	if pkt[0]&0x10 != 0 && len(pkt) > 40 {
		pkt[14+4*int(pkt[0]&0x0f)%28], pkt[15+4*int(pkt[0]&0x0f)%24] = 0, byte(rapid.IntRange(0, 20).Draw(rt, "extension"))
	}
	return pkt
}

// mangle spoils a frame: it cuts the frame, or changes a header field.
func (m *machine) mangle(rt *rapid.T, frame []byte) []byte {
	set := func(at int, values ...byte) {
		if at < len(frame) {
			frame[at] = rapid.SampledFrom(values).Draw(rt, "value")
		}
	}
	v4 := frame[12] == 8
	switch rapid.IntRange(0, 11).Draw(rt, "how") {
	case 0:
		return frame[:rapid.IntRange(min(34, len(frame)), len(frame)).Draw(rt, "cut")]
	case 1: // IPv4 options, or another version
		set(14, 0x46, 0x4f, 0x44, 0x55, 0x65, 0x60, 0x50)
	case 2: // fragments, or the flow label
		set(20, 0x20, 0x40, 0x1f, 0x01, 0x80)
	case 3:
		set(21, 1, 255)
	case 4: // protocol, or hop limit
		set(23, 6, 1, 17)
	case 5: // lengths
		set(17, 0, 1, 255)
	case 6:
		set(19, 0, 1, 255)
	case 7: // an extension header
		set(20, 0, 43, 44, 60, 59, 51)
	case 8: // another receiver
		set(0, 0xff, 0x01, 0x02, 0x33)
	case 9: // VLAN or ARP
		tag := rapid.SampledFrom([][]byte{{0x81, 0}, {0x88, 0xa8}, {0x08, 0x06}, {0x08, 0}, {0x86, 0xdd}}).Draw(rt, "type")
		return append(append(bytes.Clone(frame[:12]), append(tag, 0, 5)...), frame[12:]...)
	case 10: // header fields of UDP
		at := 38
		if !v4 {
			at = 58
		}
		set(at+rapid.IntRange(0, 3).Draw(rt, "field"), 0, 1, 7, 8, 255)
	case 11:
		set(rapid.IntRange(0, len(frame)-1).Draw(rt, "where"), rapid.Byte().Draw(rt, "what"))
	}
	return frame
}

// datagram returns an Ethernet frame with a UDP datagram and correct checksums.
func datagram(src, dst netip.AddrPort, tos, ttl uint8, payload []byte) []byte {
	frame := knownPacket{from: src, to: dst, tos: tos, ttl: ttl}.frame()
	l4 := len(frame) - 20
	frame = append(frame[:l4+8], payload...)
	n := 8 + len(payload)
	binary.BigEndian.PutUint16(frame[l4+4:], uint16(n))
	frame[l4+6], frame[l4+7] = 0, 1
	if src.Addr().Is4() {
		binary.BigEndian.PutUint16(frame[16:], uint16(20+n))
		frame[24], frame[25] = 0, 0
		binary.BigEndian.PutUint16(frame[24:], internetChecksum(frame[14:34]))
	} else {
		binary.BigEndian.PutUint16(frame[18:], uint16(n))
	}
	_, off := sums(frame)
	// The checksum is what the sum lacks, plus the 1 that the field contains.
	sum := uint32(off) + 1
	sum = sum>>16 + sum&0xffff
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(frame[l4+6:], uint16(sum))
	return frame
}

// TestCountsAsTheModel checks the counts for many numbers, timestamps and delays.
func TestCountsAsTheModel(t *testing.T) {
	m, late := newMachine(t), uint64(0)
	rapid.Check(t, func(rt *rapid.T) {
		defer m.clear(rt)
		f := &modelFlow{Flow: Flow{
			In: ap("10.0.0.1:20000"), Source: ap("10.0.0.2:4000"), Out: ap("10.0.0.1:20002"), Dest: ap("10.0.0.3:5000"), SSRC: 7,
		}, mtu: localMTU}
		m.put(rt, 1, f)
		seq := rapid.Uint16().Draw(rt, "first")
		timestamp := uint32(0)
		steps := rapid.OneOf(
			rapid.IntRange(1, 1), rapid.IntRange(1, 3), rapid.IntRange(-3, 3), rapid.IntRange(-130, 130), rapid.IntRange(0, 70000),
		)
		for range rapid.IntRange(1, 200).Draw(rt, "packets") {
			seq += uint16(steps.Draw(rt, "step"))
			timestamp += uint32(rapid.SampledFrom([]int{160, 160, 160, 0, -160, -2000, -15999, 16001, 90000}).Draw(rt, "time"))
			if held := rapid.SampledFrom([]time.Duration{0, 0, 20, 150, 300, 999, 2500, -1}).Draw(rt, "held"); held != 0 && f.state.Timed {
				slot, v := m.raw(rt, f)
				f.state.TimestampAt -= held * time.Millisecond
				v.F.TimestampAt = uint64(f.state.TimestampAt)
				must(rt, m.program.States.Update(slot, &v, ebpf.UpdateLock))
			}
			if v := m.check(rt, datagram(f.Source, f.In, 0, 64, rtp(seq, timestamp, 7, 8, string(make([]byte, 160)))), false, 0); v != verdictOK {
				rt.Fatalf("%d is judged %d; want %d", seq, v, verdictOK)
			}
		}
		given, ok := m.take(1, m.lastID, false)
		if !ok {
			rt.Fatalf("nothing was given back")
		}
		f.same(rt, given, "what was given back")
		if _, ok := m.take(1, m.lastID, false); ok {
			rt.Fatalf("a flow was given back twice")
		}
		late += given.Delays.Late
	})
	if late == 0 {
		t.Error("no packet came too late")
	}
}
