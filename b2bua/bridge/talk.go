package bridge

import (
	"math"
	"time"

	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/answerer"
	"flowbridge/media/voice/turns"
	"flowbridge/store/record"
)

// talkSession measures a conversation.
type talkSession interface {
	Follow(media.Conversation)
	Interrupt(on bool)
	DetectAnswer(media.Side, answerer.Limits)
	Talk() *turns.Figures
	AgentWaited() time.Duration
	Speaking() [2]bool
}

// follow has the conversation measured, if that is configured.
func (m *Media) follow() {
	if m.bridge.Config.Insight == config.InsightOn {
		m.session.Follow(media.Conversation{Agent: m.bridge.Platform()})
	}
}

// Interrupt says that the caller does not talk with the agent now, but waits for somebody else or talks to them, or
// that it talks with the agent again.
func (m *Media) Interrupt(on bool) {
	if m.session != nil && (m.bridge.Config.Insight == config.InsightOn || m.session.Talk() != nil) {
		m.session.Interrupt(on)
	}
}

// DetectAnswer listens for who has answered a side: media.EventAnsweredBy says who. If the limits have a time
// for a beep, media.EventBeep follows when that is over. Another process does not continue it.
func (m *Media) DetectAnswer(side media.Side, l answerer.Limits) {
	if m.session != nil {
		m.session.DetectAnswer(side, l)
	}
}

// AgentWaited is for how long the caller has been waiting for the agent to say something; 0: it does not.
func (m *Media) AgentWaited() time.Duration {
	if m.session == nil {
		return 0
	}
	return m.session.AgentWaited()
}

// talkRecord is the conversation's part of the record. nil: it was not followed.
func talkRecord(f *turns.Figures) *record.Talk {
	if f == nil {
		return nil
	}
	t := &record.Talk{
		Confidence: string(f.Confidence), Reason: string(f.Reason), FirstAgentReason: string(f.FirstReason),
	}
	if f.FirstAgent != nil {
		t.FirstAgentMS = new(f.FirstAgent.Milliseconds())
	}
	if f.Confidence == turns.NotMeasured {
		return t
	}
	t.Turns, t.BargeIns = durations(&f.Latency), durations(&f.Reaction)
	t.Ignored, t.CutOffs, t.Backchannels = new(int64(f.Ignored)), new(int64(f.CutOffs)), new(int64(f.Backchannels))
	t.MeasuredMS, t.BothMS = new(f.Measured.Milliseconds()), new(f.Both.Milliseconds())
	t.DeadAirMS, t.LongestDeadAirMS = new(f.Dead.Milliseconds()), new(f.Longest.Milliseconds())
	t.AgentDeadAirMS = new(f.Waited[turns.Agent].Milliseconds())
	t.Caller, t.Agent = voiceRecord(&f.Parties[turns.Caller]), voiceRecord(&f.Parties[turns.Agent])
	return t
}

func durations(s *turns.Spread) *record.Durations {
	if s.N == 0 {
		return nil
	}
	return &record.Durations{
		N: s.N, P50: s.P50.Milliseconds(), P95: s.P95.Milliseconds(), Max: s.Max.Milliseconds(), Values: s.Values,
	}
}

func voiceRecord(v *turns.Voice) *record.Voice {
	tenths := func(level float64) float64 { return math.Round(10*level) / 10 }
	return &record.Voice{SpokeMS: v.Spoke.Milliseconds(), Level: tenths(v.Level), Background: tenths(v.Background)}
}
