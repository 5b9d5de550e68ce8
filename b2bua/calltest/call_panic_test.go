package calltest

import (
	"errors"
	"testing"

	"flowbridge/b2bua/cause"
	"flowbridge/store/record"
)

// A panic ends only its own call: both legs are hung up, and the record has a cause.
func TestPanicEndsItsCallOnly(t *testing.T) {
	inWorld(t, func(w *world) {
		d, _ := w.established()
		w.relay.broken = true
		other, invite := w.carrier.callsAt(w.agent, "+15075785607")
		w.agent.takes(invite, "other")
		w.carrier.isRefused(other, "500")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		r := w.wantRecord("failed", cause.InternalError, record.EndedBySystem)
		if r.SIPStatus != 500 {
			t.Errorf("status %d", r.SIPStatus)
		}
		w.panics = 1
		w.relay.broken = false
		w.callerEnds(w.agent, d)
	})
}

// A panic while a target is prepared fails that attempt: the caller is refused, with the cause, and the next call is
// answered.
func TestPanicInPreparation(t *testing.T) {
	inWorld(t, func(w *world) {
		w.prepare.err = errPanics
		d := w.carrier.dialsTillRung("+15075785607")
		w.carrier.isRefused(d, "503")
		w.wantRecord("failed", cause.InternalError, record.EndedBySystem)
		w.panics, w.prepare.err = 1, nil
		again, _ := w.established()
		w.callerEnds(w.agent, again)
	})
}

// If no media ports are free, a caller gets 503, and the platform is not asked.
func TestNoPorts(t *testing.T) {
	inWorld(t, func(w *world) {
		w.relay.fail = errors.New("no free RTP ports")
		d := w.carrier.dials("+15075785607")
		if refused := d.learn(w.carrier.expect("SIP/2.0 503")); refused.value("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
		w.carrier.ackRefused(d)
		w.wantRecord("failed", cause.NoPorts, record.EndedBySystem)
		if len(w.prepare.asked) != 0 {
			t.Error("the platform was asked")
		}
	})
}
