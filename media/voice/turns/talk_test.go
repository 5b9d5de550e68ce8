package turns

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"flowbridge/media/voice"
)

const (
	ms       = time.Millisecond
	answered = 5 * time.Hour // time of the answer on the tests' clock
)

// said returns the speech of a party. The times are in ms since the answer: from, to, from, to.
func said(ms ...int) (all []voice.Segment) {
	for i := 0; i < len(ms); i += 2 {
		all = append(all, voice.Segment{From: at(ms[i]), To: at(ms[i+1]), Level: 1000, Noise: 100})
	}
	return all
}

func at(ms int) time.Duration { return answered + time.Duration(ms)*time.Millisecond }

// listen measures the speech of both parties until end, and returns the moments as text.
func listen(t *Talk, caller, agent []voice.Segment, end int) (moments []string) {
	t.Each = func(m Moment) {
		moments = append(moments, fmt.Sprintf("%s %d %d", [...]string{"answer", "barge-in", "ignored", "cut-off", "backchannel", "dead air"}[m.Kind],
			(m.At-answered).Milliseconds(), m.Took.Milliseconds()))
	}
	for len(caller)+len(agent) > 0 {
		if len(agent) == 0 || len(caller) > 0 && caller[0].To < agent[0].To {
			t.Hear(Caller, caller[0])
			caller = caller[1:]
		} else {
			t.Hear(Agent, agent[0])
			agent = agent[1:]
		}
	}
	t.Finish(at(end))
	return moments
}

// TestTurns: each case is a conversation with the moments that must be found in it.
func TestTurns(t *testing.T) {
	for _, c := range []struct {
		name          string
		caller, agent []int
		end           int
		want          []string
	}{
		{"a turn", []int{2000, 3000}, []int{500, 1500, 3800, 5000}, 5500, []string{"answer 3800 800"}},
		{"the caller pauses", []int{2000, 3000, 3300, 4000}, []int{500, 1500, 4600, 6000}, 7000, []string{"answer 4600 600"}},
		{"the caller asks twice", []int{2000, 3000, 4000, 5000}, []int{500, 1500, 5900, 7000}, 7500, []string{"answer 5900 900"}},
		{"the agent goes on by itself", []int{2000, 3000}, []int{500, 1500, 3800, 5000, 6000, 7000}, 7500, []string{"answer 3800 800"}},
		{"a cough", []int{2000, 3000, 3500, 3600}, []int{500, 1500, 3800, 5000}, 5500, []string{"answer 3800 800"}},
		{"a short first syllable", []int{2000, 3000}, []int{500, 1500, 3800, 3900, 4200, 5000}, 5500, []string{"answer 3800 800"}},
		{"a cough before the answer", []int{2000, 3000}, []int{500, 1500, 3500, 3600, 4100, 5000}, 5500, []string{"answer 4100 1100"}},
		{"a short last word", []int{2000, 3000}, []int{500, 1500, 3800, 5000, 5300, 5400}, 5600, []string{"answer 3800 800"}},
		{"an answer into the last word", []int{2000, 3000}, []int{500, 1500, 2900, 5000}, 5500, []string{"answer 2900 0"}},
		{"cut off", []int{2000, 4000}, []int{500, 1500, 3000, 5000}, 5500, []string{"cut-off 3000 0"}},
		{"a barge-in", []int{2000, 4000}, []int{500, 2700, 4900, 6000}, 6500, []string{"barge-in 2000 700", "answer 4900 900"}},
		{"a pause of the agent does not obey", []int{2000, 6000}, []int{500, 2700, 3000, 5500}, 6500, []string{"ignored 2000 3000"}},
		{"ignored", []int{2000, 4000}, []int{500, 8000}, 8500, []string{"ignored 2000 3000"}},
		{"one word stops it", []int{2000, 2500}, []int{500, 2700}, 3000, []string{"barge-in 2000 700"}},
		{"a backchannel", []int{2000, 2500}, []int{500, 8000}, 8500, []string{"backchannel 2000 500"}},
		{"two words", []int{2000, 2300, 2720, 3200}, []int{500, 4000}, 4500, []string{"backchannel 2000 300", "backchannel 2720 480"}},
		{"a stammer", []int{2000, 2300, 2600, 3200}, []int{500, 4000}, 4500, []string{"barge-in 2000 2000"}},
		{"into the last word of the agent", []int{2000, 3000}, []int{500, 2100}, 3000, nil},
		{"with the first word of the agent", []int{600, 3000}, []int{500, 2100}, 3000, nil},
		{
			"dead air",
			[]int{6000, 7000},
			[]int{3500, 4000, 10500, 11000},
			15000,
			[]string{"dead air 0 3500", "answer 10500 3500", "dead air 7000 3500", "dead air 11000 4000"},
		},
	} {
		got := listen(New(answered), said(c.caller...), said(c.agent...), c.end)
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q; want %q", c.name, got, c.want)
		}
	}
}

