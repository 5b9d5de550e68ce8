package calltest

import (
	"testing"
	"testing/synctest"

	"flowbridge/b2bua/cause"
	"flowbridge/store/record"
)

// The parts of a call that most tests tell, each from the peer that plays it.

// dials has the peer send an INVITE.
func (p *peer) dials(to string) *dialogue {
	d := p.newCall(to)
	p.invite(d)
	return d
}

// dialsTillRung is dials, until 180 has come.
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

// callsAt has a caller dial till 180 has come and the target has its INVITE, which it gives.
func (p *peer) callsAt(target *peer, to string) (d *dialogue, invite received) {
	p.w.t.Helper()
	d = p.newCall(to)
	return d, p.ringsAt(target, d)
}

// ringsAt is callsAt for this call.
func (p *peer) ringsAt(target *peer, d *dialogue) (invite received) {
	p.w.t.Helper()
	p.invitesTillRung(d)
	return target.expect("INVITE")
}

// isTakenBy has a target answer its INVITE, and the caller take the 200, which it gives.
func (p *peer) isTakenBy(target *peer, invite received, tag string, d *dialogue) received {
	p.w.t.Helper()
	target.takes(invite, tag)
	return p.isAnswered(d)
}

// isTakenWith is isTakenBy with a session description of the target's, and header lines.
func (p *peer) isTakenWith(target *peer, invite received, tag string, d *dialogue, sdp string, extra ...string) received {
	p.w.t.Helper()
	target.concludes(invite, 200, "OK", tag, sdp, extra...)
	return p.isAnswered(d)
}

// isBusyAt has a target answer its INVITE with 486, and the caller hear it.
func (p *peer) isBusyAt(target *peer, invite received, tag string, d *dialogue) {
	p.w.t.Helper()
	target.concludes(invite, 486, "Busy Here", tag, "")
	p.isRefused(d, "486")
}

// isAnswered has the caller take the 200 and acknowledge it.
func (p *peer) isAnswered(d *dialogue) received {
	p.w.t.Helper()
	ok := d.learn(p.expect("SIP/2.0 200"))
	p.ack(d)
	synctest.Wait()
	return ok
}

// isRefused has the caller take a final answer that is no 2xx, and acknowledge it.
func (p *peer) isRefused(d *dialogue, status string) received {
	p.w.t.Helper()
	refused := d.learn(p.expect("SIP/2.0 " + status))
	p.ackRefused(d)
	return refused
}

// givesUp has the caller cancel its INVITE, which ends with 487.
func (p *peer) givesUp(d *dialogue) {
	p.w.t.Helper()
	p.cancel(d)
	p.expect("SIP/2.0 200")
	p.isRefused(d, "487")
}

// takes has a target answer the INVITE and gives the ACK.
func (p *peer) takes(invite received, tag string) received {
	p.w.t.Helper()
	p.answer(invite, tag)
	return p.expect("ACK")
}

// concludes has a target send a final answer and gives the ACK.
func (p *peer) concludes(invite received, code int, reason, tag, sdp string, extra ...string) received {
	p.w.t.Helper()
	p.reply(invite, code, reason, tag, sdp, extra...)
	return p.expect("ACK")
}

// takesCancel has a target end its INVITE as the CANCEL says, which it gives.
func (p *peer) takesCancel(invite received, tag string) received {
	p.w.t.Helper()
	cancel := p.expect("CANCEL")
	p.reply(cancel, 200, "OK", tag, "")
	p.concludes(invite, 487, "Request Terminated", tag, "")
	return cancel
}

// hangsUpOn has the caller end a call that is up, and the target hear of it.
func (p *peer) hangsUpOn(target *peer, d *dialogue) {
	p.w.t.Helper()
	p.bye(d)
	p.expect("SIP/2.0 200")
	target.reply(target.expect("BYE"), 200, "OK", "", "")
}

// agentHangsUpOn has the target end a call that is up, and the caller hear of it.
func (p *peer) agentHangsUpOn(caller *peer, invite received, tag string, seq int) {
	p.w.t.Helper()
	p.agentRequest("BYE", invite, tag, seq)
	p.expect("SIP/2.0 200")
	caller.reply(caller.expect("BYE"), 200, "OK", "", "")
}

// progresses has a target say that it works on the INVITE, which it gives.
func (p *peer) progresses(code int, reason, tag, sdp string, extra ...string) received {
	p.w.t.Helper()
	invite := p.expect("INVITE")
	p.reply(invite, code, reason, tag, sdp, extra...)
	return invite
}

// callerEnds has the caller hang up a call that was answered, and gives its record.
func (w *world) callerEnds(target *peer, d *dialogue) record.Record {
	w.t.Helper()
	w.callerHangsUpAt(target, d)
	return w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
}

// shortCall has a target answer its INVITE, and the caller hang up. It gives the record.
func (w *world) shortCall(target *peer, invite received, tag string, d *dialogue) record.Record {
	w.t.Helper()
	w.carrier.isTakenBy(target, invite, tag, d)
	return w.callerEnds(target, d)
}

// hungUpOn has both sides take a BYE of ours.
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

// hungUp wants a record that says that it has hung up.
func (a *actor) hungUp(fields []string) {
	a.w.t.Helper()
	a.over = true
	why, by := cause.CallerHangup, record.EndedByCaller
	if a.d == nil {
		why, by = cause.AgentHangup, record.EndedByAgent
	}
	a.wantFields(a.w.wantRecord(record.DispositionAnswered, why, by), fields)
}
