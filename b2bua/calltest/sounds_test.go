package calltest

import (
	"context"
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/media"
	"flowbridge/sim/siptest"
)

// plays orders a sound for a side. refusal is part of the expected error; if it is empty,
// the order must succeed.
func (w *world) plays(s bridge.PlayRequest, refusal string) {
	w.t.Helper()
	id := w.server.Live(context.Background())[0].Record.ID
	_, err := w.server.Play(context.Background(), id, s)
	if refusal == "" && err != nil || refusal != "" && (err == nil || !strings.Contains(err.Error(), refusal)) {
		w.t.Errorf("%+v: got %v; want %q", s, err, refusal)
	}
}

// played reports that the sound of this side has ended.
func (w *world) played(side media.Side) {
	s := w.relay.sessions[0]
	s.onEvent(media.EventPlayed{Side: side, ID: s.plays[side].ID})
}

func TestOrderedSounds(t *testing.T) {
	yaml := strings.ReplaceAll(talkYAML("", "codecs: [PCMU, G722]"), `targets: [agent]`, `targets: [agent], hold: silence`)
	inWorldWith(t, yaml, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = siptest.SessionAt("192.0.2.10", 20000, "0 9 101")
		in := w.carrier.ringsAt(w.agent, d)
		w.plays(bridge.PlayRequest{Side: media.SideA, Sound: "eu"}, "not answered yet")
		w.carrier.isTakenWith(w.agent, in, "agent1", d, siptest.SessionAt("192.0.2.20", 30000, "0 101"))
		c := w.talkOf(d, in)

		w.plays(bridge.PlayRequest{Side: media.SideA, Sound: "nowhere"}, `no sound "nowhere"`)
		w.plays(bridge.PlayRequest{Side: media.SideA, Sound: "eu"}, "")
		w.plays(bridge.PlayRequest{Side: media.SideB, Sound: "beep", Loop: true}, "")
		w.hears("a hears 5s of law 0 as 0, loop false, yield false", "b hears 400ms of law 0 as 0, loop true, yield false")
		c.carrier.changes("INVITE", siptest.SessionAt("192.0.2.10", 20000, "0 101", "a=inactive"), "200") // still heard
		w.hears()
		if live := w.server.Live(context.Background())[0]; live.Held != [2]bool{true, false} || live.Hears != [2]string{"eu", "beep"} {
			t.Errorf("held %v, hears %v", live.Held, live.Hears)
		}
		w.plays(bridge.PlayRequest{Side: media.SideB, Sound: bridge.SoundNone}, "") // now the sound for hold is heard
		w.hears("b hears 1s of law 0 as 0, loop true, yield true")
		w.played(media.SideA)
		before := w.relay.sessions[0].plays[media.SideA].ID
		w.plays(bridge.PlayRequest{Side: media.SideA, Sound: "eu", Loop: true}, "")
		w.hears("a hears 5s of law 0 as 0, loop true, yield false")
		w.relay.sessions[0].onEvent(media.EventPlayed{Side: media.SideA, ID: before})                     // crosses the order
		c.carrier.changes("INVITE", siptest.SessionAt("192.0.2.10", 20000, "0 101", "a=ptime:40"), "200") // a new packet time
		w.hears("a hears 5s of law 0 as 0, loop true, yield false", "b hears nothing")
		w.plays(bridge.PlayRequest{Side: media.SideA, Sound: bridge.SoundNone}, "")
		w.hears("a hears nothing")
		w.callerEnds(w.agent, d)
	})
}

func TestSoundsWithoutG711(t *testing.T) {
	inWorldWith(t, talkYAML("", "codecs: [G722]"), func(w *world) {
		c := w.talkIn("9 101", "9 101")
		w.plays(bridge.PlayRequest{Side: media.SideA, Sound: "eu"}, "does not speak G.711")
		w.callerEnds(w.agent, c.d)
	})
}

// With recording.beep, both sides hear a beep when a recording starts, and then at
// intervals, but not while the recording is paused.
func TestBeepWhileRecorded(t *testing.T) {
	yaml := strings.Replace(recordingYAML("record: always", ""), "recording: {", "recording: {beep: 15s, ", 1)
	inRecordedWorld(t, yaml, func(w *recorded) {
		c := w.talk(nil, nil)
		beeps := []string{"a hears 400ms of law 0 as 0, loop false, yield false", "b hears 400ms of law 0 as 0, loop false, yield false"}
		over := func() {
			for _, side := range []media.Side{media.SideA, media.SideB} {
				w.played(side)
			}
		}
		w.hears(beeps...)
		over()
		time.Sleep(14 * time.Second)
		w.hears()
		time.Sleep(time.Second + time.Millisecond)
		w.hears(beeps...)
		over()
		w.orders(bridge.OrderPause, false)
		time.Sleep(15 * time.Second)
		w.hears()
		w.orders(bridge.OrderResume, false)
		time.Sleep(15 * time.Second)
		w.hears(beeps...)
		c.hangsUp()
	})
}

// On hold a beep ends in favour of the hold's sound, because there may be no audio to mix
// the beep with.
func TestHoldDuringABeep(t *testing.T) {
	yaml := strings.Replace(recordingYAML("record: always, hold: hold", ""), "recording: {", "recording: {beep: 15s, ", 1)
	inRecordedWorld(t, yaml, func(w *recorded) {
		c := w.talk(nil, nil)
		w.hears("a hears 400ms of law 0 as 0, loop false, yield false", "b hears 400ms of law 0 as 0, loop false, yield false")
		c.agent.changes("INVITE", siptest.SessionAt("192.0.2.20", 30000, "0 101", "a=inactive"), "200")
		w.hears("a hears 10s of law 0 as 0, loop true, yield true")
		c.hangsUp()
	})
}
