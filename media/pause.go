package media

import (
	"slices"
	"sync/atomic"
	"time"

	"flowbridge/media/stream"
)

// A side that was heard and then sends no RTP for over five seconds is silent, if it owes RTP (relay.owes) and does not
// send only while it speaks (pauses.sparse). The checks for silence find pauses by the time of the side's last packet:
// packets cost nothing, wherever they are relayed. Tests: TestSilences, TestNoSilence.
const (
	pauseLeast   = 5 * tickEvery    // a shorter time without RTP is no pause; over figuresAge, which delays the kernel's
	silentAfter  = 5 * time.Second  // a longer pause is a silence
	silentLater  = 15 * time.Second // the same during a call if all that the side has sent may have been speech
	silentSparse = time.Minute      // the same for a side that sends only while it speaks
	runLong      = 15 * time.Second // a side that sends only while it speaks mostly pauses sooner
	speechLeast  = 0.6              // share of speech in what such a side sends
	refusedLeast = 50               // packets of a side refused in a pause: the side did send
	movedWithin  = 2 * time.Second  // a pause that begins so soon after a change of the session is not for want of words
	lossLeast    = 4                // packets lost in a second of a pause, if it was not the side that paused
	silencesMost = 16               // silences of a side that are kept: the longest
	comfortNoise = 13               // static payload type (RFC 3551)
)

// Silence is a time in mid-call in which a side owed RTP and sent none.
type Silence struct {
	From time.Time // when its last packet came, or when it last began to owe RTP
	To   time.Time // when it was heard again (up to 250 ms early) or owed none; zero if the silence goes on
}

// pauseBook holds the pauses of a session's sides. It is allocated with the first pause.
type pauseBook struct {
	state pausesState                    // owned by the owner of the turn
	free  time.Duration                  // when the sides last owed no RTP
	both  atomic.Int64                   // state.Both
	shown [2]atomic.Pointer[[]pastPause] // the silences; one without To goes on. What they point to is never modified
}

// Quiet says when the sides of a session sent no RTP although they owed some.
type Quiet struct {
	Silences [2][]Silence  // by side, oldest first
	Both     time.Duration // the longest time in which neither side sent any, from pauseLeast
}

// pausesState are the pauses of a session, also for another process.
type pausesState struct {
	Sides [2]pauses     `cbor:"1,keyasint"`
	Both  time.Duration `cbor:"2,keyasint,omitempty"` // Quiet.Both
}

// pauses are the pauses of one side.
type pauses struct {
	Open    bool          `cbor:"1,keyasint,omitempty"` // the side sends nothing
	From    time.Duration `cbor:"2,keyasint,omitempty"` // start of the open pause
	Seen    time.Duration `cbor:"3,keyasint,omitempty"` // the side was known to be quiet until then
	Told    bool          `cbor:"4,keyasint,omitempty"` // EventSideSilent was posted for the open pause
	Lost    uint64        `cbor:"5,keyasint,omitempty"` // packets lost and refused before the open pause
	Refused uint64        `cbor:"6,keyasint,omitempty"`

	Own     int           `cbor:"7,keyasint,omitempty"`  // pauses that the side made itself: no packets were lost in them
	Short   int           `cbor:"8,keyasint,omitempty"`  // times between pauses in which it sent, of less than runLong,
	Long    int           `cbor:"9,keyasint,omitempty"`  // and of more
	Sent    time.Duration `cbor:"10,keyasint,omitempty"` // sum of these times
	Resumed time.Duration `cbor:"11,keyasint,omitempty"` // end of the last pause
	Past    []pastPause   `cbor:"12,keyasint,omitempty"` // ended pauses of more than silentAfter
}

// pastPause is an ended pause.
type pastPause struct {
	From    time.Duration `cbor:"1,keyasint"`
	To      time.Duration `cbor:"2,keyasint"`
	Refused bool          `cbor:"3,keyasint,omitempty"` // packets of the side were refused in it
	Told    bool          `cbor:"4,keyasint,omitempty"` // EventSideSilent was posted for it
}

func (p pastPause) length() time.Duration { return p.To - p.From }

// owes reports whether both sides should send RTP: neither is held or mute, hears a sound of ours, or is missing.
func (r *relay) owes() bool {
	return !r.excused() && r.complete() && !r.stages.Speaks(SideA) && !r.stages.Speaks(SideB)
}

