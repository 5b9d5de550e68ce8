//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// testSlot is the slot of the flow that Open uses to test the program.
const testSlot = 0

// testFlows returns the flows for the test of the program. They use documentation addresses (RFC 5737, RFC 3849),
// which no real packet has.
func testFlows() (flows [2]Flow) {
	for i, of := range [][3]string{
		{"192.0.2.1", "192.0.2.2", "192.0.2.3"},
		{"2001:db8::1", "2001:db8::2", "2001:db8::3"},
	} {
		flows[i] = Flow{
			In:     netip.AddrPortFrom(netip.MustParseAddr(of[0]), 4000),
			Source: netip.AddrPortFrom(netip.MustParseAddr(of[1]), 4002),
			Out:    netip.AddrPortFrom(netip.MustParseAddr(of[0]), 4004),
			Dest:   netip.AddrPortFrom(netip.MustParseAddr(of[2]), 4006),
			SSRC:   0x01020304, DSCP: 46,
			Rewrite: Rewrite{
				SSRC: 0x05060708, TimeOffset: 160, SeqOffset: 65535,
				Payload: [MaxPayloadChanges]PayloadChange{{From: 96, To: 101}},
			},
		}
	}
	return flows
}

// test makes the program relay known packets, and compares the results.
func (r *Relay) test() error {
	for _, f := range testFlows() {
		if err := r.testFlow(f); err != nil {
			return fmt.Errorf("the program does not do here what it should: %w", err)
		}
	}
	return nil
}

func (r *Relay) testFlow(f Flow) error {
	c := &carried{in: f.In, flow: f, slot: testSlot, id: r.lastID, out: outlet{mtu: longest(f.Dest.Addr())}}
	if err := r.program.States.Update(c.slot, stateOf(&State{}, c.id, c.value()), ebpf.UpdateLock); err != nil {
		return fmt.Errorf("the state of a flow: %w", err)
	}
	if err := r.program.Flows.Update(keyOf(f.In), c.place(), ebpf.UpdateAny); err != nil {
		return fmt.Errorf("a flow: %w", err)
	}
	defer r.program.Flows.Delete(keyOf(f.In)) //nolint:errcheck // nothing comes to it
	came := knownPacket{from: f.Source, to: f.In, tos: 0, ttl: 64, seq: 1, timestamp: 1000, ssrc: f.SSRC, payloadType: 96}
	goes := knownPacket{
		from: f.Out, to: f.Dest, tos: 46 << 2, ttl: 63, seq: 0, timestamp: 1160, ssrc: 0x05060708,
		payloadType: 101,
	}
	for _, try := range []struct {
		in, out knownPacket
		verdict int32
	}{{came, goes, verdictOK}, {goes, goes, verdictUp}} {
		in, want := try.in.frame(), try.out.frame()
		o := ebpf.RunOptions{Data: in, DataOut: make([]byte, len(in)+1)}
		verdict, err := r.program.Relay.Run(&o)
		switch {
		case err != nil:
			return fmt.Errorf("a test run: %w", err)
		case int32(verdict) != try.verdict:
			return fmt.Errorf("a test packet was judged %d; want %d", int32(verdict), try.verdict)
		case !bytes.Equal(o.DataOut, want):
			return fmt.Errorf("a test packet became %x; want %x", o.DataOut, want)
		}
	}
	if s, ok := r.take(c.slot, c.id, false); !ok || s.Packets != 1 || s.Sent != 1 || s.Top != 1 || s.Last == 0 {
		return errors.New("a test packet was not counted")
	}
	return nil
}

// These are the verdicts of the program.
const (
	verdictUp       = -1 // TC_ACT_UNSPEC
	verdictOK       = 0  // TC_ACT_OK: it continues to its destination on this machine
	verdictDrop     = 2  // TC_ACT_SHOT
	verdictRedirect = 7  // TC_ACT_REDIRECT
)

// knownPacket is an RTP packet without payload.
type knownPacket struct {
	from, to    netip.AddrPort
	tos, ttl    uint8
	seq         uint16
	timestamp   uint32
	ssrc        uint32
	payloadType uint8
}

// frame returns the packet in an Ethernet frame, with its checksums.
func (p knownPacket) frame() []byte {
	var pkt []byte
	be16 := func(b []byte, n uint16) []byte { return append(b, byte(n>>8), byte(n)) }
	be32 := func(b []byte, n uint32) []byte { return append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)) }
	src, dst := p.from.Addr().AsSlice(), p.to.Addr().AsSlice()
	udp := be16(be16(be16(be16(nil, p.from.Port()), p.to.Port()), 20), 0)
	udp = be32(be32(be16(append(udp, 0x80, p.payloadType), p.seq), p.timestamp), p.ssrc)
	pseudo := be16(be16(append(bytes.Clone(src), dst...), unix.IPPROTO_UDP), uint16(len(udp)))
	sum := internetChecksum(append(pseudo, udp...))
	udp[6], udp[7] = byte(sum>>8), byte(sum)
	if p.from.Addr().Is4() {
		pkt = be16(pkt, unix.ETH_P_IP)
		ip := append(append([]byte{0x45, p.tos, 0, 40, 0, 0, 0, 0, p.ttl, unix.IPPROTO_UDP, 0, 0}, src...), dst...)
		sum := internetChecksum(ip)
		ip[10], ip[11] = byte(sum>>8), byte(sum)
		pkt = append(pkt, ip...)
	} else {
		pkt = be16(pkt, unix.ETH_P_IPV6)
		pkt = append(pkt, 0x60|p.tos>>4, p.tos<<4, 0, 0, 0, 20, unix.IPPROTO_UDP, p.ttl)
		pkt = append(append(pkt, src...), dst...)
	}
	return append(append(make([]byte, 12), pkt...), udp...)
}

// internetChecksum returns the checksum of RFC 1071.
func internetChecksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
