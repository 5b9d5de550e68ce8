package calltest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/registry"
	"flowbridge/store/record"
)

// hungUp waits for the end of a call that an operator hangs up.
func (w *world) hungUp(id string) registry.LiveCall {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
	defer cancel()
	l, err := w.server.Order(ctx, id, bridge.OrderHangup)
	if err != nil || l.Phase != "ending" || l.Record.Cause != string(cause.OperatorHangup) || l.Record.EndedAt.IsZero() {
		w.t.Errorf("hangup: phase %s, cause %q, ended %v, %v", l.Phase, l.Record.Cause, l.Record.EndedAt, err)
	}
	return l
}

// onlyID is the id of the one live call.
func (w *world) onlyID() string {
	w.t.Helper()
	synctest.Wait()
	live := w.server.Live(w.t.Context())
	if len(live) != 1 {
		w.t.Fatalf("%d live calls", len(live))
	}
	return live[0].Record.ID
}

const operatorReason = `Q.850;cause=16;text="operator_hangup"`

// An operator's hangup ends both legs of a call that is up. Given again, it changes nothing.
func TestHangup(t *testing.T) {
	inWorld(t, func(w *world) {
		w.established()
		id := w.onlyID()
		w.hungUp(id)
		toCarrier, toAgent := w.carrier.expect("BYE"), w.agent.expect("BYE")
		for _, bye := range []received{toCarrier, toAgent} {
			if got := bye.value("Reason"); got != operatorReason {
				t.Errorf("Reason: %s", got)
			}
		}
		w.carrier.reply(toCarrier, 200, "OK", "", "")
		w.agent.reply(toAgent, 200, "OK", "", "")
		if r := w.wantRecord("answered", cause.OperatorHangup, record.EndedByOperator); r.ID != id || r.Q850 != 16 || r.SIPStatus != 200 {
			t.Errorf("record %+v", r)
		}
		if _, err := w.server.Order(w.t.Context(), id, bridge.OrderHangup); !errors.Is(err, b2bua.ErrNoCall) {
			t.Errorf("when the record is written: %v", err)
		}
	})
}

// A call whose record is not written yet answers a second hangup with how it ended.
func TestHangupAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		d, _ := w.established()
		id := w.onlyID()
		w.sink.hold = make(chan struct{})
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
		bye := w.agent.expect("BYE")
		for range 2 {
			l, err := w.server.Order(w.t.Context(), id, bridge.OrderHangup)
			if err != nil || l.Record.Cause != string(cause.CallerHangup) || l.Record.EndedBy != record.EndedByCaller {
				t.Errorf("%v: cause %s by %s", err, l.Record.Cause, l.Record.EndedBy)
			}
			if bye.raw != "" { // the second time the call's goroutine is over, too
				w.agent.reply(bye, 200, "OK", "", "")
				bye = received{}
			}
			time.Sleep(time.Minute)
		}
		close(w.sink.hold)
		w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller)
	})
}

// While it rings, the target gets CANCEL and the caller 480.
func TestHangupWhileRinging(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.dialsTillRung("+15075785607")
		invite := w.agent.progresses(180, "Ringing", "agent1", "")
		w.hungUp(w.onlyID())
		w.carrier.isRefused(d, "480")
		cancelled := w.agent.expect("CANCEL")
		if got := cancelled.value("Reason"); got != operatorReason {
			t.Errorf("Reason: %s", got)
		}
		w.agent.reply(cancelled, 200, "OK", "", "")
		w.agent.concludes(invite, 487, "Request Terminated", "agent1", "")
		r := w.wantRecord("cancelled", cause.OperatorHangup, record.EndedByOperator)
		if r.SIPStatus != 480 || len(r.Attempts) != 1 || r.Attempts[0].Cause != string(cause.OperatorHangup) {
			t.Errorf("record %+v", r)
		}
	})
}

// While the platform's API is asked, nothing is dialled any more.
func TestHangupWhilePreparing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.prepare.after = time.Second
		d := w.carrier.dialsTillRung("+15075785607")
		w.hungUp(w.onlyID())
		w.carrier.isRefused(d, "480")
		w.agent.silent(5 * time.Second)
		w.wantRecord("cancelled", cause.OperatorHangup, record.EndedByOperator)
	})
}

// During a transfer the caller, the agent and the party that rings are told.
func TestHangupDuringTransfer(t *testing.T) {
	inWorldWith(t, transferConfig, func(w *world) {
		_, invite := w.established()
		w.referred(invite, "<sip:+15075550177@198.51.100.1>")
		called := w.carrier.expect("INVITE sip:+15075550177@192.0.2.10:5060")
		w.carrier.reply(called, 180, "Ringing", "human", "")
		w.agent.notified("180", "active")
		w.hungUp(w.onlyID())
		for range 3 { // and the ACK of the 487
			switch m := w.carrier.expect(""); m.value("CSeq")[2:] {
			case "CANCEL":
				w.carrier.reply(m, 200, "OK", "", "")
				w.carrier.reply(called, 487, "Request Terminated", "human", "")
			case "BYE":
				w.carrier.reply(m, 200, "OK", "", "")
			}
		}
		for range 2 {
			w.agent.reply(w.agent.expect(""), 200, "OK", "", "") // the last NOTIFY, and BYE
		}
		w.wantRecord("answered", cause.OperatorHangup, record.EndedByOperator)
	})
}
