package scenario

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/ladder"
	"flowbridge/config"
	"flowbridge/media/audio"
	"flowbridge/media/voice"
	"flowbridge/media/voice/turns"
	"flowbridge/sim"
	"flowbridge/store/record"
)

// agent is the other end of a call. It greets for two seconds, and speaks for as long when the caller has paused.
type agent struct {
	delay  time.Duration // from the caller's last word to the agent's first one
	stops  time.Duration // how long it goes on when it is interrupted; 0: it does not stop
	plays  func(at time.Duration) int16
	mute   bool
	echoes bool
	leaves time.Duration // when it hangs up; 0: never
	lost   bool          // it is the B2BUA that ends the call then
	keys   bool          // it sends a key every second
	hears  int16         // a louder sound is the caller; 0: 300

	left           []int16
	loudAt, stopAt time.Duration
	asked, greeted bool
	past           [][]int16
}

// frame returns what the agent sends at a time, while it hears a frame.
func (a *agent) frame(now time.Duration, heard []int16) []int16 {
	out := make([]int16, len(heard))
	loud := false
	for _, v := range heard {
		loud = loud || v > max(a.hears, 300) || v < -max(a.hears, 300)
	}
	switch {
	case a.mute:
		return out
	case a.plays != nil:
		for i := range out {
			out[i] = a.plays(now + time.Duration(i)*time.Second/audio.Rate)
		}
		return out
	case a.echoes:
		a.past = append(a.past, append([]int16(nil), heard...))
		if len(a.past) > 10 {
			copy(out, a.past[len(a.past)-10])
		}
	}
	if !a.greeted {
		a.greeted, a.left = true, sim.SpeechLike(7, 2*time.Second)
	}
	if loud {
		if len(a.left) > 0 && a.stops > 0 && a.stopAt == 0 {
			a.stopAt = now + a.stops
		}
		a.loudAt, a.asked = now, true
	}
	if a.stopAt > 0 && now >= a.stopAt {
		a.left, a.stopAt = nil, 0
	}
	if len(a.left) > 0 && a.stops == 0 {
		a.loudAt = now + 500*time.Millisecond // what it has not heard is answered after its own words
	}
	if a.asked && len(a.left) == 0 && now-a.loudAt >= a.delay {
		a.asked = false
		a.left = words(&config.Conversation{Steps: []config.ConversationStep{{Say: "4s"}}}, 0)
	}
	n := copy(out, a.left)
	if a.left = a.left[n:]; len(a.left) == 0 {
		a.stopAt = 0
	}
	return out
}

// call holds a conversation without a clock: each frame of 20 ms is handed in.
func call(t *testing.T, file string, a *agent) Run {
	t.Helper()
	test, err := config.ParseConversation("test.yaml", []byte("to: sip:agent@127.0.0.1\n"+file))
	if err != nil {
		t.Fatal(err)
	}
	run, _ := hold(t, test, a)
	return run
}

// hold is call with a file that was read. It returns also what the caller has said, and when.
func hold(t *testing.T, test *config.Conversation, a *agent) (Run, []span) {
	t.Helper()
	over := false
	said, err := wordsOf(test)
	if err != nil {
		t.Fatal(err)
	}
	c := newCaller(test, said, func() { over = true })
	talk, heard := turns.New(0), [2]voice.Detector{}
	by, now := sim.SideCaller, time.Duration(0)
	for ; !over; now += frameTime {
		said := make([]int16, 160)
		at := c.began.Add(now)
		c.Speak(at, said)
		for p, pcm := range [2][]int16{said, a.frame(now, said)} {
			packet := voice.Packet{Arrival: now, SSRC: 1, Timestamp: uint32(now.Milliseconds()) * 8, Content: voice.MuLaw, Payload: make([]byte, 160)}
			audio.ULaw.Encode(packet.Payload, pcm)
			if s, ok := heard[p].Packet(packet); ok {
				talk.Hear(turns.Party(p), s)
			}
			if p == 1 {
				c.Hear(sim.Packet{At: at, SSRC: 1, Timestamp: packet.Timestamp, Payload: packet.Payload})
			}
		}
		if a.keys && now%time.Second == 0 {
			c.Hear(sim.Packet{At: at, SSRC: 1, Timestamp: uint32(now.Milliseconds()) * 8, PayloadType: 101, Event: true, Payload: []byte{1, 10, 0, 160}})
		}
		if a.leaves > 0 && now >= a.leaves {
			over, by = true, sim.SideAgent
		}
	}
	for p := range heard {
		talk.Look(turns.Party(p), heard[p].View(now))
	}
	talk.Finish(now)
	rec := recordOf(talk.Figures())
	if rec.EndedBy = string(by); a.lost {
		rec.EndedBy, rec.Cause = record.EndedBySystem, "media_timeout"
	}
	run := newRun(c, sim.CarrierResult{
		Status: 200, InvitedAt: c.began.Add(-time.Second), AnsweredAt: c.began, EndedAt: c.began.Add(now), EndedBy: by,
	}, rec, &ladder.Ladder{Talk: speechOf(c.began, talk)})
	run.transcribe(t.Context(), c, 0, now)
	return run, c.acts
}

