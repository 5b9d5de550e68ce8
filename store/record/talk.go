package record

import (
	"strconv"
)

// Talk is what the conversation of the caller with the agent was like (media/voice/turns says how it is measured, and
// what the words mean). What was not measured is nil, and null in JSON.
type Talk struct {
	// Confidence is good, noisy (the figures may be wrong, and count in no percentile) or not_measured.
	Confidence string `json:"confidence"`
	// Reason is why it is not good: background, ceaseless, two_levels, echo, steady, gaps, edge; no_audio, codec,
	// packet_length, line_cut, kernel.
	Reason string `json:"reason,omitempty"`

	// FirstAgentMS is from the answer to the agent's first audio; or else FirstAgentReason says why it is not known.
	FirstAgentMS     *int64 `json:"first_agent_ms"`
	FirstAgentReason string `json:"first_agent_reason,omitempty"`

	// Turns are how long the caller waited for the agent's answers. nil: there was none.
	Turns *Durations `json:"turns"`
	// BargeIns are how long the agent went on when the caller interrupted it, where it stopped. nil: it never did.
	BargeIns *Durations `json:"barge_ins"`
	// Ignored is how many interruptions did not stop the agent within 3 s.
	Ignored *int64 `json:"barge_ins_ignored"`
	// CutOffs is how often the agent began while the caller spoke.
	CutOffs *int64 `json:"cut_offs"`
	// Backchannels is how many short words of the caller left the agent speaking.
	Backchannels *int64 `json:"backchannels"`

	// MeasuredMS is for how long the line was open for a conversation, of it BothMS while both spoke, and DeadAirMS in
	// silences of 3 s and more: the longest, and those in which the agent was waited for.
	MeasuredMS       *int64 `json:"measured_ms"`
	BothMS           *int64 `json:"both_ms"`
	DeadAirMS        *int64 `json:"dead_air_ms"`
	LongestDeadAirMS *int64 `json:"longest_dead_air_ms"`
	AgentDeadAirMS   *int64 `json:"agent_dead_air_ms"`

	Caller *Voice `json:"caller"`
	Agent  *Voice `json:"agent"`
}

// Durations sum up how long something took, in milliseconds.
type Durations struct {
	N   int   `json:"n"`
	P50 int64 `json:"p50_ms"`
	P95 int64 `json:"p95_ms"`
	Max int64 `json:"max_ms"`

	// Values are the durations, or of more than 255 an even sample.
	Values []uint16 `json:"values_ms"`
}

// Voice is a party's part of a Talk: how long it spoke, its level, and that of what lies behind it, in dBm0.
type Voice struct {
	SpokeMS    int64   `json:"spoke_ms"`
	Level      float64 `json:"level_dbm0"`
	Background float64 `json:"background_dbm0"`
}

// TalkGood is the confidence of a Talk whose figures count.
const TalkGood = "good"

// talkColumns are columns of the CSV. They are empty where nothing was measured.
func talkColumns() (all []column) {
	add := func(name string, of func(*Talk) *int64) {
		all = append(all, column{name, func(r *Record) string {
			if r.Talk == nil || of(r.Talk) == nil {
				return ""
			}
			return strconv.FormatInt(*of(r.Talk), 10)
		}})
	}
	turns := func(of func(*Durations) *int64) func(*Talk) *int64 {
		return func(t *Talk) *int64 {
			if t.Turns == nil {
				return nil
			}
			return of(t.Turns)
		}
	}
	all = append(all, column{"talk", func(r *Record) string {
		if r.Talk == nil {
			return ""
		}
		return r.Talk.Confidence
	}})
	add("first_agent_ms", func(t *Talk) *int64 { return t.FirstAgentMS })
	add("turns", turns(func(d *Durations) *int64 { return new(int64(d.N)) }))
	add("turn_p50_ms", turns(func(d *Durations) *int64 { return &d.P50 }))
	add("turn_p95_ms", turns(func(d *Durations) *int64 { return &d.P95 }))
	add("barge_ins_ignored", func(t *Talk) *int64 { return t.Ignored })
	add("agent_dead_air_ms", func(t *Talk) *int64 { return t.AgentDeadAirMS })
	return all
}
