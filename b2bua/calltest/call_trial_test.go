package calltest

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/circuit"
	"flowbridge/b2bua/outbound"
)

// breaks opens a circuit, and waits until the pause is over and one call may try it.
func breaks(b *circuit.Breaker) {
	for range 3 {
		try, _ := b.Begin(time.Now())
		time.Sleep(600 * time.Millisecond)
		b.End(time.Now(), &try, circuit.Failed)
	}
	time.Sleep(time.Second)
}

// busyAt makes the second agent refuse the call, which it must get after want.
func (w *world) busyAt(d *dialogue, want time.Duration) {
	w.t.Helper()
	begin := time.Now()
	w.agent2.refuses(486)
	if took := time.Since(begin); took != want {
		w.t.Errorf("the second target is called after %v; want %v", took, want)
	}
	w.carrier.isRefused(d, "486")
}

// A caller whose call is the trial of a hanging API moves on to the next target after half of the timeout. The later
// result of the request still decides the circuit's state.
func TestTrialOfAnAPI(t *testing.T) {
	timeout := &outbound.PrepareError{Cause: cause.PrepareTimeout, Err: errors.New("timeout")}
	for name, tt := range map[string]struct {
		after   time.Duration
		err     error
		goesOn  bool
		state   circuit.State
		undials bool
	}{
		"hangs":           {3 * time.Second, timeout, true, circuit.Open, false},
		"answers late":    {2 * time.Second, nil, true, circuit.Closed, true},
		"answers in time": {1400 * time.Millisecond, nil, false, circuit.Closed, false},
		"fails in time":   {time.Second, timeout, false, circuit.Open, false},
	} {
		runIn(t, name, testConfig, func(w *world) {
			api := w.admission.Peers.Load().Targets["agent"].API
			breaks(api)
			w.prepare.after, w.prepare.err = tt.after, tt.err
			d := w.carrier.dials("+15085785607")
			switch {
			case tt.goesOn:
				w.busyAt(d, 1500*time.Millisecond)
				w.wantCauses(w.record(), cause.PrepareTimeout, cause.TargetBusy)
				if s := api.Status(); s.State != circuit.HalfOpen {
					w.t.Errorf("while it is tried: %+v", s)
				}
			case tt.err != nil:
				w.busyAt(d, tt.after)
				w.wantCauses(w.record(), cause.PrepareTimeout, cause.TargetBusy)
			default:
				w.carrier.isBusyAt(w.agent, w.agent.expect("INVITE"), "x", d)
				w.wantCauses(w.record(), cause.TargetBusy)
			}
			time.Sleep(2 * time.Second)
			if s := api.Status(); s.State != tt.state {
				w.t.Errorf("after it: %+v", s)
			}
			w.agent.silent(time.Minute)
		})
	}
	for name, rings := range map[string]time.Duration{"answered": 0, "ringing": time.Second} {
		runIn(t, "a call that was prepared for nobody is in the ladder, another is "+name, testConfig, func(w *world) {
			breaks(w.admission.Peers.Load().Targets["agent"].API)
			w.prepare.after = 2 * time.Second
			d := w.carrier.dials("+15085785607")
			invite := w.agent2.expect("INVITE")
			w.agent2.reply(invite, 180, "Ringing", "b", "")
			w.carrier.expect("SIP/2.0 180")
			time.Sleep(rings)
			w.carrier.isTakenBy(w.agent2, invite, "b", d)
			time.Sleep(time.Second)
			w.callerHangsUpAt(w.agent2, d)
			id := w.record().ID
			w.drain(time.Minute)
			if all := strings.Join(lines(w.ladder(id)), "\n"); !strings.Contains(all, "lags: the caller goes on") || !strings.Contains(all, "has prepared a call that is not dialled") {
				w.t.Errorf("ladder:\n%s", all)
			}
		})
	}
}

// A target whose calls are silent leaves them to another target that can take them, except for one a minute. Without
// such a target it is called.
func TestSilentTarget(t *testing.T) {
	const to = "+15085785607"
	runIn(t, "skipped", testConfig, func(w *world) {
		w.admission.Silence("agent", "12 calls")
		d := w.carrier.dials(to)
		w.busyAt(d, 0)
		r := w.record()
		w.wantCauses(r, cause.TargetCircuitOpen, cause.TargetBusy)
		time.Sleep(time.Minute)
		if all := strings.Join(lines(w.ladder(r.ID)), "\n"); !strings.Contains(all, "target agent is skipped: 12 calls") {
			t.Errorf("ladder:\n%s", all)
		}
		d = w.carrier.dials(to) // the call that tries
		w.carrier.isBusyAt(w.agent, w.agent.expect("INVITE"), "x", d)
		w.wantCauses(w.record(), cause.TargetBusy)
		w.busyAt(w.carrier.dials(to), 0)
		w.wantCauses(w.record(), cause.TargetCircuitOpen, cause.TargetBusy)
		w.admission.Heard("agent", time.Now())
		d = w.carrier.dials(to)
		w.carrier.isBusyAt(w.agent, w.agent.expect("INVITE"), "x", d)
		w.wantCauses(w.record(), cause.TargetBusy)
		w.drain(time.Minute)
	})
	for name, to := range map[string]string{"the only one": "+15075785607", "both are silent": to} {
		runIn(t, name, testConfig, func(w *world) {
			w.admission.Silence("agent", "12 calls")
			w.admission.Silence("spare", "12 calls")
			d := w.carrier.newCall(to)
			if w.carrier.invite(d); name == "the only one" {
				d.learn(w.carrier.expect("SIP/2.0 180"))
			}
			w.carrier.isBusyAt(w.agent, w.agent.expect("INVITE"), "x", d)
			w.wantCauses(w.record(), cause.TargetBusy)
			w.drain(time.Minute)
		})
	}
}

