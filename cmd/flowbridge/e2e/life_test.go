//go:build e2e

package e2e

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"flowbridge/store/record"
)

// TestKill kills the B2BUA while some calls are up and others finished, and starts it again on the
// same database.
func TestKill(t *testing.T) {
	const each = 4
	s := newStage(t)
	s.simulate("--ring", "20ms")
	b := s.serve(setup{})
	up := s.sippCarrier("caller_hangup", "-m", "4", "-r", "20")
	up.answered(each)
	// The journal entries of the live calls were queued before these calls finish, and entries are
	// written in order.
	done := s.sippCarrier("caller_hangup", "-m", "4", "-r", "20")
	done.proceed(done.answered(each)...)
	done.finish()
	finished := b.records(slices.Repeat([]want{hungUpByCaller}, each)...)
	live := b.calls()
	if len(live) != each {
		t.Fatalf("%d calls are live; want %d", len(live), each)
	}
	b.kill()
	up.kill() // it can't be hung up any more

	again := startServer(t, b.dir, s.config(setup{}))
	if n := len(again.calls()); n != 0 {
		t.Errorf("%d calls are live after the restart", n)
	}
	all := again.cdrs()
	again.sameInFile(all)
	records := map[string]record.Record{}
	for _, r := range all {
		if _, twice := records[r.ID]; twice {
			t.Errorf("call %s is there twice", r.ID)
		}
		records[r.ID] = r
	}
	if len(all) != 2*each {
		t.Errorf("%d records; want %d", len(all), 2*each)
	}
	for _, r := range finished {
		if got := records[r.ID]; !reflect.DeepEqual(got, r) {
			t.Errorf("a finished call has become\n%+v\nit was\n%+v", got, r)
		}
	}
	for _, c := range live {
		r := records[c.ID]
		if r.Disposition != "interrupted" || r.Cause != "process_restart" || r.EndedBy != "system" || r.EndedAt.IsZero() {
			t.Errorf("a live call has become %+v", r)
		}
		was := c.Record
		if r.SIPCallID != was.SIPCallID || r.TargetSIPCallID != was.TargetSIPCallID || r.SynthflowCallID != was.SynthflowCallID ||
			r.StartedAt != was.StartedAt || r.AnsweredAt != was.AnsweredAt || r.From != caller || r.To != called ||
			r.Codec != "PCMU" || len(r.Attempts) != 1 {
			t.Errorf("a live call has become\n%+v\nit was\n%+v", r, was)
		}
	}
	again.stop()
}

// TestStop tells the B2BUA by a signal to stop while a call is up. New calls are refused, the call
// continues, and a second signal hangs it up.
func TestStop(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{})
	one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
	agent := s.sippAgent("caller_hangup", two.key()...)
	carrier := s.sippCarrier("agent_hangup", one.key()...)
	carrier.answered(1)
	agent.confirmed(1)
	to := carrier.rtpOf("SIP/2.0 200", 1)
	b.drain()
	if got := b.status("/healthz"); got != http.StatusOK {
		t.Errorf("/healthz says %d; want 200", got)
	}
	refused := s.refusedCarrier(503, called)
	refused.finish()
	if got := refused.received("SIP/2.0 503", 1)[0].header("Retry-After"); got == "" {
		t.Error("503 without Retry-After")
	}
	// The live call still has its media.
	one.talk(speech(make([]int16, 10*frame), 7), to)
	eventually(t, "RTP passes while draining", func() bool { return len(two.heard()) == 10 })
	if live := b.calls(); len(live) != 1 || live[0].Phase != "bridged" {
		t.Errorf("live calls while draining: %+v", live)
	}
	b.signal(syscall.SIGTERM)
	b.stopped()
	carrier.finish()
	agent.finish()
	all := b.cdrList()
	b.compare(all, []want{{"answered", "shutdown", "system", 200, []try{{"", 200, 200}}}})
}

// TestDrain lets the last call end by itself after the signal.
func TestDrain(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{})
	agent := s.sippAgent("caller_hangup")
	carrier := s.sippCarrier("caller_hangup")
	ids := carrier.answered(1)
	b.drain()
	carrier.leaves(agent, ids...)
	b.stopped()
	b.compare(b.cdrList(), []want{hungUpByCaller})
}

