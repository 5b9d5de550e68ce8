package calltest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/media"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// After an upgrade during the detection of who answered, the person is told before the agent is called.
func TestUpgradeBeforeTheStatement(t *testing.T) {
	inWorldWith(t, placedTell("machine: hangup"), func(w *world) {
		invite := w.isTaken()
		w.upgraded()
		w.tells()
		if early := w.agent.rest(); len(early) > 0 {
			t.Fatalf("the agent is called untold: %v", early)
		}
		w.toldPerson(invite)
	})
}

// A route that is no longer there in a process that replaces another does not make the statement optional.
func TestRouteGoneDuringTheStatement(t *testing.T) {
	for _, upgraded := range []bool{true, false} {
		inWorldWith(t, tellConfig, func(w *world) {
			d := w.isTold("+15075785607")
			time.Sleep(statement / 2)
			w.reconfigured("targets: [agent, spare], tell", "targets: [spare], tell")
			w.replaced(d, upgraded)
			hungUpOn(w.carrier)
			r := w.wantRecord(record.DispositionFailed, cause.NotTold, record.EndedBySystem)
			if r.Told == nil || r.Told.Whole {
				t.Errorf("told %+v", r.Told)
			}
		})
	}
}

// After an upgrade in the statement, a move, and a kill, it begins again.
func TestStatementAfterUpgradeAndKill(t *testing.T) {
	inWorldWith(t, tellConfig, func(w *world) {
		d := w.isTold("+15075785607")
		w.hearsHalf()
		w.upgraded()
		if at := w.session().plays[media.SideA].From; at != statement/2 {
			t.Fatalf("it goes on at %v", at)
		}
		w.talkOf(d, received{}).carrier.changes("INVITE", siptest.SessionAt("192.0.2.10", 20010, "0 101"), "200")
		w.replaced(d, false)
		w.tells()
		if at := w.session().plays[media.SideA].From; at != 0 {
			t.Errorf("it goes on at %v after a kill", at)
		}
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
	})
}

// After an upgrade in the statement, the media finds the caller at another address. The record claims only what is said
// there, even if the call ends in the middle. A key counts only if it is pressed there.
func TestMediaMovesTheCaller(t *testing.T) {
	const whole, cut, unknown, moved = "whole", "cut", "cut before the call knows of it", "no key"
	for _, name := range []string{whole, cut, unknown, moved} {
		runIn(t, name, tellsWith(`accept: {key: "1", within: 6s}`), func(w *world) {
			d := w.isTold("+15075785607")
			w.hearsHalf()
			if name == moved {
				w.presses('1')
			}
			w.upgraded()
			time.Sleep(time.Second)
			s := w.session()
			s.clocked = true
			if event := s.beginsAgain(media.SideA); name != unknown {
				s.onEvent(event)
			}
			began := time.Now()
			s.heard = nil
			w.talkOf(d, received{}).carrier.changes("UPDATE", siptest.SessionAt("192.0.2.10", 20000, "0 101"), "200")
			if synctest.Wait(); len(s.heard) > 0 {
				t.Errorf("it begins once more: %v", s.heard)
			}
			w.tells()
			time.Sleep(statement / 2)
			if name == cut || name == unknown {
				w.carrier.bye(d)
				w.carrier.expect("SIP/2.0 200")
				r := w.wantRecord(record.DispositionCancelled, cause.CallerHangup, record.EndedByCaller)
				if r.Told == nil || r.Told.Packets != 125 || r.Told.FromMS != began.Sub(r.StartedAt.Time).Milliseconds() {
					t.Errorf("told %+v", r.Told)
				}
				return
			}
			time.Sleep(statement / 2)
			sent := saidWhole()
			sent.Restarts = 1
			w.said(sent)
			if name == moved {
				time.Sleep(6*time.Second + time.Millisecond)
				hungUpOn(w.carrier)
				if r := w.wantRecord(record.DispositionFailed, cause.NotAccepted, record.EndedBySystem); r.Told.Packets != 250 {
					t.Errorf("told %+v", r.Told)
				}
				return
			}
			w.presses('1')
			w.takes(w.agent)
			w.carrier.hangsUpOn(w.agent, d)
			if r := w.record(); r.Told == nil || !r.Told.Counts() || r.Told.Packets != 250 {
				t.Errorf("told %+v", r.Told)
			}
		})
	}
}