// recordOf is what a record says about a conversation.
func recordOf(f turns.Figures) *record.Record {
	ms := func(d time.Duration) *int64 { return new(d.Milliseconds()) }
	t := &record.Talk{
		Confidence: string(f.Confidence), Reason: string(f.Reason), BothMS: ms(f.Both), MeasuredMS: ms(f.Measured),
		AgentDeadAirMS: ms(f.Waited[turns.Agent]), Agent: &record.Voice{Level: f.Parties[turns.Agent].Level, Background: f.Parties[turns.Agent].Background},
	}
	if f.FirstAgent != nil {
		t.FirstAgentMS = ms(*f.FirstAgent)
	}
	return &record.Record{Talk: t}
}

func speechOf(answered time.Time, talk *turns.Talk) *ladder.Speech {
	s := &ladder.Speech{Start: answered.Format("2006-01-02T15:04:05.000Z07:00")}
	for p, said := range talk.Spans() {
		said.Each(func(from, to int64) {
			if p == int(turns.Caller) {
				s.Caller = append(s.Caller, [2]int64{from, to})
			} else {
				s.Agent = append(s.Agent, [2]int64{from, to})
			}
		})
	}
	return s
}

// Figures are within 60 ms of what the agent did: its delay from 200 ms to 5 s, how soon it stopped, and that it did
// not.
func TestFiguresOfKnownDelays(t *testing.T) {
	const file = "steps: [{wait: pause}, {say: 2s}, {wait: pause}, {say: 3s}, {interrupt: 1s, after: 1s}, {wait: pause}]\n"
	for _, delay := range []time.Duration{200, 500, 800, 1300, 2000, 5000} {
		for _, stops := range []time.Duration{0, 150, 300, 700} {
			delay, stops := delay*time.Millisecond, stops*time.Millisecond
			run := call(t, file, &agent{delay: delay, stops: stops})
			name := fmt.Sprintf("answers after %v, stops after %v", delay, stops)
			if run.Failed != "" || run.Noisy != "" {
				t.Errorf("%s: failed %q, noisy %q", name, run.Failed, run.Noisy)
			}
			answers, _, _ := collect([]Run{run}, answer, 0)
			if len(answers) != 2 {
				t.Errorf("%s: %d answers: %+v", name, len(answers), run)
			}
			for _, s := range answers {
				if stops == 0 && s.Step == 5 {
					continue // it answers after its own words
				}
				if s.Never || math.Abs(s.Value-float64(delay.Milliseconds())) > 60 {
					t.Errorf("%s: the answer to step %d took %v ms (never: %v)", name, s.Step, s.Value, s.Never)
				}
			}
			stopped, _, _ := collect([]Run{run}, stopsWithin, 5)
			want := float64(stops.Milliseconds())
			if len(stopped) != 1 || stops > 0 && math.Abs(stopped[0].Value-want) > 60 || stops == 0 && stopped[0].Value < 2000 {
				t.Errorf("%s: stopped %+v", name, stopped)
			}
		}
	}
}

// No answer is what an agent says before the caller has ended, and none is awaited where the agent has to hang up.
func TestNoAnswer(t *testing.T) {
	voice := sim.SpeechLike(3, 9*time.Second)
	cutsOff := func(at time.Duration) int16 {
		if at < 2*time.Second || at > 4*time.Second && at < 5*time.Second || at > 8*time.Second {
			return 0
		}
		return voice[int(at*audio.Rate/time.Second)]
	}
	for _, tt := range []struct {
		name, steps string
		agent       agent
	}{
		{"hangs up as it has to", "{wait: pause}, {say: 1s}, {wait: hangup}", agent{leaves: 6e9, delay: time.Hour}},
		{"cuts off", "{silence: 3s}, {say: 3s}, {wait: pause}", agent{plays: cutsOff}},
	} {
		run := call(t, "steps: ["+tt.steps+"]\n", &tt.agent)
		if all, _, _ := collect([]Run{run}, answer, 0); len(all) > 0 || run.Failed != "" {
			t.Errorf("%s: %q, %+v", tt.name, run.Failed, all)
		}
	}
}

