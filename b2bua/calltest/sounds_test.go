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

// plays orders a sound for a side.
func (w *world) plays(s bridge.PlayRequest, refusal string) {
	w.t.Helper()
	id := w.server.Live(context.Background())[0].Record.ID
	_, err := w.server.Play(context.Background(), id, s)
	if refusal == "" && err != nil || refusal != "" && (err == nil || !strings.Contains(err.Error(), refusal)) {
		w.t.Errorf("%+v: got %v; want %q", s, err, refusal)
	}
}

// played ends the sound that a side hears.
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
		c.carrier.changes("INVITE", siptest.SessionAt("192.0.2.10", 20000, "0 101", "a=inactive"), "200") // it continues
		w.hears()
		if live := w.server.Live(context.Background())[0]; live.Held != [2]bool{true, false} || live.Hears != [2]string{"eu", "beep"} {
			t.Errorf("held %v, hears %v", live.Held, live.Hears)
		}
		w.plays(bridge.PlayRequest{Side: media.SideB, Sound: bridge.SoundNone}, "") // then the sound of the hold
		w.hears("b hears 1s of law 0 as 0, loop true, yield true")
		w.played(media.SideA)
		before := w.relay.sessions[0].plays[media.SideA].ID
		w.plays(bridge.PlayRequest{Side: media.SideA, Sound: "eu", Loop: true}, "")
		w.hears("a hears 5s of law 0 as 0, loop true, yield false")
		w.relay.sessions[0].onEvent(media.EventPlayed{Side: media.SideA, ID: before})                     // crossed the order
		c.carrier.changes("INVITE", siptest.SessionAt("192.0.2.10", 20000, "0 101", "a=ptime:40"), "200") // new packet time
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

// recording.beep: both sides hear a beep at once and at intervals, but not while the
// recording is paused.
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

// A beep gives way to the sound of a hold, because there may be nothing to mix it with.
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