// If no other target can take the call, the caller waits for the whole trial.
func TestTrialWithoutNextTarget(t *testing.T) {
	for name, to := range map[string]string{"the only one": "+15075785607", "the next is out of use": "+15085785607"} {
		runIn(t, name, testConfig, func(w *world) {
			targets := w.admission.Peers.Load().Targets
			breaks(targets["agent"].API)
			for range 3 { // until its pause is longer than this test
				try, _ := targets["spare"].SIP.Begin(time.Now())
				time.Sleep(600 * time.Millisecond)
				targets["spare"].SIP.End(time.Now(), &try, circuit.Failed)
			}
			_, _ = targets["spare"].SIP.Begin(time.Now().Add(time.Hour)) // another call is the trial of the spare agent
			w.prepare.after = 2900 * time.Millisecond
			d := w.carrier.dials(to)
			begin := time.Now()
			w.agent.refuses(486)
			if took := time.Since(begin); took != w.prepare.after {
				w.t.Errorf("it is called after %v", took)
			}
			for _, m := range w.carrier.rest() { // with or without 180, depending on the route
				d.learn(m)
			}
			w.carrier.ackRefused(d)
			w.wantCauses(w.record(), cause.TargetBusy)
		})
	}
}

// A caller whose INVITE is the trial of a silent target moves on after half of the timeout. A later answer of the
// target changes only the circuit.
func TestTrialOfATarget(t *testing.T) {
	ends := func(code int) func(w *world, invite received) {
		return func(w *world, invite received) {
			w.agent.concludes(invite, code, "No", "a", "")
		}
	}
	for name, tt := range map[string]struct {
		says  func(w *world, invite received)
		state circuit.State
	}{
		"nothing": {func(*world, received) {}, circuit.Open},
		"100": {func(w *world, invite received) {
			w.agent.reply(invite, 100, "Trying", "", "")
			w.agent.takesCancel(invite, "a")
		}, circuit.Closed},
		"486": {ends(486), circuit.Closed},
		"503": {ends(503), circuit.Open},
		"200": {func(w *world, invite received) {
			w.agent.takes(invite, "a")
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		}, circuit.Closed},
	} {
		runIn(t, name, testConfig, func(w *world) {
			target := w.admission.Peers.Load().Targets["agent"]
			breaks(target.SIP)
			d := w.carrier.dials("+15085785607")
			invite := w.agent.expect("INVITE")
			begin := time.Now()
			w.busyAt(d, 2*time.Second) // the call is over, but the trial continues
			r := w.record()
			w.wantCauses(r, cause.TargetSilent, cause.TargetBusy)
			w.agent.rest() // retransmissions of the INVITE
			if s := target.SIP.Status(); s.State != circuit.HalfOpen {
				w.t.Errorf("while it is tried: %+v", s)
			}
			tt.says(w, invite)
			time.Sleep(4*time.Second - time.Since(begin))
			synctest.Wait()
			if s := target.SIP.Status(); s.State != tt.state {
				w.t.Errorf("after it: %+v", s)
			}
			w.agent.drainFor(time.Minute)
		})
	}
	third := strings.NewReplacer("[agent, spare]", "[agent, spare, third]", "routes:",
		`  - {name: third, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.20:32681"}`+"\nroutes:").Replace(testConfig)
	runIn(t, "a refusal ends its time, and the next trial has its own", third, func(w *world) {
		breaks(w.admission.Peers.Load().Targets["agent"].SIP)
		breaks(w.admission.Peers.Load().Targets["spare"].SIP)
		d := w.carrier.dials("+15085785607")
		invite := w.agent.expect("INVITE")
		time.Sleep(400 * time.Millisecond) // before the INVITE is repeated
		w.agent.concludes(invite, 503, "No", "a", "")
		w.agent2.expect("INVITE")
		begin := time.Now()
		invite = w.agent.expect("INVITE")
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("the third target is called %v after the second one; want 2s", took)
		}
		w.carrier.isBusyAt(w.agent, invite, "c", d)
		w.wantCauses(w.record(), cause.TargetError, cause.TargetSilent, cause.TargetBusy)
		w.drain(time.Minute)
	})
	runIn(t, "100 in time", testConfig, func(w *world) {
		breaks(w.admission.Peers.Load().Targets["agent"].SIP)
		d := w.carrier.dials("+15085785607")
		invite := w.agent.progresses(100, "Trying", "", "")
		w.agent2.silent(10 * time.Second)
		w.agent.concludes(invite, 486, "Busy", "a", "")
		w.carrier.isRefused(d, "486")
		w.wantCauses(w.record(), cause.TargetBusy)
	})
}
