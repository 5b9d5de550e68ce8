//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// machine is the program beside its model. It is loaded, and attached nowhere.
type machine struct {
	*Relay
	model model
	out   int // an interface that packets leave by
}

func newMachine(tb testing.TB) *machine {
	tb.Helper()
	needsRoot(tb)
	r := &Relay{options: Options{Capacity: 64}, place: &place{}}
	if err := r.load(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = r.program.Close() })
	return &machine{Relay: r, model: model{index: loopback, flows: map[netip.AddrPort]*modelFlow{}}}
}

// enters has packets come to an interface.
func (m *machine) enters(tb testing.TB, name string) {
	tb.Helper()
	i, err := net.InterfaceByName(name)
	if err != nil {
		tb.Fatal(err)
	}
	m.model.index = i.Index
	copy(m.model.device[:], i.HardwareAddr)
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// put has the program and the model carry a flow in a slot.
func (m *machine) put(t fataler, slot uint32, f *modelFlow) {
	t.Helper()
	m.lastID++
	c := &carried{Flow: f.Flow, slot: slot, id: m.lastID, out: outlet{index: f.out, hop: f.Dest.Addr(), mtu: f.mtu}}
	must(t, m.program.States.Update(slot, stateOf(&f.state, c.id), ebpf.UpdateLock))
	must(t, m.program.Flows.Update(keyOf(f.In), c.value(), ebpf.UpdateAny))
	if f.ended {
		if _, ok := m.take(slot, c.id); !ok {
			t.Fatalf("a flow does not end")
		}
	}
	m.model.flows[f.In] = f
}

func (m *machine) clear(t fataler) {
	t.Helper()
	for in := range m.model.flows {
		must(t, m.program.Flows.Delete(keyOf(in)))
		delete(m.model.flows, in)
	}
}

// raw is the state of a flow as the program has it.
func (m *machine) raw(t fataler, f *modelFlow) (slot uint32, v programState) {
	t.Helper()
	var flow programFlow
	must(t, m.program.Flows.Lookup(keyOf(f.In), &flow))
	must(t, m.program.States.LookupWithFlags(flow.Slot, &v, ebpf.LookupLock))
	return flow.Slot, v
}

// context is struct __sk_buff with what a test run may set.
func (m *machine) context(gso bool) []byte {
	b := make([]byte, 192)
	native.PutUint32(b[40:], uint32(m.model.index))
	if gso {
		native.PutUint32(b[176:], 100)
	}
	return b
}

// summed has a test run give the packet the sum that a device makes, and check that it is the sum of what leaves.
const summed = 1 << 2 // BPF_F_TEST_SKB_CHECKSUM_COMPLETE

// check has both judge a frame.
func (m *machine) check(t fataler, frame []byte, gso bool, flags uint32) (verdict int32) {
	t.Helper()
	before := map[*modelFlow]programState{}
	for _, f := range m.model.flows {
		_, before[f] = m.raw(t, f)
	}
	o := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+64), Context: m.context(gso), Flags: flags}
	began := Now()
	got, err := m.program.Relay.Run(&o)
	ended := Now()
	if errors.Is(err, unix.EINVAL) && headless(frame) {
		return verdictUp
	}
	if err != nil {
		t.Fatalf("%x: %v", frame, err)
	}
	verdict = int32(got)
	heard := time.Duration(0)
	for _, f := range m.model.flows {
		_, after := m.raw(t, f)
		if figuresOf(&after).Packets != before[f].F.Packets {
			heard = figuresOf(&after).Last
		}
	}
	want := m.model.judge(frame, gso, heard)
	if want.refused && !want.flow.ended {
		_, after := m.raw(t, want.flow)
		want.verdict = refusal(t, before[want.flow].F, after.F, want.foreign, verdict, began, ended)
		want.flow.state.WrongSource, want.flow.state.WrongSSRC = after.F.WrongSource, after.F.WrongSsrc
	}
	if verdict != want.verdict {
		t.Fatalf("%x is judged %d; want %d", frame, verdict, want.verdict)
	}
	if !bytes.Equal(o.DataOut, want.frame) {
		t.Fatalf("%x becomes\n%x; want\n%x", frame, o.DataOut, want.frame)
	}
	for in, f := range m.model.flows {
		_, after := m.raw(t, f)
		if got := *figuresOf(&after); !f.ended && got != f.state {
			t.Fatalf("after %x the state of %v is\n%+v; want\n%+v", frame, in, got, f.state)
		}
	}
	if verdict == verdictOK || verdict == verdictRedirect {
		sameSums(t, frame, o.DataOut)
	}
	return verdict
}

