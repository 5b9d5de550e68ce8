package turns

import (
	"slices"
	"time"

	"flowbridge/media/voice"
)

// Confidence says how far the figures of a call can be believed.
type Confidence string

// The confidences.
const (
	Good        Confidence = "good"
	Noisy       Confidence = "noisy"        // what is near may be wrong: out of all percentiles
	NotMeasured Confidence = "not_measured" // there are no figures
)

// Reason says why a call is noisy, or why something is not measured. It may be one of package voice.
type Reason string

// The reasons beside those of package voice.
const (
	Background Reason = "background" // a side's speech is less than 15 dB above its background, or 27 dB where that varies
	Ceaseless  Reason = "ceaseless"  // a side speaks for more than 70 % of the time: music, a crowd
	TwoLevels  Reason = "two_levels" // a side has speech of another loudness behind it: a television, the street
	Echo       Reason = "echo"       // a side hears much of the other one again
	Steady     Reason = "steady"     // a side has sound as loud as its speech that hardly varies: a tone, or a voice?
	Gaps       Reason = "gaps"       // an utterance of the agent is mostly gaps, as typing is
	Edge       Reason = "edge"       // 50 ms decide: both fell silent at once, or a word over the agent took some 600 ms
	LineCut    Reason = "line_cut"   // the line was never, or not yet, open for a conversation
	Kernel     Reason = "kernel"     // the kernel relayed RTP, and its program did not listen
	Silent     Reason = "silent"     // of the agent's first audio: it was listened to, and said nothing
)

// When a call is noisy.
const (
	gapMin    = 15.0            // dB between a side's speech and its background
	gapWorst  = 12.0            // the same of a segment that may be wrong,
	worstMax  = 4               // percent of a side's speech
	gapNoise  = 8.0             // the same of a segment: it is no speech
	gapVaries = 27.0            // dB between a side's speech and a background that varies,
	varies    = 1               // by so many steps of loudness
	steadyMin = 12.0            // dB below a side's speech: a steady sound might be speech
	burstMax  = 1300            // ms of a burst of a tone. It differs from the one before it
	burstMS   = 20              // by so many ms,
	burstStep = 16              // and by so much of its level, .4 dB
	echoMax   = 45              // percent of the caller's speech in which the agent speaks, too,
	echoAgent = 30              // and of the agent's speech
	shareMax  = 7               // tenths of the measured time that a side speaks
	behindMax = 3               // percent of a side's speech that is behind it
	tooLittle = 2 * time.Second // of speech, to judge it
)

// Loudness of segments is counted in steps of 3 dB. Speech that is four of them below the upper quarter is behind the
// speaker.
const (
	loudness     = 16
	loudnessStep = 128 // of voice.Segment.Level
	behind       = 3
)

// Spread is what durations of a kind were like. With N 0 there were none, and the rest is not measured.
type Spread struct {
	N             int
	P50, P95, Max time.Duration
	Values        []uint16 // the durations in milliseconds, or an even sample of them
}

// Voice is a party in a call.
type Voice struct {
	Spoke             time.Duration // within Figures.Measured
	Level, Background float64       // as voice.Decibels; 0 where nothing was said
}

// Figures are what a conversation was like.
type Figures struct {
	Confidence Confidence
	Reason     Reason // of a confidence other than Good

	// FirstAgent is from the answer to the agent's first audio. It may be known where nothing else is. Otherwise nil,
	// and FirstReason says why.
	FirstAgent  *time.Duration
	FirstReason Reason

	Latency  Spread // of the turns
	Reaction Spread // of the agent to barge-ins that it obeyed

	BargeIns     int // obeyed or Ignored
	Ignored      int
	CutOffs      int // of the caller by the agent
	Backchannels int

	Measured time.Duration // time in which the line was open for a conversation
	Parties  [2]Voice      // by Party
	Both     time.Duration // in which both spoke
	Dead     time.Duration // dead air, and of it the longest, and that in which each was waited for
	Longest  time.Duration
	Waited   [2]time.Duration
}

// Figures returns what is known so far. In the middle of a call Look comes before it.
func (t *Talk) Figures() Figures {
	s := t.now()
	f := Figures{Confidence: Good}
	switch agent := s.Sides[Agent].Reason; {
	case s.First == known:
		first := s.FirstAt
		f.FirstAgent = &first
	case s.Missed != "":
		f.FirstReason = s.Missed
	case agent != voice.Measured:
		f.FirstReason = Reason(agent)
	case s.First == void:
		f.FirstReason = LineCut
	default:
		f.FirstReason = Silent
	}
	f.Reason = s.unmeasured()
	if f.Reason != "" {
		f.Confidence = NotMeasured
		return f
	}
	f.Reason = s.noisy()
	if f.Reason != "" {
		f.Confidence = Noisy
	}
	f.Latency, f.Reaction = s.Latency.spread(), s.Reaction.spread()
	f.Ignored, f.CutOffs, f.Backchannels = int(s.Ignored), int(s.CutOffs), int(s.Backchannels)
	f.BargeIns = f.Reaction.N + f.Ignored
	f.Measured, f.Both, f.Dead, f.Longest = s.Measured, s.Both, s.Dead, s.Longest
	for p := range f.Parties {
		side := &s.Sides[p]
		f.Parties[p].Spoke, f.Waited[p] = side.Spoke, s.WaitedFor[p]
		f.Parties[p].Level, f.Parties[p].Background = side.levels()
	}
	return f
}

