package bridge

import (
	"math"
	"time"

	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/snapshot"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/voice/turns"
	"flowbridge/store/record"
)

// talkSession is the media session as measuring a conversation needs it.
type talkSession interface {
	Follow(media.Conversation)
	Interrupt(on bool)
	Talk() *turns.Figures
	DeadAir() time.Duration
	Speaking() [2]bool
}

// Talk measures the conversation between caller and agent.
type Talk struct {
	idle
	apart bool // the last value that the media was told
}

func (t *Talk) on(e Event) (taken bool) {
	switch e.(type) {
	case Answered:
		if t.bridge.Config.Insight == config.InsightOn {
			t.bridge.Media.session.Follow(media.Conversation{Agent: t.bridge.Platform()})
		}
	case Turned:
		t.interrupt()
	}
	return false
}

// interrupt tells the media whether the caller is apart from the agent, if that has changed.
func (t *Talk) interrupt() {
	s := t.bridge.Media.session
	if s == nil || t.apart == t.bridge.Call.Moment().Apart {
		return
	}
	t.apart = !t.apart
	if t.bridge.Config.Insight == config.InsightOn || s.Talk() != nil {
		s.Interrupt(t.apart)
	}
}

// restore sets apart from the call: the media's state already includes it.
func (t *Talk) restore(*snapshot.Bridge) { t.apart = t.bridge.Call.Moment().Apart }

func (t *Talk) show(live *registry.LiveCall) {
	if s := t.bridge.Media.session; s != nil {
		live.Speaks = s.Speaking()
	}
}

func (t *Talk) record(r *record.Record) {
	if s := t.bridge.Media.session; s != nil {
		r.Talk = talkRecord(s.Talk())
	}
}

// DeadAir returns how long the caller has been waiting for the agent to say something, or 0 if it is not waiting.
func (t *Talk) DeadAir() time.Duration {
	if t.bridge.Media.session == nil {
		return 0
	}
	return t.bridge.Media.session.DeadAir()
}

// talkRecord returns the conversation's part of the record, or nil if the conversation was not measured.
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