// headless reports whether a frame is too short for its IP header. Kernels do not run programs on those.
func headless(frame []byte) bool {
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_IP:
		return len(frame) < 34
	case unix.ETH_P_IPV6:
		return len(frame) < 54
	}
	return len(frame) == 14 // nothing in it
}

// refusal says what becomes of a refused packet, from the states before and after. The clock was somewhere between began
// and ended.
func refusal(t fataler, was, is programFigures, foreign bool, verdict int32, began, ended time.Duration) int32 {
	t.Helper()
	silence, most := 2*time.Second, uint32(1)
	since, went, dropped := was.StraysAt, was.Strays, was.WrongSource
	isSince, isWent, isDropped := is.StraysAt, is.Strays, is.WrongSource
	if foreign {
		silence, most = 50*time.Millisecond, 16
		since, went, dropped = was.ForeignAt, was.Foreign, was.WrongSsrc
		isSince, isWent, isDropped = is.ForeignAt, is.Foreign, is.WrongSsrc
	}
	last := time.Duration(was.Last)
	if quiet := ended-last >= silence; quiet != (began-last >= silence) {
		most = 1000 // it became silent just then: either will do
		if verdict != verdictUp && went < 1000 {
			most = 16
		}
	} else if quiet {
		most = 1000
	}
	if isSince != since {
		if time.Duration(isSince)-time.Duration(since) < time.Second || time.Duration(isSince) < began || time.Duration(isSince) > ended {
			t.Fatalf("a second began at %d after %d, between %d and %d", isSince, since, began, ended)
		}
		went = 0
	} else if began-time.Duration(since) >= time.Second {
		t.Fatalf("no second began at %d after %d", began, since)
	}
	if went < most {
		if isWent != went+1 || isDropped != dropped {
			t.Fatalf("%d went up, %d were dropped; want %d and %d", isWent, isDropped, went+1, dropped)
		}
		return verdictUp
	}
	if isWent != went || isDropped != dropped+1 {
		t.Fatalf("%d went up, %d were dropped; want %d and %d", isWent, isDropped, went, dropped+1)
	}
	return verdictDrop
}

// sameSums fails unless the checksums are as right or wrong as they were, summed anew.
func sameSums(t fataler, was, is []byte) {
	t.Helper()
	wasIP, wasUDP := sums(was)
	isIP, isUDP := sums(is)
	if wasIP != isIP || wasUDP != isUDP {
		t.Fatalf("the sums of %x are %x and %x, those of %x %x and %x", was, wasIP, wasUDP, is, isIP, isUDP)
	}
}

// sums returns what the headers of IP and UDP sum up to: 0, if they are right.
func sums(frame []byte) (ip, udp uint16) {
	at := frame[14:]
	var pseudo []byte
	if frame[12] == 8 {
		ip = internetChecksum(at[:20])
		pseudo, at = at[12:20], at[20:]
		if at[6] == 0 && at[7] == 0 {
			return ip, 0
		}
	} else {
		pseudo, at = at[8:40], at[40:]
	}
	n := binary.BigEndian.Uint16(at[4:])
	all := append(append(bytes.Clone(pseudo), 0, 17, byte(n>>8), byte(n)), at[:n]...)
	if n%2 != 0 {
		all = append(all, 0)
	}
	return ip, internetChecksum(all)
}