// lookForPauses follows the pauses of both sides. It is called at each check for silence.
func (r *relay) lookForPauses(now time.Duration) {
	if !r.hearing.started {
		return
	}
	owes := r.owes()
	if !owes {
		r.pauseBook().free = now
	}
	for _, side := range []Side{SideA, SideB} {
		p := r.paused(side)
		if p == nil || !p.Open {
			if owes && r.quietSince(side) <= now-pauseLeast {
				r.beginPause(side, now)
			}
			continue
		}
		if told := p.Told; !r.stillQuiet(side, now) {
			r.endPause(side, now)
			if told {
				r.post(EventSideSilent{Side: side, For: p.Resumed - p.From, Over: true})
			}
		} else if lasts := now - p.From; !told && lasts > silentAfter && lasts > r.limit(side, now) {
			p.Told = true
			r.showSilences(side, now, false)
			r.post(EventSideSilent{Side: side, For: lasts})
		}
	}
	if a, b := r.paused(SideA), r.paused(SideB); a != nil && a.Open && b.Open {
		q := r.pauseBook()
		q.state.Both = max(q.state.Both, now-max(a.From, b.From))
		q.both.Store(int64(q.state.Both))
	}
}

// paused returns the pauses of a side, or nil if the session has had none.
func (r *relay) paused(side Side) *pauses {
	if q := r.ledger.pauses.Load(); q != nil {
		return &q.state.Sides[side]
	}
	return nil
}

// pauseBook returns the book of the session's pauses, and makes it if there is none.
func (r *relay) pauseBook() *pauseBook { return made(&r.ledger.pauses) }

// received returns the figures of a side's RTP, for reading.
func (r *relay) received(side Side) *countersRTP { return read(&r.ledger.flow[side][RTP].rtp) }

// quietSince returns since when a side has sent nothing that it owed.
func (r *relay) quietSince(side Side) time.Duration {
	return max(time.Duration(r.received(side).Last.Load()), r.hearing.since, read(&r.ledger.pauses).free)
}

// beginPause notes the start of a pause. The side's flow comes back from the kernel.
func (r *relay) beginPause(side Side, now time.Duration) {
	ep := &r.endpoint[side][RTP]
	ep.refresh(0)
	from, drops := r.quietSince(side), read(&r.ledger.flow[side][RTP].drops)
	if from > now-pauseLeast || !r.hearing.spoke[side] && drops.Unauthentic.Load() == 0 || r.mayPause(side) {
		return
	}
	ep.reclaim()
	p := &r.pauseBook().state.Sides[side]
	p.Open, p.From, p.Seen, p.Told, p.Lost, p.Refused = true, from, now, false, r.lost(side), r.refused(side)
	run := from - max(p.Resumed, time.Duration(r.received(side).First.Load()), r.hearing.since, r.pauseBook().free)
	p.Sent += run
	switch {
	case run >= runLong:
		p.Long++
	case run > 0:
		p.Short++
	}
}

// mayPause reports whether a side may send nothing, because of what was agreed or because of its last packet.
func (r *relay) mayPause(side Side) bool {
	is, last := r.party[side].named, uint8(r.received(side).PayloadType.Load())
	return is.DTX || last == comfortNoise || last == is.Comfort && last != 0 || is.Events.Has(last)
}

// stillQuiet reports whether a side's open pause goes on.
func (r *relay) stillQuiet(side Side, now time.Duration) bool {
	p := r.paused(side)
	quiet := r.owes() && time.Duration(r.received(side).Last.Load()) <= p.From
	if quiet {
		p.Seen = now
	}
	return quiet
}

func (r *relay) endPause(side Side, now time.Duration) {
	p := r.paused(side)
	is := pastPause{From: p.From, To: p.Seen, Refused: r.refused(side)-p.Refused >= refusedLeast, Told: p.Told}
	p.Open, p.Told, p.Resumed = false, false, p.Seen
	if lost := r.lost(side) - p.Lost; r.owes() && time.Duration(lost)*time.Second < lossLeast*is.length() {
		p.Own++
	}
	if is.length() > silentAfter {
		p.keep(is)
	}
	r.showSilences(side, now, false)
}

// keep adds an ended pause. If there are too many, it leaves out the shortest.
func (p *pauses) keep(is pastPause) {
	if p.Past = append(p.Past, is); len(p.Past) > silencesMost {
		shortest := slices.MinFunc(p.Past, func(a, b pastPause) int { return int(a.length() - b.length()) })
		p.Past = slices.DeleteFunc(p.Past, func(is pastPause) bool { return is == shortest })
	}
}

// lost returns how many packets of a side were lost so far.
func (r *relay) lost(side Side) uint64 { return r.received(side).Lost.Load() }

// refused returns how many packets of a side were refused so far.
func (r *relay) refused(side Side) uint64 {
	d, _ := r.ledger.dropped(side)
	return d.WrongSource + d.WrongSSRC + d.Unproven + d.Unauthentic + d.Malformed
}

