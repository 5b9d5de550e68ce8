package turns

import (
	"slices"
	"time"

	"flowbridge/media/voice"
)

// Confidence says how far a call's figures can be trusted.
type Confidence string

// The confidences.
const (
	Good        Confidence = "good"
	Noisy       Confidence = "noisy"        // close decisions may be wrong: the figures are excluded from all percentiles
	NotMeasured Confidence = "not_measured" // there are no figures
)

// Reason says why a call is noisy, or why something is not measured. It may be a voice.Reason.
type Reason string

// Reasons that package voice does not have.
const (
	Background Reason = "background" // a side's speech is less than 16 dB above what varies behind it, or 8 dB above noise
	Ceaseless  Reason = "ceaseless"  // a side speaks for more than 70 % of the time: music, a crowd
	TwoLevels  Reason = "two_levels" // a side has speech of another loudness behind it: a television, the street
	Echo       Reason = "echo"       // a side picks up much of the other side
	Steady     Reason = "steady"     // a tone in bursts counted as a side's speech, or it has hardly varying sound only
	Quiet      Reason = "quiet"      // the caller's speech is so quiet that its weak beginnings and ends are not heard
	Gaps       Reason = "gaps"       // an utterance of the agent is mostly gaps, as with typing
	LineCut    Reason = "line_cut"   // the line was never, or not yet, open for a conversation
	Codec      Reason = Reason(voice.OtherCodec)
	Kernel     Reason = "kernel" // the kernel relayed RTP, and its program did not listen
	Silent     Reason = "silent" // for the agent's first audio: the agent said nothing, although we listened
)

// These are the limits at which a call becomes noisy.
const (
	gapMin    = 16.0                    // dB between a side's speech and a background that varies,
	varies    = 1                       // by more than this many steps of loudness
	gapNoise  = 8.0                     // below this, a segment is not speech,
	nearMax   = 6                       // of which there may be so many tenths of the speech
	quietMin  = -36.0                   // dBm0 of a caller's speech; the real level is some 7 dB lower (voice.Decibels)
	burstMax  = 2500                    // ms; a burst of a ringing tone lasts 2 s at most (ITU-T E.180)
	burstTop  = 1800                    // level; a louder one is a voice that clips
	ringCut   = 300                     // ms; a longer burst before the first words is known as a tone
	burstMS   = 20                      // ms by which successive bursts of a tone may differ in length
	burstStep = 16                      // greatest difference of their levels, 0.4 dB
	ringsMin  = 3                       // so many bursts in a row are a ringing tone,
	ringPause = 2500 * time.Millisecond // if they are no further apart
	musicMin  = 10000                   // ms without a pause of 200 ms that no voice speaks
	musicNear = 4000                    // ms; the same for a sound that no voice speaks through,
	musicMore = 1000                    // if it does not go on with music, as it does after less than ringPause,
	gapMusic  = 10.0                    // less than so many dB above what never pauses in it,
	musicStep = 512                     // and that much louder than the side's pauses: 12 dB
	echoMax   = 45                      // percentage of the caller's speech during which the agent speaks as well,
	echoAgent = 30                      // or percent of the agent's speech;
	echoNear  = 20                      // instead of echoMax, if a side's speech is
	gapBoth   = 18.0                    // less than so many dB above a background that varies, which may be what is heard
	shareMax  = 7                       // tenths of the measured time in which a side may speak
	behindMax = 35                      // percent of a side's speech that may be behind it
	tooLittle = 2 * time.Second         // a side with less speech is not judged
)

// The loudness of segments is counted in steps of 3 dB. Speech four steps below the upper quarter is behind the
// speaker.
const (
	loudness     = 16
	loudnessStep = 128 // of voice.Segment.Level
	behind       = 3
)

// Spread describes the distribution of durations of one kind. If N is 0, there were no durations, and the other
// fields have no meaning.
type Spread struct {
	N             int
	P50, P95, Max time.Duration
	Values        []uint16 // the durations in milliseconds, or an even sample of them
}