// TestProgramIsItsModel has both judge packets, good ones and others.
func TestProgramIsItsModel(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		m := newMachine(t)
		right, err := net.InterfaceByName("right")
		must(t, err)
		m.out = right.Index
		flags := []uint32{0}
		if m.sums(t) {
			flags = append(flags, summed)
		}
		verdicts := map[int32]int{}
		for _, name := range []string{"lo", "left"} {
			m.enters(t, name)
			if name == "lo" {
				m.model.device = [6]byte{}
			}
			rapid.Check(t, func(rt *rapid.T) {
				defer m.clear(rt)
				flows := m.flowsOf(rt)
				for range rapid.IntRange(1, 20).Draw(rt, "packets") {
					f := rapid.SampledFrom(flows).Draw(rt, "flow")
					if rarely(rt, "later", 4) {
						m.later(rt, f)
					}
					frame, sound := m.frameOf(rt, f)
					gso := rarely(rt, "segments", 30)
					how := rapid.SampledFrom(flags).Draw(rt, "flags")
					if !sound {
						how = 0 // the run would find the packet's own sum wrong
					}
					verdicts[m.check(rt, frame, gso, how)]++
				}
			})
		}
		t.Logf("verdicts: %v", verdicts)
		for _, v := range []int32{verdictUp, verdictOK, verdictDrop, verdictRedirect} {
			if verdicts[v] == 0 {
				t.Errorf("no packet was judged %d", v)
			}
		}
	})
}

// sums reports whether the kernel's test runs know summed (since Linux 6.16).
func (m *machine) sums(t *testing.T) bool {
	t.Helper()
	frame := knownPacket{from: ap("10.0.0.9:1"), to: ap("10.0.0.1:2"), ttl: 9}.frame()
	_, err := m.program.Relay.Run(&ebpf.RunOptions{Data: frame, Flags: summed})
	if err != nil {
		t.Logf("packets are not summed by a device here: %v", err)
	}
	return err == nil
}

// flowsOf draws some flows, of both versions of IP.
func (m *machine) flowsOf(rt *rapid.T) (flows []*modelFlow) {
	port := rapid.Uint16Range(1, 65535)
	for i := range rapid.IntRange(1, 4).Draw(rt, "flows") {
		v6 := rapid.Bool().Draw(rt, "IPv6")
		addr := func(of string) netip.AddrPort {
			a := netip.AddrFrom4([4]byte{10, byte(i), rapid.Byte().Draw(rt, of), rapid.Byte().Draw(rt, of)})
			if v6 {
				a = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, of))) // any, but then not IPv4
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
		// A flow of the other kind of interface is not touched.
		if (m.model.index != loopback) != (rarely(rt, "elsewhere", 9)) {
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

// rarely is true once in so many times. Small numbers are drawn more often than others.
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

// later has time pass for a flow: for the jitter, and for what is refused.
func (m *machine) later(rt *rapid.T, f *modelFlow) {
	slot, v := m.raw(rt, f)
	ago := func(of string) time.Duration {
		return rapid.SampledFrom([]time.Duration{
			0, time.Millisecond, 20 * time.Millisecond, 49 * time.Millisecond, 51 * time.Millisecond,
			999 * time.Millisecond, 1001 * time.Millisecond, 1999 * time.Millisecond, 2001 * time.Millisecond, time.Hour,
		}).Draw(rt, of)
	}
	now, s := Now(), figuresOf(&v)
	if s.Last > 0 {
		s.Last = now - ago("last")
		s.First = min(s.First, s.Last)
	}
	if s.Timed {
		s.TimestampAt = now - ago("timestamp") + rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(rt, "ahead")
	}
	s.Renewed = s.Renewed || rarely(rt, "renewed", 9)
	v.F.StraysAt, v.F.ForeignAt = uint64(now-ago("strays")), uint64(now-ago("foreign"))
	v.F.Strays = rapid.SampledFrom([]uint32{0, 1, 2, 999, 1000}).Draw(rt, "strays")
	v.F.Foreign = rapid.SampledFrom([]uint32{0, 15, 16, 17, 999, 1000}).Draw(rt, "foreign")
	must(rt, m.program.States.Update(slot, &v, ebpf.UpdateLock))
	f.state = *s
}

// frameOf draws a frame for a flow, or nearly for it. It is sound if its checksums are right.
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
		sound = false // a trimmed packet has no sum of a device any more, which the run does not see
	}
	return frame, sound
}

