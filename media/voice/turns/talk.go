package turns

import (
	"time"

	"flowbridge/media/voice"
)

// Party is one of the two who speak.
type Party uint8

// The parties of a call. Nobody is neither of them.
const (
	Caller Party = iota
	Agent
	Nobody
)

// The limits of what counts as what.
const (
	word        = 120 * time.Millisecond // shorter speech is none
	within      = 400 * time.Millisecond // a shorter pause is part of an utterance
	backchannel = 600 * time.Millisecond // a caller's word that does not want the turn is shorter
	overlap     = 200 * time.Millisecond // at the ends of an utterance the other party may speak without interrupting
	patience    = 3 * time.Second        // an agent that goes on for longer ignores an interruption
	deadAir     = 3 * time.Second        // silence of both that counts
)

// span is an utterance.
type span struct {
	From time.Duration `cbor:"1,keyasint"`
	To   time.Duration `cbor:"2,keyasint"`
}

// side is a party of a call.
type side struct {
	Until  time.Duration `cbor:"1,keyasint,omitempty"` // all speech before it is known
	Ahead  []span        `cbor:"2,keyasint,omitempty"` // utterances that are not over at State.At
	Speaks bool          `cbor:"3,keyasint,omitempty"` // the first of Ahead has begun
	Ended  time.Duration `cbor:"4,keyasint,omitempty"` // the last one that is over
	Spoke  time.Duration `cbor:"5,keyasint,omitempty"` // in all
	Weight int64
	Level  int64
	Noise  int64
	Hist   [16]int64
}

// mark is a change of the line.
type mark struct {
	At   time.Duration
	Open int8 // 0 a cut; 1 resumes, -1 pauses
}

// Talk is
type Talk struct {
	Sides    [2]side
	Marks    []mark
	At       time.Duration // all before it is judged
	Paused   bool
	Answered time.Duration

	Quiet   time.Duration // since when both are silent
	Waiting Party         // for whom

	Asked   bool // the caller has spoken last, until AskedAt
	AskedAt time.Duration

	Cutting bool // the agent began over the caller at CutAt
	CutAt   time.Duration

	Barging  bool // the caller began over the agent at BargeAt
	BargeAt  time.Duration
	Over     bool // and has stopped at OverAt
	OverAt   time.Duration
	Again    bool

	First    time.Duration
	HasFirst bool

	Latency, Reaction Sample
	Ignored, Cuts, Backchannels int
	Measured, Both, Dead, Longest time.Duration
	WaitedFor [3]time.Duration
	Each func(Moment)
}

type Kind uint8
const (
	Answered Kind = iota
	BargedIn
	IgnoredK
	CutOff
	Backchannel
	Silence
)
// Moment is
type Moment struct {
	Kind Kind
	At time.Duration
	Took time.Duration
}

func (t *Talk) tell(k Kind, at, took time.Duration) {
	if t.Each != nil {
		t.Each(Moment{k, at, took})
	}
}

func New(answered time.Duration) *Talk {
	return &Talk{Answered: answered, At: answered, Quiet: answered, Waiting: Agent, Sides: [2]side{{Ended: answered}, {Ended: answered}}}
}

// Hear takes a finished segment.
func (t *Talk) Hear(p Party, s voice.Segment) {
	d := &t.Sides[p]
	n := int64((s.To - s.From) / time.Millisecond)
	d.Weight += n
	d.Level += s.Level * n
	d.Noise += s.Noise * n
	d.Hist[min(15, max(0, s.Level/128))] += n
	t.add(p, span{s.From, s.To})
	d.Until = max(d.Until, s.To)
	t.sweep()
}

// Look takes what is known of a party at a moment.
func (t *Talk) Look(p Party, v voice.View) {
	if v.Speaking {
		t.add(p, span{v.Since, v.To})
	}
	t.Sides[p].Until = max(t.Sides[p].Until, v.Until)
	t.sweep()
}

func (t *Talk) add(p Party, s span) {
	d := &t.Sides[p]
	if s.To-s.From < word {
		return
	}
	if n := len(d.Ahead); n > 0 && s.From-d.Ahead[n-1].To < within {
		d.Ahead[n-1].To = max(d.Ahead[n-1].To, s.To)
		return
	}
	if s.From = max(s.From, d.Ended, t.At); s.From < s.To {
		d.Ahead = append(d.Ahead, s)
	}
}

// Finish judges everything before a moment
func (t *Talk) Finish(at time.Duration) {
	for p := range t.Sides {
		t.Sides[p].Until = max(t.Sides[p].Until, at+within)
	}
	t.sweep()
	t.silence(t.At)
}

