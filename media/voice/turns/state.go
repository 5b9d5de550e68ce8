package turns

import (
	"fmt"
	"slices"
	"time"

	"flowbridge/media/voice"
)

// stateVersion changes when a field changes its meaning. New fields need no new version: they are zero if absent.
const stateVersion = 1

// State is the state of a Talk, from which another process can continue. Times count from the answer.
type State struct {
	// Small fields are grouped to save space.
	Version uint8 `cbor:"1,keyasint"`
	Paused  Why   `cbor:"5,keyasint,omitempty"`  // reasons of the pause at At
	Waiting Party `cbor:"7,keyasint,omitempty"`  // while both are silent: the party that is waited for
	Asked   bool  `cbor:"8,keyasint,omitempty"`  // the caller spoke last
	Cutting bool  `cbor:"10,keyasint,omitempty"` // the agent started over the caller
	Barging bool  `cbor:"12,keyasint,omitempty"` // the caller started over the agent, which still speaks
	Over    bool  `cbor:"14,keyasint,omitempty"` // for a barge-in: the caller has fallen silent again
	First   first `cbor:"17,keyasint,omitempty"`

	Sides   [2]side       `cbor:"2,keyasint"`            // by Party
	Marks   []mark        `cbor:"3,keyasint,omitempty"`  // marks after At, in order
	At      time.Duration `cbor:"4,keyasint"`            // everything before this time is judged
	Quiet   time.Duration `cbor:"6,keyasint,omitempty"`  // while both are silent: since when
	AskedAt time.Duration `cbor:"9,keyasint,omitempty"`  // when the caller's last utterance ended
	CutAt   time.Duration `cbor:"11,keyasint,omitempty"` // when Cutting began
	BargeAt time.Duration `cbor:"13,keyasint,omitempty"` // when Barging began
	OverAt  time.Duration `cbor:"15,keyasint,omitempty"` // when Over began
	FirstAt time.Duration `cbor:"18,keyasint,omitempty"` // when the agent was first heard

	Latency      Sample `cbor:"19,keyasint,omitzero"`
	Reaction     Sample `cbor:"20,keyasint,omitzero"`
	Ignored      uint32 `cbor:"21,keyasint,omitempty"`
	CutOffs      uint32 `cbor:"22,keyasint,omitempty"`
	Backchannels uint32 `cbor:"23,keyasint,omitempty"`
	Edges        uint32 `cbor:"31,keyasint,omitempty"` // how often less than the constant edge decided (30 was a bool)

	Missed    Reason           `cbor:"29,keyasint,omitempty"` // why a part was not listened to; empty if all was
	Measured  time.Duration    `cbor:"24,keyasint,omitempty"` // time without pauses
	Both      time.Duration    `cbor:"25,keyasint,omitempty"` // part of Measured in which both spoke
	Dead      time.Duration    `cbor:"26,keyasint,omitempty"` // dead air in Measured
	Longest   time.Duration    `cbor:"27,keyasint,omitempty"` // the longest dead air
	WaitedFor [3]time.Duration `cbor:"28,keyasint,omitzero"`  // dead air by Party
	Music     time.Duration    `cbor:"32,keyasint,omitempty"` // time in which the agent's side played music
}

// first is the state of the search for the agent's first audio.
type first uint8

const (
	unheard first = iota
	known
	void // the line was cut before the first audio
)

// side holds the speech of a party.
type side struct {
	Until  time.Duration `cbor:"1,keyasint,omitempty"` // all speech before this time is in Ahead, or judged
	Ahead  []span        `cbor:"2,keyasint,omitempty"` // utterances not completely judged, in order
	Speaks bool          `cbor:"3,keyasint,omitempty"` // the first utterance of Ahead has begun
	Began  time.Duration `cbor:"4,keyasint,omitempty"` // start of the last utterance
	Ended  time.Duration `cbor:"5,keyasint,omitempty"` // end of the last finished utterance
	Spoke  time.Duration `cbor:"6,keyasint,omitempty"` // total speech
	Reason voice.Reason  `cbor:"7,keyasint,omitempty"` // why the party is not measured
	Short  span          `cbor:"13,keyasint,omitzero"` // the last sound, if it is too short for a word but more may follow

	Heard  uint64           `cbor:"8,keyasint,omitempty"`  // milliseconds of segments
	Level  uint64           `cbor:"9,keyasint,omitempty"`  // sum over segments of level times milliseconds
	Noise  uint64           `cbor:"10,keyasint,omitempty"` // sum over segments of background times milliseconds
	Spans  Spans            `cbor:"12,keyasint,omitempty"`
	Levels [loudness]uint32 `cbor:"11,keyasint,omitzero"` // milliseconds by level; Noises has them by background
	Noises [loudness]uint32 `cbor:"14,keyasint,omitzero"`
	Near   uint64           `cbor:"16,keyasint,omitempty"` // milliseconds of segments too near their background for speech
	Steady uint32           `cbor:"15,keyasint,omitempty"` // the level of the last hardly varying sound
	Last   [2]uint32        `cbor:"17,keyasint,omitzero"`  // milliseconds and level of the last segment
	Alike  uint8            `cbor:"18,keyasint,omitempty"` // consecutive short segments like the previous one
	Gaps   bool             `cbor:"19,keyasint,omitempty"` // an utterance was sparse

	To    time.Duration `cbor:"20,keyasint,omitempty"` // end of the last segment
	Other time.Duration `cbor:"21,keyasint,omitempty"` // end of the last segment before the bursts, or of a cut
	Rung  time.Duration `cbor:"22,keyasint,omitempty"` // end of the burst that made them a ringing tone
	Rings uint8         `cbor:"23,keyasint,omitempty"` // bursts so far, up to ringsMin

	Bursts bool          `cbor:"24,keyasint,omitempty"` // a tone in bursts counted as speech
	Played time.Duration `cbor:"25,keyasint,omitempty"` // end of the last music
}

