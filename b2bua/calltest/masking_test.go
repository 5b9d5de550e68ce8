package calltest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/media"
	"flowbridge/sim/siptest"
)

// press makes the caller press a key, by INFO.
func (w *world) press(d *dialogue, key string) int {
	return w.carrier.within(d, "INFO", "Signal="+key+"\r\nDuration=160\r\n", "Content-Type: application/dtmf-relay")
}

// orders sends an order that must succeed, and checks whether the session's keys are masked
// afterwards. It returns the caller's mask.
func (w *world) orders(what bridge.Order, masked bool) media.Mask {
	w.t.Helper()
	live, err := w.order(what)
	if err != nil || live.Masked != masked {
		w.t.Fatalf("order %s: masked %v, %v; want %v", what, live.Masked, err, masked)
	}
	return w.session().masks[media.SideA]
}

// TestMaskedKeysReachNobody: while keys are masked, the platform gets none of the caller's
// keys, neither as telephone-events nor as INFO, and they are neither in the log nor in the
// capture. Before and after that, keys pass.
func TestMaskedKeysReachNobody(t *testing.T) {
	inRecordedWorld(t, recordingYAML("record: always, mask_dtmf: on_demand", ""), func(w *recorded) {
		c := w.talk(nil, nil)
		passes := func(key string) {
			t.Helper()
			w.press(c.d, key)
			info := w.agent.expect("INFO")
			if !strings.Contains(info.raw, "Signal="+key) {
				t.Errorf("the platform gets\n%s", info.raw)
			}
			w.agent.reply(info, 200, "OK", "", "")
			w.carrier.expect("SIP/2.0 200")
		}
		passes("1")
		if w.session().masks[media.SideA].On {
			t.Error("the session masks keys already")
		}
		m := w.orders(bridge.OrderMask, true)
		if !m.On || m.Always || !m.Events.Has(101) || !m.ULaw.Has(0) || m.ULaw.Has(8) || m.Events.Has(0) {
			t.Errorf("mask: %+v", m)
		}
		if other := w.session().masks[media.SideB]; other.On {
			t.Error("the platform's keys are masked")
		}
		for i, body := range []string{"Signal=7\r\nDuration=160\r\n", "7", "Signal=7\nX=7", "<digits>7</digits>"} {
			w.carrier.within(c.d, "INFO", body, "Content-Type: "+[]string{
				"application/dtmf-relay", "application/dtmf", "application/dtmf-relay", "application/vnd.nobody.knows",
			}[i])
			w.carrier.expect("SIP/2.0 200")
		}
		w.session().onEvent(media.EventDigit{Side: media.SideA, Digit: '7', Duration: time.Second})
		w.agent.silent(time.Second)
		c.agent.offers("INFO", "Signal=2\r\nDuration=160\r\n", "Content-Type: application/dtmf-relay")
		w.carrier.reply(w.carrier.expect("INFO"), 200, "OK", "", "") // keys from the agent to the caller still pass
		w.agent.expect("SIP/2.0 200")
		if m := w.orders(bridge.OrderUnmask, false); m.On || !m.Events.Has(101) {
			t.Errorf("mask: %+v", m)
		}
		passes("3") // the capture holds it back, because it might be a repetition
		time.Sleep(time.Minute)
		passes("4")
		w.callerHangsUp(c.d)
		r := w.record()
		sip, _ := w.capture(r.Recordings[1])
		var all strings.Builder
		for _, m := range sip {
			all.WriteString(m.data)
			if n := strings.Index(m.data, "\r\n\r\n"); !strings.Contains(m.data, fmt.Sprintf("Content-Length: %d\r\n", len(m.data)-n-4)) {
				t.Errorf("the length of a message is not what it says:\n%s", m.data)
			}
		}
		for _, shown := range []string{"Signal=1", "Signal=4", "Signal=*\r\nDuration=***\r\n", "a=fmtp:101 0-15"} {
			if !strings.Contains(all.String(), shown) {
				t.Errorf("the capture does not show %q", shown)
			}
		}
		for _, hidden := range []string{"Signal=7", "Signal=2", "Signal=3", "\r\n\r\n7", `digits="7"`, "<digits>"} {
			if strings.Contains(all.String(), hidden) {
				t.Errorf("the capture shows %q", hidden)
			}
		}
		for _, hidden := range []string{"Signal", "digits", "kpml"} {
			if strings.Contains(w.log.String(), hidden) {
				t.Errorf("the log shows %q", hidden)
			}
		}
	})
}

// TestMaskOfEveryCall: with mask_dtmf: always, keys are masked before any packet can flow,
// and an order to end the masking is refused.
func TestMaskOfEveryCall(t *testing.T) {
	inRecordedWorld(t, recordingYAML("mask_dtmf: always", ""), func(w *recorded) {
		c := w.talk(nil, nil)
		if m := w.session().masks[media.SideA]; !m.On || m.Always {
			t.Errorf("mask: %+v", m)
		}
		w.orders(bridge.OrderMask, true)
		w.refuses(bridge.OrderUnmask, "always masked")
		w.press(c.d, "9")
		w.carrier.expect("SIP/2.0 200")
		w.agent.silent(time.Second)
		c.hangsUp()
	})
}

