package media

import (
	"math"
	"net/netip"
	"sync/atomic"
	"time"

	"flowbridge/media/packet"
	"flowbridge/media/quality"
	"flowbridge/media/stage"
	"flowbridge/media/stream"
)

// Drops counts packets, RTP and RTCP together, that came from a side and were not relayed.
type Drops = drops[uint64]

// drops holds a counter of type T for each reason to drop a packet.
type drops[T any] struct {
	WrongSource   T `cbor:"1,keyasint,omitempty"`  // not from the locked source, or not plausible
	Unproven      T `cbor:"2,keyasint,omitempty"`  // plausible, but not enough of them in a row yet
	WrongSSRC     T `cbor:"3,keyasint,omitempty"`  // packets from the locked source with another SSRC
	Malformed     T `cbor:"4,keyasint,omitempty"`  // not RTP or RTCP of version 2, or with inconsistent lengths
	NoDestination T `cbor:"5,keyasint,omitempty"`  // the other side's address is unknown, or of another IP version
	Oversize      T `cbor:"6,keyasint,omitempty"`  // longer than 1500 bytes
	SendError     T `cbor:"7,keyasint,omitempty"`  // rejected by the kernel
	Held          T `cbor:"8,keyasint,omitempty"`  // RTP for a side that wants none (Peer.Held)
	Diverted      T `cbor:"9,keyasint,omitempty"`  // telephone-events that must not be relayed
	Replaced      T `cbor:"10,keyasint,omitempty"` // RTP replaced by a digit or a sound, or left out after Session.HoldBack
	Discarded     T `cbor:"11,keyasint,omitempty"` // RTP for a side that wants none (Peer.Held)
	// Unauthentic counts packets from a side with SRTP that are not under its key, or not SRTP at all.
	Unauthentic T `cbor:"12,keyasint,omitempty"`
	// Replayed counts packets from a side with SRTP that were received before, or are too old to tell.
	Replayed T `cbor:"13,keyasint,omitempty"`
	// packets for a side with SRTP whose number was already used, or for which there are too many sources
	Unprotected T `cbor:"14,keyasint,omitempty"`
	Masked      T `cbor:"15,keyasint,omitempty"` // RTP that would have revealed a masked key (Session.SetMask)
	// media above the limit for a side that is not confirmed yet (Peer.Unconfirmed)
	Unconfirmed T `cbor:"16,keyasint,omitempty"`
	Overtaken   T `cbor:"17,keyasint,omitempty"` // RTP that came too late to be transcoded
	Ahead       T `cbor:"18,keyasint,omitempty"` // RTP that came too far ahead of time to be transcoded
	BadCheck    T `cbor:"19,keyasint,omitempty"` // connectivity checks that are not valid, or too many
}

func (d *drops[T]) all() []*T {
	return []*T{
		&d.WrongSource, &d.Unproven, &d.WrongSSRC, &d.Malformed, &d.NoDestination, &d.Oversize, &d.SendError, &d.Held,
		&d.Diverted, &d.Replaced, &d.Discarded, &d.Unauthentic, &d.Replayed, &d.Unprotected, &d.Masked, &d.Unconfirmed,
		&d.Overtaken, &d.Ahead, &d.BadCheck,
	}
}

// SideStats are one side's figures since the session was created. Rx counts packets accepted from the side, Tx counts
// packets sent to it. Packets and bytes are RTP; bytes include the RTP header, but not UDP and IP.
type SideStats struct {
	RxPackets, RxBytes uint64
	TxPackets, TxBytes uint64
	RxRTCP, TxRTCP     uint64 // packets

	// Lost is how many packets of the received streams are missing by their sequence numbers (RFC 3550 §A.3). It is never
	// negative. A late packet counts as missing until it arrives. A duplicate does not make up for another packet.
	Lost         uint64
	Bursts       uint64 // runs of one or more lost packets
	LongestBurst uint64 // packets
	Late         uint64 // packets that came too late for a phone's jitter buffer (quality.Delays), LateHere included
	LostHere     uint64 // those of Lost that came, but were dropped at our socket because we did not read in time
	LateHere     uint64 // those of Late that came in time, but were read too late
	Duplicates   uint64 // packets received before; included in RxPackets
	Reordered    uint64 // packets that came after a later one
	Wraps        uint64 // how often the sequence number wrapped around
	SSRCChanges  uint64 // changes of SSRC without a change of source
	Dropped      Drops
	DroppedTotal uint64
	JitterMS     float64       // interarrival jitter, milliseconds (RFC 3550 §6.4.1)
	Gap          time.Duration // time in which no process received the side's packets; they count as Lost
	JitterMaxMS  float64       // maximum
	JitterMeanMS float64       // over all packets

	// RTT is the smoothed round trip between us and the side, from its reception reports (RFC 3550 §6.4.1); 0 means
	// unknown.
	RTT    time.Duration
	Remote remoteReport // the side's report about the stream that is sent to it

	// MOS is the listening quality of the media received from the side, 1.0 to 4.5 (ITU-T G.107). 0 means unknown: less
	// than a second of packets, or no figures for Peer.Codec.
	MOS float64

	Source      netip.AddrPort // locked RTP source; invalid if there is none
	Refused     netip.AddrPort // last rejected source of RTP, updated at most once a second; invalid if there is none
	SSRC        uint32         // last received
	PayloadType uint8          // last received
	Silences    int            // number of silences so far (Session.Quiet)
	FirstRTP    time.Time      // first accepted RTP; zero if there was none
	LastRTP     time.Time      // last accepted RTP
}

