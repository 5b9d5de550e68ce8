package recording

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"

	"flowbridge/media"
)

// ringSize is how many bytes a recording buffers for a slow disk, a power of two: five seconds of G.711 from both
// sides.
const ringSize = 128 << 10

// entryHeader is the size of a packet's header in the ring.
const entryHeader = 56

// skipped marks the rest of the ring as too short for an entry. It stands in place of an entry's length.
const skipped = 0xffffffff

// tapped is one packet of RTP or RTCP on its way to the files.
type tapped struct {
	at     time.Duration // since the recording began
	side   media.Side
	kind   media.Kind
	source netip.AddrPort
	local  netip.AddrPort
	codec  codec
	data   []byte
}

// ring is a queue of packets with one writer and one reader, which never wait for each other.
type ring struct {
	buf  []byte        // its size is a power of two
	head atomic.Uint64 // total bytes put; a multiple of 8
	tail atomic.Uint64 // total bytes taken; a multiple of 8
}

func newRing(size int) *ring { return &ring{buf: make([]byte, size)} }

// put copies a packet into the ring and reports whether there was room.
func (r *ring) put(p tapped) bool {
	need := (entryHeader + len(p.data) + 7) &^ 7
	head, size := r.head.Load(), uint64(len(r.buf))
	at := head & (size - 1)
	waste := uint64(0)
	if at+uint64(need) > size {
		waste = size - at
	}
	if head+waste+uint64(need)-r.tail.Load() > size {
		return false
	}
	if waste > 0 {
		binary.NativeEndian.PutUint32(r.buf[at:], skipped)
		at = 0
	}
	p.write(r.buf[at:])
	r.head.Store(head + waste + uint64(need))
	return true
}

// get returns the oldest packet without removing it. Its data belongs to the ring and is valid until drop.
func (r *ring) get() (tapped, bool) {
	head, tail, size := r.head.Load(), r.tail.Load(), uint64(len(r.buf))
	if tail == head {
		return tapped{}, false
	}
	at := tail & (size - 1)
	if binary.NativeEndian.Uint32(r.buf[at:]) == skipped {
		r.tail.Store(tail + size - at)
		at = 0
	}
	return readPacket(r.buf[at:]), true
}

// drop removes the packet that get returned.
func (r *ring) drop() {
	tail := r.tail.Load()
	length := binary.NativeEndian.Uint32(r.buf[tail&uint64(len(r.buf)-1):])
	r.tail.Store(tail + uint64((entryHeader+length+7)&^7))
}

// write encodes the packet: length, side, kind, codec, ports, time, addresses, data.
func (p *tapped) write(b []byte) {
	binary.NativeEndian.PutUint32(b, uint32(len(p.data)))
	b[4], b[5], b[6] = byte(p.side), byte(p.kind), byte(p.codec)
	binary.NativeEndian.PutUint16(b[8:], p.source.Port())
	binary.NativeEndian.PutUint16(b[10:], p.local.Port())
	binary.NativeEndian.PutUint64(b[16:], uint64(p.at))
	source, local := p.source.Addr().As16(), p.local.Addr().As16()
	copy(b[24:], source[:])
	copy(b[40:], local[:])
	copy(b[entryHeader:], p.data)
}

func readPacket(b []byte) tapped {
	addr := func(b, port []byte) netip.AddrPort { // IPv6 sockets get no IPv4 packets, so a mapped address is IPv4
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b)).Unmap(), binary.NativeEndian.Uint16(port))
	}
	end := entryHeader + int(binary.NativeEndian.Uint32(b))
	return tapped{
		side: media.Side(b[4]), kind: media.Kind(b[5]), codec: codec(b[6]),
		source: addr(b[24:40], b[8:]),
		local:  addr(b[40:56], b[10:]),
		at:     time.Duration(binary.NativeEndian.Uint64(b[16:])),
		data:   b[entryHeader:end:end],
	}
}
