package turns

import (
	"time"

	"flowbridge/media/voice"
)

// Party is one of the two speakers.
type Party uint8

// The parties of a call. Nobody means neither of them.
const (
	Caller Party = iota
	Agent
	Nobody
)

// These are the limits between the kinds of events. The package documentation defines the terms.
const (
	word        = 120 * time.Millisecond // the shortest speech
	within      = 400 * time.Millisecond // a pause this long ends an utterance
	backchannel = 600 * time.Millisecond // the shortest utterance that claims the turn
	// overlap: within this time of an utterance's start or end, the other party does not interrupt.
	overlap  = 200 * time.Millisecond
	patience = 3 * time.Second       // how long an interrupting caller waits for the agent to stop
	deadAir  = 3 * time.Second       // the shortest silence of both that is dead air
	edge     = 50 * time.Millisecond // a duration this close to a limit may actually be beyond it
)

const (
	aheadMax = 32              // utterances of a side that may wait until the other side is known
	marksMax = 32              // cuts and pauses that may wait until both sides are known
	lifetime = 1e6 * time.Hour // longer than any call, so that sums of times fit
)

// Why is a set of reasons why the line carries no conversation.
type Why uint8

// These are the reasons for a pause. They are set and removed independently.
const (
	Hold     Why = 1 << iota // a side wants no media
	Transfer                 // the agent is being replaced, or was replaced by a party that is not an agent
	Sound                    // we play a sound: an announcement, music on hold
	Mask                     // keys are masked, and perhaps speech with them
	Away                     // no process listened

	blindCaller // the side's codec is not measured; set by Talk.Look
	blindAgent
	music // the agent's side plays music
)

// Kind says what a Moment is.
type Kind uint8

// The kinds of moments. At is when it started; Took depends on the kind.
const (
	Answer      Kind = iota // the agent starts; Took is the turn latency
	BargeIn                 // the caller starts over the agent; Took is the time until the agent stopped
	Ignored                 // the caller starts over the agent, which continues; Took is 3 s
	CutOff                  // the agent starts over the caller
	Backchannel             // a short word of the caller over the agent
	DeadAir                 // both are silent; Took is the length of the silence
)

// Moment is a counted event, for display. For is the party that is waited for in dead air.
type Moment struct {
	Kind     Kind
	For      Party
	At, Took time.Duration // At is by the caller's clock, as in New
}

// Talk tracks a conversation. Its memory is bounded: a few hundred bytes, and 2 KB after hundreds of turns. It is not
// safe for concurrent use.
type Talk struct {
	// Each, if set, is called with each moment, at least 400 ms after it.
	Each func(Moment)

	answered time.Duration // measured by the clock of New; all times in s are counted from it
	s        State
	seen     [2]voice.View // the last looks, by Party; not part of s
}

// New starts tracking a call answered at the given time of any monotonic clock. All times passed to Talk are by that
// clock.
func New(answered time.Duration) *Talk {
	return &Talk{answered: answered, s: State{Version: stateVersion, Waiting: Agent}}
}

// Hear adds a finished segment of a party. The segments of one party must come in order. A key cuts the line.
func (t *Talk) Hear(p Party, heard voice.Segment) {
	if heard.From == heard.To {
		t.Cut(heard.From)
		return
	}
	side, speech := &t.s.Sides[p], true
	if p == Agent && side.isMusic(heard, heard.From-t.answered) {
		t.play(heard.From, heard.To)
		return
	}
	was := side.Last[1]
	if took := (heard.To - heard.From).Milliseconds(); took > 0 && took < 1e6 {
		speech = side.hear(heard, uint64(took))
	}
	if speech {
		side.ring(span{From: heard.From - t.answered, To: heard.To - t.answered}, was)
		t.add(p, span{heard.From - t.answered, heard.To - t.answered, heard.Sparse})
	}
	t.know(p, heard.To-t.answered)
}

// isMusic reports whether what the agent's side is saying is music.
func (t *Talk) isMusic(v voice.View) bool {
	h := voice.Segment{From: v.Since, To: v.To, Level: v.Level, Noise: v.Noise}
	return t.s.Sides[Agent].isMusic(h, v.Since-t.answered)
}

// play says that the agent's side played music: nobody waits, and nobody speaks.
func (t *Talk) play(from, to time.Duration) {
	t.Pause(music, from)
	t.Resume(music, to)
	t.s.Sides[Agent].Played = to - t.answered
	t.know(Agent, to-t.answered)
}

// Look updates a party's speech in progress and the time until which it was silent. The methods below answer from the
// last looks at both parties. A look changes no figure, because speech in progress may turn out to be noise: only
// settled speech is judged finally.
func (t *Talk) Look(p Party, v voice.View) {
	side, blind := &t.s.Sides[p], blindCaller<<p
	t.seen[p], side.Reason = v, v.Reason
	switch off := v.Reason == voice.OtherCodec || v.Reason == voice.OtherLength; {
	case off && t.s.asked(t.s.Paused)&blind == 0:
		t.Pause(blind, v.Until)
	case !off && t.s.asked(t.s.Paused)&blind != 0:
		t.Resume(blind, v.Until)
	}
	t.know(p, v.Settled-t.answered)
}

// now returns the state as if both had stopped speaking at the last look.
func (t *Talk) now() *State {
	now := Talk{answered: t.answered, s: t.State(), seen: t.seen}
	now.take()
	return &now.s
}

