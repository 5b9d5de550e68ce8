package media

import (
	"math"
	"testing"
	"time"

	"flowbridge/media/answerer"
	"flowbridge/media/audio"
	"flowbridge/media/stage"
)

// answers makes side B of a call say something, in packets of 20 ms, and returns the events that the relay posts.
func answers(t *testing.T, l answerer.Limits, samples []float64) (*[]Event, *talker) {
	t.Helper()
	told, k := &[]Event{}, newTalker(t)
	k.r.onEvent = func(e Event) {
		if _, ok := e.(EventLatched); !ok {
			*told = append(*told, e)
		}
	}
	k.order(command{op: opOrder, side: SideB, order: stage.Detect(l)})
	for i := 0; i+160 <= len(samples); i += 160 {
		payload := make([]byte, 160)
		for j := range payload {
			payload[j] = audio.EncodeULaw(int16(8000 * samples[i+j]))
		}
		k.w.now += 20 * ms
		k.say(SideB, 0, uint16(i/160), uint32(i), payload)
		if k.w.now >= k.w.alarm {
			k.w.ring()
		}
	}
	return told, k
}

// sine has a time in ms and a frequency for each part; 0 Hz is silence.
func sine(parts ...[2]float64) (samples []float64) {
	for _, p := range parts {
		for i := range int(8 * p[0]) {
			samples = append(samples, math.Sin(2*math.Pi*p[1]*float64(i)/8000)*min(1, float64(i)/24, (8*p[0]-float64(i))/24))
		}
	}
	return samples
}

// TestDetectAnswer: the verdict on a side's packets and the beep are each reported once. After that the detector is
// gone.
func TestDetectAnswer(t *testing.T) {
	all, k := answers(t, answerer.Limits{Beep: 10 * time.Second}, sine([2]float64{800, 0}, [2]float64{300, 1000}, [2]float64{2000, 0}))
	told := *all
	if len(told) != 2 {
		t.Fatalf("told %+v", told)
	}
	by, ok := told[0].(EventAnsweredBy)
	if !ok || by.Side != SideB || by.Verdict != answerer.Machine || by.Confidence < 0.5 || by.After < 1100*ms || by.After > 1500*ms {
		t.Errorf("%+v", told[0])
	}
	if b, ok := told[1].(EventBeep); !ok || b.Side != SideB || !b.Heard {
		t.Errorf("%+v", told[1])
	}
	if !k.r.stages.Plain(SideB, k.w.now) || !k.r.stages.Plain(SideA, k.w.now) {
		t.Error("a detector is left")
	}
	all, _ = answers(t, answerer.Limits{}, sine([2]float64{2000, 0}, [2]float64{600, 2100}))
	if len(*all) != 1 || (*all)[0].(EventAnsweredBy).Verdict != answerer.Fax {
		t.Errorf("told %+v", *all)
	}
}

// TestDetectAnswerOfNobody: if no packet comes at all, the alarm ends the detection.
func TestDetectAnswerOfNobody(t *testing.T) {
	all, k := answers(t, answerer.Limits{Beep: time.Second}, nil)
	for range 1000 {
		if k.w.now += 10 * ms; k.w.now >= k.w.alarm {
			k.w.ring()
		}
	}
	told, want := *all, answerer.Answer{Verdict: answerer.Unknown, Reason: answerer.Silence, After: 4 * time.Second}
	if len(told) != 2 || told[0] != Event(EventAnsweredBy{SideB, want}) ||
		told[1] != Event(EventBeep{SideB, answerer.Beep{After: 5 * time.Second}}) {
		t.Errorf("told %+v", told)
	}
	if k.w.alarm != never || len(k.w.armed) != 0 {
		t.Errorf("an alarm is left: %v", k.w.armed)
	}
}

// TestDetectAnswerOfSession: command and verdict pass through a running engine.
func TestDetectAnswerOfSession(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	br.DetectAnswer(SideB, answerer.Limits{Silence: 100 * ms})
	for {
		if by, ok := br.event(t).(EventAnsweredBy); ok {
			if by.Side != SideB || by.Reason != answerer.Silence {
				t.Errorf("%+v", by)
			}
			break
		}
	}
	br.DetectAnswer(SideB, answerer.Limits{})
	br.Close()
	br.DetectAnswer(SideA, answerer.Limits{}) // has no effect on a closed session
}