// Voice describes a party in a call.
type Voice struct {
	Spoke             time.Duration // speech within Figures.Measured
	Level, Background float64       // see voice.Decibels; 0 if the party said nothing
}

// Figures are the figures of a conversation.
type Figures struct {
	Confidence Confidence
	Reason     Reason // set if Confidence is not Good

	// FirstAgent is the time from the answer to the agent's first audio. It may be known even if no other figure is. If
	// it is nil, FirstReason says why.
	FirstAgent  *time.Duration
	FirstReason Reason

	Latency  Spread // turn latencies
	Reaction Spread // reactions of the agent to barge-ins that stopped it

	BargeIns     int // including Ignored
	Ignored      int
	CutOffs      int // how often the agent cut off the caller
	Backchannels int
	Edges        int // how many of these counts 50 ms decided: each may be one more or less

	Measured time.Duration // time in which the line was open for a conversation
	Parties  [2]Voice      // by Party
	Both     time.Duration // time in which both spoke
	Dead     time.Duration // dead air in total; Longest is the longest, Waited is how long each party was waited for
	Longest  time.Duration
	Waited   [2]time.Duration
	Music    time.Duration // time in which the agent's side played music, as on hold; it is not in Measured

	// Echo is the delay with which the agent's side repeats what the caller says; 0 if it does not. It does not depend on
	// Confidence.
	Echo time.Duration
}

// Figures returns the figures so far. During a call, call Look first.
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
	if caller := &s.Sides[Caller]; f.Reason == "" && caller.Heard == 0 && caller.Steady > 0 {
		f.Reason = Steady
	}
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
	f.BargeIns, f.Edges = f.Reaction.N+f.Ignored, int(s.Edges)
	f.Echo = s.echo()
	f.Measured, f.Both, f.Dead, f.Longest, f.Music = s.Measured, s.Both, s.Dead, s.Longest, s.Music
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

// unmeasured returns the reason why no figures of a call are measured, or "".
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

// noisy returns the reason why the figures may be wrong, or "".
func (s *State) noisy() Reason {
	both := time.Duration(echoMax)
	for p := range s.Sides {
		side := &s.Sides[p]
		if side.Bursts {
			return Steady
		}
		if side.Near*10 > side.Heard*nearMax && time.Duration(side.Near)*time.Millisecond >= tooLittle {
			return Background
		}
		if time.Duration(side.Heard)*time.Millisecond < tooLittle {
			continue
		}
		level, background := side.levels()
		low, high := quantile(&side.Noises, side.Heard/10), quantile(&side.Noises, side.Heard*9/10)
		if level-background < gapBoth && high-low > varies {
			both = echoNear
		}
		switch {
		case level-background < gapMin && high-low > varies:
			return Background
		case side.Spoke > s.Measured/10*shareMax && s.Measured > 10*tooLittle:
			return Ceaseless
		case side.behind()*100 > side.Heard*behindMax:
			return TwoLevels
		case side.Gaps:
			return Gaps
		case p == int(Caller) && level < quietMin:
			return Quiet
		}
	}
	if s.Both > tooLittle && (s.Both*100 > s.Sides[Caller].Spoke*both || s.Both*100 > s.Sides[Agent].Spoke*echoAgent) {
		return Echo
	}
	return ""
}

// hear counts a segment of the given duration in milliseconds. It reports whether the segment is speech. Steady sound
// is not, nor is the beginning of a burst like the last one before a side's first words: its ringing has ended.
func (s *side) hear(h voice.Segment, ms uint64) bool {
	level, noise := uint64(min(max(h.Level, 0), voice.LevelMax)), uint64(min(max(h.Noise, 0), voice.LevelMax))
	switch {
	case level == 0: // happens only in tests
	case noise == level, s.Heard == 0 && ms < ringCut && isNear(uint32(level), s.Steady, 3*burstStep):
		s.Steady = uint32(level)
		return false
	case gap(h.Level, h.Noise) < gapNoise:
		s.Near += ms
		return false
	}
	s.Bursts = s.isAlike(uint32(ms), uint32(level), h.Tone) || s.Bursts
	s.Heard, s.Level, s.Noise = s.Heard+ms, s.Level+level*ms, s.Noise+noise*ms
	s.Levels[level/loudnessStep] += uint32(ms)
	s.Noises[noise/loudnessStep] += uint32(ms)
	return true
}

