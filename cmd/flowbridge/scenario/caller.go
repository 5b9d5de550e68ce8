package scenario

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/testcall"
	"flowbridge/config"
	"flowbridge/media/audio"
	"flowbridge/media/voice"
	"flowbridge/sim"
	"flowbridge/store/record"
)

const (
	frameTime = 20 * time.Millisecond
	keyFrames = 8                      // how long a key is pressed
	keyEvery  = 15                     // frames from one key to the next one
	within    = 400 * time.Millisecond // a shorter pause does not end an utterance, as in media/voice/turns
	word      = 120 * time.Millisecond // a shorter sound is no word, as there

	voiced  = 1500 // the peak of 20 ms of the built-in voice
	audible = 100  // the peak of a sound that is no silence

	pacing = 20 * time.Millisecond // a packet of the caller that leaves later widens figures
)

// span is an utterance, or a step in which the caller speaks.
type span struct {
	from, to time.Duration
	step     int
}

// caller follows the steps of a test. It is a sim.Party.
type caller struct {
	test   *config.Conversation
	words  [][]int16 // of each step
	noise  []int16   // behind them, again and again
	hangUp func()    // ends the call

	referred atomic.Pointer[string] // where the agent has transferred the call

	mu    sync.Mutex      // guards the fields below
	began time.Time       // of the call; times are counted from it
	agent voice.Detector  // listens to the agent
	sound sound           // of the agent, if the file has transcribe
	heard []span          // the utterances of the agent that have ended
	times []time.Duration // when each step began
	acts  []span          // what the caller has said
	mark  time.Duration   // what the agent said before is known to an earlier step
	left  []int16         // of the words
	keys  string          // still to be pressed
	frame int             // of the key

	over     bool   // all steps are done, or one can't be done
	failed   string // why
	frames   int
	earliest time.Duration // of the frames: the earliest beside its place in the stream
	late     []span        // from when a late frame had to leave until it left
}

func newCaller(t *config.Conversation, said [][]int16, hangUp func()) *caller {
	return &caller{
		test: t, words: said, noise: noiseOf(t.Noise, said), hangUp: hangUp, began: time.Now(), mark: -time.Hour,
	}
}

// Hear implements sim.Party.
func (c *caller) Hear(p sim.Packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.test.Transcribe != "" {
		c.sound.keep(&p, p.At.Sub(c.began), c.test.Limit+testcall.RingLimit)
	}
	content := voice.ContentOf(p.PayloadType)
	if p.Event {
		content = voice.Keys
	}
	s, ok := c.agent.Packet(voice.Packet{
		Arrival: p.At.Sub(c.began), SSRC: p.SSRC, Timestamp: p.Timestamp, Content: content, Payload: p.Payload,
	})
	if ok && s.To > s.From && s.Noise < s.Level { // neither a key nor a tone
		c.heard = c.join(c.heard, s.From, s.To)
	}
}

// join adds speech to the agent's utterances. What follows a short pause belongs to the last one, unless the caller has
// ended its words in that pause: then it is an answer.
func (c *caller) join(heard []span, from, to time.Duration) []span {
	if n := len(heard) - 1; n >= 0 && from-heard[n].to < within {
		last := len(c.acts) - 1
		if last < 0 || len(c.left) > 0 || c.acts[last].to < heard[n].to || c.acts[last].to > from {
			return append(heard[:n:n], span{from: heard[n].from, to: to})
		}
	}
	return append(heard, span{from: from, to: to})
}

// utterances returns all that the agent has said, and whether it speaks now.
func (c *caller) utterances(now time.Duration) (all []span, speaks bool) {
	v := c.agent.View(now)
	if v.Speaking {
		return c.join(slices.Clip(c.heard), v.Since, v.To), true
	}
	return c.heard, false
}

// last returns the agent's last utterance. Fresh means that no step before was about it; speaks, that it goes on.
func (c *caller) last(now time.Duration) (s span, fresh, speaks bool) {
	all, speaks := c.utterances(now)
	if len(all) == 0 {
		return s, false, false
	}
	s = all[len(all)-1]
	return s, s.from > c.mark && s.to-s.from >= word, speaks
}

// Speak implements sim.Party.
func (c *caller) Speak(at time.Time, frame []int16) (key byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := at.Sub(c.began)
	place := now - time.Duration(c.frames)*frameTime
	if c.frames == 0 {
		c.earliest = place
	}
	c.earliest, c.frames = min(c.earliest, place), c.frames+1
	if late := place - c.earliest; late > pacing {
		c.late = append(c.late, span{from: now - late, to: now})
	}
	for !c.over && (len(c.times) == 0 || c.done(len(c.times)-1, now)) {
		c.begin(len(c.times), now)
	}
	if !c.over && now-c.times[0] > c.test.Limit {
		c.end(fmt.Sprintf("the call took longer than %v (limit)", c.test.Limit))
	}
	if n := copy(frame, c.left); n > 0 {
		c.left = c.left[n:]
		c.acts[len(c.acts)-1].to = now - length(frame[n:])
	}
	for i := range frame {
		if c.noise != nil {
			frame[i] = clipped(float64(frame[i]) + float64(c.noise[(c.frames*len(frame)+i)%len(c.noise)]))
		}
	}
	if c.keys == "" {
		return 0
	}
	if c.frame < keyFrames {
		key = c.keys[0]
	}
	if c.frame++; c.frame == keyEvery {
		c.frame, c.keys = 0, c.keys[1:]
	}
	return key
}