// TestNAT has a carrier that gives an unreachable private address everywhere. Answers, requests and
// RTP must go to its real address.
func TestNAT(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{trunk: ", nat: on"})
	one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
	agent := s.sippAgent("agent_hangup", two.key()...)
	carrier := s.sippCarrier("nat", one.key()...)
	carrier.answered(1)
	if sdp := carrier.sent("INVITE ", 1)[0].body(); !strings.Contains(sdp, "c=IN IP4 10.99.99.99\r\n") {
		t.Fatalf("the carrier's SDP is %q", sdp)
	}
	onB := agent.confirmed(1)
	toA := carrier.rtpOf("SIP/2.0 200", 1)
	toB := agent.rtpOf("INVITE ", 1)
	words, echo := speech(make([]int16, 10*frame), 1), speech(make([]int16, 10*frame), 2)
	one.talk(words, toA)
	eventually(t, "RTP reaches the agent", func() bool { return len(two.heard()) == len(words)-2 }) // 2 packets prove it
	two.talk(echo, toB)
	eventually(t, "RTP reaches the carrier at its real address", func() bool { return len(one.heard()) == len(echo) })
	agent.proceed(onB...)
	agent.finish()
	carrier.finish() // it has received the BYE
	b.finish(hungUpByAgent)
}

// TestKillWhileRinging kills the B2BUA while a call rings. Later messages of the call belong to no
// dialog after the restart.
func TestKillWhileRinging(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{route: ", ringing: on-target"})
	s.sippAgent("cancel")
	carrier := s.newRawCarrier(s.carrier)
	carrier.send(carrier.invite("killed"))
	ringing := carrier.await("SIP/2.0 180 ", "CSeq: 1 INVITE\r\n")
	s.refusedCarrier(404, "+4930123456").finish() // its record is written after the other call's journal entries
	b.records(want{"failed", "no_route", "system", 404, nil})
	live := b.calls()
	if len(live) != 1 || live[0].Phase != "dialing" {
		t.Fatalf("live calls: %+v; want one that is dialing", live)
	}
	b.kill()

	again := startServer(t, b.dir, s.config(setup{}))
	s.server = again
	stray := s.newRawCarrier(s.carrier)
	stray.send(stray.within("BYE", 2, ringing))
	stray.await("SIP/2.0 481 ", "CSeq: 2 BYE\r\n")
	all := again.records(
		want{"interrupted", "process_restart", "system", 500, []try{{"process_restart", 200, 0}}},
		want{"failed", "no_route", "system", 404, nil},
	)
	if r := all[0]; r.ID != live[0].ID || r.SIPCallID != "killed" || r.DialedAt != live[0].DialedAt || !r.AnsweredAt.IsZero() {
		t.Errorf("the live call has become %+v; it was %+v", r, live[0])
	}
	again.nothingLeft()
	again.stop()
}

// TestStopWhileRinging sends two signals while a call rings: the carrier must get 503, the agent
// CANCEL.
func TestStopWhileRinging(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{route: ", ringing: on-target"})
	agent := s.sippAgent("cancel")
	carrier := s.refusedCarrier(503, called)
	carrier.received("SIP/2.0 180", 1)
	b.drain()
	b.signal(syscall.SIGTERM)
	b.stopped()
	carrier.finish()
	agent.received("CANCEL ", 1)
	b.compare(b.cdrList(), []want{{"failed", "shutdown", "system", 503, []try{{"shutdown", 200, 0}}}})
}

// TestStopRepeatsBye loses the first BYE to the carrier after the second signal. The BYE must be
// repeated (RFC 3261 section 17.1.2.2, Timer E) before the process ends.
func TestStopRepeatsBye(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{})
	agent := s.sippAgent("caller_hangup")
	carrier := s.newRawCarrier(s.carrier)
	carrier.send(carrier.invite("lost-bye"))
	answer := carrier.await("SIP/2.0 200 ", "CSeq: 1 INVITE\r\n")
	carrier.send(carrier.within("ACK", 1, answer))
	agent.confirmed(1)
	eventually(t, "the call is confirmed", func() bool { _, ok := b.find("call confirmed"); return ok })
	b.drain()
	b.signal(syscall.SIGTERM)
	carrier.await("BYE ", "lost-bye")
	if again := carrier.receive(patience); !strings.HasPrefix(again, "BYE ") {
		t.Errorf("the BYE that was lost did not come again, but %q", again)
	}
	agent.finish()
}