// A key that was pressed at an earlier address does not count after an upgrade, also if the old process gets no event of
// the move any more.
func TestUpgradeBeforeTheMoveIsKnown(t *testing.T) {
	for name, tt := range map[string]struct {
		known   bool // there was another move before the key
		unknown bool // there is one after it
	}{"a move": {false, true}, "a second move": {true, true}, "the key is from after the move": {true, false}} {
		runIn(t, name, tellsWith(`accept: {key: "1", within: 6s}`), func(w *world) {
			d := w.isTold("+15075785607")
			s := w.session()
			s.clocked = true
			time.Sleep(time.Second)
			if tt.known {
				s.moves(media.SideA)
			}
			w.presses('1')
			if tt.unknown {
				s.beginsAgain(media.SideA)
			}
			time.Sleep(time.Second)
			w.upgraded()
			w.tells()
			if at := w.session().plays[media.SideA].From; at != time.Second {
				t.Fatalf("it goes on at %v", at)
			}
			time.Sleep(statement - time.Second)
			rest := saidWhole()
			rest.Packets -= 50
			w.said(rest)
			if tt.unknown {
				time.Sleep(6*time.Second + time.Millisecond)
				hungUpOn(w.carrier)
				w.wantRecord(record.DispositionFailed, cause.NotAccepted, record.EndedBySystem)
				return
			}
			w.takes(w.agent)
			w.carrier.hangsUpOn(w.agent, d)
			if r := w.record(); r.Told == nil || !r.Told.Counts() || r.Told.Packets != 250 {
				t.Errorf("told %+v", r.Told)
			}
		})
	}
}

// The agent of a caller whom the media moves is called for the end of the statement that begins again.
func TestAgentOfACallerThatIsMoved(t *testing.T) {
	inWorldWith(t, tellConfig, func(w *world) {
		w.usuallyAnswers("agent", 3*time.Second)
		d := w.isTold("+15075785607")
		time.Sleep(time.Second)
		w.session().moves(media.SideA)
		time.Sleep(statement - 3*time.Second - time.Millisecond)
		if early := w.agent.rest(); len(early) > 0 {
			t.Fatalf("the agent is called too early: %v", early)
		}
		time.Sleep(2 * time.Millisecond)
		w.takes(w.agent)
		w.carrier.hangsUpOn(w.agent, d)
	})
}

// Targets that ring for long leave time to say that none of them takes the call.
func TestNotTakenAfterLongRinging(t *testing.T) {
	inWorldWith(t, tellsWith("not_taken: us"), func(w *world) {
		w.isTold("+15075785607")
		w.hearsAll()
		first := w.agent.progresses(180, "Ringing", "a", "")
		time.Sleep(59 * time.Second)
		w.agent.concludes(first, 503, "No", "a", "")
		second := w.agent2.progresses(180, "Ringing", "b", "")
		time.Sleep(59 * time.Second)
		w.agent2.concludes(second, 486, "Busy", "b", "")
		synctest.Wait()
		time.Sleep(20 * time.Second)
		if left := w.carrier.rest(); len(left) > 0 {
			t.Fatalf("the call ends before that was said:\n%s", left[0].raw)
		}
		w.said(media.Sent{At: time.Second, Packets: 50})
		hungUpOn(w.carrier)
		w.wantRecord(record.DispositionFailed, cause.TargetBusy, record.EndedBySystem)
	})
}