// end ends the conversation; why is empty if it went as the steps say.
func (c *caller) end(why string) {
	c.failed, c.over = why, true
	c.hangUp()
}

// begin begins a step.
func (c *caller) begin(i int, now time.Duration) {
	if i == len(c.test.Steps) {
		c.end("")
		return
	}
	c.times = append(c.times, now)
	if s := &c.test.Steps[i]; s.Say != "" {
		c.speak(i, now)
	} else if s.Press != "" {
		c.keys, c.mark = s.Press, now
	}
}

// speak begins the words of a step. A frame that is sent now began 20 ms ago.
func (c *caller) speak(i int, now time.Duration) {
	c.left, c.mark = c.words[i], now
	c.acts = append(c.acts, span{now - frameTime, now, i})
}

// done reports whether a step is over. It ends the conversation if the step takes too long.
func (c *caller) done(i int, now time.Duration) bool {
	s, took := &c.test.Steps[i], now-c.times[i]
	said, fresh, speaks := c.last(now)
	missing := "the agent said nothing"
	if said.from <= c.mark && said.to > c.times[i] {
		missing = "the agent began nothing new"
	}
	switch {
	case s.Say != "", s.Interrupt != "" && len(c.acts) > 0 && c.acts[len(c.acts)-1].step == i:
		return len(c.left) == 0
	case s.Press != "":
		return c.keys == ""
	case s.Silence > 0:
		return took >= s.Silence
	case s.HangUp:
		c.end("")
		return false
	case s.Wait == "words" && fresh:
		return true
	case s.Wait == "hangup":
		missing = "the agent did not hang up"
	case s.Interrupt != "" && fresh:
		if missing = fmt.Sprintf("the agent did not speak for %v", s.After); speaks && now-said.from >= s.After {
			c.speak(i, now)
			return false
		}
	case fresh:
		if !speaks && now-said.to >= s.Pause {
			c.mark = now
			return true
		}
		missing = fmt.Sprintf("the agent made no pause of %v", s.Pause)
	}
	if took > s.Within {
		c.end(fmt.Sprintf("%s: within %v %s", c.label(i), s.Within, missing))
	}
	return false
}

// lateIn returns how late the packets left that belong between two times, or 0 if all were in time.
func (c *caller) lateIn(from, to time.Duration) (most time.Duration) {
	for _, s := range c.late {
		if s.from <= to && s.to >= from {
			most = max(most, s.to-s.from)
		}
	}
	return most
}

// label names a step.
func (c *caller) label(i int) string {
	s := c.test.Steps[i]
	does := s.Wait + s.Say + s.Interrupt + s.Press
	if s.Silence > 0 {
		does = "silence"
	}
	return fmt.Sprintf("step %d %s", i+1, does)
}

// why returns why the conversation did not go as the steps say, or "". The agent may only hang up where that is
// expected. c.mu is held.
func (c *caller) why(rec *record.Record) string {
	i := max(len(c.times)-1, 0)
	switch {
	case c.over || rec.EndedBy == record.EndedByCaller:
		return c.failed
	case rec.EndedBy != record.EndedByAgent:
		return fmt.Sprintf("the call ended in %s: cause %s", c.label(i), rec.Cause)
	case c.test.Steps[i].Wait == "hangup" || slices.ContainsFunc(c.test.Expect, c.mayHangUp):
		return ""
	}
	return "the agent hung up in " + c.label(i)
}

// mayHangUp reports whether the agent is expected to hang up: an agent that has transferred the call ends it, too.
func (c *caller) mayHangUp(x config.Expectation) bool {
	return x.Figure == hangUpBy && x.Text == record.EndedByAgent || x.Figure == transferTo && c.referred.Load() != nil
}

// wordsOf returns what the caller says in each step. That takes longer than a frame, so no call does it.
func wordsOf(t *config.Conversation) ([][]int16, error) {
	all := make([][]int16, len(t.Steps))
	for i, s := range t.Steps {
		if all[i] = words(t, i); s.Say+s.Interrupt != "" && len(all[i]) == 0 {
			return nil, cli.Usage("sounds.%s has no sound that an agent could hear; record it louder", s.Say+s.Interrupt)
		}
	}
	return all, nil
}

// words returns what the caller says in a step. The built-in voice makes no pause: an agent might take it for the end.
func words(t *config.Conversation, i int) (pcm []int16) {
	name := t.Steps[i].Say + t.Steps[i].Interrupt
	if sound := t.Sounds[name]; sound != nil {
		codes := sound.In(audio.ULaw)
		pcm = make([]int16, len(codes))
		audio.ULaw.Decode(pcm, codes)
	} else if d, err := time.ParseDuration(name); err == nil {
		for part := range slices.Chunk(sim.SpeechLike(uint64(i), 4*d), audio.Rate/50) {
			if slices.Max(part) > voiced && length(pcm) < d {
				pcm = append(pcm, part...)
			}
		}
	}
	from, to := heardOf(pcm)
	return pcm[from:to]
}

// heardOf returns the place of the first audible sample, and the place behind the last one, so that the time at which
// words end is known. Both are 0 for a sound that an agent could not hear.
func heardOf(pcm []int16) (from, to int) {
	peak := slices.Max(append(pcm, 0))
	if peak < audible {
		return 0, 0
	}
	loud := func(v int16) bool { return v > peak/32 } // 30 dB below the peak
	for to = len(pcm); !loud(pcm[to-1]); {
		to--
	}
	return slices.IndexFunc(pcm, loud), to
}

// length returns how long samples last.
func length(pcm []int16) time.Duration { return time.Duration(len(pcm)) * time.Second / audio.Rate }
