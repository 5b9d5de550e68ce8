//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// machine is the program together with its model. The program is loaded, but not attached.
type machine struct {
	*Relay
	model model
	out   int    // an interface through which packets leave
	hints uint64 // how many kinds of hints (right, none, two of other flows) are used in turn
}

func newMachine(tb testing.TB) *machine {
	tb.Helper()
	needsRoot(tb)
	r := &Relay{options: Options{Capacity: 20000}, place: &place{}}
	must(tb, r.load())
	tb.Cleanup(func() { _ = r.program.Close() })
	return &machine{Relay: r, hints: 1, model: model{index: loopback, flows: map[netip.AddrPort]*modelFlow{}}}
}

// enters lets packets arrive at an interface.
func (m *machine) enters(tb testing.TB, name string) {
	tb.Helper()
	i, err := net.InterfaceByName(name)
	must(tb, err)
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

// put adds a flow in a slot to the program and to the model.
func (m *machine) put(t fataler, slot uint32, f *modelFlow) {
	t.Helper()
	m.lastID++
	if f.state.Speech = nil; f.Listen {
		f.state.Speech = &f.speech
	}
	c := &carried{in: f.In, flow: f.Flow, slot: slot, id: m.lastID, out: outlet{index: f.out, hop: f.Dest.Addr(), mtu: f.mtu}}
	must(t, m.program.States.Update(slot, stateOf(&f.state, c.id, c.value()), ebpf.UpdateLock))
	must(t, m.program.Flows.Update(keyOf(f.In), c.place(), ebpf.UpdateAny))
	m.hint(f.In, []uint32{slot, 0, slot - 1, slot + 1}[m.lastID%m.hints])
	if f.ended {
		if _, ok := m.take(slot, c.id, false); !ok {
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

// raw returns a flow's state in the program's form.
func (m *machine) raw(t fataler, f *modelFlow) (slot uint32, v programState) {
	t.Helper()
	var at programPlace
	must(t, m.program.Flows.Lookup(keyOf(f.In), &at))
	must(t, m.program.States.LookupWithFlags(at.Slot, &v, ebpf.LookupLock))
	return at.Slot, v
}

// context returns struct __sk_buff with the fields that a test run may set.
func (m *machine) context(gso bool) []byte {
	b := make([]byte, 192)
	native.PutUint32(b[40:], uint32(m.model.index))
	if gso {
		native.PutUint32(b[176:], 100)
	}
	return b
}

// summed makes a test run give the packet the checksum of a device, and check that it is the checksum of the packet
// that leaves.
const summed = 1 << 2 // BPF_F_TEST_SKB_CHECKSUM_COMPLETE

// check lets the program and the model judge a frame, and compares the results.
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
		if figuresOf(&after, 0).Packets != before[f].F.Packets {
			heard = figuresOf(&after, 0).Last
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
		if f.ended {
			continue
		}
		f.same(t, figuresOf(&after, 0), fmt.Sprintf("after %x the state of %v", frame, in))
	}
	if verdict == verdictOK || verdict == verdictRedirect {
		sameSums(t, frame, o.DataOut)
	}
	return verdict
}

// headless reports whether a frame is too short for its IP header. The kernel does not run programs on such frames.
func headless(frame []byte) bool {
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_IP:
		return len(frame) < 34
	case unix.ETH_P_IPV6:
		return len(frame) < 54
	}
	return len(frame) == 14 // nothing after the Ethernet header
}

// refusal returns the verdict that a refused packet must get, according to the states before and after. The program has
// read the clock between began and ended.
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
		most = 1000 // it fell silent just then, so either result is right
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

// sameSums checks that the checksums are as right or as wrong as before.
func sameSums(t fataler, was, is []byte) {
	t.Helper()
	wasIP, wasUDP := sums(was)
	isIP, isUDP := sums(is)
	if wasIP != isIP || wasUDP != isUDP {
		t.Fatalf("the sums of %x are %x and %x, those of %x %x and %x", was, wasIP, wasUDP, is, isIP, isUDP)
	}
}

// sums returns the sums over the headers of IP and UDP, which are 0 if the checksums are right.
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

// TestProgramIsItsModel lets the program and the model judge packets, well-formed and other ones.
func TestProgramIsItsModel(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		m := newMachine(t)
		m.hints = 4
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
						how = 0 // the test run would consider the packet's own checksum wrong
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

// sums reports whether the kernel's test runs support summed (since Linux 6.16).
func (m *machine) sums(t *testing.T) bool {
	t.Helper()
	frame := knownPacket{from: ap("10.0.0.9:1"), to: ap("10.0.0.1:2"), ttl: 9}.frame()
	_, err := m.program.Relay.Run(&ebpf.RunOptions{Data: frame, Flags: summed})
	if err != nil {
		t.Logf("packets are not summed by a device here: %v", err)
	}
	return err == nil
}

// FuzzProgram lets the program and the model judge any frame.
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
			return // not a frame
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

// A checksum of 0 is written as all ones, because 0 means that there is no checksum (RFC 768, RFC 8200 §8.1).
func TestChecksumIsNeverZero(t *testing.T) {
	m := newMachine(t)
	for slot, f := range testFlows() {
		f.Rewrite = Rewrite{}
		mf := &modelFlow{Flow: f, mtu: localMTU}
		defer m.clear(t)
		m.put(t, uint32(slot+1), mf)
		pkt := rtp(1, 160, f.SSRC, 0, "\x00\x00")
		goes := datagram(f.Out, f.Dest, 0, 64, pkt)
		at := len(goes) - len(pkt) - 2
		copy(pkt[12:], goes[at:at+2]) // the bytes that are missing for a sum of all ones
		if v := m.check(t, datagram(f.Source, f.In, 0, 64, pkt), false, 0); v != verdictOK {
			t.Errorf("judged %d", v)
		}
		if sum := datagram(f.Out, f.Dest, 0, 64, pkt)[at : at+2]; sum[0] != 0xff || sum[1] != 0xff {
			t.Errorf("the checksum is %x; the test wants it to be 0", sum)
		}
	}
}

// The memory of a hash entry may become another flow's during a look-up. The packet must not be relayed as that flow's.
func TestPlaceOfAnotherFlow(t *testing.T) {
	m := newMachine(t)
	defer m.clear(t)
	flow := func(in, dest string) *modelFlow {
		return &modelFlow{Flow: Flow{In: ap(in), Source: ap("10.0.0.2:4000"), Out: ap("10.0.0.1:9000"), Dest: ap(dest), SSRC: 7}, mtu: localMTU}
	}
	one, other := flow("10.0.0.1:20000", "10.0.0.3:5000"), flow("10.0.0.1:20002", "10.0.0.4:5000")
	m.put(t, 1, one)
	m.put(t, 2, other)
	frame := datagram(one.Source, one.In, 0, 64, rtp(1, 160, 7, 0, "hello"))
	if v := m.check(t, frame, false, 0); v != verdictOK {
		t.Fatalf("judged %d", v)
	}
	m.hint(one.In, 0)
	for _, place := range []programPlace{{Slot: 2}, {Slot: 1, Kind: flagRTCP}} {
		must(t, m.program.Flows.Update(keyOf(one.In), &place, ebpf.UpdateAny))
		o := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)), Context: m.context(false)}
		verdict, err := m.program.Relay.Run(&o)
		if err != nil || int32(verdict) != verdictUp || !bytes.Equal(o.DataOut, frame) {
			t.Errorf("%+v: judged %d, %v: %x", place, int32(verdict), err, o.DataOut)
		}
	}
	for slot, want := range map[uint32]uint64{1: 1, 2: 0} {
		var v programState
		must(t, m.program.States.LookupWithFlags(slot, &v, ebpf.LookupLock))
		if v.F.Packets != want {
			t.Errorf("slot %d has counted %d packets; want %d", slot, v.F.Packets, want)
		}
	}
	if err := m.change(2, m.lastID+1, &programFlow{}); err == nil {
		t.Error("a flow that is gone was changed")
	}
}

