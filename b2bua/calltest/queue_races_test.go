package calltest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/circuit"
	"flowbridge/store/record"
)

// parties plays the carrier and both agents in a normal call: each answers a message at once.
type parties struct {
	w       *world
	callers map[string]*dialogue
	invites map[string]received // INVITEs to the agents, by Call-ID
	heard   map[string]string   // status of the last answer to each caller's INVITE, by called number
}

func (w *world) parties(callers ...*dialogue) *parties {
	p := &parties{w: w, callers: map[string]*dialogue{}, invites: map[string]received{}, heard: map[string]string{}}
	for _, d := range callers {
		p.callers[d.callID] = d
	}
	return p
}

// play lets the parties answer messages until no more messages come.
func (p *parties) play() {
	p.w.t.Helper()
	for again := true; again; {
		again = false
		synctest.Wait()
		for _, m := range p.w.carrier.rest() {
			again = true
			p.caller(m)
		}
		for _, agent := range []*peer{p.w.agent, p.w.agent2} {
			for _, m := range agent.rest() {
				again = true
				p.agent(agent, m)
			}
		}
	}
}

func (p *parties) caller(m received) {
	d := p.callers[m.value("Call-ID")]
	switch status, _ := strings.CutPrefix(m.raw, "SIP/2.0 "); {
	case !strings.HasSuffix(m.value("CSeq"), "INVITE"), status[0] == '1':
	case status[0] == '2':
		p.heard[d.to] = status[:3]
		d.learn(m)
		p.w.carrier.ack(d)
	default:
		p.heard[d.to] = status[:3]
		d.learn(m)
		p.w.carrier.ackRefused(d)
	}
}

func (p *parties) agent(agent *peer, m received) {
	id := m.value("Call-ID")
	switch method, _, _ := strings.Cut(m.raw, " "); method {
	case "INVITE":
		p.invites[id] = m
		agent.answer(m, "of"+id)
	case "BYE":
		agent.reply(m, 200, "OK", "", "")
	case "CANCEL": // the agent has answered the INVITE already
		agent.reply(m, 200, "OK", "", "")
	}
}

// At the instant at which a place becomes free, a caller cancels, or its waiting time ends. Whichever happens first,
// one of the other callers gets the place, and no caller waits while a place is free.
func TestQueueInOneInstant(t *testing.T) {
	for name, order := range map[string][]string{
		"cancel, then free": {"cancel", "free"}, "free, then cancel": {"free", "cancel"}, "free as the time is over": {"free"},
		"hung up by the operator": {"free", "operator"}, "drained": {"drain", "free"}, "drained after": {"free", "drain"},
	} {
		t.Run(name, func(t *testing.T) {
			inQueue(t, func(w *world) {
				first := w.carrier.dialsTillRung("+15075780001")
				w.served(w.agent, first)
				second := w.carrier.dialsTillRung("+15075780002")
				time.Sleep(time.Second)
				third := w.carrier.dialsTillRung("+15075780003")
				time.Sleep(49*time.Second - time.Nanosecond)
				time.Sleep(time.Nanosecond) // until the second caller's waiting time ends
				for _, what := range order {
					switch what {
					case "cancel":
						w.carrier.cancel(second)
					case "free":
						w.carrier.bye(first)
					case "drain":
						w.server.Drain()
					case "operator":
						if c, ok := w.callTo(second.to); ok { // otherwise its waiting time had ended
							_, _ = w.server.Order(context.Background(), c.Record.ID, bridge.OrderHangup)
						}
					}
				}
				p := w.parties(first, second, third)
				p.play()
				drained := w.server.Draining()
				if got := p.heard[second.to]; !drained && got != "200" && got != "487" && got != "486" && got != "480" || drained && got != "200" && got != "503" && got != "486" {
					t.Errorf("the second caller heard %s", got)
				}
				if p.heard[second.to] == "200" {
					w.carrier.bye(second)
					p.play()
				}
				if got := p.heard[third.to]; !drained && got != "200" || drained && got != "200" && got != "503" {
					t.Errorf("the third caller heard %s", got)
				}
				if p.heard[third.to] == "200" {
					w.carrier.bye(third)
					p.play()
				}
				for range 3 {
					w.record()
				}
			})
		})
	}
}

// Two targets have a free place at the same instant. The first two callers get one place each, in their order.
func TestQueueTwoAtOnce(t *testing.T) {
	inQueue(t, func(w *world) {
		var all []*dialogue
		for i := range 6 {
			d := w.carrier.newCall(fmt.Sprintf("+1508578000%d", i))
			all = append(all, d)
		}
		p := w.parties(all...)
		for _, d := range all {
			w.carrier.invite(d)
			p.play()
			time.Sleep(time.Second)
		}
		if got := w.waiting(); got != "0002 0003 0004 0005" {
			t.Fatalf("waiting: %s", got)
		}
		for i := 0; i < len(all); i += 2 {
			w.carrier.bye(all[i])
			w.carrier.bye(all[i+1])
			p.play()
			for k, d := range all {
				if got, want := p.heard[d.to] == "200", k < i+4; got != want {
					t.Errorf("after %d ended, %s is served: %t; want %t", i+2, d.to, got, want)
				}
			}
		}
		for range all {
			w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
		}
	})
}

// When a target goes out of use while callers wait for it, they stop waiting for it, and those that can wait for
// another one do.
func TestQueueOfABrokenTarget(t *testing.T) {
	inQueue(t, func(w *world) {
		first := w.carrier.dialsTillRung("+15075780001")
		w.served(w.agent, first)
		only := w.carrier.dialsTillRung("+15075780002")
		third := w.carrier.dialsTillRung("+15085780003")
		w.served(w.agent2, third)
		either := w.carrier.dialsTillRung("+15085780004")
		w.breakTarget("agent")
		w.refused(only, "503")
		w.wantRecord(record.DispositionFailed, cause.TargetCircuitOpen, record.EndedBySystem)
		if got := w.waiting(); got != "0004" {
			t.Errorf("waiting: %s", got)
		}
		w.callerHangsUp(first) // the target is out of use, so its free place does not help
		w.record()
		w.refused(w.carrier.dialsTillRung("+15075780005"), "503")
		w.wantRecord(record.DispositionFailed, cause.TargetCircuitOpen, record.EndedBySystem)
		w.agent.silent(time.Second / 2)
		time.Sleep(600 * time.Millisecond) // the circuit's pause, after which the waiting call tries the target
		later := w.carrier.dialsTillRung("+15075780006")
		if got := w.waiting(); got != "0006" {
			t.Errorf("waiting: %s", got)
		}
		w.served(w.agent, either)
		w.callerHangsUp(either)
		w.served(w.agent, later)
		w.callerHangsUp(later)
		w.callerHangsUpAt(w.agent2, third)
		for range 3 {
			w.record()
		}
	})
}

// breakTarget opens the circuit of this target.
func (w *world) breakTarget(name string) {
	w.t.Helper()
	b := w.admission.Peers.Load().Targets[name].SIP
	for i := 0; b.Status().State != circuit.Open; i++ {
		try, _ := b.Begin(time.Now())
		time.Sleep(500 * time.Millisecond)
		if b.End(time.Now(), &try, circuit.Failed); i > 20 {
			w.t.Fatal("the circuit does not open")
		}
	}
	synctest.Wait()
}