// The words of a quiet caller are known, so its run is not noisy, as one with an echo is.
func TestQuietCaller(t *testing.T) {
	for reason, noisy := range map[string]string{"quiet": "", "echo": "the sound is echo (flowbridge help guides/talk)"} {
		c := newCaller(&config.Conversation{}, nil, nil)
		rec := &record.Record{EndedBy: record.EndedByCaller, Talk: &record.Talk{Confidence: "noisy", Reason: reason, BothMS: new(int64), MeasuredMS: new(int64)}}
		run := newRun(c, sim.CarrierResult{Status: 200, AnsweredAt: c.began, EndedAt: c.began}, rec, &ladder.Ladder{Talk: &ladder.Speech{}})
		if run.Noisy != noisy {
			t.Errorf("%s: noisy %q", reason, run.Noisy)
		}
	}
}

// Agents that no test can be held with: each fails with words that say why, in bounded time.
func TestAgentsThatMisbehave(t *testing.T) {
	tone := func(at time.Duration) int16 { return int16(8000 * math.Sin(2*math.Pi*440*at.Seconds())) }
	voice := sim.SpeechLike(3, 30*time.Second)
	ceaseless := func(at time.Duration) int16 { return voice[int(at*audio.Rate/time.Second)%len(voice)] }
	for _, tt := range []struct {
		name, steps   string
		agent         agent
		failed, noisy string
	}{
		{"says nothing", "{wait: words}", agent{mute: true}, "step 1 words: within 15s the agent said nothing", ""},
		{"does not pause", "{wait: pause, within: 40s}", agent{plays: ceaseless}, "made no pause of 700ms", "ceaseless"},
		{"plays a tone", "{wait: pause, within: 5s}", agent{plays: tone}, "said nothing", ""}, // it rings
		{"hangs up", "{wait: pause}, {say: 9s}, {wait: pause}", agent{leaves: 4 * time.Second}, "the agent hung up in step 2 9s", ""},
		{"hangs up at once", "{wait: pause}", agent{leaves: time.Millisecond}, "the agent hung up in step 1 pause", ""},
		{"is cut off", "{wait: pause}, {wait: hangup}", agent{leaves: 4e9, lost: true}, "the call ended in step 2 hangup: cause media_timeout", ""},
		{"ignores", "{wait: pause}, {say: 1s}, {interrupt: 1s}, {wait: pause, within: 1s}", agent{delay: 1e9}, "began nothing new", ""},
		{"does not hang up", "{wait: hangup, within: 3s}", agent{}, "within 3s the agent did not hang up", ""},
		{"hangs up as it has to", "{wait: hangup}", agent{leaves: 3 * time.Second}, "", ""},
		{"does not speak for long enough", "{wait: pause}, {say: 1s}, {interrupt: 1s, after: 9s}", agent{delay: 1000e6}, "did not speak for 9s", ""},
		{"echoes", "{wait: pause}, {say: 4s}, {silence: 4s}, {say: 4s}, {silence: 4s}", agent{echoes: true, delay: time.Hour}, "", "echo"},
		{"sends keys", "{wait: pause}, {say: 1s}, {wait: pause}", agent{keys: true, delay: 500e6}, "", ""},
		{"longer than the limit", "{silence: 10m}", agent{}, "longer than 1m0s (limit)", ""},
		{"presses keys", `{wait: pause}, {press: "12#"}, {silence: 1s}, {hang_up: true}, {say: 1s}`, agent{}, "", ""},
	} {
		run := call(t, "limit: 1m\nsteps: ["+tt.steps+"]\n", &tt.agent)
		if !strings.Contains(run.Failed, tt.failed) || (tt.failed == "") != (run.Failed == "") ||
			!strings.Contains(run.Noisy, tt.noisy) || (tt.noisy == "") != (run.Noisy == "") {
			t.Errorf("%s: failed %q, noisy %q; want %q, %q\n%+v", tt.name, run.Failed, run.Noisy, tt.failed, tt.noisy, run)
		}
	}
}