// remoteReport is a side's last reception report about the stream that is relayed to it (RFC 3550 §6.4.1).
type remoteReport struct {
	Reports      uint64  // number received so far; if 0, the rest is unknown
	FractionLost float64 // since the previous report, 0 to 1
	Lost         int64   // since the stream began; negative if packets came twice
	JitterMS     float64 // milliseconds
}

// Stats are a session's figures by side. The counters are read one by one while packets flow, so sums may be off by a
// few.
type Stats struct {
	A, B SideStats

	// NoCPU is how long packets may have waited here because the worker had no processor. Jitter and the other figures of
	// the sides are of the network.
	NoCPU time.Duration
}

// Of returns the figures of one side.
func (s Stats) Of(side Side) SideStats {
	if side == SideA {
		return s.A
	}
	return s.B
}

// counters are a path's counts for one flow. The goroutine that owns the session writes them; every goroutine may read
// them. Counters that a quiet flow does not need are allocated when they are first used.
type counters struct {
	RxPackets, RxBytes atomic.Uint64
	TxPackets, TxBytes atomic.Uint64

	drops atomic.Pointer[drops[atomic.Uint64]]
	rtp   atomic.Pointer[countersRTP]
	rtcp  atomic.Pointer[countersRTCP]
}

// countersRTP exist only for RTP flows. Times are nanoseconds since the engine was opened, 0 for never.
type countersRTP struct {
	Lost, Bursts, LongestBurst                atomic.Uint64
	Late, LateBursts                          atomic.Uint64
	Duplicates, Reordered, Wraps, SSRCChanges atomic.Uint64
	Jitter, JitterMax, JitterMean             atomic.Uint64 // bits of a float64, milliseconds
	SSRC                                      atomic.Uint32
	PayloadType                               atomic.Uint32
	First, Last                               atomic.Int64
	Gap                                       atomic.Uint64 // nanoseconds
	LostHere, LateHere, LateHereBursts        atomic.Uint64
	Held                                      atomic.Int64 // nanoseconds by which packets were read too late, in all
}

// countersRTCP exist only for RTCP flows. The figures come from the side's reports.
type countersRTCP struct {
	RTT          atomic.Int64 // nanoseconds
	Reports      atomic.Uint64
	RemoteLoss   atomic.Uint64 // bits of a float64, 0 to 1
	RemoteLost   atomic.Int64
	RemoteJitter atomic.Uint64 // bits of a float64, milliseconds
}

func (c *counters) dropped() *drops[atomic.Uint64] { return made(&c.drops) }
func (c *counters) ofRTP() *countersRTP            { return made(&c.rtp) }
func (c *counters) ofRTCP() *countersRTCP          { return made(&c.rtcp) }

// stopped counts a packet that a stage blocked.
func (c *counters) stopped(v stage.Verdict) {
	switch d := c.dropped(); v {
	case stage.Masked, stage.Hidden:
		d.Masked.Add(1)
	case stage.Diverted:
		d.Diverted.Add(1)
	case stage.Replaced:
		d.Replaced.Add(1)
	case stage.Overtaken:
		d.Overtaken.Add(1)
	case stage.Ahead:
		d.Ahead.Add(1)
	case stage.Relay, stage.Kept:
	}
}

// made returns what p points to, creating it if necessary. Only the writing goroutine may call it.
func made[T any](p *atomic.Pointer[T]) *T {
	t := p.Load()
	if t == nil {
		t = new(T)
		p.Store(t)
	}
	return t
}

// read returns what p points to, or a zero value.
func read[T any](p *atomic.Pointer[T]) *T {
	if t := p.Load(); t != nil {
		return t
	}
	return new(T)
}

// keep copies the figures of a stream, after a packet with this header, to the counters.
func (c *countersRTP) keep(s *stream.Stream, h packet.Header) {
	is, mean, highest := s.Jitter()
	change(&c.Jitter, math.Float64bits(is))
	change(&c.JitterMean, math.Float64bits(mean))
	change(&c.JitterMax, math.Float64bits(highest))
	if h.SSRC != c.SSRC.Load() {
		c.SSRC.Store(h.SSRC)
	}
	if pt := uint32(h.PayloadType); pt != c.PayloadType.Load() {
		c.PayloadType.Store(pt)
	}
	f, changed := s.Figures()
	if !changed {
		return
	}
	change(&c.Lost, f.Lost)
	change(&c.Bursts, f.Bursts)
	change(&c.LongestBurst, f.LongestBurst)
	change(&c.Late, f.Late)
	change(&c.LateBursts, f.LateBursts)
	change(&c.Duplicates, f.Duplicates)
	change(&c.Reordered, f.Reordered)
	change(&c.Wraps, f.Wraps)
	change(&c.SSRCChanges, f.SSRCChanges)
	change(&c.Gap, uint64(f.Gap))
}

