package calltest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/registry"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/store/record"
)

// queueConfig has a route whose target takes one call, and one with two such targets.
const queueConfig = `
sip: {listen: ["udp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: carrier, sources: ["192.0.2.10"], country: "1"}
targets:
  - name: agent
    kind: sip
    uri: "sip:{{.To.Number}}@192.0.2.20:32681"
    headers: {X-Waited: "{{.Queue.Seconds}}"}
    max_calls: 1
  - {name: spare, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.21:32681", max_calls: 1}
routes:
  - {to: "^\\+1507", targets: [agent], queue: {limit: 2, timeout: 50s}}
  - {to: "^\\+1508", targets: [agent, spare], queue: {timeout: 10m}}
  - {to: "^\\+1509", targets: [agent]}
`

// served makes the agent answer the caller that is due, and returns the INVITE.
func (w *world) served(agent *peer, d *dialogue) (invite received) {
	w.t.Helper()
	invite = agent.expect("INVITE sip:" + d.to + "@")
	agent.answer(invite, "of"+d.callID)
	agent.expect("ACK")
	w.carrier.isAnswered(d)
	return invite
}

// refused makes the carrier acknowledge a final answer with this status.
func (w *world) refused(d *dialogue, start string) {
	w.t.Helper()
	d.learn(w.carrier.expect("SIP/2.0 " + start))
	w.carrier.ackRefused(d)
	synctest.Wait()
}

// waiting returns the called numbers of the waiting calls, by position.
func (w *world) waiting() string {
	synctest.Wait()
	all := ""
	for n := 1; ; n++ {
		found := false
		for _, l := range w.server.Live(context.Background()) {
			if l.Position == n && l.Phase == "queued" {
				all, found = all+l.Vars.To.Number[8:]+" ", true
			}
		}
		if !found {
			return strings.TrimSpace(all)
		}
	}
}

func inQueue(t *testing.T, test func(w *world)) {
	t.Helper()
	inWorldWith(t, queueConfig, test)
}

// Callers wait in the order of their arrival and hear ringing. Each gets a place when one becomes free. If the queue is
// full, or the route has no queue, a caller is refused.
func TestQueue(t *testing.T) {
	inQueue(t, func(w *world) {
		first := w.carrier.dialsTillRung("+15075780001")
		w.served(w.agent, first)
		second := w.carrier.dialsTillRung("+15075780002")
		time.Sleep(10 * time.Second)
		third := w.carrier.dialsTillRung("+15075780003")
		if got := w.waiting(); got != "0002 0003" {
			t.Errorf("waiting: %s", got)
		}
		if got := fmt.Sprint(w.admission.Waiting()); got != "[{routes[0] 2 2} {routes[1] 0 20}]" {
			t.Errorf("queues: %s", got)
		}
		if open := w.admission.Open(); open.Setups != 0 {
			t.Errorf("%d calls in set-up: those that wait do no harm", open.Setups)
		}
		full := w.carrier.dialsTillRung("+15075780004")
		w.refused(full, "486")
		if r := w.wantRecord(record.DispositionBusy, cause.QueueFull, record.EndedBySystem); r.QueuedMS != 0 || r.SIPStatus != 486 {
			t.Errorf("record %+v", r)
		}
		plain := w.carrier.dialsTillRung("+15095780005")
		w.refused(plain, "503")
		w.wantRecord(record.DispositionFailed, cause.TargetCapped, record.EndedBySystem)
		w.callerHangsUp(first)
		if r := w.record(); r.QueuedMS != 0 {
			t.Errorf("who did not wait has %d ms", r.QueuedMS)
		}
		if invite := w.served(w.agent, second); invite.value("X-Waited") != "10" {
			t.Errorf("waited %q s", invite.value("X-Waited"))
		}
		if got := w.waiting(); got != "0003" {
			t.Errorf("waiting: %s", got)
		}
		w.callerHangsUp(second)
		if r := w.record(); r.QueuedMS != 10_000 || len(r.Attempts) != 2 || r.Attempts[0].Cause != string(cause.TargetCapped) || r.Attempts[1].SIPStatus != 200 {
			t.Errorf("%d ms, attempts %+v", r.QueuedMS, r.Attempts)
		}
		w.served(w.agent, third)
		w.callerEnds(w.agent, third)
	})
}