func (t *Talk) sweep() {
	to := min(t.Sides[Caller].Until, t.Sides[Agent].Until) - within
	for {
		at, do := t.next(to)
		t.pass(at)
		if do == nil {
			return
		}
		do(at)
	}
}

func (t *Talk) pass(at time.Duration) {
	d := at - t.At
	if d <= 0 {
		return
	}
	t.At = at
	if t.Paused {
		return
	}
	t.Measured += d
	for p := range t.Sides {
		if t.Sides[p].Speaks {
			t.Sides[p].Spoke += d
		}
	}
	if t.Sides[Caller].Speaks && t.Sides[Agent].Speaks {
		t.Both += d
	}
}

func (t *Talk) next(to time.Duration) (at time.Duration, do func(at time.Duration)) {
	at = to
	first := func(when time.Duration, f func(time.Duration)) {
		if when < at || when == at && do == nil {
			at, do = when, f
		}
	}
	if len(t.Marks) > 0 {
		first(t.Marks[0].At, t.mark)
	}
	for p := range t.Sides {
		d := &t.Sides[p]
		if len(d.Ahead) == 0 {
			continue
		}
		if d.Speaks {
			first(d.Ahead[0].To, func(at time.Duration) { t.ends(Party(p), at) })
		} else {
			first(d.Ahead[0].From, func(at time.Duration) { t.begins(Party(p), at) })
		}
	}
	if t.Cutting {
		first(t.CutAt+overlap, t.cutOff)
	}
	if t.Barging {
		first(t.BargeAt+patience, t.ignored)
		if t.Over && t.short() {
			first(t.OverAt+within, t.noticed)
		}
	}
	return max(at, t.At), do
}

func (t *Talk) short() bool { return !t.Again && t.OverAt-t.BargeAt < backchannel }

func (t *Talk) begins(p Party, at time.Duration) {
	d, o := &t.Sides[p], &t.Sides[1-p]
	d.Speaks = true
	if t.Paused {
		return
	}
	if !o.Speaks {
		t.silence(at)
	}
	if p == Caller {
		t.Asked = false
		switch {
		case !o.Speaks || at-o.Ahead[0].From < overlap:
		case t.Barging:
			t.Over, t.Again = false, true
		default:
			t.Barging, t.BargeAt, t.Over, t.Again = true, at, false, false
		}
		return
	}
	if !t.HasFirst {
		t.HasFirst, t.First = true, at-t.Answered
	}
	switch {
	case t.Asked:
		t.Latency.add(at - t.AskedAt)
		t.tell(Answered, at, at-t.AskedAt)
	case o.Speaks && o.Ahead[0].From > d.Ended:
		t.Cutting, t.CutAt = true, at
	case o.Speaks:
		// spoken to since; an agent that restarts over its interrupter
	}
	t.Asked = false
}

func (t *Talk) ends(p Party, at time.Duration) {
	d, o := &t.Sides[p], &t.Sides[1-p]
	d.Speaks, d.Ended = false, at
	d.Ahead = d.Ahead[1:]
	if t.Paused {
		return
	}
	if !o.Speaks {
		t.Quiet, t.Waiting = at, 1-p
	}
	if p == Caller {
		if t.Barging {
			t.Over, t.OverAt = true, at
		}
		if t.Cutting {
			t.Cutting = false
			t.Latency.add(0)
			t.tell(Answered, t.CutAt, 0)
		} else if !o.Speaks {
			t.Asked, t.AskedAt = true, at
		}
		return
	}
	t.Cutting = false
	if t.Barging {
		if at-t.BargeAt >= overlap {
			t.Reaction.add(at - t.BargeAt)
			t.tell(BargedIn, t.BargeAt, at-t.BargeAt)
		}
		t.Barging = false
	}
}

func (t *Talk) cutOff(time.Duration) { t.Cutting = false; t.Cuts++; t.tell(CutOff, t.CutAt, 0) }
func (t *Talk) ignored(time.Duration) { t.Barging = false; t.Ignored++; t.tell(IgnoredK, t.BargeAt, 0) }
func (t *Talk) noticed(time.Duration) { t.Barging = false; t.Backchannels++ }

func (t *Talk) silence(at time.Duration) {
	if t.Paused || t.Sides[0].Speaks || t.Sides[1].Speaks {
		if !t.Paused {
			return
		}
	}
	if d := at - t.Quiet; d >= deadAir {
		t.Dead += d
		t.Longest = max(t.Longest, d)
		t.WaitedFor[t.Waiting] += d
	}
	t.Quiet = at
}

func (t *Talk) mark(at time.Duration) {
	m := t.Marks[0]
	t.Marks = t.Marks[1:]
	_ = m
}