// payloadOf draws RTP or RTCP, or what looks like it.
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

// mangle makes a frame another one: cut, or with a header field that is not as it should be.
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
	case 1: // options, or another version
		set(14, 0x46, 0x4f, 0x44, 0x55, 0x65, 0x60, 0x50)
	case 2: // fragments; the flow label
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
	case 9: // VLAN, ARP
		tag := rapid.SampledFrom([][]byte{{0x81, 0}, {0x88, 0xa8}, {0x08, 0x06}, {0x08, 0}, {0x86, 0xdd}}).Draw(rt, "type")
		return append(append(bytes.Clone(frame[:12]), append(tag, 0, 5)...), frame[12:]...)
	case 10: // of UDP
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

// datagram is an Ethernet frame with a UDP datagram, its checksums right.
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
	// The sum is what is missing, and the 1 that stands there.
	sum := uint32(off) + 1
	sum = sum>>16 + sum&0xffff
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(frame[l4+6:], uint16(sum))
	return frame
}

// FuzzProgram has both judge any frame.
func FuzzProgram(f *testing.F) {
	m := newMachine(f)
	flows := []*modelFlow{
		{Flow: Flow{In: ap("10.0.0.1:20000"), Source: ap("10.0.0.2:4000"), Out: ap("10.0.0.1:20002"), Dest: ap("10.0.0.3:5000"), SSRC: 7}, mtu: 1500},
		{
			Flow: Flow{
				In: ap("[fd00::1]:20000"), Source: ap("[fd00::2]:4000"), Out: ap("[fd00::1]:20002"), Dest: ap("[fd00::3]:5000"), SSRC: 7,
				DSCP: 46, Rewrite: Rewrite{SSRC: 9, SeqOffset: 1, TimeOffset: 1, Payload: [8]PayloadChange{{From: 1, To: 2}, {From: 3, Drop: true}}},
			}, mtu: 1500,
		},
		{Flow: Flow{In: ap("10.0.0.1:20001"), Source: ap("10.0.0.2:4001"), Out: ap("10.0.0.1:20003"), Dest: ap("10.0.0.3:5001"), Kind: RTCP}, mtu: 1500},
	}
	for _, fl := range flows {
		f.Add(datagram(fl.Source, fl.In, 0, 64, rtp(1, 160, 7, 0, "payload")))
		f.Add(datagram(fl.Source, fl.In, 0, 64, []byte{0x80, 200, 0, 0}))
		f.Add(datagram(fl.Dest, fl.In, 0, 64, rtp(1, 160, 7, 0, "payload")))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < 14 || len(frame) > 2000 {
			return // no frame
		}
		defer m.clear(t)
		for i, fl := range flows {
			put := *fl
			m.put(t, uint32(i+1), &put)
		}
		for range 2 {
			m.check(t, frame, false, 0)
		}
	})
}

// TestCountsAsTheModel has many numbers and timestamps counted, of packets that went up.
func TestCountsAsTheModel(t *testing.T) {
	m := newMachine(t)
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
			timestamp += 160
			h := Header{Seq: seq, Timestamp: timestamp, SSRC: 7, PayloadType: 8, Length: 172}
			verdict, err := m.program.Note.Run(&ebpf.RunOptions{Data: requestOf(1, m.lastID, 8000, h)})
			must(rt, err)
			_, v := m.raw(rt, f)
			f.state.observe(h, 8000, figuresOf(&v).Last)
			if got := *figuresOf(&v); verdict != requestDone || got != f.state {
				rt.Fatalf("after %d the state is\n%+v; want\n%+v", seq, got, f.state)
			}
		}
		if given, ok := m.take(1, m.lastID); !ok || given != f.state {
			rt.Fatalf("given back\n%+v, %v; want\n%+v", given, ok, f.state)
		}
		if _, ok := m.take(1, m.lastID); ok {
			rt.Fatalf("a flow was given back twice")
		}
	})
}
