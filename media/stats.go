package media

import (
	"math"
	"net/netip"
	"sync/atomic"
	"time"
)

// Drops counts packets that came in on a side and were not passed on, RTP and
// RTCP together.
type Drops struct {
	WrongSource   uint64 // not from the locked source, or not believable
	Unproven      uint64 // believable, but not enough of them in a row yet
	WrongSSRC     uint64 // from the locked source, but of another stream
	Malformed     uint64 // not RTP or RTCP of version 2 whose lengths fit
	NoDestination uint64 // the other side's address is not known, or of another IP version
	Oversize      uint64 // longer than 1500 bytes
	SendError     uint64 // the kernel did not take it
	Held          uint64 // RTP for the other side, which wants none (Peer.Held)
	Diverted      uint64 // telephone-events that are not to be relayed
	Replaced      uint64 // RTP that a digit or sound of ours was sent instead of
	Discarded     uint64 // of a payload type that the other side does not take
	Masked        uint64 // RTP that would have told a masked key (Session.SetMask)
}

// Total is the sum over all reasons.
func (d Drops) Total() uint64 {
	return d.WrongSource + d.Unproven + d.WrongSSRC + d.Malformed + d.NoDestination + d.Oversize + d.SendError + d.Held + d.Diverted + d.Replaced + d.Discarded + d.Masked
}

// SideStats are one side's figures since the session was made. Rx is what was
// accepted from that side, Tx what was sent to it; the counts of packets and
// bytes are of RTP, bytes with the RTP header and without UDP and IP.
type SideStats struct {
	RxPackets, RxBytes uint64
	TxPackets, TxBytes uint64
	RxRTCP, TxRTCP     uint64 // packets
	TxDigits           uint64 // of TxPackets, those of Session.SendDigit
	TxPlayed           uint64 // of TxPackets, those of Session.Play

	// Lost is how many packets of the streams received are missing by their
	// sequence numbers (RFC 3550 §A.3), never negative.
	Lost         uint64
	Dropped      Drops
	DroppedTotal uint64
	JitterMS     float64 // interarrival jitter, milliseconds (RFC 3550 §6.4.1)

	Source      netip.AddrPort // locked RTP source; invalid while there is none
	SSRC        uint32         // last received
	PayloadType uint8          // last received
	FirstRTP    time.Time      // of the first RTP accepted; zero if there was none
	LastRTP     time.Time      // of the last one
}

// Stats are a session's figures, side by side. The counters are read one by
// one while packets flow, so sums across them may be off by a few.
type Stats struct{ A, B SideStats }

// Of returns the figures of one side.
func (s Stats) Of(side Side) SideStats {
	if side == SideA {
		return s.A
	}
	return s.B
}

// Counters are what a path counts for one flow. They are written by the
// goroutine that owns the session and read by any. Times are nanoseconds since
// the engine was opened, 0 for never.
type Counters struct {
	RxPackets, RxBytes atomic.Uint64
	TxPackets, TxBytes atomic.Uint64

	WrongSource, Unproven, WrongSSRC, Malformed, NoDestination, Oversize, SendError, Held, Diverted, Replaced, Discarded, Masked atomic.Uint64

	// Of RTP flows only.
	Digits      atomic.Uint64 // of TxPackets
	Played      atomic.Uint64 // of TxPackets
	Lost        atomic.Uint64
	Jitter      atomic.Uint64 // bits of a float64, milliseconds
	SSRC        atomic.Uint32
	PayloadType atomic.Uint32
	First, Last atomic.Int64
}

func (c *Counters) drops() Drops {
	return Drops{
		WrongSource:   c.WrongSource.Load(),
		Unproven:      c.Unproven.Load(),
		WrongSSRC:     c.WrongSSRC.Load(),
		Malformed:     c.Malformed.Load(),
		NoDestination: c.NoDestination.Load(),
		Oversize:      c.Oversize.Load(),
		SendError:     c.SendError.Load(),
		Held:          c.Held.Load(),
		Diverted:      c.Diverted.Load(),
		Replaced:      c.Replaced.Load(),
		Discarded:     c.Discarded.Load(),
		Masked:        c.Masked.Load(),
	}
}

func (d Drops) plus(o Drops) Drops {
	return Drops{
		WrongSource:   d.WrongSource + o.WrongSource,
		Unproven:      d.Unproven + o.Unproven,
		WrongSSRC:     d.WrongSSRC + o.WrongSSRC,
		Malformed:     d.Malformed + o.Malformed,
		NoDestination: d.NoDestination + o.NoDestination,
		Oversize:      d.Oversize + o.Oversize,
		SendError:     d.SendError + o.SendError,
		Held:          d.Held + o.Held,
		Diverted:      d.Diverted + o.Diverted,
		Replaced:      d.Replaced + o.Replaced,
		Discarded:     d.Discarded + o.Discarded,
		Masked:        d.Masked + o.Masked,
	}
}

// ledger is what is counted for a session: by the side a flow comes from and by
// kind, and the locked source of each side.
type ledger struct {
	flow   [2][2]Counters
	source [2]atomic.Pointer[netip.AddrPort]
}

func (l *ledger) side(s Side, epoch time.Time) SideStats {
	in, inRTCP := &l.flow[s][RTP], &l.flow[s][RTCP]
	out, outRTCP := &l.flow[s.Other()][RTP], &l.flow[s.Other()][RTCP]
	st := SideStats{
		RxPackets: in.RxPackets.Load(), RxBytes: in.RxBytes.Load(),
		TxPackets: out.TxPackets.Load(), TxBytes: out.TxBytes.Load(),
		RxRTCP: inRTCP.RxPackets.Load(), TxRTCP: outRTCP.TxPackets.Load(),
		TxDigits:    out.Digits.Load(),
		TxPlayed:    out.Played.Load(),
		Lost:        in.Lost.Load(),
		Dropped:     in.drops().plus(inRTCP.drops()),
		JitterMS:    math.Float64frombits(in.Jitter.Load()),
		SSRC:        in.SSRC.Load(),
		PayloadType: uint8(in.PayloadType.Load()), // stored from 7 bits
	}
	st.DroppedTotal = st.Dropped.Total()
	if src := l.source[s].Load(); src != nil {
		st.Source = *src
	}
	if first := in.First.Load(); first != 0 {
		st.FirstRTP = epoch.Add(time.Duration(first))
		st.LastRTP = epoch.Add(time.Duration(in.Last.Load()))
	}
	return st
}

func (l *ledger) stats(epoch time.Time) Stats {
	return Stats{A: l.side(SideA, epoch), B: l.side(SideB, epoch)}
}
