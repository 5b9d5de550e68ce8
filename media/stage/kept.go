package stage

import (
	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

const (
	keptMost = int(holdMost / stream.ShortestFrame) // packets

	// keptRoom is enough for holdMost of G.711 in the shortest packets, with a header extension of 8 bytes.
	keptRoom = 30 << 10
)

// kept is a queue of packets.
type kept struct {
	packets [keptMost]keptPacket // a ring, as is room
	first   int
	count   int
	long    uint32 // length of the audio, in units of its timestamps

	room [keptRoom]byte
	next int // where in room the next packet begins
	used int

	pkt [1500]byte // the packet that was taken last
}

type keptPacket struct {
	packet.Header

	key  bool // a telephone-event
	size uint16
	long uint32
}

func (k *kept) oldest() *keptPacket { return &k.packets[k.first] }

// fits reports whether there is room for another packet, and whether the audio is then no longer than most.
func (k *kept) fits(size int, long, most uint32) bool {
	return k.count == 0 || k.count < keptMost && k.used+size <= keptRoom && k.long+long <= most
}

// add copies a packet, which must fit.
func (k *kept) add(p *Packet, long uint32) {
	k.packets[(k.first+k.count)%keptMost] = keptPacket{p.Header, p.Key, uint16(len(p.Data)), long}
	copy(k.room[:], p.Data[copy(k.room[k.next:], p.Data):])
	k.next = (k.next + len(p.Data)) % keptRoom
	k.count, k.used, k.long = k.count+1, k.used+len(p.Data), k.long+long
}

// take removes the oldest packet. What it returns is valid until the next call.
func (k *kept) take() (is keptPacket, pkt []byte) {
	is = *k.oldest()
	pkt = k.pkt[:is.size]
	copy(pkt[copy(pkt, k.room[(k.next-k.used+keptRoom)%keptRoom:]):], k.room[:])
	k.first = (k.first + 1) % keptMost
	k.count, k.used, k.long = k.count-1, k.used-len(pkt), k.long-is.long
	return is, pkt
}

// keptState is a kept packet that a hand-over passes on.
type keptState struct {
	Data []byte `cbor:"1,keyasint"`
	Key  bool   `cbor:"2,keyasint,omitempty"`
}

func (h *holdBack) save(st *SideState, _ stream.Clock) {
	if h.kept == nil {
		return
	}
	copied := *h.kept
	st.Kept = make([]keptState, 0, copied.count)
	for copied.count > 0 {
		is, pkt := copied.take()
		st.Kept = append(st.Kept, keptState{append([]byte(nil), pkt...), is.key})
	}
}

// restore continues to keep packets, or to send them.
func (h *holdBack) restore(st *SideState, c stream.Clock) {
	for _, is := range st.Kept {
		p := Packet{Data: is.Data, Key: is.Key}
		var ok bool
		if p.Header, ok = packet.ParseRTP(is.Data); !ok || len(is.Data) > len(h.kept.pkt) {
			continue
		}
		if long := h.units(playFrame); h.kept.fits(len(is.Data), long, h.units(holdMost)) {
			h.kept.add(&p, long)
			h.known, h.newest = true, p.Header
		}
	}
	if h.off = c.Now; !h.on && h.kept.count == 0 {
		h.kept = nil
	}
}
