package stream

import (
	"time"

	"flowbridge/media/quality"
)

// State is the state of the RTP that a side sends.
type State struct {
	Started     bool          `cbor:"1,keyasint,omitempty"`
	SSRC        uint32        `cbor:"2,keyasint,omitempty"`
	Base        uint64        `cbor:"3,keyasint,omitempty"`
	Top         uint64        `cbor:"4,keyasint,omitempty"`
	Received    uint64        `cbor:"5,keyasint,omitempty"`
	Expect      uint16        `cbor:"6,keyasint,omitempty"`
	Jumped      bool          `cbor:"7,keyasint,omitempty"`
	Recent      uint64        `cbor:"8,keyasint,omitempty"`
	Older       uint64        `cbor:"9,keyasint,omitempty"`
	Run         uint64        `cbor:"10,keyasint,omitempty"`
	Runs        uint64        `cbor:"11,keyasint,omitempty"`
	Longest     uint64        `cbor:"12,keyasint,omitempty"`
	LostPast    uint64        `cbor:"13,keyasint,omitempty"`
	WrapsPast   uint64        `cbor:"14,keyasint,omitempty"`
	Duplicates  uint64        `cbor:"15,keyasint,omitempty"`
	Reordered   uint64        `cbor:"16,keyasint,omitempty"`
	SSRCChanges uint64        `cbor:"17,keyasint,omitempty"`
	Timed       bool          `cbor:"18,keyasint,omitempty"`
	Timestamp   uint32        `cbor:"19,keyasint,omitempty"`
	TimestampAt time.Duration `cbor:"20,keyasint,omitempty"`
	Jitter      uint64        `cbor:"21,keyasint,omitempty"`
	JitterMax   uint64        `cbor:"22,keyasint,omitempty"`
	JitterSum   uint64        `cbor:"23,keyasint,omitempty"`
	Timings     uint64        `cbor:"24,keyasint,omitempty"`
	Renewed     bool          `cbor:"25,keyasint,omitempty"`
	Irregular   bool          `cbor:"26,keyasint,omitempty"`
	Gap         time.Duration `cbor:"27,keyasint,omitempty"`

	Delays quality.Delays `cbor:"28,keyasint,omitzero"`
}

// OutletState is the position in the stream that is sent to a side. Sequence, Timestamp and SentAt belong to the last
// packet, whether it was relayed or our own.
type OutletState struct {
	Begun     bool          `cbor:"1,keyasint,omitempty"`
	SSRC      uint32        `cbor:"2,keyasint,omitempty"`
	Sourced   bool          `cbor:"3,keyasint,omitempty"`
	Source    uint32        `cbor:"4,keyasint,omitempty"`
	NewSSRC   uint32        `cbor:"5,keyasint,omitempty"` // NewSSRC, NewTime and NewSeq are the shift
	NewTime   uint32        `cbor:"6,keyasint,omitempty"`
	NewSeq    uint16        `cbor:"7,keyasint,omitempty"`
	Owed      bool          `cbor:"8,keyasint,omitempty"`
	Sequence  uint16        `cbor:"9,keyasint,omitempty"`
	Timestamp uint32        `cbor:"10,keyasint,omitempty"`
	SentAt    time.Duration `cbor:"11,keyasint,omitempty"`
	Unsure    bool          `cbor:"12,keyasint,omitempty"`
	Edge      uint16        `cbor:"13,keyasint,omitempty"`
	LateTil   time.Duration `cbor:"14,keyasint,omitempty"`
	Blind     bool          `cbor:"15,keyasint,omitempty"`
}

// Save writes the stream's state to st.
func (s *Stream) Save(st *State, c Clock) {
	*st = State{
		Started: s.started, SSRC: s.ssrc, Base: s.base, Top: s.top, Received: s.received, Expect: s.expect, Jumped: s.jumped,
		Recent: s.losses.Recent, Older: s.losses.Older, Run: s.losses.Run, Runs: s.losses.Runs, Longest: s.losses.Longest,
		LostPast: s.lostPast, WrapsPast: s.wrapsPast, Duplicates: s.duplicates, Reordered: s.reordered,
		SSRCChanges: s.ssrcChanges,
		Timed:       s.timed, Timestamp: s.timestamp, TimestampAt: c.At(s.timestampAt),
		Jitter: s.jitter, JitterMax: s.jitterMax, JitterSum: s.jitterSum, Timings: s.timings,
		Renewed: s.renewed, Irregular: s.irregular, Gap: s.gap, Delays: s.delays,
	}
}

// Save writes the position in the stream to st. If the source is relayed, its last packet was the last one sent.
func (o *Outlet) Save(st *OutletState, s *Stream, exact bool, c Clock) {
	*st = OutletState{
		Begun: o.begun, SSRC: o.ssrc, Sourced: o.sourced, Source: o.source,
		NewSSRC: o.Shift.SSRC, NewTime: o.Shift.TimeOffset, NewSeq: o.Shift.SeqOffset,
		Owed: o.owed, Unsure: o.unsure, Edge: o.edge, LateTil: c.At(o.lateTil), Blind: o.blind,
	}
	last := *o
	if !exact {
		last.Leave(s)
	}
	st.Sequence, st.Timestamp, st.SentAt = last.seq, last.timestamp, c.At(last.at)
}

// Restore continues a stream.
func (s *Stream) Restore(st *State, exact bool, c Clock) {
	rate := s.Rate
	*s = Stream{
		Rate: rate, started: st.Started, ssrc: st.SSRC, base: st.Base, top: st.Top, received: st.Received, expect: st.Expect,
		jumped:   st.Jumped,
		losses:   quality.Losses{Recent: st.Recent, Older: st.Older, Run: st.Run, Runs: st.Runs, Longest: st.Longest},
		lostPast: st.LostPast, wrapsPast: st.WrapsPast, duplicates: st.Duplicates, reordered: st.Reordered,
		ssrcChanges: st.SSRCChanges,
		timed:       st.Timed, timestamp: st.Timestamp, timestampAt: c.Past(st.TimestampAt),
		jitter: st.Jitter, jitterMax: st.JitterMax, jitterSum: st.JitterSum, timings: st.Timings,
		renewed:   st.Renewed || !exact, // packets in between are unknown, and do not count as lost
		irregular: true, gap: st.Gap, delays: st.Delays,
	}
}

// Restore continues the stream to the other side. The source is relayed with the same shift, so that the receiver sees
// no break. Any other source starts above every number that may have been sent since the state.
func (o *Outlet) Restore(st *OutletState, exact bool, c Clock) {
	*o = Outlet{
		begun: st.Begun, ssrc: st.SSRC, sourced: st.Sourced, source: st.Source,
		Shift: Shift{SSRC: st.NewSSRC, TimeOffset: st.NewTime, SeqOffset: st.NewSeq},
		owed:  st.Owed, seq: st.Sequence, timestamp: st.Timestamp, at: c.Past(st.SentAt),
		blind: st.Blind, unsure: st.Unsure, edge: st.Edge, lateTil: c.Until(st.LateTil, Overtaken),
	}
	if !exact {
		o.blind, o.lateTil = true, 0
		o.seq += uint16(max(c.Now-o.at, 0)/ShortestFrame) + 1 // modulo 2^16 on purpose
	}
}
