package bridge

import (
	"math"
	"time"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/registry"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/voice/turns"
	"flowbridge/store/record"
)

// talkSession has the methods of the media session that Talk uses.
type talkSession interface {
	Follow(media.Conversation) error
	Interrupt(on bool)
	Talk() *turns.Figures
	DeadAir() time.Duration
	Speaking() [2]bool
}

// Talk measures the conversation between caller and agent.
type Talk struct {
	idle
	apart bool // the value that the media has: the caller is not connected to an agent

	followed  bool                // the conversation is being measured
	follows   *media.Conversation // the last settings for the media; nil if this process has sent none
	place     agreement.Place     // claimed if Opus is decoded only to measure the conversation
	noDecoder bool                // Opus can't be decoded for measuring, because no place was free
}

func (t *Talk) open(b *Bridge) {
	t.bridge = b
	t.place = b.place(b.Listeners)
}

func (t *Talk) on(e Event) (handled bool) {
	switch e.(type) {
	case Answered:
		if t.bridge.Config.Insight == config.InsightOn {
			t.followed = true
			t.follow()
		}
	case described:
		if t.followed {
			t.follow()
		}
	case Turned:
		t.interrupt()
	}
	return false
}

// follow makes the media measure the conversation. If a place is free, Opus that passes unchanged is decoded for it.
func (t *Talk) follow() {
	b := t.bridge
	wants := media.Conversation{Agent: b.Platform()}
	for side := range wants.Opus {
		wants.Opus[side] = b.Agreement.Untouched(media.Side(side))
	}
	is := wants.Opus != [2]media.PayloadSet{}
	if t.noDecoder = is && !t.place.Claim(false); t.noDecoder {
		wants.Opus = [2]media.PayloadSet{}
	}
	if !is {
		t.place.Release()
	}
	if t.follows != nil && wants == *t.follows {
		return
	}
	t.follows = &wants
	if err := b.Media.session.Follow(wants); err != nil {
		b.Log.Error().Err(err).Msg("transcoder failed")
	}
}

// interrupt tells the media whether the caller is connected to an agent, if that has changed.
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

// begin continues measuring a call that was restored. Its Opus is decoded again if a place is free in this process.
func (t *Talk) begin() {
	if s := t.bridge.Media.session; s != nil && s.Talk() != nil {
		t.followed = true
		t.follow()
	}
}

func (t *Talk) end() { t.place.Release() }

func (t *Talk) show(live *registry.LiveCall) {
	if s := t.bridge.Media.session; s != nil {
		live.Speaks = s.Speaking()
	}
}

func (t *Talk) record(r *record.Record) {
	if s := t.bridge.Media.session; s != nil {
		r.Talk = talkRecord(s.Talk(), t.noDecoder)
	}
}

// DeadAir returns how long the caller has been waiting for the agent to say something, or 0 if it is not waiting.
func (t *Talk) DeadAir() time.Duration {
	if t.bridge.Media.session == nil {
		return 0
	}
	return t.bridge.Media.session.DeadAir()
}

// noTranscoder is the reason why Opus was not measured if no place was free to decode it.
const noTranscoder = "no_transcoder"

// talkRecord returns the conversation's part of the record, or nil if the conversation was not measured. noDecoder
// means that no place was free to decode Opus.
func talkRecord(f *turns.Figures, noDecoder bool) *record.Talk {
	if f == nil {
		return nil
	}
	why := func(r turns.Reason) string {
		if noDecoder && r == turns.Codec {
			return noTranscoder
		}
		return string(r)
	}
	t := &record.Talk{
		Confidence: string(f.Confidence), Reason: why(f.Reason), FirstAgentReason: why(f.FirstReason),
	}
	if f.FirstAgent != nil {
		t.FirstAgentMS = new(f.FirstAgent.Milliseconds())
	}
	if f.Confidence == turns.NotMeasured {
		return t
	}
	t.Turns, t.BargeIns = durations(&f.Latency), durations(&f.Reaction)
	t.Ignored, t.CutOffs, t.Backchannels = new(int64(f.Ignored)), new(int64(f.CutOffs)), new(int64(f.Backchannels))
	if f.Edges > 0 {
		t.Edges = new(int64(f.Edges))
	}
	t.MeasuredMS, t.BothMS = new(f.Measured.Milliseconds()), new(f.Both.Milliseconds())
	t.DeadAirMS, t.LongestDeadAirMS = new(f.Dead.Milliseconds()), new(f.Longest.Milliseconds())
	t.EchoMS, t.AgentMusicMS = f.Echo.Milliseconds(), f.Music.Milliseconds()
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