func (s *Sample) spread() Spread {
	p50, _ := s.Quantile(0.5)
	p95, _ := s.Quantile(0.95)
	return Spread{N: int(s.N), P50: p50, P95: p95, Max: s.Max, Values: slices.Clone(s.Values)}
}

// unmeasured returns why nothing of a call is measured.
func (s *State) unmeasured() Reason {
	if s.Missed != "" {
		return s.Missed
	}
	for p := range s.Sides {
		if r := s.Sides[p].Reason; r == voice.NoAudio || r != voice.Measured && s.Measured == 0 {
			return Reason(r)
		}
	}
	if s.Measured == 0 {
		return LineCut
	}
	return ""
}

// noisy returns why the figures may be wrong.
func (s *State) noisy() Reason {
	for p := range s.Sides {
		side := &s.Sides[p]
		if side.Steady > 0 && side.isLoud(side.Steady) {
			return Steady
		}
		if time.Duration(side.Heard)*time.Millisecond < tooLittle {
			continue
		}
		level, background := side.levels()
		low, high := quantile(&side.Noises, side.Heard/10), quantile(&side.Noises, side.Heard*9/10)
		switch {
		case level-background < gapMin, side.Near*100 > side.Heard*worstMax,
			high-low >= varies && level-voice.Decibels(float64(high*loudnessStep)) < gapVaries:
			return Background
		case side.Spoke > s.Measured/10*shareMax && s.Measured > 10*tooLittle:
			return Ceaseless
		case side.behind()*100 > side.Heard*behindMax:
			return TwoLevels
		case side.Gaps:
			return Gaps
		}
	}
	if s.Both > tooLittle && (s.Both*100 > s.Sides[Caller].Spoke*echoMax || s.Both*100 > s.Sides[Agent].Spoke*echoAgent) {
		return Echo
	}
	if s.Edge {
		return Edge
	}
	return ""
}

// hear counts a segment of so many milliseconds. It reports whether it is speech.
func (s *side) hear(h voice.Segment, ms uint64) bool {
	level, noise := uint64(min(max(h.Level, 0), voice.LevelMax)), uint64(min(max(h.Noise, 0), voice.LevelMax))
	switch {
	case level == 0: // as a test tells it
	case noise == level:
		s.Steady = max(s.Steady, uint32(level))
		return false
	default:
		gap := voice.Decibels(float64(level)) - voice.Decibels(float64(noise))
		if gap < gapWorst {
			s.Near += ms
		}
		if gap < gapNoise {
			return false
		}
	}
	if s.isAlike(uint32(ms), uint32(level)) { // three in a row are a tone that comes in bursts
		s.Steady = max(s.Steady, uint32(level))
	}
	s.Heard, s.Level, s.Noise = s.Heard+ms, s.Level+level*ms, s.Noise+noise*ms
	s.Levels[level/loudnessStep] += uint32(ms)
	s.Noises[noise/loudnessStep] += uint32(ms)
	return true
}

// isAlike reports whether a segment is the third in a row of one length and level.
func (s *side) isAlike(ms, level uint32) bool {
	was := s.Last
	s.Last = [2]uint32{ms, level}
	if ms > burstMax || max(ms, was[0])-min(ms, was[0]) > burstMS || max(level, was[1])-min(level, was[1]) > burstStep {
		s.Alike = 0
		return false
	}
	s.Alike = min(s.Alike+1, 2)
	return s.Alike == 2
}

// isLoud reports whether a level is near that of the side's speech.
func (s *side) isLoud(level uint32) bool {
	speech, _ := s.levels()
	return s.Heard == 0 || voice.Decibels(float64(level)) > speech-steadyMin
}

// quantile returns the step below which are so many milliseconds.
func quantile(all *[loudness]uint32, ms uint64) (step int) {
	for below := uint64(all[0]); below <= ms && step < loudness-1; below += uint64(all[step]) {
		step++
	}
	return step
}

// levels returns those of a side's speech and background, in dBm0.
func (s *side) levels() (speech, background float64) {
	if s.Heard == 0 {
		return 0, 0
	}
	return voice.Decibels(float64(s.Level) / float64(s.Heard)), voice.Decibels(float64(s.Noise) / float64(s.Heard))
}

// behind returns for how many milliseconds a side spoke much more quietly than the upper quarter of its speech.
func (s *side) behind() (ms uint64) {
	top, above := loudness-1, uint64(s.Levels[loudness-1])
	for ; top > 0 && above*4 < s.Heard; above += uint64(s.Levels[top]) {
		top--
	}
	for i := range max(top-behind+1, 0) {
		ms += uint64(s.Levels[i])
	}
	return ms
}