// limit returns how long a side's open pause of more than silentAfter must last to be a silence while the call goes on.
func (r *relay) limit(side Side, now time.Duration) time.Duration {
	p, since := r.paused(side), r.hearing.since
	moved := since > time.Duration(r.received(side).First.Load()) && since >= p.From-movedWithin
	spoke, measured := r.speaks(side, p.Sent)
	said, _ := r.stages.Spoke(side) // none: what it sends may be speech that is not known as such
	switch {
	case r.refused(side)-p.Refused >= refusedLeast:
	case r.sparse(side, now):
		return silentSparse
	case p.Long == 0 && (spoke || !measured || said == 0) && !moved:
		return silentLater
	}
	return silentAfter
}

// sparse reports whether a side sends only while it speaks: it has paused by itself and gone on several times, and
// seldom sent for long. One such pause is enough if most of what it sent was speech.
func (r *relay) sparse(side Side, now time.Duration) bool {
	p := r.paused(side)
	long, sent := p.Long, p.Sent
	if !p.Open {
		sent += now - p.Resumed
		if now-p.Resumed >= runLong {
			long++
		}
	}
	if p.Own == 0 || long >= p.Short {
		return false
	}
	spoke, measured := r.speaks(side, sent)
	return p.Own > 1 || spoke || !measured
}

// speaks reports whether most of what a side has sent, for the time sent, was speech, if that is measured.
func (r *relay) speaks(side Side, sent time.Duration) (mostly, measured bool) {
	spoke, measured := r.stages.Spoke(side)
	return float64(spoke) >= speechLeast*float64(sent), measured
}

// endPauses ends the pauses with the session. An open pause of more than silentAfter is then a silence.
func (r *relay) endPauses(now time.Duration) {
	for _, side := range []Side{SideA, SideB} {
		if p := r.paused(side); p != nil {
			if p.Open && !r.stillQuiet(side, now) {
				r.endPause(side, now)
			}
			r.showSilences(side, now, true)
		}
	}
}

// showSilences makes the silences of a side known to other goroutines.
func (r *relay) showSilences(side Side, now time.Duration, over bool) {
	var all []pastPause
	p, least := r.paused(side), silentAfter
	if r.sparse(side, now) {
		least = silentSparse
	}
	for _, is := range p.Past {
		if is.Refused || is.length() > least && (over || is.Told) {
			all = append(all, is)
		}
	}
	open := pastPause{From: p.From, To: p.Seen, Refused: r.refused(side)-p.Refused >= refusedLeast}
	switch {
	case !p.Open:
	case over && (p.Told || open.length() > least || open.Refused && open.length() > silentAfter):
		all = append(all, open)
	case p.Told:
		all = append(all, pastPause{From: p.From})
	}
	r.ledger.pauses.Load().shown[side].Store(&all)
}

// silences returns the silences of a side so far. Any goroutine may call it.
func (l *ledger) silences(side Side) []pastPause {
	if q := l.pauses.Load(); q != nil {
		if all := q.shown[side].Load(); all != nil {
			return *all
		}
	}
	return nil
}

// Quiet returns when the sides sent no RTP. After Close it is final: it may lack silences of before, and have others,
// because only the whole call shows who sends only while it speaks.
func (s *Session) Quiet() (q Quiet) {
	at := s.engine.epoch.Add
	for side := range q.Silences {
		for _, is := range s.relay.ledger.silences(Side(side)) {
			heard := Silence{From: at(is.From)}
			if is.To != 0 {
				heard.To = at(is.To)
			}
			q.Silences[side] = append(q.Silences[side], heard)
		}
	}
	q.Both = time.Duration(read(&s.relay.ledger.pauses).both.Load())
	return q
}

// pauses returns the state of the sides' pauses, with its times converted by at; nil if there were none.
func (r *relay) pauses(at func(time.Duration) time.Duration) *pausesState {
	q := r.ledger.pauses.Load()
	if q == nil {
		return nil
	}
	is := q.state
	for side := range is.Sides {
		is.Sides[side].convert(at)
	}
	return &is
}

// restorePauses continues the pauses of another process. If that was killed, an open pause may have ended since the
// state was taken, unless the call's owner was told of it.
func (r *relay) restorePauses(st *pausesState, exact bool, c stream.Clock) {
	if st == nil {
		return
	}
	q := r.pauseBook()
	q.state = *st
	q.both.Store(int64(st.Both))
	for side := range q.state.Sides {
		p := &q.state.Sides[side]
		p.convert(c.Past)
		p.Open = p.Open && (exact || p.Told)
		p.Past = p.Past[:min(len(p.Past), silencesMost)]
		r.showSilences(Side(side), c.Now, false)
	}
}

func (p *pauses) convert(at func(time.Duration) time.Duration) {
	p.From, p.Seen, p.Resumed = at(p.From), at(p.Seen), at(p.Resumed)
	p.Past = slices.Clone(p.Past)
	for i := range p.Past {
		p.Past[i].From, p.Past[i].To = at(p.Past[i].From), at(p.Past[i].To)
	}
}
