package scenario

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/media/audio"
	"flowbridge/media/voice"
	"flowbridge/media/voice/turns"
)

const (
	pauseMin  = 700 * time.Millisecond // within its words an agent makes shorter pauses
	afterMax  = 2 * time.Second        // an agent may say less than the recorded one before it is interrupted
	replayMax = 10 * time.Minute
	waitMax   = time.Minute // for the agent's pause, beyond the recorded one

	// near is how close to the end of the agent's words the caller's do not interrupt them, as in media/voice/turns.
	near = 200 * time.Millisecond
)

// Replay makes the caller of a test say what the caller of a recording said, in place of the file's steps. The parts of
// the recording follow each other. It keeps the pauses within the caller's words, interrupts as the caller did, and
// waits for the agent's pauses. With keepPauses it does not listen: it speaks when the caller spoke.
func Replay(t *config.Conversation, parts [][]byte, keepPauses bool) error {
	var left, right []int16
	for _, wav := range parts {
		caller, agent, err := audio.ReadSides(bytes.NewReader(wav))
		if left, right = append(left, caller...), append(right, agent...); err == nil && length(left) > replayMax {
			err = fmt.Errorf("its parts are longer than %v", replayMax)
		}
		if err != nil {
			return cli.Usage("the recording: %w", err)
		}
	}
	said, end := spoken(left, right), length(left)
	t.Limit += end
	t.Sounds = map[string]*audio.Sound{}
	var heard []span // without what is too quiet for an agent
	var err error
	for _, s := range said[turns.Caller] {
		first := at(s.from)
		from, to := heardOf(left[first:min(at(s.to), len(left))])
		if s = (span{from: length(left[:first+from]), to: length(left[:first+to])}); from < to {
			if t.Sounds[spanName(s)], err = audio.NewSound(left[first+from : first+to]); err != nil {
				return cli.Usage("the recording: %w", err)
			}
			heard = append(heard, s)
		}
	}
	if len(heard) == 0 {
		return cli.Usage("the caller of the recording says nothing")
	}
	t.Steps = waiting(heard, said[turns.Agent])
	if keepPauses {
		t.Steps = keeping(heard, said[turns.Agent], end)
	}
	return nil
}

// at returns the place of a time in samples.
func at(d time.Duration) int { return int(d * audio.Rate / time.Second) }

// spanName names the words that begin at a time of a recording.
func spanName(s span) string { return fmt.Sprintf("words at %.1f s", s.from.Seconds()) }

// spoken returns when each side of a recording speaks, by turns.Party.
func spoken(sides ...[]int16) (said [2][]span) {
	talk, heard := turns.New(0), [2]voice.Detector{}
	packet := voice.Packet{Content: voice.MuLaw, Payload: make([]byte, at(frameTime))}
	for n := 0; n+len(packet.Payload) <= len(sides[0]); n += len(packet.Payload) {
		packet.Timestamp, packet.Arrival = uint32(n), length(sides[0][:n])
		for p, pcm := range sides {
			audio.ULaw.Encode(packet.Payload, pcm[n:])
			if s, ok := heard[p].Packet(packet); ok {
				talk.Hear(turns.Party(p), s)
			}
			talk.Look(turns.Party(p), heard[p].View(packet.Arrival))
		}
	}
	talk.Finish(length(sides[0]))
	for p, all := range talk.Spans() {
		all.Each(func(from, to int64) {
			s := span{from: time.Duration(from) * time.Millisecond, to: time.Duration(to) * time.Millisecond}
			said[p] = append(said[p], s)
		})
	}
	return said
}

// begun returns the last of the agent's utterances that began in a stretch of time.
func begun(agent []span, from, to time.Duration) (last span, ok bool) {
	for _, a := range agent {
		if a.from >= from && a.from < to {
			last, ok = a, true
		}
	}
	return last, ok
}

// waiting returns the steps of a caller that listens.
func waiting(caller, agent []span) (all []config.ConversationStep) {
	before := span{}
	for i, s := range caller {
		step := config.ConversationStep{Say: spanName(s), Answered: isAnswered(caller, agent, i)}
		switch a, heard := begun(agent, before.from, s.from); {
		case !heard:
			all = append(all, config.ConversationStep{Silence: max(s.from-before.to, frameTime)})
		case a.to > s.from+near && s.from > a.from+near:
			step.Say, step.Interrupt = "", step.Say
			step.After, step.Within = min(s.from-a.from, afterMax), waitMax
		default:
			pause := max(s.from-a.to, pauseMin)
			all = append(all, config.ConversationStep{Wait: "pause", Pause: pause, Within: waitMax + a.to - a.from + pause})
		}
		all = append(all, step)
		before = s
	}
	if isAnswered(caller, agent, len(caller)-1) {
		all = append(all, config.ConversationStep{Wait: "pause", Pause: pauseMin, Within: waitMax})
	}
	return all
}

// keeping returns the steps of a caller that speaks by the clock until the end. It counts in frames, and each silence
// ends half a frame early.
func keeping(caller, agent []span, end time.Duration) (all []config.ConversationStep) {
	frames := func(d time.Duration) time.Duration { return (d + frameTime/2) / frameTime }
	silence := func(n time.Duration) config.ConversationStep {
		return config.ConversationStep{Silence: max(n, 1)*frameTime - frameTime/2}
	}
	sent := time.Duration(0)
	for i, s := range caller {
		start := max(frames(s.from), sent+1)
		step := config.ConversationStep{Say: spanName(s), Answered: isAnswered(caller, agent, i)}
		all = append(all, silence(start-sent), step)
		sent = start + (s.to-s.from+frameTime-1)/frameTime
	}
	return append(all, silence(frames(end)-sent))
}

// isAnswered reports whether the recorded agent spoke after an utterance of the caller, and before the next one.
func isAnswered(caller, agent []span, i int) bool {
	next := time.Duration(math.MaxInt64)
	if i+1 < len(caller) {
		next = caller[i+1].from
	}
	_, answered := begun(agent, caller[i].to, next)
	return answered
}