// A key counts when the statement has to be said again because of us, and not when it is for another address.
func TestKeyOfAStatementThatIsRepeated(t *testing.T) {
	for name, moves := range map[string]bool{"not sent whole": false, "moved": true} {
		runIn(t, name, tellsWith(`accept: {key: "1", within: 6s}`), func(w *world) {
			d := w.isTold("+15075785607")
			time.Sleep(statement / 2)
			w.presses('1')
			if moves {
				w.talkOf(d, received{}).carrier.changes("INVITE", siptest.SessionAt("192.0.2.10", 20010, "0 101"), "200")
			} else {
				w.said(media.Sent{At: statement, Packets: 249, Missed: 1})
			}
			w.tells()
			w.hearsAll()
			if moves {
				time.Sleep(6*time.Second + time.Millisecond)
				hungUpOn(w.carrier)
				w.wantRecord(record.DispositionFailed, cause.NotAccepted, record.EndedBySystem)
				return
			}
			w.takes(w.agent)
			w.carrier.hangsUpOn(w.agent, d)
			if r := w.record(); r.Told == nil || !r.Told.Counts() || r.Told.Key != "1" {
				t.Errorf("told %+v", r.Told)
			}
		})
	}
}

// A caller that keeps the call on hold gets its agent untold where the statement is not required.
func TestHoldWithoutEndIsNoObstacle(t *testing.T) {
	inWorldWith(t, tellsWith("required: false"), func(w *world) {
		d := w.isTold("+15075785607")
		c := w.talkOf(d, received{})
		c.carrier.changes("INVITE", siptest.SessionAt("192.0.2.10", 20000, "0 101", "a=inactive"), "200")
		time.Sleep(statement + 2*time.Minute + time.Millisecond)
		w.letsIn()
		w.takes(w.agent)
		w.carrier.hangsUpOn(w.agent, d)
		if r := w.record(); r.Told == nil || r.Told.Whole {
			t.Errorf("told %+v", r.Told)
		}
	})
}

// No order records a caller during its statement.
func TestRecordingDuringTheStatement(t *testing.T) {
	yaml := "recording: {path: unused}\n" + replacedOnce(tellConfig, "tell: {sound: eu}", "tell: {sound: eu}, record: on_demand")
	inRecordedWorld(t, yaml, func(w *recorded) {
		d := w.isTold("+15075785607")
		id := w.server.Live(w.t.Context())[0].Record.ID
		_, err := w.server.Order(w.t.Context(), id, bridge.OrderRecord)
		if err == nil || !strings.Contains(err.Error(), "is being told") {
			t.Errorf("the order gets %v", err)
		}
		w.hearsAll()
		w.takes(w.agent)
		if _, err := w.server.Order(w.t.Context(), id, bridge.OrderRecord); err != nil {
			t.Error(err)
		}
		w.carrier.hangsUpOn(w.agent, d)
		w.record()
	})
}

// The receipt says how much the caller has reported lost only if a report came during the statement.
func TestReportedLosses(t *testing.T) {
	for name, tt := range map[string]struct {
		before, lost int64 // what the caller's last report says before the statement, and at its end; -1: there is none
		mute         bool  // no report comes during the statement
		moves        bool  // the media moves the caller after a report, and none follows
	}{
		"no report":                          {-1, -1, false, false},
		"reports":                            {0, 4, false, false},
		"only an older report":               {4, 4, true, false},
		"only a report from before the move": {0, 4, true, true},
		"reports after a move":               {0, 4, false, true}, // they may count what went to the earlier address
	} {
		runIn(t, name, tellConfig, func(w *world) {
			d := w.carrier.newCall("+15075785607")
			w.carrier.invitesTillRung(d)
			w.session().lost, w.session().reports, w.session().mute = tt.before, 1, tt.mute
			w.carrier.isAnswered(d)
			w.tells()
			if w.session().lost = tt.lost; tt.moves {
				w.session().reports++
				w.session().moves(media.SideA)
			}
			time.Sleep(statement)
			sent := saidWhole()
			sent.First = time.Now().Add(-statement)
			w.said(sent)
			w.takes(w.agent)
			w.carrier.hangsUpOn(w.agent, d)
			switch r := w.record(); {
			case (tt.lost < 0 || tt.mute || tt.moves) && r.Told.Lost != nil:
				t.Errorf("%d are lost without a report of this statement", *r.Told.Lost)
			case tt.lost >= 0 && !tt.mute && !tt.moves && (r.Told.Lost == nil || *r.Told.Lost != tt.lost):
				t.Errorf("lost %v; want %d", r.Told.Lost, tt.lost)
			}
		})
	}
}