// TestFigures checks the figures for a whole call.
func TestFigures(t *testing.T) {
	talk := New(answered)
	listen(talk, said(2000, 4000, 11000, 12000), said(500, 2700, 4900, 6000, 13000, 15000), 20000)
	got := talk.Figures()
	first := 500 * ms
	want := Figures{
		Confidence: Good, FirstAgent: &first,
		Latency:  Spread{2, 900 * ms, 1000 * ms, 1000 * ms, []uint16{900, 1000}},
		Reaction: Spread{1, 700 * ms, 700 * ms, 700 * ms, []uint16{700}}, BargeIns: 1,
		Measured: 20 * time.Second, Both: 700 * ms, Dead: 10 * time.Second, Longest: 5 * time.Second,
		Waited:  [2]time.Duration{10 * time.Second, 0},
		Parties: [2]Voice{{Spoke: 3 * time.Second}, {Spoke: 5300 * ms}},
	}
	for p := range got.Parties {
		if got.Parties[p].Level < -30 || got.Parties[p].Level-got.Parties[p].Background < 20 {
			t.Errorf("party %d: %+v", p, got.Parties[p])
		}
		got.Parties[p].Level, got.Parties[p].Background = 0, 0
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestCuts: nothing is measured across a cut, or within a pause.
func TestCuts(t *testing.T) {
	caller, agent := said(2000, 3000, 9000, 10000), said(500, 1500, 3800, 5000, 10900, 12000)
	for _, c := range []struct {
		name string
		do   func(t *Talk)
		want []string
		time time.Duration // the measured time
	}{
		{"none", func(*Talk) {}, []string{"answer 3800 800", "dead air 5000 4000", "answer 10900 900"}, 13 * time.Second},
		{"a digit", func(t *Talk) { t.Cut(at(3300)) }, []string{"dead air 5000 4000", "answer 10900 900"}, 13 * time.Second},
		{"hold", func(t *Talk) { t.Pause(Hold, at(3300)); t.Resume(Hold, at(8000)) }, []string{"answer 10900 900"}, 8300 * ms},
		{"two reasons", func(t *Talk) {
			t.Pause(Hold, at(3300))
			t.Pause(Sound, at(4000))
			t.Resume(Hold, at(8000))
			t.Resume(Sound, at(10500))
		}, nil, 5800 * ms},
		{"not over", func(t *Talk) { t.Pause(Transfer, at(9500)) }, []string{"answer 3800 800", "dead air 5000 4000"}, 9500 * ms},
		{
			"before the first word",
			func(t *Talk) { t.Pause(Sound, at(0)); t.Resume(Sound, at(400)) },
			[]string{"answer 3800 800", "dead air 5000 4000", "answer 10900 900"},
			12600 * ms,
		},
	} {
		talk := New(answered)
		c.do(talk)
		if got := listen(talk, caller, agent, 13000); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q; want %q", c.name, got, c.want)
		}
		if f := talk.Figures(); f.Measured != c.time {
			t.Errorf("%s: measured for %v; want %v", c.name, f.Measured, c.time)
		} else if void := c.name == "before the first word"; void != (f.FirstReason == LineCut) || void != (f.FirstAgent == nil) {
			t.Errorf("%s: first audio %v, %q", c.name, f.FirstAgent, f.FirstReason)
		}
	}
}

// TestWaiting checks who is waited for at a given time, and since when.
func TestWaiting(t *testing.T) {
	talk := New(answered)
	look := func(now int) (Party, int) {
		v := voice.View{Until: at(now)}
		talk.Look(Caller, v)
		talk.Look(Agent, v)
		p, since, ok := talk.Waiting()
		if !ok {
			return Nobody, 0
		}
		return p, int((since - answered).Milliseconds())
	}
	check := func(now int, want Party, since int) {
		t.Helper()
		if p, s := look(now); p != want || s != since {
			t.Errorf("at %d ms: %d waited for since %d; want %d since %d", now, p, s, want, since)
		}
	}
	check(900, Agent, 0)
	talk.Hear(Agent, said(1000, 2000)[0])
	check(2100, Nobody, 0) // the silence may be a pause
	check(2500, Caller, 2000)
	talk.Look(Caller, voice.View{Speaking: true, Since: at(2600), To: at(3000), Until: at(3000)})
	if _, _, ok := talk.Waiting(); ok {
		t.Error("the caller speaks, and somebody is waited for")
	}
	check(3100, Caller, 2000) // the sound was noise
	talk.Hear(Caller, said(2600, 4000)[0])
	check(9000, Agent, 4000)
	for noise, waits := range map[int32]bool{900: true, 100: false} { // music that has not paused for seconds, and words
		talk.Look(Agent, voice.View{Speaking: true, Since: at(4500), To: at(9000), Until: at(9000), Level: 1000, Noise: noise})
		if _, since, ok := talk.Waiting(); ok != waits || ok && since != at(4000) {
			t.Errorf("noise %d of 1000 while the agent makes a sound: %v since %v", noise, ok, since-answered)
		}
	}
	talk.Pause(Hold, at(9000))
	check(9100, Nobody, 0)
	talk.Resume(Hold, at(12000))
	check(13000, Nobody, 0) // this party can't be measured at that time
	talk.Look(Agent, voice.View{Until: at(13000), Reason: voice.OtherCodec})
	if _, _, ok := talk.Waiting(); ok {
		t.Error("an agent is waited for whose codec is not measured")
	}
}

// TestSpeaking checks who is speaking at a given time. A short pause belongs to the speech before it. While the
// measurement is paused, no party is speaking.
func TestSpeaking(t *testing.T) {
	talk := New(answered)
	check := func(now int, want [2]bool) {
		t.Helper()
		talk.Look(Caller, voice.View{Until: at(now)})
		talk.Look(Agent, voice.View{Until: at(now)})
		if got := talk.Speaking(); got != want {
			t.Errorf("at %d: %v; want %v", now, got, want)
		}
	}
	check(500, [2]bool{})
	talk.Look(Agent, voice.View{Speaking: true, Since: at(1000), To: at(1900), Until: at(1900)})
	if got := talk.Speaking(); got != [2]bool{Agent: true} {
		t.Errorf("the agent speaks, and is said to: %v", got)
	}
	talk.Hear(Agent, said(1000, 2000)[0])
	check(2100, [2]bool{Agent: true}) // the silence may be a pause
	check(2500, [2]bool{})
	talk.Look(Caller, voice.View{Speaking: true, Since: at(2600), To: at(3000), Until: at(3000)})
	talk.Pause(Hold, at(3000))
	if got := talk.Speaking(); got != [2]bool{} {
		t.Errorf("on hold: %v", got)
	}
	talk.Resume(Hold, at(3100))
	talk.Look(Agent, voice.View{Until: at(3200), Reason: voice.OtherCodec})
	if got := talk.Speaking(); got != [2]bool{} {
		t.Errorf("of a codec that is not measured: %v", got)
	}
}

// random returns a random conversation of some minutes.
func random(rng *rand.Rand) (both [2][]voice.Segment, end int) {
	for p := range both {
		now := rng.IntN(2000)
		for now < 200000 {
			to := now + 80 + rng.IntN(3000)
			both[p] = append(both[p], said(now, to)...)
			now = to + 201 + rng.IntN(1+rng.IntN(8000))
		}
		end = max(end, now)
	}
	return both, end
}

// live passes on both sides' speech as it becomes known, looks at the figures each second, and lets between change the
// talk in between.
func live(talk *Talk, both [2][]voice.Segment, end int, rng *rand.Rand, between func(t *Talk) *Talk) *Talk {
	next := [2]int{}
	for now := 0; now < end; now += 1 + rng.IntN(1000) {
		for _, p := range rng.Perm(2) {
			for ; next[p] < len(both[p]) && both[p][next[p]].To+200*ms <= at(now); next[p]++ {
				talk.Hear(Party(p), both[p][next[p]])
			}
			v := voice.View{Settled: at(now), Until: at(now)}
			if n := next[p]; n < len(both[p]) {
				v.Settled = min(v.Settled, both[p][n].From)
				if v.Speaking = both[p][n].From+100*ms <= at(now); v.Speaking {
					v.Since, v.To = both[p][n].From, min(at(now), both[p][n].To)
				} else {
					v.Until = v.Settled
				}
			}
			talk.Look(Party(p), v)
		}
		talk = between(talk)
	}
	for p := range both {
		for _, s := range both[p][next[p]:] {
			talk.Hear(Party(p), s)
		}
	}
	talk.Finish(at(end))
	return talk
}

// TestOrderOfSidesDoesNotMatter: a call that is followed live, even by several processes, has the same figures as one
// that is measured after its end.
func TestOrderOfSidesDoesNotMatter(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 5))
		both, end := random(rng)
		whole := New(answered)
		listen(whole, both[Caller], both[Agent], end)
		want := whole.Figures()
		if n := want.Latency.N + want.BargeIns + want.CutOffs + want.Backchannels; n < 10 {
			t.Fatalf("seed %d: %+v", seed, want)
		}
		got := live(New(answered), both, end, rng, func(t *Talk) *Talk { return t })
		if f := got.Figures(); !reflect.DeepEqual(f, want) {
			t.Errorf("seed %d, live:\n%+v\n%+v", seed, f, want)
		}
		got = live(New(answered), both, end, rng, func(talk *Talk) *Talk {
			b, err := cbor.Marshal(talk.State())
			var s State
			if err == nil {
				err = cbor.Unmarshal(b, &s)
			}
			if err != nil {
				t.Fatal(err)
			}
			next, err := Resume(answered, s)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if a := next.State(); !reflect.DeepEqual(a, s) {
				t.Fatalf("seed %d:\n%+v\n%+v", seed, a, s)
			}
			return next
		})
		if f := got.Figures(); !reflect.DeepEqual(f, want) {
			t.Errorf("seed %d, through many lives:\n%+v\n%+v", seed, f, want)
		}
	}
}