// Whatever the hint of a port is, the packets of its flows find their own flow.
func TestHints(t *testing.T) {
	m := newMachine(t)
	defer m.clear(t)
	var flows []*modelFlow
	for i, in := range []string{"10.0.0.1:20000", "10.0.0.9:20000", "[fd00::1]:20000", "10.0.0.1:20002", "10.0.0.1:20004"} {
		f := &modelFlow{Flow: Flow{In: ap(in), Source: ap("10.0.0.2:4000"), Out: ap("10.0.0.1:9000"), Dest: ap("10.0.0.3:5000"), SSRC: 7}, mtu: localMTU}
		if f.In.Addr().Is6() {
			f.Source, f.Out, f.Dest = ap("[fd00::2]:4000"), ap("[fd00::1]:9000"), ap("[fd00::3]:5000")
		}
		f.ended = i == 4
		m.put(t, uint32(i)+1, f)
		flows = append(flows, f)
	}
	seq := uint16(0)
	for _, hint := range []uint32{0, 1, 2, 3, 4, 5, 6, 20000, 20001, 1 << 31, 1<<32 - 1} {
		for _, f := range flows {
			m.hint(f.In, hint)
			seq++
			want := int32(verdictOK)
			if f.ended {
				want = verdictUp
			}
			if v := m.check(t, datagram(f.Source, f.In, 0, 64, rtp(seq, 160, 7, 0, "hello")), false, 0); v != want {
				t.Errorf("%v with the hint %d: judged %d; want %d", f.In, hint, v, want)
			}
		}
	}
	m.hint(ap("10.0.0.1:20000"), 1)
	m.hint(ap("10.0.0.1:20001"), 2) // the flow of RTCP, which is added later
	var got [2]byte
	if _, err := m.Relay.hints.ReadAt(got[:], 20000); err != nil || native.Uint16(got[:]) != 1 {
		t.Errorf("the hint of RTP's port: %d, %v; want 1", native.Uint16(got[:]), err)
	}
}
