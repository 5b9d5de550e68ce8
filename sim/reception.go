package sim

import (
	"math"
	"net/netip"
	"time"

	"github.com/pion/rtp"
)

// reception is the RTP that one end received. The stream's lock guards it.
type reception struct {
	stats  rtpStats
	source netip.AddrPort
	heard  []byte // audio by timestamp, with gaps filled with silence
	law    codec  // codec of heard, which is the first packet's
	marks  []PacketMark
	hear   func(Packet) // may be nil
	jitter float64      // in timestamp units

	started  bool
	ssrc     uint32
	first    uint32 // extended sequence number
	highest  uint32
	window   uint64 // one bit per received number, up to highest
	unique   uint64 // distinct packets of this SSRC
	pastLost uint64 // lost packets of earlier SSRCs
	origin   uint32 // RTP timestamp of heard[0]
	transit  float64
}

// take counts a datagram and returns its audio in the peer's codec, or nil.
func (r *reception) take(b []byte, peer *remoteMedia, now time.Time) []byte {
	var p rtp.Packet
	broken := p.Unmarshal(b) != nil || p.Version != 2 || len(p.Payload) == 0
	payload, seq, ts, ssrc := p.Payload, p.SequenceNumber, p.Timestamp, p.SSRC
	c, audio := codecFor(p.PayloadType)
	event := peer != nil && peer.event != 0 && p.PayloadType == peer.event
	if broken || !audio && !event {
		r.stats.Foreign++
		return nil
	}
	if len(r.marks) < maxMarks {
		r.marks = append(r.marks, PacketMark{payloadSum(payload), now.UnixNano()})
	}
	if !r.started || ssrc != r.ssrc {
		r.begin(ssrc, seq, ts, now)
	} else if !r.count(seq) {
		return nil
	}
	r.unique++
	r.stats.Received++
	if r.hear != nil {
		r.hear(Packet{now, ssrc, ts, p.PayloadType, event, payload})
	}
	if event {
		return nil
	}
	r.spread(ts, now)
	if r.law.encode == nil {
		r.law = c
	}
	r.place(recode(payload, c, r.law), ts, r.law.silence)
	if peer == nil {
		return nil
	}
	return recode(payload, c, peer.codec)
}

func (r *reception) begin(ssrc uint32, seq uint16, ts uint32, now time.Time) {
	if r.started {
		r.pastLost = r.lost()
	} else {
		r.stats.FirstAt = now
	}
	r.started = true
	r.ssrc = ssrc
	r.first = 1<<16 | uint32(seq) // leaves room for numbers below the first
	r.highest = r.first
	r.window = 1
	r.unique = 0
	r.origin = ts - uint32(len(r.heard))
	r.transit = 0
}

// count records a sequence number. It returns false for a duplicate.
func (r *reception) count(seq uint16) bool {
	delta := int16(seq - uint16(r.highest))
	if delta > 0 {
		r.highest += uint32(delta)
		r.window = r.window<<uint(delta) | 1
		return true
	}
	back := uint(-int(delta))
	if back < 64 && r.window&(1<<back) != 0 {
		r.stats.Duplicates++
		return false
	}
	if back < 64 {
		r.window |= 1 << back
	}
	if below := r.highest - uint32(back); below < r.first {
		r.first = below
	}
	r.stats.OutOfOrder++
	return true
}

func (r *reception) lost() uint64 {
	if !r.started {
		return 0
	}
	expected := uint64(r.highest-r.first) + 1
	if expected < r.unique {
		return r.pastLost
	}
	return r.pastLost + expected - r.unique
}

func (r *reception) spread(ts uint32, now time.Time) {
	transit := float64(now.UnixNano())*SampleRate/1e9 - float64(ts)
	if r.transit != 0 {
		r.jitter += (math.Abs(transit-r.transit) - r.jitter) / 16
	}
	r.transit = transit
}

func (r *reception) place(payload []byte, ts uint32, silence byte) {
	at := int(int32(ts - r.origin))
	if at < 0 || at+len(payload) > maxHeard {
		return
	}
	for len(r.heard) < at {
		r.heard = append(r.heard, silence)
	}
	n := copy(r.heard[at:], payload)
	r.heard = append(r.heard, payload[n:]...)
}
