package calltest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/circuit"
	"flowbridge/b2bua/outbound"
	"flowbridge/store/record"
)

// callsFor places a call every tenth of a second for d, and returns the records in order.
func (w *world) callsFor(d time.Duration, to string) []record.Record {
	w.t.Helper()
	before := len(w.sink.done)
	calls := map[string]*dialogue{}
	const step = 100 * time.Millisecond
	for at := time.Duration(0); at < d+10*time.Second; at += step {
		if at < d {
			c := w.carrier.dials(to)
			calls[c.callID] = c
		}
		time.Sleep(step)
		for _, m := range w.carrier.rest() {
			if c := calls[m.value("Call-ID")]; strings.HasPrefix(m.raw, "SIP/2.0 5") {
				c.learn(m)
				w.carrier.ackRefused(c)
			}
		}
	}
	all := slices.SortedFunc(slices.Values(w.sink.done[before:]), func(a, b record.Record) int { return a.StartedAt.Compare(b.StartedAt.Time) })
	if len(all) != len(calls) {
		w.t.Fatalf("%d records of %d calls", len(all), len(calls))
	}
	return all
}

// attemptsOf counts the attempts of records by target and cause.
func attemptsOf(records []record.Record) map[string]int {
	all := map[string]int{}
	for i := range records {
		for _, a := range records[i].Attempts {
			all[a.Target+" "+a.Cause]++
		}
	}
	return all
}

// While the platform's API hangs, only callers before its first timeout wait for it. After that one caller waits after
// each pause, and the others move on at once.
func TestHangingAPICostsNobodyElse(t *testing.T) {
	inWorld(t, func(w *world) {
		w.prepare.after = 3 * time.Second
		w.prepare.err = &outbound.PrepareError{Cause: cause.PrepareTimeout, Err: fmt.Errorf("timeout")}
		records := w.callsFor(12*time.Second, "+15075785607")
		for i := range records {
			r := &records[i]
			a := r.Attempts[0]
			switch at := records[i].StartedAt.Sub(records[0].StartedAt.Time); {
			case cause.Cause(a.Cause) == cause.PrepareTimeout && a.MS == 3000:
			case cause.Cause(a.Cause) == cause.APICircuitOpen && a.MS == 0 && at >= 3*time.Second && r.SIPStatus == 503:
			default:
				t.Errorf("call at %v: %+v", at, a)
			}
		}
		// 30 before the first timeout, and one at 4, 9 s: 1 s, then 2 s after its timeout.
		got := attemptsOf(records)
		if got["agent prepare_timeout"] != 30+2 || got["agent api_circuit_open"] != 120-32 {
			t.Errorf("attempts: %v", got)
		}
		if s := w.admission.Circuits(); len(s) != 3 || !s[1].API || s[1].Opened != 1 || s[0].Opened != 0 {
			t.Errorf("circuits: %+v", s)
		}
	})
}

// If a target does not answer its INVITEs, later calls skip it and try the next target at once. A 100 Trying from it
// closes the circuit, even before the call is answered.
func TestSilentTargetIsLeftOut(t *testing.T) {
	inWorld(t, func(w *world) {
		for i := range 3 { // these calls wait
			d := w.carrier.dials("+15085785607")
			time.Sleep(4 * time.Second)
			w.carrier.isBusyAt(w.agent2, w.agent2.expect("INVITE"), "x", d)
			if r := w.record(); r.Attempts[0].Cause != string(cause.TargetSilent) || r.Attempts[0].MS != 4000 {
				t.Errorf("call %d: %+v", i, r.Attempts)
			}
		}
		began := time.Now()
		d := w.carrier.newCall("+15085785607") // this call does not wait
		w.carrier.invite(d)
		w.carrier.isBusyAt(w.agent2, w.agent2.expect("INVITE"), "x", d)
		w.wantCauses(w.record(), cause.TargetCircuitOpen, cause.TargetBusy)
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %v", took)
		}
		w.agent.drainFor(time.Minute) // INVITEs that the agent does not answer
		d = w.carrier.newCall("+15085785607")
		w.carrier.invite(d)
		invite := w.agent.expect("INVITE")
		if s := w.admission.Circuits()[0]; s.State != circuit.HalfOpen {
			t.Errorf("while it is tried: %+v", s)
		}
		w.agent.reply(invite, 100, "Trying", "", "")
		time.Sleep(time.Millisecond)
		if s := w.admission.Circuits()[0]; s.State != circuit.Closed || s.Opened != 1 || s.Refused != 1 {
			t.Errorf("once it tries: %+v", s)
		}
		w.agent.reply(invite, 180, "Ringing", "a", "")
		w.carrier.expect("SIP/2.0 180")
		w.carrier.isBusyAt(w.agent, invite, "a", d)
	})
}

// A trunk at which no phone is registered does not open the circuit: no caller waits for it, and the next phone that
// registers can be called at once.
func TestNobodyRegisteredIsNoOutage(t *testing.T) {
	inWorldWith(t, phoneConfig, func(w *world) {
		got := attemptsOf(w.callsFor(5*time.Second, "+15075785607"))
		if got["phone target_unreachable"] != 50 || len(got) != 1 {
			t.Errorf("attempts: %v", got)
		}
		if s := w.admission.Peers.Load().Callees["phone"].SIP.Status(); s != (circuit.Status{}) {
			t.Errorf("circuit: %+v", s)
		}
	})
}