// TestLongCallIsSmall: the state of a call that lasts a day has only a few kilobytes, and still gives percentiles.
func TestLongCallIsSmall(t *testing.T) {
	talk := New(answered)
	for i := range 20000 {
		talk.Hear(Agent, said(i*4000, i*4000+1000)[0])
		talk.Hear(Caller, said(i*4000+1500, i*4000+3000-i%500)[0])
	}
	talk.Finish(at(20000 * 4000))
	f := talk.Figures()
	if near := f.Latency.P50 - 1250*ms; f.Latency.N != 19999 || max(near, -near) > 20*ms || f.Latency.Max != 1499*ms {
		t.Errorf("%+v", f.Latency)
	}
	b, err := cbor.Marshal(talk.State())
	if most := 2000 + 2*spansMax; err != nil || len(b) > most {
		t.Errorf("%d bytes, %v; want at most %d", len(b), err, most)
	}
}

// TestUnheardSide: if one party is not heard for long, the stored speech of the other party does not grow without
// limit.
func TestUnheardSide(t *testing.T) {
	talk := New(answered)
	for i := range 500 {
		talk.Hear(Caller, said(i*2000, i*2000+1000)[0])
		talk.Cut(at(i * 2000))
	}
	if s := talk.State(); len(s.Sides[Caller].Ahead) > aheadMax || len(s.Marks) > marksMax {
		t.Errorf("%d utterances and %d marks wait", len(s.Sides[Caller].Ahead), len(s.Marks))
	}
}