// A waiting caller gets a 180 each minute, so that no proxy gives up the INVITE (RFC 3261 section 13.3.1.1). While it
// waits, setup_timeout is stopped. If the route sends no ringing, the caller gets 182 instead.
func TestQueueRings(t *testing.T) {
	yaml := strings.Replace(queueConfig, "timeout: 10m}", "timeout: 10m}, ringing: none", 1)
	yaml = strings.Replace(yaml, "timeout: 50s}", "timeout: 10m}, setup_timeout: 20s", 1)
	inWorldWith(t, yaml, func(w *world) {
		first := w.carrier.dialsTillRung("+15075780001")
		w.served(w.agent, first)
		second := w.carrier.dialsTillRung("+15075780002")
		for range 3 {
			time.Sleep(time.Minute)
			w.carrier.expect("SIP/2.0 180")
		}
		silent := w.carrier.dials("+15085780003")
		w.served(w.agent2, silent)
		quiet := w.carrier.dials("+15085780004")
		quiet.learn(w.carrier.expect("SIP/2.0 182"))
		w.callerHangsUp(first)
		w.agent.expect("INVITE sip:+15075780002")
		time.Sleep(4 * time.Second) // part of the target's first_response_timeout
		w.refused(second, "503")
		w.callerHangsUpAt(w.agent2, silent)
		for _, want := range []cause.Cause{cause.CallerHangup, cause.TargetSilent, cause.CallerHangup} {
			if r := w.record(); r.Cause != string(want) {
				t.Errorf("%s; want %s", r.Cause, want)
			}
		}
		w.agent.rest()
		w.served(w.agent, quiet)
		w.callerHangsUp(quiet)
		w.agent.drainFor(time.Minute)
	})
}

// TestSetUpTimeAfterTheQueue: a call that has waited has the rest of its setup_timeout after that.
func TestSetUpTimeAfterTheQueue(t *testing.T) {
	yaml := strings.Replace(queueConfig, "timeout: 50s}", "timeout: 10m}, setup_timeout: 20s", 1)
	inWorldWith(t, yaml, func(w *world) {
		first := w.carrier.dialsTillRung("+15075780001")
		w.served(w.agent, first)
		second := w.carrier.dialsTillRung("+15075780002")
		time.Sleep(30 * time.Second)
		w.callerHangsUp(first)
		w.record()
		invite := w.agent.expect("INVITE sip:+15075780002")
		w.agent.reply(invite, 180, "Ringing", "late", "")
		time.Sleep(20 * time.Second)
		w.agent.takesCancel(invite, "late")
		w.refused(second, "503")
		w.wantRecord("failed", cause.SetupTimeout, record.EndedBySystem)
	})
}

// A waiting caller gets a 183 and hears the queue's sound. After that it hears the route's ringback.
func TestQueueSounds(t *testing.T) {
	inWorldWith(t, strings.Replace(queueConfig, "timeout: 50s}", "timeout: 50s, sound: hold}, ringback: eu", 1), func(w *world) {
		first := w.carrier.dialsTillRung("+15075780001")
		w.served(w.agent, first)
		second := w.carrier.dialsTillRung("+15075780002")
		if m := second.learn(w.carrier.expect("SIP/2.0 183")); !strings.Contains(m.raw, "m=audio") {
			t.Errorf("no media: %s", m.raw)
		}
		hears := func(want string) {
			synctest.Wait()
			if l, ok := w.callTo(second.to); !ok || l.Hears[media.SideA] != want {
				t.Errorf("the caller hears %q; want %q", l.Hears[media.SideA], want)
			}
		}
		hears("hold")
		w.callerHangsUp(first)
		hears("eu")
		w.served(w.agent, second)
		hears("")
		w.callerEnds(w.agent, second)
		w.record()
	})
}

