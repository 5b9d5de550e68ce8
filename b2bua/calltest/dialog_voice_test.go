package calltest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/sdp"
	"flowbridge/internal/siptest"
	"flowbridge/media"
	"flowbridge/store/record"
)

const (
	ringing = "a hears 6s of law 0 as 0, loop true, yield true"
	quiet   = "a hears nothing"
)

// hears checks what has been played, and forgets it.
func (w *world) hears(want ...string) {
	w.t.Helper()
	synctest.Wait()
	s := w.relay.sessions[len(w.relay.sessions)-1]
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.heard, want) {
		w.t.Errorf("played %q; want %q", s.heard, want)
	}
	s.heard = nil
}

// ringing: session-progress, with or without early media of the target's.
func TestRingbackOfOurOwn(t *testing.T) {
	yaml := strings.ReplaceAll(talkYAML("", ""), `targets: [agent]`, `targets: [agent], ringing: session-progress`)
	for _, early := range []bool{false, true} {
		runIn(t, fmt.Sprint("early media ", early), yaml, func(w *world) {
			d := w.carrier.newCall("+15075785607")
			d.sdp = siptest.SessionAt("192.0.2.10", 20000, "18 0 8 101", "a=ptime:30")
			w.carrier.invite(d)
			progress := d.learn(w.carrier.expect("SIP/2.0 183"))
			if got := formatsOf(w.t, progress); got != "0 101" {
				w.t.Errorf("the caller is told %s:\n%s", got, progress.raw)
			}
			in := w.agent.expect("INVITE")
			if got := formatsOf(w.t, in); got != "0 101" {
				w.t.Errorf("the target is offered %s", got)
			}
			w.hears(ringing)
			if p := w.relay.sessions[0].peers[media.SideA]; p.RTP.Port() != 20000 {
				w.t.Errorf("ringing goes to %v", p.RTP)
			}
			answer := siptest.SessionAt("192.0.2.20", 30000, "0 101")
			if early {
				w.agent.reply(in, 183, "Session Progress", "agent1", answer)
			} else {
				w.agent.reply(in, 180, "Ringing", "agent1", "")
			}
			w.carrier.silent(time.Second)
			w.hears() // it goes on until the media comes
			w.agent.concludes(in, 200, "OK", "agent1", answer)
			if ok := w.carrier.expect("SIP/2.0 200"); string(ok.Body()) != string(progress.Body()) {
				w.t.Errorf("the answer changed:\n%s", ok.raw)
			}
			w.carrier.ack(d)
			w.hears(quiet)
			w.callerEnds(w.agent, d)
		})
	}
}

// Without G.711, or without an offer, 180 is all that there is.
func TestRingbackIsNotPossible(t *testing.T) {
	yaml := strings.ReplaceAll(talkYAML("", "codecs: [G722]"), `targets: [agent]`, `targets: [agent], ringing: session-progress`)
	for name, sdp := range map[string]string{"G722": siptest.SessionAt("192.0.2.10", 20000, "9 101"), "late offer": ""} {
		runIn(t, name, yaml, func(w *world) {
			d := w.carrier.newCall("+15075785607")
			d.sdp = sdp
			in := w.carrier.ringsAt(w.agent, d)
			w.hears()
			w.carrier.isBusyAt(w.agent, in, "agent1", d)
			w.wantRecord("busy", cause.TargetBusy, record.EndedByAgent)
		})
	}
}

// The next target rings again, whatever the one before let be heard.
func TestRingbackForTheNextTarget(t *testing.T) {
	yaml := strings.ReplaceAll(talkYAML("", ""), `targets: [agent, spare], ringing: on-target`, `targets: [agent, spare], ringing: session-progress, ringback: eu`)
	inWorldWith(t, yaml, func(w *world) {
		d := w.carrier.dials("+15085785607")
		d.learn(w.carrier.expect("SIP/2.0 183"))
		first := w.agent.expect("INVITE")
		w.hears(strings.Replace(ringing, "6s", "5s", 1))
		w.agent.reply(first, 183, "Early", "a", siptest.SessionAt("192.0.2.20", 30000, "0 101"))
		w.agent.concludes(first, 500, "Broken", "a", "")
		second := w.agent2.expect("INVITE") // has PCMA alone
		w.hears()                           // what has yielded goes on by itself
		if to := w.relay.sessions[0].peers[media.SideB].RTP; to.IsValid() {
			t.Errorf("the caller is sent to %v, which has not taken the call", to)
		}
		w.carrier.isTakenWith(w.agent2, second, "b", d, siptest.SessionAt("192.0.2.21", 30002, "8 101"))
		w.hears(quiet)
		w.callerEnds(w.agent2, d)
	})
}

// hold: a tone, for who is held, in its own codec.
func TestHoldTone(t *testing.T) {
	yaml := strings.ReplaceAll(talkYAML("", "codecs: [PCMA]"), `targets: [agent]`, `targets: [agent], hold: hold`)
	inWorldWith(t, yaml, func(w *world) {
		c := w.talkIn("0 101", "8 101")
		w.hears()
		c.carrier.changes("INVITE", siptest.SessionAt("192.0.2.10", 20000, "0 101", "a=sendonly"), "200")
		w.hears("b hears 10s of law 1 as 8, loop true, yield true")
		c.carrier.changes("INVITE", siptest.SessionAt("192.0.2.10", 20000, "0 101"), "200")
		w.hears("b hears nothing")
		c.agent.changes("INVITE", siptest.SessionAt("192.0.2.20", 30000, "8 101", "a=inactive"), "200")
		w.hears("a hears 10s of law 0 as 0, loop true, yield true")
		c.agent.changes("INVITE", siptest.SessionAt("192.0.2.20", 30000, "8 101", "a=inactive"), "200") // a refresh
		w.hears()
		c.agent.changes("INVITE", siptest.SessionAt("192.0.2.20", 30000, "8 101"), "200")
		w.hears("a hears nothing")
		w.callerEnds(w.agent, c.d)
	})
}

func TestPtimeOfADescription(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"a=ptime:20": 20 * time.Millisecond, "a=ptime: 40": 40 * time.Millisecond, "a=ptime:60": 60 * time.Millisecond,
		"a=ptime:5": 0, "a=ptime:25": 0, "a=ptime:120": 0, "a=ptime:x": 0, "a=sendrecv": 0,
	} {
		d, err := sdp.Parse([]byte(siptest.SessionAt("192.0.2.10", 20000, "0", line)))
		must(t, err)
		if got := d.Ptime(); got != want {
			t.Errorf("%s: got %v; want %v", line, got, want)
		}
	}
}
