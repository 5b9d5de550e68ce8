package record

// Talk describes the conversation between the caller and the agent. Package media/voice/turns defines its measurements
// and words. Values that were not measured are nil, and null in JSON.
type Talk struct {
	// Confidence is good, noisy (the figures may be wrong, and are left out of percentiles) or not_measured.
	Confidence string `json:"confidence"`
	// Reason is why the confidence is not good: background, ceaseless, two_levels, echo, steady, gaps, quiet;
	// no_audio, codec, no_transcoder, packet_length, line_cut, kernel.
	Reason string `json:"reason,omitempty"`

	// FirstAgentMS is the time from the answer to the agent's first audio. If it is unknown, FirstAgentReason says why.
	FirstAgentMS     *int64 `json:"first_agent_ms"`
	FirstAgentReason string `json:"first_agent_reason,omitempty"`

	// Turns says how long the caller waited for the agent's answers. It is nil if there were none.
	Turns *Durations `json:"turns"`
	// BargeIns says how long the agent kept talking when the caller interrupted and stopped it. It is nil if that never
	// happened.
	BargeIns *Durations `json:"barge_ins"`
	// Ignored is how many interruptions did not stop the agent within 3 s.
	Ignored *int64 `json:"barge_ins_ignored"`
	// CutOffs is how often the agent started while the caller spoke.
	CutOffs *int64 `json:"cut_offs"`
	// Backchannels is how many short words of the caller did not stop the agent.
	Backchannels *int64 `json:"backchannels"`
	// Edges is how many of the counts above 50 ms decided: each may be one more or less. It is nil if there were none.
	Edges *int64 `json:"edges,omitempty"`

	// MeasuredMS is how long the line was open for a conversation, BothMS is how long both spoke, and DeadAirMS is how
	// long silences of 3 s or more lasted. The next two are the longest silence, and the silences in which the agent was
	// expected to speak.
	MeasuredMS       *int64 `json:"measured_ms"`
	BothMS           *int64 `json:"both_ms"`
	DeadAirMS        *int64 `json:"dead_air_ms"`
	LongestDeadAirMS *int64 `json:"longest_dead_air_ms"`
	AgentDeadAirMS   *int64 `json:"agent_dead_air_ms"`

	// AgentMusicMS is how long the agent's side played music, as on hold. It is not in MeasuredMS. It is 0 if it did not.
	AgentMusicMS int64 `json:"agent_music_ms,omitempty"`

	// EchoMS is the delay with which the agent's side repeats what the caller says. It is 0 if it does not.
	EchoMS int64 `json:"echo_ms,omitempty"`

	Caller *Voice `json:"caller"`
	Agent  *Voice `json:"agent"`
}

// Durations summarizes how long something took, in milliseconds.
type Durations struct {
	N   int   `json:"n"`
	P50 int64 `json:"p50_ms"`
	P95 int64 `json:"p95_ms"`
	Max int64 `json:"max_ms"`

	// Values are the durations, or an even sample if there are more than 255.
	Values []uint16 `json:"values_ms"`
}

// Voice describes a party in a Talk: how long it spoke, its level, and its background level, in dBm0.
type Voice struct {
	SpokeMS    int64   `json:"spoke_ms"`
	Level      float64 `json:"level_dbm0"`
	Background float64 `json:"background_dbm0"`
}

// TalkGood is the confidence of a Talk with reliable figures.
const TalkGood = "good"