// If a call panics when it gets a place, the next caller gets that place.
func TestQueuePanic(t *testing.T) {
	inWorldWith(t, strings.Replace(queueConfig, "timeout: 50s}", "timeout: 50s, sound: hold}, ringback: eu", 1), func(w *world) {
		first := w.carrier.dialsTillRung("+15075780001")
		w.served(w.agent, first)
		second := w.carrier.dialsTillRung("+15075780002")
		second.learn(w.carrier.expect("SIP/2.0 183"))
		third := w.carrier.dialsTillRung("+15075780003")
		third.learn(w.carrier.expect("SIP/2.0 183"))
		w.relay.sessions[1].broken = true
		w.callerHangsUp(first)
		w.refused(second, "500")
		w.served(w.agent, third)
		w.callerHangsUp(third)
		for range 3 {
			w.record()
		}
		if open := w.admission.Open(); open.Targets["agent"] != 0 || open.Setups != 0 {
			t.Errorf("left: %+v", open)
		}
		w.panics = 1
	})
}

// A caller stops waiting when its time limit ends, when it cancels, when an operator hangs up, or when the process
// drains. The next callers then move up.
func TestQueueLeft(t *testing.T) {
	inQueue(t, func(w *world) {
		first := w.carrier.dialsTillRung("+15075780001")
		w.served(w.agent, first)
		second := w.carrier.dialsTillRung("+15075780002")
		time.Sleep(20 * time.Second)
		third := w.carrier.dialsTillRung("+15085780003")
		w.served(w.agent2, third)
		fourth, fifth := w.carrier.dialsTillRung("+15085780004"), w.carrier.dialsTillRung("+15085780005")
		if got := w.waiting(); got != "0002 0004 0005" && got != "0004 0002 0005" { // the order of two queues is arbitrary
			t.Errorf("waiting: %s", got)
		}
		time.Sleep(30 * time.Second)
		w.refused(second, "486")
		if r := w.wantRecord(record.DispositionBusy, cause.QueueTimeout, record.EndedBySystem); r.QueuedMS != 50_000 {
			t.Errorf("waited %d ms", r.QueuedMS)
		}
		w.carrier.cancel(fourth)
		w.carrier.expect("SIP/2.0 200")
		w.refused(fourth, "487")
		if r := w.wantRecord(record.DispositionCancelled, cause.CallerCancelled, record.EndedByCaller); r.QueuedMS != 30_000 {
			t.Errorf("waited %d ms", r.QueuedMS)
		}
		if got := w.waiting(); got != "0005" {
			t.Errorf("waiting: %s", got)
		}
		w.server.Drain()
		w.refused(fifth, "503")
		w.wantRecord(record.DispositionFailed, cause.Shutdown, record.EndedBySystem)
		w.callerHangsUp(first)
		w.callerHangsUpAt(w.agent2, third)
	})
}

// If a reload raises a target's limit, waiting callers are served at once. A target that a reload removes still serves
// the callers that already wait for it.
func TestQueueAndReload(t *testing.T) {
	inQueue(t, func(w *world) {
		first := w.carrier.dialsTillRung("+15075780001")
		w.served(w.agent, first)
		second, third := w.carrier.dialsTillRung("+15075780002"), w.carrier.dialsTillRung("+15075780003")
		w.reloadWith(strings.Replace(queueConfig, "max_calls: 1", "max_calls: 2", 1))
		w.served(w.agent, second)
		if got := w.waiting(); got != "0003" {
			t.Errorf("waiting: %s", got)
		}
		without := strings.Replace(queueConfig[:strings.Index(queueConfig, "routes:")], "name: agent", "name: other", 1)
		w.reloadWith(without + "routes: [{targets: [spare]}]")
		if got := w.waiting(); got != "0003" {
			t.Errorf("waiting: %s", got)
		}
		w.callerHangsUp(first)
		w.served(w.agent, third)
		w.callerHangsUp(second)
		w.callerHangsUp(third)
		for range 3 {
			w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
		}
	})
}

func (w *world) reloadWith(yaml string) {
	w.t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(yaml), nil)
	must(w.t, err)
	w.server.Reload(cfg, nil)
	synctest.Wait()
}

