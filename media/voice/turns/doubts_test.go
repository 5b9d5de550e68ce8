package turns

import (
	"slices"
	"testing"
	"time"

	"flowbridge/media/voice"
)

// TestNotMeasured: if something is not measured, the figures say so, with the reason.
func TestNotMeasured(t *testing.T) {
	speech := said(500, 1500, 3800, 5000)
	for _, c := range []struct {
		name          string
		caller, agent voice.Reason
		heard         []voice.Segment // the agent's speech
		want, first   Reason
	}{
		{"the caller has G.722", voice.OtherCodec, voice.Measured, speech, "codec", ""},
		{"the agent has", voice.Measured, voice.OtherCodec, nil, "codec", "codec"},
		{"long packets", voice.Measured, voice.OtherLength, nil, "packet_length", "packet_length"},
		{"the agent sends nothing", voice.Measured, voice.NoAudio, nil, "no_audio", "no_audio"},
		{"the agent says nothing", voice.Measured, voice.Measured, nil, "", Silent},
	} {
		talk := New(answered)
		talk.Look(Caller, voice.View{Until: at(0), Reason: c.caller})
		talk.Look(Agent, voice.View{Until: at(0), Reason: c.agent})
		listen(talk, nil, c.heard, 9000)
		f := talk.Figures()
		if f.Reason != c.want || (f.Confidence == NotMeasured) != (c.want != "") || f.FirstReason != c.first || (f.FirstAgent == nil) != (c.first != "") {
			t.Errorf("%s: %+v", c.name, f)
		}
		if f.Confidence == NotMeasured && (f.Measured != 0 || f.Dead != 0 || f.Latency.N != 0) {
			t.Errorf("%s: figures of what was not measured: %+v", c.name, f)
		}
	}

	// If the codec changes to one that can't be measured, the figures until then are kept.
	talk := New(answered)
	listen(talk, said(2000, 3000), speech, 6000)
	talk.Look(Agent, voice.View{Until: at(6000), Reason: voice.OtherCodec})
	talk.Finish(at(60000))
	if f := talk.Figures(); f.Confidence != Good || f.Latency.N != 1 || f.Measured > 6*time.Second || f.Longest > 0 {
		t.Errorf("another codec in mid-call: %+v", f)
	}
}

// TestDoubts covers what makes the figures of a call doubtful, and what does not count as speech.
func TestDoubts(t *testing.T) {
	type sound struct {
		from, to, level, noise int
		sparse                 bool // for a level of 1198 to 1203 a tone
	}
	speech := func(from, to int) sound { return sound{from, to, 1000, 200, false} }
	fair := [2][]sound{
		{speech(2000, 5000), speech(9000, 12000), speech(20000, 23000)},
		{speech(500, 1500), speech(6000, 8000), speech(13000, 16000), speech(25000, 28000)},
	}
	for _, c := range []struct {
		name  string
		who   Party
		more  []sound
		want  Reason
		waits time.Duration // the longest wait
		edges int
	}{
		{"none", Agent, nil, "", 2000 * ms, 0},
		{"sound near its background instead of an answer", Agent, []sound{{23500, 24500, 1000, 750, false}}, "", 2000 * ms, 0},
		{"much sound near its background", Agent, []sound{{23500, 24500, 1000, 700, false}, {29000, 34000, 1000, 700, false}}, Background, 2000 * ms, 0},
		{"a tone", Agent, []sound{{23500, 24200, 900, 900, false}}, "", 2000 * ms, 0},
		{"a fan far behind the voice", Caller, []sound{{500, 1300, 400, 400, false}}, "", 2000 * ms, 0},
		{"a voice behind the caller", Caller, []sound{{29000, 34900, 500, 100, false}}, TwoLevels, 2000 * ms, 0},
		{"typing instead of an answer", Agent, []sound{{23600, 24300, 900, 100, true}}, Gaps, 1000 * ms, 0},
		{"typing while a caller waits", Agent, []sound{{30000, 30200, 900, 100, true}}, Gaps, 2000 * ms, 0},
		{"a word full of gaps among others", Agent, []sound{{28300, 28700, 900, 100, true}}, "", 2000 * ms, 0},
		{"a ringing tone in bursts", Agent, []sound{{29000, 29400, 1200, 10, false}, {29600, 30010, 1203, 10, false}, {32000, 32390, 1198, 10, false}}, Steady, 2000 * ms, 0},
		{"ringing before the agent's first words", Agent, []sound{{0, 200, 1200, 1200, false}, {250, 450, 1200, 1200, false}}, "", 2000 * ms, 0},
		{"two words alike", Agent, []sound{{29000, 29400, 1200, 10, false}, {29900, 30300, 1200, 10, false}}, "", 2000 * ms, 0},
		{"both fall silent at once", Caller, []sound{speech(27000, 28040)}, "", 2000 * ms, 1},
		{"a word, or a backchannel", Caller, []sound{speech(14000, 14620)}, "", 2000 * ms, 1},
		{"its own words", Caller, []sound{speech(6200, 8200), speech(13200, 16200)}, Echo, 2000 * ms, 0},
		{"a barge-in", Caller, []sound{speech(15000, 16600)}, "", 2000 * ms, 0},
	} {
		all := fair
		all[c.who] = append(slices.Clone(all[c.who]), c.more...)
		talk := New(answered)
		for p := range all {
			slices.SortFunc(all[p], func(a, b sound) int { return a.from - b.from })
			for _, s := range all[p] {
				talk.Hear(Party(p), voice.Segment{From: at(s.from), To: at(s.to), Level: int32(s.level), Noise: int32(s.noise), Sparse: s.sparse, Tone: s.level/10 == 120 || s.level == 1198})
			}
		}
		talk.Finish(at(35000))
		f := talk.Figures()
		if f.Reason != c.want || (f.Confidence == Good) != (c.want == "") || f.Latency.Max != c.waits || f.Edges != c.edges {
			t.Errorf("%s: %s %q, the longest wait %v, %d close counts", c.name, f.Confidence, f.Reason, f.Latency.Max, f.Edges)
		}
	}
}