// span is an utterance.
type span struct {
	From   time.Duration `cbor:"1,keyasint,omitempty"`
	To     time.Duration `cbor:"2,keyasint,omitempty"`
	Sparse bool          `cbor:"3,keyasint,omitempty"` // all its segments are sparse
}

// mark is a change of the line. A mark that neither sets nor clears a reason is a cut.
type mark struct {
	At    time.Duration `cbor:"1,keyasint,omitempty"`
	Set   Why           `cbor:"2,keyasint,omitempty"`
	Clear Why           `cbor:"3,keyasint,omitempty"`
}

// asked returns the reasons of a pause once all marks are applied.
func (s *State) asked(now Why) Why {
	for _, m := range s.Marks {
		now = now&^m.Clear | m.Set
	}
	return now
}

// State returns a copy of the state.
func (t *Talk) State() State {
	s := t.s
	s.Marks = slices.Clone(s.Marks)
	s.Latency.Values, s.Reaction.Values = slices.Clone(s.Latency.Values), slices.Clone(s.Reaction.Values)
	for p := range s.Sides {
		s.Sides[p].Ahead, s.Sides[p].Spans = slices.Clone(s.Sides[p].Ahead), slices.Clone(s.Sides[p].Spans)
	}
	return s
}

// Resume continues from a state. A time in which no process listened counts as silence, unless the detectors
// continued; the owner pauses the line for that time. answered is as in New.
func Resume(answered time.Duration, s State) (*Talk, error) {
	if s.Version != stateVersion {
		return nil, fmt.Errorf("turns: the state has version %d, this program knows %d", s.Version, stateVersion)
	}
	times := []time.Duration{
		s.At, s.Quiet, s.AskedAt, s.CutAt, s.BargeAt, s.OverAt, s.FirstAt, s.Measured, s.Both, s.Dead, s.Longest,
		s.WaitedFor[0], s.WaitedFor[1], s.WaitedFor[2], s.Latency.Max, s.Reaction.Max, s.Music,
	}
	for p := range s.Sides {
		d := &s.Sides[p]
		times = append(times, d.Until, d.Began, d.Ended, d.Spoke, d.Short.From, d.Short.To, d.To, d.Other, d.Rung, d.Played)
		if len(d.Ahead) > aheadMax || len(d.Spans) > spansMax || d.Speaks && (len(d.Ahead) == 0 || d.Began < d.Ended) {
			return nil, fmt.Errorf("turns: the state of party %d makes no sense: %d utterances ahead, %d bytes of spans, one begins at %v, after %v",
				p, len(d.Ahead), len(d.Spans), d.Began, d.Ended)
		}
		was := time.Duration(0)
		for _, u := range d.Ahead {
			if u.From < was || u.To < u.From {
				return nil, fmt.Errorf("turns: party %d speaks from %v to %v, after %v", p, u.From, u.To, was)
			}
			was = u.To
		}
		times = append(times, was)
	}
	for _, m := range s.Marks {
		times = append(times, m.At)
	}
	for _, at := range times {
		if at < 0 || at > lifetime {
			return nil, fmt.Errorf("turns: the state has a time of %v", at)
		}
	}
	values := max(len(s.Latency.Values), len(s.Reaction.Values))
	if len(s.Marks) > marksMax || s.Waiting > Nobody || values >= sampleMax {
		return nil, fmt.Errorf("turns: the state is larger than any call's: %d marks, %d values, waits for %d",
			len(s.Marks), values, s.Waiting)
	}
	t := &Talk{answered: answered, s: s}
	t.s = t.State()
	return t, nil
}