// If the target has a rate limit, places become free over time, and waiting callers get them before new ones.
func TestQueueOfARate(t *testing.T) {
	inWorldWith(t, strings.Replace(queueConfig, "max_calls: 1", "max_cps: 1", 1), func(w *world) {
		var all []*dialogue
		for i := range 3 {
			all = append(all, w.carrier.newCall(fmt.Sprintf("+1507578000%d", i)))
		}
		late := w.carrier.newCall("+15095780009")
		p := w.parties(append(all, late)...)
		for _, d := range all {
			w.carrier.invite(d)
			p.play()
		}
		for i := range all {
			for k, d := range all {
				if got, want := p.heard[d.to] == "200", k <= i; got != want {
					t.Errorf("after %d s, %s is served: %t; want %t", i, d.to, got, want)
				}
			}
			time.Sleep(time.Second)
			if i == 0 {
				w.carrier.invite(late) // at the right moment, but on a route without a queue
			}
			p.play()
		}
		if got := p.heard[late.to]; got != "503" {
			t.Errorf("the late one heard %s", got)
		}
		w.record()
		for _, d := range all {
			w.carrier.bye(d)
			p.play()
			w.record()
		}
	})
}

// If the process is killed, its waiting callers are refused, and their records say so. TestCallersKeepTheirOrder tests
// an upgrade.
func TestQueueOutlivesItsProcess(t *testing.T) {
	inQueue(t, func(w *world) {
		first := w.carrier.dialsTillRung("+15075780001")
		w.served(w.agent, first)
		second := w.carrier.dialsTillRung("+15075780002")
		time.Sleep(10 * time.Second)
		w.restart()
		w.refused(second, "500")
		w.wantRecord(record.DispositionInterrupted, cause.ProcessRestart, record.EndedBySystem)
		w.callerEnds(w.agent, first)
	})
}

// A waiting caller that has already had a target's early media is handed over. If the PRACK for a reliable answer is
// still missing, the upgrade waits for the PRACK.
func TestQueueAfterEarlyMediaGoesOver(t *testing.T) {
	inQueue(t, func(w *world) {
		first, spare := w.carrier.dialsTillRung("+15085780001"), w.carrier.newCall("+15085780009")
		w.served(w.agent, first)
		w.carrier.invite(spare)
		w.carrier.expect("SIP/2.0 180")
		w.served(w.agent2, spare)
		w.callerEnds(w.agent, first)
		second := w.carrier.dialsTillRung("+15085780002")
		invite := w.agent.progresses(183, "Session Progress", "agent1", agentSDP())
		told := w.carrier.expect("SIP/2.0 183")
		if err := w.upgrade(); !isStopped(err, waitsForAnswer) {
			t.Errorf("upgraded: %v", err)
		}
		w.agent.concludes(invite, 503, "Service Unavailable", "agent1", "")
		third := w.carrier.newCall("+15085780003")
		third.extra = "Require: 100rel\n"
		w.carrier.invite(third)
		rings := third.learn(w.carrier.expect("SIP/2.0 180"))
		third.extra = ""
		invite = w.agent.expect("INVITE")
		if err := w.upgrade(); !isStopped(err, waitsForRequest) {
			t.Errorf("upgraded: %v", err)
		}
		w.carrier.prack(third, rings, "")
		w.carrier.isTakenBy(w.agent, invite, "agent3", third)
		if got := w.waiting(); got != "0002" {
			t.Fatalf("waiting: %s", got)
		}
		w.upgraded()
		if again := w.carrier.expect("SIP/2.0 183"); string(again.Body()) != string(told.Body()) || w.listens(second) != "" {
			t.Errorf("not as before, the caller hears %q:\n%s", w.listens(second), again.raw)
		}
		w.callerHangsUp(third)
		w.served(w.agent, second)
		w.callerHangsUp(second)
		w.callerEnds(w.agent2, spare)
		w.record()
	})
}

// callTo returns the live call to this number. ok is false if there is none.
func (w *world) callTo(number string) (call registry.LiveCall, ok bool) {
	for _, l := range w.server.Live(context.Background()) {
		if l.Vars.To.Number == number {
			return l, true
		}
	}
	return registry.LiveCall{}, false
}