// change stores a value if it differs. The read is cheap, and most figures stay the same from packet to packet.
func change(counter *atomic.Uint64, to uint64) {
	if counter.Load() != to {
		counter.Store(to)
	}
}

// ledger holds the counts of a session, by kind and by the side that a flow comes from.
type ledger struct {
	flow    [2][2]counters
	source  [2]atomic.Pointer[netip.AddrPort]
	refused [2]atomic.Pointer[netip.AddrPort]     // last rejected source of each side
	codec   [2]atomic.Pointer[quality.Impairment] // nil if unknown
	pauses  atomic.Pointer[pauseBook]             // nil if no side has paused
	noCPU   atomic.Int64                          // Stats.NoCPU
}

func (l *ledger) located(s Side, source netip.AddrPort) {
	if old := l.source[s].Load(); (old == nil && source.IsValid()) || (old != nil && *old != source) {
		fresh := source
		l.source[s].Store(&fresh)
	}
}

func (l *ledger) side(s Side, epoch time.Time) SideStats {
	in, inRTCP := &l.flow[s][RTP], &l.flow[s][RTCP]
	out, outRTCP := &l.flow[s.Other()][RTP], &l.flow[s.Other()][RTCP]
	heard, reported := read(&in.rtp), read(&inRTCP.rtcp)
	st := SideStats{
		RxPackets: in.RxPackets.Load(), RxBytes: in.RxBytes.Load(),
		TxPackets: out.TxPackets.Load(), TxBytes: out.TxBytes.Load(),
		RxRTCP: inRTCP.RxPackets.Load(), TxRTCP: outRTCP.TxPackets.Load(),
		Lost: heard.Lost.Load(), Bursts: heard.Bursts.Load(), LongestBurst: heard.LongestBurst.Load(),
		Late: heard.Late.Load() + heard.LateHere.Load(), LateHere: heard.LateHere.Load(),
		LostHere:   min(heard.LostHere.Load(), heard.Lost.Load()),
		Duplicates: heard.Duplicates.Load(), Reordered: heard.Reordered.Load(),
		Wraps: heard.Wraps.Load(), SSRCChanges: heard.SSRCChanges.Load(), Gap: time.Duration(heard.Gap.Load()),
		JitterMS:     math.Float64frombits(heard.Jitter.Load()),
		JitterMaxMS:  math.Float64frombits(heard.JitterMax.Load()),
		JitterMeanMS: math.Float64frombits(heard.JitterMean.Load()),
		RTT:          time.Duration(reported.RTT.Load()),
		Remote: remoteReport{
			Reports:      reported.Reports.Load(),
			FractionLost: math.Float64frombits(reported.RemoteLoss.Load()),
			Lost:         reported.RemoteLost.Load(),
			JitterMS:     math.Float64frombits(reported.RemoteJitter.Load()),
		},
		SSRC:        heard.SSRC.Load(),
		PayloadType: uint8(heard.PayloadType.Load()), // it has 7 bits
	}
	st.Dropped, st.DroppedTotal = l.dropped(s)
	cut := st.Dropped.Overtaken + st.Dropped.Ahead // a packet that is late for a phone, too, counts once
	st.MOS = quality.Heard{
		Received: st.RxPackets - min(st.Duplicates, st.RxPackets), Lost: st.Lost, Late: max(st.Late, cut),
		Bursts: st.Bursts + max(heard.LateBursts.Load()+heard.LateHereBursts.Load(), cut), RTT: st.RTT,
		JitterMS: st.JitterMeanMS + float64(heard.Held.Load())/float64(max(st.RxPackets, 1))/float64(time.Millisecond),
	}.MOS(l.codec[s].Load())
	if src := l.source[s].Load(); src != nil {
		st.Source = *src
	}
	if src := l.refused[s].Load(); src != nil {
		st.Refused = *src
	}
	st.Silences = len(l.silences(s))
	if first := heard.First.Load(); first != 0 {
		st.FirstRTP = epoch.Add(time.Duration(first))
		st.LastRTP = epoch.Add(time.Duration(heard.Last.Load()))
	}
	return st
}

func (l *ledger) dropped(s Side) (d Drops, total uint64) {
	sums := d.all()
	for k := range l.flow[s] {
		dropped := l.flow[s][k].drops.Load()
		if dropped == nil {
			continue
		}
		for i, n := range dropped.all() {
			*sums[i] += n.Load()
			total += n.Load()
		}
	}
	return d, total
}

func (l *ledger) stats(epoch time.Time) Stats {
	return Stats{A: l.side(SideA, epoch), B: l.side(SideB, epoch), NoCPU: time.Duration(l.noCPU.Load())}
}
