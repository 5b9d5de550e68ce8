//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	maxCapacity      = 65535 // the largest slot that fits into a hint
	defaultClockRate = 8000

	ethernetLen = 14

	// These are the flags of struct flow.
	flagRTCP     = 1
	flagRewrites = 2
	flagPayloads = 4
	flagListens  = 8

	// requestLen is the length of struct request. The answer overwrites the request.
	requestLen  = 16
	requestSize = ethernetLen + int(unsafe.Sizeof(programFigures{}))
	requestDone = 1
)

var native = binary.NativeEndian

// words returns an address in the program's form.
func words(a netip.Addr) (w [4]uint32) {
	b := a.As16()
	for i := range w {
		w[i] = native.Uint32(b[4*i:])
	}
	return w
}

func address(w [4]uint32) netip.Addr {
	var b [16]byte
	for i := range w {
		native.PutUint32(b[4*i:], w[i])
	}
	return netip.AddrFrom16(b).Unmap()
}

// network converts a port to or from network byte order.
func network(port uint16) uint16 { return native.Uint16([]byte{byte(port >> 8), byte(port)}) }

func network32(n uint32) uint32 {
	return native.Uint32([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

func keyOf(in netip.AddrPort) *programKey {
	return &programKey{Ip: words(in.Addr()), Port: network(in.Port())}
}

func addrPort(w [4]uint32, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(address(w), network(port))
}

// place returns the flow's entry for the program's map flows.
func (c *carried) place() *programPlace {
	p := &programPlace{Slot: c.slot}
	if c.flow.Kind == RTCP {
		p.Kind = flagRTCP
	}
	return p
}

// value returns the flow in the program's form.
func (c *carried) value() *programFlow {
	v := &programFlow{
		Up: c.flow.Up, Rate: cmp.Or(c.flow.ClockRate, defaultClockRate), Ssrc: network32(c.flow.SSRC),
		In: words(c.flow.In.Addr()), InPort: network(c.flow.In.Port()),
		Src: words(c.flow.Source.Addr()), SrcPort: network(c.flow.Source.Port()),
		From: words(c.flow.Out.Addr()), FromPort: network(c.flow.Out.Port()),
		To: words(c.flow.Dest.Addr()), ToPort: network(c.flow.Dest.Port()),
		NewSsrc: network32(c.flow.Rewrite.SSRC), TimeOffset: c.flow.Rewrite.TimeOffset, SeqOffset: c.flow.Rewrite.SeqOffset,
		Tos: c.flow.DSCP << 2,
	}
	c.out.into(v)
	if c.flow.Listen {
		v.Flags |= flagListens
		v.Events = c.flow.Events
	}
	if c.flow.Kind == RTCP {
		v.Flags |= flagRTCP
	}
	if c.flow.Rewrite != (Rewrite{}) {
		v.Flags |= flagRewrites
	}
	for i, p := range c.flow.Rewrite.Payload {
		v.Changes[i] = uint32(p.From) | uint32(p.To)<<8
		if p.Drop {
			v.Changes[i] |= 1 << 16
		}
		if p != (PayloadChange{}) {
			v.Flags |= flagPayloads
		}
	}
	return v
}

// into writes the outlet's fields to v.
func (o outlet) into(v *programFlow) {
	v.Out, v.Mtu = uint32(o.index), uint32(o.mtu)
	switch {
	case o.hop.Is4():
		v.HopFamily = unix.AF_INET
		b := o.hop.As4()
		v.Hop = [4]uint32{native.Uint32(b[:])}
	case o.hop.Is6():
		v.HopFamily, v.Hop = unix.AF_INET6, words(o.hop)
	}
}

// stateOf returns what the program finds in a slot: the state, the flow and its id. f is nil for a
// slot without a flow.
func stateOf(s *State, id uint64, f *programFlow) *programState {
	v := &programState{F: *(*programFigures)(unsafe.Pointer(s))}
	if f != nil {
		v.Flow = *f
	}
	v.F.Id, v.F.StraysAt, v.F.ForeignAt, v.F.Strays, v.F.Foreign = id, 0, 0, 0, 0
	if s.Speech != nil {
		v.Speech = *(*programSpeech)(unsafe.Pointer(s.Speech))
	}
	return v
}

// figuresOf returns the state that was read from a slot after the time at. The state's Speech
// points into v.
func figuresOf(v *programState, at time.Duration) State {
	s := State{At: at}
	*(*programFigures)(unsafe.Pointer(&s)) = v.F
	if v.Flow.Flags&flagListens != 0 {
		s.Speech = (*Speech)(unsafe.Pointer(&v.Speech))
	}
	return s
}

// requestOf returns the packet that identifies a flow to the programs take and change.
func requestOf(slot uint32, id uint64) []byte {
	b := make([]byte, requestSize)
	native.PutUint64(b[ethernetLen:], id)
	native.PutUint32(b[ethernetLen+8:], slot)
	return b
}

// changeOf returns the packet that makes the program change replace a flow.
func changeOf(slot uint32, id uint64, f *programFlow) []byte {
	b := requestOf(slot, id)
	copy(b[ethernetLen+requestLen:], unsafe.Slice((*byte)(unsafe.Pointer(f)), unsafe.Sizeof(*f)))
	return b
}