// take judges the speech of both parties up to the last look. A sound in progress is judged like one that ended, so
// that music of many seconds does not pass for an answer until it ends.
func (t *Talk) take() {
	for p, v := range t.seen {
		switch {
		case !v.Speaking || v.Level > 0 && gap(v.Level, v.Noise) < gapNoise:
		case p == int(Agent) && t.isMusic(v):
			t.play(v.Since, v.To)
		default:
			t.add(Party(p), span{From: v.Since - t.answered, To: v.To - t.answered})
		}
		t.know(Party(p), v.Until-t.answered)
	}
	t.seen = [2]voice.View{}
}

// Cut says that no duration may be measured across the given time, because a digit was pressed or sent.
func (t *Talk) Cut(at time.Duration) { t.put(mark{At: at - t.answered}) }

// Pause says that the line carries no conversation from the given time on, until Resume with the same reason.
func (t *Talk) Pause(why Why, at time.Duration) { t.put(mark{At: at - t.answered, Set: why}) }

// Resume ends a pause. Speech after that is measured, if no other reason is left.
func (t *Talk) Resume(why Why, at time.Duration) { t.put(mark{At: at - t.answered, Clear: why}) }

// Unheard says that no process listened between two times. The line stays paused for 400 ms more, so that an
// utterance in progress at the end does not count as a new one.
func (t *Talk) Unheard(from, to time.Duration) {
	t.Pause(Away, from)
	t.Resume(Away, to+within)
}

// Miss says why a part of the conversation was not listened to. The call is then not measured, because the part that
// was heard says nothing about the rest.
func (t *Talk) Miss(why Reason) { t.s.Missed = why }

// Missed reports whether Miss was called.
func (t *Talk) Missed() bool { return t.s.Missed != "" }

// Finish judges everything said up to the end of the call. Call Look first.
func (t *Talk) Finish(at time.Duration) {
	t.take()
	t.settle(at - t.answered + within)
	t.silence(t.s.At)
}

// Waiting returns the party that is waited for, and since when. Both parties are silent, and the other party spoke
// last. ok is false if one of them speaks, the line is paused, or a party's speech is not measured. Call Look first.
//
// A ringing tone of the agent counts as silence after its third burst, so that it does not hold off a rescue. It may
// also be an agent that says a word again and again. So the wait begins then, and ends 2.5 s after the last burst.
func (t *Talk) Waiting() (party Party, since time.Duration, ok bool) {
	s := t.now()
	caller, agent := &s.Sides[Caller], &s.Sides[Agent]
	silent := len(agent.Ahead) == 0
	switch {
	case s.unmeasured() != "", s.asked(s.Paused) != 0, len(caller.Ahead) > 0:
	case silent && s.Waiting == Agent, !agent.isRinging(t.seen[Agent], t.answered), caller.Ended < agent.Other:
		if silent && s.Waiting != Nobody {
			return s.Waiting, t.answered + s.Quiet, true
		}
	default:
		return Agent, t.answered + max(agent.Rung, caller.Ended), true
	}
	return Nobody, 0, false
}

// Speaking reports which parties are speaking, by Party. A pause of 400 ms or more ends an utterance. Both are false
// if the line is paused or a party's speech is not measured. Call Look first.
func (t *Talk) Speaking() (now [2]bool) {
	s := t.now()
	if s.unmeasured() != "" || s.asked(s.Paused) != 0 {
		return now
	}
	for p := range now {
		now[p] = len(s.Sides[p].Ahead) > 0
	}
	return now
}

// add adds speech of a party. The speech may overlap speech that was added before.
func (t *Talk) add(p Party, said span) {
	side, from, to := &t.s.Sides[p], said.From, said.To
	short := side.Short
	switch side.Short = (span{}); {
	case to > lifetime:
		return
	case to-from < word:
		side.Short = said
		return
	case short.To > 0 && from-short.To < within: // the short sound was the first syllable
		from = short.From
	}
	if n := len(side.Ahead); n > 0 && from-side.Ahead[n-1].To < within {
		last := &side.Ahead[n-1]
		last.To, last.Sparse = max(last.To, to), last.Sparse && said.Sparse
		return
	}
	from = max(from, t.s.At)
	if from >= to {
		return
	}
	side.Ahead = append(side.Ahead, span{from, to, said.Sparse})
	if len(side.Ahead) > aheadMax {
		t.settle(from)
	}
}

// put keeps a mark until the time before it is judged.
func (t *Talk) put(m mark) {
	m.At = min(max(m.At, 0), lifetime)
	if n := len(t.s.Marks); n > 0 {
		m.At = max(m.At, t.s.Marks[n-1].At)
	}
	t.s.Marks = append(t.s.Marks, m)
	if len(t.s.Marks) > marksMax {
		t.settle(t.s.Marks[0].At + within)
	}
}

// settle judges the speech up to the given time. A party that was not heard until then counts as silent.
func (t *Talk) settle(until time.Duration) {
	for p := range t.s.Sides {
		t.s.Sides[p].Short = span{}
		t.know(Party(p), until)
	}
}

// know records that all speech of a party before the given time is known, and judges everything that can be judged
// now. A sound too short for a word waits until the pause after it is too long for a pause within an utterance.
func (t *Talk) know(p Party, until time.Duration) {
	side := &t.s.Sides[p]
	if short := side.Short; until-short.To >= within {
		side.Short = span{}
	} else if short.To > 0 {
		until = short.From
	}
	side.Until = max(side.Until, min(until, lifetime))
	to := min(t.s.Sides[Caller].Until, t.s.Sides[Agent].Until) - within
	for {
		at, do := t.next(to)
		t.pass(at)
		if do == nil {
			return
		}
		do(at)
	}
}

func (t *Talk) tell(m Moment) {
	if t.Each != nil {
		m.At += t.answered
		t.Each(m)
	}
}
