package media

import (
	"encoding/binary"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

const (
	srtcpHeaderLen = 8 // unencrypted part of SRTCP (RFC 3711 §3.4)
	srtcpIndexLen  = 4
	srtcpEncrypted = 1 << 31 // the E flag, in the same word as the index

	// maxSources limits the SSRCs under one key. A call has a few; a peer that invents more must not fill memory.
	maxSources = 256

	// maxGuesses limits, per key, how often the first packet of a new SSRC is tried with a roll-over counter other than 0.
	// Each attempt leaves state in the library's context, whether the packet is authentic or not.
	maxGuesses = 1000
)

// fault is the reason why a packet was rejected or could not be sent.
type fault uint8

const (
	faultNone fault = iota
	faultMalformed
	faultUnauthentic
	faultReplayed
)

// window remembers packet numbers: the highest one and the 63 below it (RFC 3711 §3.3.2).
type window struct {
	top   uint64
	seen  uint64 // bit i: top-i was seen
	blind bool   // a killed process may have seen numbers above top: treat every number below the next one as seen
}

// guess returns the full packet number for its lower 16 bits, choosing the number nearest to top (RFC 3711 §3.3.1). ok
// is false if the number would be negative.
func (w *window) guess(seq uint16) (index uint64, ok bool) {
	i := int64(w.top) + int64(int16(seq-uint16(w.top))) // top has 48 bits
	return uint64(i), i >= 0
}

// fresh reports whether a number has certainly not been received before.
func (w *window) fresh(index uint64) bool {
	behind := w.top - index
	return index > w.top || w.seen == 0 || (behind < 64 && w.seen>>behind&1 == 0)
}

func (w *window) add(index uint64) {
	switch ahead := index - w.top; {
	case w.seen == 0:
		w.top, w.seen = index, 1
	case w.blind && index > w.top:
		w.top, w.seen, w.blind = index, ^uint64(0), false
	case index > w.top:
		w.seen, w.top = w.seen<<ahead|1, index
	default:
		w.seen |= 1 << (w.top - index)
	}
}

// opener decrypts and authenticates the packets received under one key. The worker owns it.
type opener struct {
	// Constant.
	keys     Keys
	ctx      *srtp.Context // nil while the keys are awaited
	trailer  int           // bytes that SRTP adds to a packet
	trailerC int           // bytes that SRTCP adds
	indexAt  int           // offset of the SRTCP index from the packet's end

	streams map[uint32]*window // RTP by SSRC
	reports map[uint32]*window // RTCP
	before  map[uint32]*window // RTP under the former keys; nil if there were none
	guesses int
	stale   bool       // the last saved state is too old
	header  rtp.Header // header and headerC are reused
	headerC rtcp.Header

	datagrams *Datagrams // negotiates the next keys; nil if the side's DTLS is dropped
}

func newOpener(k Keys, ctx *srtp.Context) *opener {
	s := suites[k.Suite]
	o := &opener{
		keys: k, ctx: ctx, header: reusedHeader(),
		trailer: s.tag + len(k.MKI), trailerC: s.tagRTCP + len(k.MKI) + srtcpIndexLen,
		indexAt: srtcpIndexLen + len(k.MKI),
		streams: map[uint32]*window{}, reports: map[uint32]*window{},
	}
	if !s.aead { // the authentication tag comes last (RFC 3711 §3.4, RFC 7714 §9)
		o.indexAt += s.tagRTCP
	}
	return o
}

// keyed reports whether a key is set and no longer being negotiated.
func (o *opener) keyed() bool { return o != nil && o.ctx != nil }

// reusedHeader returns a header with room for the largest header, so that parsing allocates nothing.
func reusedHeader() rtp.Header {
	return rtp.Header{CSRC: make([]uint32, 0, 15), Extensions: make([]rtp.Extension, 0, 16)}
}

// open returns the decrypted packet in dst, which must not overlap with pkt.
func (o *opener) open(dst, pkt []byte, kind Kind) ([]byte, fault) {
	if len(pkt) < packet.HeaderLenRTCP || pkt[0]>>6 != 2 {
		return nil, faultMalformed
	}
	switch {
	case o.ctx == nil:
		return nil, faultUnauthentic
	case kind == RTCP:
		return o.openRTCP(dst, pkt)
	}
	return o.openRTP(dst, pkt)
}

func (o *opener) openRTP(dst, pkt []byte) ([]byte, fault) {
	if len(pkt) < packet.HeaderLen+o.trailer {
		return nil, faultUnauthentic
	}
	seq, ssrc := binary.BigEndian.Uint16(pkt[2:]), binary.BigEndian.Uint32(pkt[8:])
	w := o.streams[ssrc]
	if w == nil {
		return o.openFirst(dst, pkt, ssrc, seq)
	}
	index, ok := w.guess(seq)
	if !ok || !w.fresh(index) {
		return nil, faultReplayed
	}
	plain := o.decrypt(dst, pkt, ssrc, uint32(index>>16)) // 48 bits
	if plain == nil {
		return nil, faultUnauthentic
	}
	o.stale = o.stale || index>>noteOpened != w.top>>noteOpened
	w.add(index)
	return plain, faultNone
}

// openFirst opens the first packet of a source. Its roll-over counter is 0 (RFC 4568 §6.4), but a source that was
// known under the former keys continues its count (RFC 3711 §3.3.1). If the start of a stream was lost, or came
// before the key, the counter may be 1. Authentication decides.
func (o *opener) openFirst(dst, pkt []byte, ssrc uint32, seq uint16) ([]byte, fault) {
	if len(o.streams) >= maxSources {
		return nil, faultUnauthentic
	}
	counters, n := [3]uint32{}, 1
	if w := o.before[ssrc]; w != nil {
		if index, ok := w.guess(seq); ok && index>>16 != 0 {
			counters, n = [3]uint32{uint32(index >> 16)}, 2
		}
	}
	if seq < 1<<15 {
		counters[n] = 1
		n++
	}
	for _, counter := range counters[:n] {
		if counter != 0 {
			if o.guesses >= maxGuesses {
				continue
			}
			o.guesses++
		}
		if plain := o.decrypt(dst, pkt, ssrc, counter); plain != nil {
			w := &window{}
			w.add(uint64(counter)<<16 | uint64(seq))
			o.streams[ssrc], o.stale = w, true
			return plain, faultNone
		}
	}
	return nil, faultUnauthentic
}

// decrypt returns the decrypted packet if it is authentic under this roll-over counter. It sets the library's counter
// for the SSRC each time. For an unknown SSRC the library starts at 0 and remembers nothing about forged packets.
func (o *opener) decrypt(dst, pkt []byte, ssrc, counter uint32) []byte {
	if _, known := o.ctx.ROC(ssrc); known || counter != 0 {
		o.ctx.SetROC(ssrc, counter)
	}
	plain, err := o.ctx.DecryptRTP(dst, pkt, &o.header)
	if err != nil {
		return nil
	}
	return plain
}

func (o *opener) openRTCP(dst, pkt []byte) ([]byte, fault) {
	if len(pkt) < srtcpHeaderLen+o.trailerC {
		return nil, faultUnauthentic
	}
	ssrc := binary.BigEndian.Uint32(pkt[4:])
	word := binary.BigEndian.Uint32(pkt[len(pkt)-o.indexAt:])
	if word&srtcpEncrypted == 0 { // unencrypted SRTCP (UNENCRYPTED_SRTCP) was not agreed on
		return nil, faultUnauthentic
	}
	w, index := o.reports[ssrc], uint64(word&^srtcpEncrypted)
	if w != nil && !w.fresh(index) {
		return nil, faultReplayed
	}
	if w == nil && len(o.reports) >= maxSources {
		return nil, faultUnauthentic
	}
	plain, err := o.ctx.DecryptRTCP(dst, pkt, &o.headerC)
	if err != nil {
		return nil, faultUnauthentic
	}
	if w == nil {
		w = &window{}
		o.reports[ssrc] = w
	}
	w.add(index)
	return plain, faultNone
}

// sealer protects the packets sent under one key. The worker owns it.
//
// Under one key and SSRC each number may be used for only one packet: two packets under the same number would be
// encrypted alike, and each would reveal the other (RFC 3711 §9.1). Relayed streams and our own digits normally
// comply; the sealer enforces it. reserve.go explains how the rule holds if the process is killed.
type sealer struct {
	// Constant.
	keys Keys
	ctx  *srtp.Context // nil while the keys are awaited

	streams map[uint32]*numbers // RTP by SSRC
	reports map[uint32]uint64   // RTCP: the last reserved number, by SSRC; the library counts the numbers
	reserve
	header  rtp.Header // header and headerC are reused
	headerC rtcp.Header
}

// keyed reports whether a key is set and no longer being negotiated.
func (s *sealer) keyed() bool { return s != nil && s.ctx != nil }

// numbers are the packet numbers that one source has used under one key.
type numbers struct {
	window
	bound  uint64 // the last reserved number
	shift  uint16 // added to the packet's own number
	expect uint16 // the number after a packet that was too old; two such packets in a row mean a restart
	jumped bool
	follow bool // the next packet gets the number after top, whatever its own number is
}

func newSealer(k Keys, ctx *srtp.Context) *sealer {
	return &sealer{keys: k, ctx: ctx, header: reusedHeader(), streams: map[uint32]*numbers{}, reports: map[uint32]uint64{}}
}

// seal returns the encrypted packet in dst, which must not overlap with pkt. It returns false if the packet must not or
// cannot be sent.
func (s *sealer) seal(dst, pkt []byte, kind Kind) ([]byte, bool) {
	switch {
	case s.ctx == nil:
		return nil, false
	case kind == RTCP:
		return s.sealRTCP(dst, pkt)
	}
	return s.sealRTP(dst, pkt)
}

func (s *sealer) sealRTP(dst, pkt []byte) ([]byte, bool) {
	was, ssrc := binary.BigEndian.Uint16(pkt[2:]), binary.BigEndian.Uint32(pkt[8:])
	n := s.streams[ssrc]
	first := n == nil
	if first {
		if len(s.streams) >= maxSources {
			return nil, false
		}
		n = &numbers{shift: s.firstShift(was)}
		n.bound = s.boundOf(uint64(was+n.shift), reservedRTP)
	}
	index, ok := n.place(was)
	if !ok || !s.allows(index, n.bound, reservedRTP) {
		return nil, false
	}
	n.add(index)
	if first { // set only now, because its first number must be the number of the first packet sent
		s.streams[ssrc] = n
	}
	s.ctx.SetROC(ssrc, uint32(index>>16)) // 48 bits
	binary.BigEndian.PutUint16(pkt[2:], uint16(index))
	out, err := s.ctx.EncryptRTP(dst, pkt, &s.header)
	binary.BigEndian.PutUint16(pkt[2:], was)
	return out, err == nil
}

// place returns the full number for a packet. If a source restarts with lower numbers, its packets continue after the
// used ones.
func (n *numbers) place(seq uint16) (uint64, bool) {
	if n.seen == 0 {
		return uint64(seq + n.shift), true
	}
	index, ok := n.guess(seq + n.shift)
	switch {
	case n.follow:
		n.follow, n.shift = false, uint16(n.top)+1-seq
		return n.top + 1, true
	case ok && n.fresh(index):
		n.jumped = false
		return index, true
	case ok && n.top-index <= stream.MaxMisorder:
		return 0, false
	case !n.jumped || seq != n.expect:
		n.jumped, n.expect = true, seq+1
		return 0, false
	}
	n.jumped = false
	n.shift = uint16(n.top) + 1 - seq
	return n.top + 1, true
}

func (s *sealer) sealRTCP(dst, pkt []byte) ([]byte, bool) {
	if len(pkt) < srtcpHeaderLen {
		return nil, false
	}
	ssrc := binary.BigEndian.Uint32(pkt[4:])
	index, known := s.ctx.Index(ssrc)
	if !known {
		if len(s.reports) >= maxSources {
			return nil, false
		}
		index = s.firstIndex()
		s.ctx.SetIndex(ssrc, index)
		s.reports[ssrc] = s.boundOf(uint64(index), reservedRTCP)
	}
	if !s.allows(uint64(index)+1, s.reports[ssrc], reservedRTCP) { // the library uses the next one
		return nil, false
	}
	out, err := s.ctx.EncryptRTCP(dst, pkt, &s.headerC)
	return out, err == nil
}
