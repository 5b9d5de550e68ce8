package bridge

import (
	"cmp"
	"math"
	"net"
	"slices"
	"strconv"
	"time"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/snapshot"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/store/record"
)

// close ends the media session. Its final figures stay available.
func (m *Media) close() {
	if m.session != nil {
		m.bridge.Ladder.Unwatch(m.session.Close())
	}
}

func (m *Media) record(r *record.Record) {
	if m.session != nil {
		r.Media = m.counted(m.session.Stats(), &m.bridge.Agreement)
		m.recordSilences(r)
	}
}

// counted converts the media's counters to the media part of a call's record.
func (m *Media) counted(s media.Stats, a *agreement.Agreement) record.Media {
	r := record.Media{
		A: m.sideRecord(media.SideA, s.A, a), B: m.sideRecord(media.SideB, s.B, a), OneWay: m.OneWay,
		GapMS: max(s.A.Gap, s.B.Gap).Milliseconds(), NoCPUMS: s.NoCPU.Milliseconds(),
	}
	r.SetMOS()
	return r
}

func (m *Media) sideRecord(side media.Side, s media.SideStats, a *agreement.Agreement) record.MediaSide {
	r := record.MediaSide{
		Rx: int64(s.RxPackets), Tx: int64(s.TxPackets), Lost: int64(s.Lost),
		Dropped: int64(s.DroppedTotal), DroppedBy: droppedBy(s.Dropped), JitterMS: s.JitterMS,
		Duplicates: int64(s.Duplicates), Reordered: int64(s.Reordered), Bursts: int64(s.Bursts), Late: int64(s.Late),
		LostHere: int64(s.LostHere), LateHere: int64(s.LateHere), SSRCChanges: int64(s.SSRCChanges),
		RTT:   record.Millis(float64(s.RTT.Round(time.Microsecond)) / float64(time.Millisecond)),
		MOS:   record.Score(math.Round(100*s.MOS) / 100),
		Codec: a.Codec[side].Name, SRTP: m.bridge.Keying.Suite(side),
	}
	if d := a.Description[side]; d != nil && d.RTP().IsValid() {
		r.Expected = d.RTP().String()
	}
	if s.Source.IsValid() {
		r.Source = s.Source.String()
	}
	if s.Refused.IsValid() {
		r.Refused = s.Refused.String()
	}
	return r
}

func droppedBy(d media.Drops) record.DroppedBy {
	return record.DroppedBy{
		WrongSource: int64(d.WrongSource), Unproven: int64(d.Unproven), WrongSSRC: int64(d.WrongSSRC),
		Unauthentic: int64(d.Unauthentic), Replayed: int64(d.Replayed), Unprotected: int64(d.Unprotected),
		Masked: int64(d.Masked), Malformed: int64(d.Malformed), NoDestination: int64(d.NoDestination),
		Oversize: int64(d.Oversize), SendError: int64(d.SendError), Held: int64(d.Held), Diverted: int64(d.Diverted),
		Replaced: int64(d.Replaced), Discarded: int64(d.Discarded), Unconfirmed: int64(d.Unconfirmed),
		Overtaken: int64(d.Overtaken), Ahead: int64(d.Ahead), BadCheck: int64(d.BadCheck),
	}
}

// onHeard logs that a side is heard now after it was reported as silent.
func (m *Media) onHeard(side media.Side) {
	b := m.bridge
	source := m.session.Stats().Of(side).Source
	b.Log.Info().Stringer("side", side).Stringer("source", source).Msg("side heard again after one-way audio")
	b.Ladder.Decide("RTP of side %v comes after all, from %v", side, source)
}

// onOneWay logs what an operator needs to know about a silent side: where its RTP should come from,
// and which packets were dropped. The record keeps naming the side, even if it is heard later.
func (m *Media) onOneWay(side media.Side) {
	b := m.bridge
	s := m.session.Stats().Of(side)
	m.OneWay = side.String()
	b.Ladder.Decide("one-way audio: no RTP is taken from side %v (a: caller, b: target), which has sent %d packets that were dropped", side, s.DroppedTotal)
	line := b.Log.Warn().Stringer("side", side).Interface("dropped", droppedBy(s.Dropped))
	if d := b.Agreement.Description[side]; d != nil {
		line = line.Str("expected", net.JoinHostPort(d.Connection(), strconv.Itoa(d.Port())))
	}
	if s.Refused.IsValid() {
		line = line.Stringer("refused", s.Refused)
	}
	line.Msg("one-way audio")
}

