package calltest

import (
	"testing"
	"testing/synctest"

	"flowbridge/b2bua/cause"
	"flowbridge/store/record"
)

// This file has the parts of a call that most tests need, as methods of the peer that acts.

// dials makes the peer send an INVITE.
func (p *peer) dials(to string) *dialogue {
	d := p.newCall(to)
	p.invite(d)
	return d
}

// dialsTillRung makes the peer send an INVITE, and waits for the 180.
func (p *peer) dialsTillRung(to string) *dialogue {
	p.w.t.Helper()
	d := p.newCall(to)
	p.invitesTillRung(d)
	return d
}

func (p *peer) invitesTillRung(d *dialogue) received {
	p.w.t.Helper()
	p.invite(d)
	return d.learn(p.expect("SIP/2.0 180"))
}

// callsAt makes a caller send an INVITE, waits until the caller has a 180 and the target
// has its INVITE, and returns the call and the target's INVITE.
func (p *peer) callsAt(target *peer, to string) (d *dialogue, invite received) {
	p.w.t.Helper()
	d = p.newCall(to)
	return d, p.ringsAt(target, d)
}

// ringsAt is callsAt with a prepared call.
func (p *peer) ringsAt(target *peer, d *dialogue) (invite received) {
	p.w.t.Helper()
	p.invitesTillRung(d)
	return target.expect("INVITE")
}

// isTakenBy makes the target accept its INVITE, makes the caller acknowledge the 200, and
// returns the caller's 200.
func (p *peer) isTakenBy(target *peer, invite received, tag string, d *dialogue) received {
	p.w.t.Helper()
	target.takes(invite, tag)
	return p.isAnswered(d)
}

// isTakenWith is isTakenBy with a session description and additional headers in the
// target's answer.
func (p *peer) isTakenWith(target *peer, invite received, tag string, d *dialogue, sdp string, extra ...string) received {
	p.w.t.Helper()
	target.concludes(invite, 200, "OK", tag, sdp, extra...)
	return p.isAnswered(d)
}

// isBusyAt makes the target answer its INVITE with 486, and checks that the caller gets
// 486, too.
func (p *peer) isBusyAt(target *peer, invite received, tag string, d *dialogue) {
	p.w.t.Helper()
	target.concludes(invite, 486, "Busy Here", tag, "")
	p.isRefused(d, "486")
}

// isAnswered makes the caller acknowledge the 200, which it returns.
func (p *peer) isAnswered(d *dialogue) received {
	p.w.t.Helper()
	ok := d.learn(p.expect("SIP/2.0 200"))
	p.ack(d)
	synctest.Wait()
	return ok
}

// isRefused makes the caller acknowledge a final answer other than 2xx, which it returns.
func (p *peer) isRefused(d *dialogue, status string) received {
	p.w.t.Helper()
	refused := d.learn(p.expect("SIP/2.0 " + status))
	p.ackRefused(d)
	return refused
}

// givesUp makes the caller cancel its INVITE, which ends with 487.
func (p *peer) givesUp(d *dialogue) {
	p.w.t.Helper()
	p.cancel(d)
	p.expect("SIP/2.0 200")
	p.isRefused(d, "487")
}

// takes makes the target accept the INVITE, and returns the ACK.
func (p *peer) takes(invite received, tag string) received {
	p.w.t.Helper()
	p.answer(invite, tag)
	return p.expect("ACK")
}

// concludes makes a target send a final answer, and returns the ACK.
func (p *peer) concludes(invite received, code int, reason, tag, sdp string, extra ...string) received {
	p.w.t.Helper()
	p.reply(invite, code, reason, tag, sdp, extra...)
	return p.expect("ACK")
}

// takesCancel makes the target answer a CANCEL and end the INVITE with 487. It returns the
// CANCEL.
func (p *peer) takesCancel(invite received, tag string) received {
	p.w.t.Helper()
	cancel := p.expect("CANCEL")
	p.reply(cancel, 200, "OK", tag, "")
	p.concludes(invite, 487, "Request Terminated", tag, "")
	return cancel
}

// hangsUpOn makes the caller hang up an established call, and the target answer the BYE.
func (p *peer) hangsUpOn(target *peer, d *dialogue) {
	p.w.t.Helper()
	p.bye(d)
	p.expect("SIP/2.0 200")
	target.reply(target.expect("BYE"), 200, "OK", "", "")
}

// agentHangsUpOn makes the target hang up an established call, and the caller answer the
// BYE.
func (p *peer) agentHangsUpOn(caller *peer, invite received, tag string, seq int) {
	p.w.t.Helper()
	p.agentRequest("BYE", invite, tag, seq)
	p.expect("SIP/2.0 200")
	caller.reply(caller.expect("BYE"), 200, "OK", "", "")
}

// progresses expects an INVITE, makes the target send a provisional answer, and returns the
// INVITE.
func (p *peer) progresses(code int, reason, tag, sdp string, extra ...string) received {
	p.w.t.Helper()
	invite := p.expect("INVITE")
	p.reply(invite, code, reason, tag, sdp, extra...)
	return invite
}

// callerEnds makes the caller hang up an answered call, and returns the call's record.
func (w *world) callerEnds(target *peer, d *dialogue) record.Record {
	w.t.Helper()
	w.callerHangsUpAt(target, d)
	return w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
}

// shortCall makes the target accept its INVITE, and then the caller hang up. It returns the
// record.
func (w *world) shortCall(target *peer, invite received, tag string, d *dialogue) record.Record {
	w.t.Helper()
	w.carrier.isTakenBy(target, invite, tag, d)
	return w.callerEnds(target, d)
}

// hungUpOn makes both sides take our BYE.
func hungUpOn(sides ...*peer) {
	for _, p := range sides {
		p.w.t.Helper()
		p.reply(p.expect("BYE"), 200, "OK", "", "")
	}
}

// runIn is inWorldWith as a subtest.
func runIn(t *testing.T, name, yaml string, test func(w *world)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { inWorldWith(t, yaml, test) })
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func (a *actor) hangsUpOn(far *actor, fields []string) {
	a.w.t.Helper()
	a.play(a.name + ": says BYE ; gets 200\n" + far.name + ": gets BYE ; says 200")
	a.hungUp(fields)
}

// hungUp checks that, according to the record, the actor has hung up.
func (a *actor) hungUp(fields []string) {
	a.w.t.Helper()
	a.over = true
	why, by := cause.CallerHangup, record.EndedByCaller
	if a.d == nil {
		why, by = cause.AgentHangup, record.EndedByAgent
	}
	a.wantFields(a.w.wantRecord(record.DispositionAnswered, why, by), fields)
}