// isMusic reports whether a segment of the agent's side is music on hold: it has no pause for longer than a voice needs
// to breathe, or what lies behind it has become nearly as loud as itself. A ringing tone comes before the first words.
// from is when it begins, as in State.
func (s *side) isMusic(h voice.Segment, from time.Duration) bool {
	took, least := (h.To - h.From).Milliseconds(), int64(musicNear)
	if s.Played > 0 && from-s.Played < ringPause {
		least = musicMore
	}
	if s.Heard == 0 || took < least {
		return false
	}
	risen := int64(h.Noise)-int64(s.Noise/s.Heard) >= musicStep
	return took >= musicMin || risen && gap(h.Level, h.Noise) < gapMusic
}

// gap returns how many dB a sound is above its background.
func gap(level, noise int32) float64 {
	return voice.Decibels(float64(level)) - voice.Decibels(float64(noise))
}

// isAlike reports whether a segment is a tone, and the third in a row with the same length and level.
func (s *side) isAlike(ms, level uint32, tone bool) bool {
	was := s.Last
	s.Last = [2]uint32{ms, level}
	isTone := tone && level <= burstTop && ms <= burstMax
	if !isTone || !isNear(ms, was[0], burstMS) || !isNear(level, was[1], burstStep) {
		s.Alike = 0
		return false
	}
	s.Alike = min(s.Alike+1, 2)
	return s.Alike == 2
}

// ring counts bursts in a row. isAlike must have seen the burst before. was is the level of the last burst. A burst of
// nearly that level but another length starts the count again without counting as speech: a ringing tone may have a
// pause of 200 ms, which sometimes ends a segment and sometimes does not.
func (s *side) ring(burst span, was uint32) {
	if apart := burst.From-s.To > ringPause; apart || s.Alike == 0 {
		s.Rings = 0
		if apart || !isNear(was, s.Last[1], 2*burstStep) {
			s.Other = max(s.Other, s.To)
		}
	}
	s.To = burst.To
	if s.Rings < ringsMin {
		s.Rings, s.Rung = s.Rings+1, burst.To
	}
}

func isNear(one, other, step uint32) bool { return max(one, other)-min(one, other) <= step }

// isRinging reports whether a side's last segments are a ringing tone that goes on. answered is as in New.
func (s *side) isRinging(v voice.View, answered time.Duration) bool {
	next := v.Until
	if v.Speaking {
		next = v.Since
		took := uint64((v.To - v.Since).Milliseconds())
		if took > uint64(s.Last[0]+burstMS) || !isNear(uint32(max(v.Level, 0)), s.Last[1], burstStep) {
			return false
		}
	}
	return s.Rings == ringsMin && next-answered-s.To <= ringPause
}

// quantile returns the loudness step at which the given number of milliseconds is reached.
func quantile(all *[loudness]uint32, ms uint64) (step int) {
	for below := uint64(all[0]); below <= ms && step < loudness-1; below += uint64(all[step]) {
		step++
	}
	return step
}

// levels returns the levels of a side's speech and background, in dBm0.
func (s *side) levels() (speech, background float64) {
	if s.Heard == 0 {
		return 0, 0
	}
	return voice.Decibels(float64(s.Level) / float64(s.Heard)), voice.Decibels(float64(s.Noise) / float64(s.Heard))
}

// behind returns how many milliseconds of a side's speech were much quieter than the upper quarter of its speech.
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