// TestMusicOnHold: a sound of the agent's side without a pause to breathe is music, and so is one that what lies behind it
// has caught up with. While it plays nobody waits or speaks, and no figure reaches across it.
func TestMusicOnHold(t *testing.T) {
	const open = 42_000
	seg := func(from, to, level, noise int) voice.Segment {
		return voice.Segment{From: at(from), To: at(to), Level: int32(level), Noise: int32(noise)}
	}
	for _, c := range []struct {
		name  string
		sound []voice.Segment
		music time.Duration
	}{
		{"none", nil, 0},
		{"without a pause", []voice.Segment{seg(10000, 24000, 900, 20)}, 14000 * ms},
		{"its background rises", []voice.Segment{seg(10000, 16000, 900, 800), seg(16300, 18300, 900, 780), seg(30000, 31500, 900, 800)}, 8000 * ms},
		{"a long sentence", []voice.Segment{seg(10000, 18000, 900, 150)}, 0},
		{"over a loud room", []voice.Segment{seg(10000, 15000, 900, 500)}, 0},
	} {
		talk := New(answered)
		talk.Hear(Agent, seg(1000, 4000, 1000, 100))
		talk.Hear(Caller, seg(5000, 7000, 1000, 100))
		talk.Hear(Agent, seg(8000, 9500, 1000, 100))
		for _, s := range c.sound {
			talk.Hear(Agent, s)
		}
		talk.Hear(Caller, seg(20000, 20500, 1000, 100))
		talk.Hear(Agent, seg(40000, 41000, 1000, 100))
		talk.Finish(at(open))
		f := talk.Figures()
		spoke := 5500 * ms
		if c.music == 0 {
			for _, s := range c.sound {
				spoke += s.To - s.From
			}
		}
		if f.Music != c.music || f.Measured != open*ms-c.music || f.Parties[Agent].Spoke != spoke || f.Confidence != Good {
			t.Errorf("%s: music %v, measured %v, the agent spoke %v, %s %s", c.name, f.Music, f.Measured, f.Parties[Agent].Spoke, f.Confidence, f.Reason)
		}
	}
	talk := New(answered)
	talk.Hear(Agent, seg(1000, 4000, 1000, 100))
	talk.Hear(Caller, seg(5000, 7000, 1000, 100))
	talk.Look(Caller, voice.View{Settled: at(20000), Until: at(20000)})
	talk.Look(Agent, voice.View{Settled: at(7500), Until: at(20000), Speaking: true, Since: at(8000), To: at(20000), Level: 900, Noise: 20})
	if party, since, ok := talk.Waiting(); ok {
		t.Errorf("while music plays, party %d is waited for since %v", party, since)
	}
	if f := talk.Figures(); f.Music < 11*time.Second || f.Latency.N != 0 {
		t.Errorf("while music plays: music %v, %d turns", f.Music, f.Latency.N)
	}
}