// TestMaskFollowsTheSession: when the session changes, masking uses the caller's new
// payload types. A caller without telephone-events is muted while masked.
func TestMaskFollowsTheSession(t *testing.T) {
	inRecordedWorld(t, recordingYAML("mask_dtmf: on_demand", "reinvite: absorb"), func(w *recorded) {
		d, in := w.carrier.callsAt(w.agent, "+15075785607")
		if live, err := w.order(bridge.OrderMask); err != nil || !live.Masked {
			t.Fatalf("during the set-up: %v, %v", live.Masked, err)
		}
		w.carrier.isTakenWith(w.agent, in, "agent1", d, siptest.SessionAt("192.0.2.20", 30000, "0 101"))
		if m := w.session().masks[media.SideA]; !m.On || m.Always || !m.Events.Has(101) || !m.ULaw.Has(0) {
			t.Errorf("with telephone-events: %+v", m)
		}
		c := w.talkOf(d, in)
		c.carrier.changes("INVITE", siptest.SessionAt("192.0.2.10", 20000, "0"), "200")
		if m := w.session().masks[media.SideA]; !m.On || !m.Always || !m.ULaw.Has(0) {
			t.Errorf("without telephone-events: %+v", m)
		}
		c.carrier.changes("INVITE", siptest.SessionAt("192.0.2.10", 20000, "0 96"), "200")
		if m := w.session().masks[media.SideA]; !m.On || !m.Events.Has(96) {
			t.Errorf("with telephone-events of another number: %+v", m)
		}
		w.callerEnds(w.agent, d)
	})
}

// TestMaskWhereThePlatformHasNoEvents: if a caller's telephone-events were not accepted, it
// sends its keys as tones, so masking mutes it.
func TestMaskWhereThePlatformHasNoEvents(t *testing.T) {
	inRecordedWorld(t, recordingYAML("mask_dtmf: always", ""), func(w *recorded) {
		d := w.carrier.dialsTillRung("+15075785607")
		w.agent.concludes(w.agent.expect("INVITE"), 200, "OK", "agent1", siptest.SessionAt("192.0.2.20", 30000, "0"))
		if ok := w.carrier.expect("SIP/2.0 200"); strings.Contains(ok.raw, "telephone-event") {
			t.Errorf("the caller is told\n%s", ok.raw)
		}
		w.carrier.ack(d)
		if m := w.session().masks[media.SideA]; !m.On || !m.Always || !m.Events.Has(101) || !m.ULaw.Has(0) {
			t.Errorf("mask: %+v", m)
		}
		w.callerEnds(w.agent, d)
	})
}

// TestMaskInCallsOfTargets: in a call that the platform places, the called party's keys
// are masked.
func TestMaskInCallsOfTargets(t *testing.T) {
	yaml := strings.Replace(placedConfig, `{target: pbx, to: "^\\+1507", trunks: [pbx]}`, `{target: pbx, to: "^\\+1507", trunks: [pbx], mask_dtmf: always}`, 1)
	inWorldWith(t, yaml, func(w *world) {
		platform, pbx := w.platformAndPBX()
		d := platform.newCall("+15075785607")
		d.sdp = sdpWith("192.0.2.20", 8)
		w.placed(platform, pbx, d)
		masks := w.session().masks
		if !masks[media.SideB].On || !masks[media.SideB].Always || !masks[media.SideB].ALaw.Has(8) || masks[media.SideA].On {
			t.Errorf("masks: %+v", masks)
		}
		platform.hangsUpOn(pbx, d)
		w.record()
	})
}

// TestMaskedRequestThatWaits: an INFO arrives while keys are masked, and waits for the INFO
// before it. It stays masked even if masking ends while it waits.
func TestMaskedRequestThatWaits(t *testing.T) {
	inRecordedWorld(t, recordingYAML("mask_dtmf: on_demand", ""), func(w *recorded) {
		c := w.talk(nil, nil)
		w.press(c.d, "1")
		w.agent.reply(w.agent.expect("INFO"), 200, "OK", "", "")
		w.carrier.expect("SIP/2.0 200")
		w.orders(bridge.OrderMask, true)
		c.d.later++ // an INFO that arrives late
		w.press(c.d, "7")
		synctest.Wait()
		w.orders(bridge.OrderUnmask, false)
		c.d.later -= 2
		w.press(c.d, "6")
		c.d.later++
		w.carrier.expect("SIP/2.0 200")
		w.carrier.expect("SIP/2.0 200")
		w.agent.silent(time.Second)
		w.press(c.d, "8")
		info := w.agent.expect("INFO")
		if !strings.Contains(info.raw, "Signal=8") {
			t.Errorf("the platform gets\n%s", info.raw)
		}
		w.agent.reply(info, 200, "OK", "", "")
		w.carrier.expect("SIP/2.0 200")
		c.hangsUp()
	})
}