// onSilence logs that a side has fallen silent in mid-call, or is heard again.
func (m *Media) onSilence(e media.EventSideSilent) {
	b := m.bridge
	if e.Over {
		b.PeerLog.Info().Stringer("side", e.Side).Dur("silent", e.For).Msg("side heard again after a silence")
		b.Ladder.Decide("side %v (a: caller, b: target) is heard again after a silence of %v", e.Side, e.For)
		return
	}
	s, after := m.session.Stats().Of(e.Side), m.after(time.Now().Add(-e.For))
	b.Ladder.Decide("side %v (a: caller, b: target) has sent no RTP for %v, and is not on hold", e.Side, e.For)
	line := b.PeerLog.Warn().Stringer("side", e.Side).Interface("dropped", droppedBy(s.Dropped))
	if after != "" {
		line = line.Str("after", after)
	}
	if d := b.Agreement.Description[e.Side]; d != nil {
		line = line.Str("expected", net.JoinHostPort(d.Connection(), strconv.Itoa(d.Port())))
	}
	line.Msg("side fell silent in mid-call")
}

// changesMost is how many changes of the session are remembered. A silence begins near a change if it begins
// changeBefore to changeAfter after it: the last packet may come before the request that announces the change.
const (
	changesMost  = 8
	changeBefore = -2 * time.Second
	changeAfter  = 2 * time.Second
)

// changed notes a change of the session (record.Silence.After).
func (m *Media) changed(what string) {
	m.Changes = append(m.Changes, snapshot.Change{At: leg.InstantOf(time.Now()), What: what})
	m.Changes = m.Changes[max(len(m.Changes)-changesMost, 0):]
}

// after returns the last change near a time, or "".
func (m *Media) after(from time.Time) (what string) {
	for _, c := range m.Changes {
		if by := from.Sub(leg.TimeOf(c.At)); by >= changeBefore && by <= changeAfter {
			what = c.What
		}
	}
	return what
}

// recordSilences adds the silences of both sides to a record.
func (m *Media) recordSilences(r *record.Record) {
	since := func(at time.Time) int64 { return max(at.Sub(r.AnsweredAt.Time).Milliseconds(), 0) }
	quiet := m.session.Quiet()
	r.Media.NoRTPMS = quiet.Both.Milliseconds()
	for side, all := range quiet.Silences {
		for _, s := range all {
			is := record.Silence{Side: media.Side(side).String(), FromMS: since(s.From), After: m.after(s.From)}
			if !s.To.IsZero() {
				is.ToMS = new(since(s.To))
			}
			r.Media.Silences = append(r.Media.Silences, is)
		}
	}
	r.Media.SetMOS()
	slices.SortStableFunc(r.Media.Silences, func(a, b record.Silence) int { return cmp.Compare(a.FromMS, b.FromMS) })
}

// onWithheld logs that the early media to the caller has stopped, and how to prevent that.
func (m *Media) onWithheld() {
	b := m.bridge
	line := b.Log.Info().Stringer("source", b.Source)
	if d := b.Agreement.Description[media.SideA]; d != nil {
		line = line.Stringer("rtp", d.RTP())
	}
	b.Ladder.Decide("early media to the caller stops until its address is confirmed by an ACK, a PRACK or RTP")
	line.Msg("no more media to the caller before its ACK, PRACK or RTP: its SDP names another address than its SIP comes from; see media_sources")
}

// WarnOfDeafness logs which sides were not heard because of our own rules: their RTP came from an
// address that we do not trust.
func (m *Media) WarnOfDeafness(r *record.Media) {
	b := m.bridge
	for side, r := range [...]*record.MediaSide{media.SideA: &r.A, media.SideB: &r.B} {
		side := media.Side(side)
		if r.Dropped <= r.Rx {
			continue
		}
		line := b.Log.Warn().Stringer("side", side).Int64("dropped", r.Dropped)
		if r.Refused != "" {
			line = line.Str("refused", r.Refused)
		}
		if h := m.bridge.Call.Half(side); h != nil && h.Peer.Media.Latch == config.LatchStrict {
			line.Msg("rtp not accepted: with latch strict, only the address and port in the SDP are")
		} else {
			line.Msg("rtp not accepted: its address is neither in the SDP nor that of the SIP; see media_sources")
		}
	}
}
