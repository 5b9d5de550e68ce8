package calltest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/registry"
	"flowbridge/store/record"
)

// hungUp orders a hangup, and waits until the call has ended.
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

// onlyID returns the id of the only live call.
func (w *world) onlyID() string {
	w.t.Helper()
	synctest.Wait()
	live := w.server.Live(w.t.Context())
	if len(live) != 1 {
		w.t.Fatalf("%d live calls", len(live))
	}
	return live[0].Record.ID
}

// If a call has ended but its record is not written yet, a second hangup gets the call's
// end as its result.
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
			if bye.raw != "" { // the second time, the call's goroutine has ended as well
				w.agent.reply(bye, 200, "OK", "", "")
				bye = received{}
			}
			time.Sleep(time.Minute)
		}
		close(w.sink.hold)
		w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller)
	})
}

// A hangup during a transfer ends the legs of the caller, the agent and the ringing party.
func TestHangupDuringTransfer(t *testing.T) {
	inWorldWith(t, transferConfig, func(w *world) {
		_, invite := w.established()
		w.referred(invite, "<sip:+15075550177@198.51.100.1>")
		called := w.carrier.expect("INVITE sip:+15075550177@192.0.2.10:5060")
		w.carrier.reply(called, 180, "Ringing", "human", "")
		w.agent.notified("180", "active")
		w.hungUp(w.onlyID())
		for range 3 { // one of the messages is the ACK to the 487
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

// An operator's hangup ends both legs, at any stage of a call.
func TestOperatorHangsUp(t *testing.T) {
	tell(t, testConfig, strings.ReplaceAll(`
== a call that is up
up: agent
operator: ends it
carrier: gets BYE | REASON ; says 200
agent: gets BYE | REASON ; says 200
record: answered operator_hangup operator | Q850: 16 | SIPStatus: 200

== while it rings
carrier: calls 15075785607 ; gets 180
agent: gets INVITE ; says 180
operator: ends it
carrier: gets 480 ; acks
agent: gets CANCEL | REASON ; says 200 to CANCEL ; says 487 ; gets ACK
record: cancelled operator_hangup operator | SIPStatus: 480 | attempts: agent operator_hangup

== while the platform's API is asked: nothing is dialled any more
platform: takes 1s
carrier: calls 15075785607 ; gets 180
operator: ends it
carrier: gets 480 ; acks
agent: silent 5s
record: cancelled operator_hangup operator`, "REASON", `Reason: Q.850;cause=16;text="operator_hangup"`))
	inWorld(t, func(w *world) {
		d, _ := w.established()
		id := w.onlyID()
		w.callerEnds(w.agent, d)
		if _, err := w.server.Order(w.t.Context(), id, bridge.OrderHangup); !errors.Is(err, b2bua.ErrNoCall) {
			t.Errorf("when the record is written: got %v; want %v", err, b2bua.ErrNoCall)
		}
	})
}
