package b2bua

import (
	"cmp"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/snapshot"
	"flowbridge/media"
	"flowbridge/store/record"
)

// Somebody else is called, as an attempt beside the bridge, and gets the caller, whose leg stays as it is. Why that is
// done, and what becomes of the call if nobody answers, is the matter of a reason.

// replacements call somebody in an agent's place, or the first agent of a call that we place.
type replacements struct {
	idle
	current *replacement // nil: none is under way
}

// replacement is one that is under way.
type replacement struct {
	snapshot.Replacement
	why      reason // nil: of the old process, until the call's first turn
	plan     outbound.Plan
	held     bool             // the agent was holding the call when it hung up
	early    *sdp.Description // early media of who is called
	code     int              // the last final answer
	phrase   string
	waiting  *legOnWire // the agent, while who is called agrees on its keys; nil: it does not wait
	announce bridge.Announce
	hears    bool // who is called hears the announcement
	accepted bool // it has heard it, and takes the call
}

// standing is how far a replacement is.
type standing int

const (
	rings standing = iota
	hears          // what the call is about
	done
	failed
)

// reason is why somebody else is called, and what is made of how that goes.
type reason interface {
	// stands says how far it is, to who watches the call.
	stands(at standing, code int, phrase string)
	// report says so to the agent.
	report(r *replacement, code int, phrase string)
	// answered: the caller gets who has answered with this description. The call is noted next.
	answered(seen *sdp.Description)
	// connected: everybody knows it. It returns what the ladder and the log say.
	connected() (how, message string)
	// failed: nobody takes the caller.
	failed(r *replacement)
}

// unwatched is a reason that nobody has given, and hears of.
type unwatched struct{}

func (unwatched) stands(standing, int, string)     {}
func (unwatched) report(*replacement, int, string) {}
func (unwatched) answered(*sdp.Description)        {}

func (rs *replacements) save(k *snapshot.Sheet) {
	r, c := rs.current, rs.call
	if r == nil || c.connected == nil { // without an agent so far, the plan is what stays
		return
	}
	k.Replacement = new(r.Replacement)
	if b := c.bridge.Agreement.Before[media.SideB]; r.waiting != nil {
		k.Replacement.Waiting = &snapshot.Waiting{Description: b.Description.State(), SentTo: b.Terms.SentTo[media.SideB]}
	}
}

// restore leaves it to the call's first turn to end what was under way, or to begin it again.
func (rs *replacements) restore(k *snapshot.Call, _ *record.Record) error {
	if k.Replacement != nil {
		rs.current = &replacement{Replacement: *k.Replacement}
	}
	return nil
}

// on handles what the leg says that is called, or the agent that waits for it, and that the agent has left meanwhile.
func (rs *replacements) on(h happening) (next phase, mine bool) {
	switch {
	case rs.isLine(h.from):
		rs.fact(h.from, h.fact)
		return nil, true
	case rs.current != nil && h.from != nil && h.from == rs.call.b:
		f, left := h.fact.(leg.Gone)
		if left {
			rs.agentLeft(f)
		}
		return nil, left
	}
	in, _ := h.event.(inBridge)
	e, mine := in.Event.(bridge.Announced)
	if mine {
		rs.announced(e)
	}
	return nil, mine
}

func (rs *replacements) busy() error {
	if rs.current != nil {
		return errTransfer
	}
	return nil
}

func (rs *replacements) end() { rs.takeOut() }

func (rs *replacements) show(l *registry.LiveCall) {
	if rs.current != nil {
		l.Record.Attempts = append(l.Record.Attempts, rs.call.attempts.current.recordOf(cause.None, 0)) // so far
	}
}

func (rs *replacements) underway() bool { return rs.current != nil }

// lost says whether the agent has not left, but is lost.
func (rs *replacements) lost() bool { return rs.current != nil && rs.current.Lost != nil }

// waiting is the agent that waits until who is called can be heard; nil: none.
func (rs *replacements) waiting() *legOnWire {
	if rs.current == nil {
		return nil
	}
	return rs.current.waiting
}

// targets are who is called, and who would be next.
func (rs *replacements) targets() []*peers.Target {
	return append([]*peers.Target{rs.call.attempts.current.target}, rs.current.plan.Targets...)
}

// isLine says whether a leg is the one that is called, or of an agent that waits for it.
func (rs *replacements) isLine(l *legOnWire) bool {
	return rs.current != nil && l != nil && (l == rs.call.attempts.current.line || l == rs.current.waiting)
}

// try makes a replacement the current one. The first attempt is next's.
func (rs *replacements) try(r *replacement) {
	r.code, r.phrase = 503, message.StatusText(503)
	rs.current = r
}

// next tries the next target, or ends the replacement.
func (rs *replacements) next() {
	if !rs.call.attempts.try(&rs.current.plan) {
		rs.failed()
	}
}

// prepared goes on with an attempt that can be dialled.
func (rs *replacements) prepared(e ready) {
	if rs.current != nil && rs.call.attempts.dialPrepared(e) == notDialled {
		rs.next()
	}
}

// fact handles a fact of the leg that is called, or of an agent that waits for it.
func (rs *replacements) fact(from *legOnWire, f leg.Fact) {
	c := rs.call
	switch f := f.(type) {
	case leg.Progress:
		rs.rings(f)
	case leg.Answered:
		rs.answered(f)
	case leg.Refused:
		rs.refused(f)
	case leg.Offered:
		if from == rs.current.waiting || c.attempts.current.answer != nil { // until the target has its keys
			c.step(from, bridge.Rejection(491))
		} else {
			c.step(from, bridge.NotAcceptable())
		}
	case leg.Asked:
		if !c.bridge.Announcement.Asked(&from.Half, f.Req) {
			c.bridge.Reply(&from.Half, f.Req, 480)
		}
	case leg.Gone:
		rs.goneInTry(from, f)
	case leg.Replied:
		c.bridge.Relays.Replied(f)
	case leg.Cancelled, leg.Confirmed, leg.Withdrawn, leg.AnswerReady, leg.OfferRefused: // not for here
	}
}

// refused: a target does not take the call. The next one is tried.
func (rs *replacements) refused(f leg.Refused) {
	r := rs.current
	r.early = nil
	if rs.call.attempts.elsewhere(f) {
		return
	}
	r.code = cmp.Or(f.Code, 408)
	r.phrase = cmp.Or(f.Reason, message.StatusText(r.code))
	if !rs.call.attempts.refusedBy(f) {
		r.plan.Targets = nil
	}
	rs.next()
}

// rings: the caller hears the new target's early media only if it has no agent.
func (rs *replacements) rings(f leg.Progress) {
	c, r := rs.call, rs.current
	c.attempts.current.judge(cause.None, f.Code)
	r.why.report(r, f.Code, f.Reason)
	r.why.stands(rings, f.Code, f.Reason)
	if f.SDP == nil {
		return
	}
	answer, err := c.attempts.readAnswer(f.SDP)
	if err != nil {
		c.peerLog.Warn().Err(err).Msg("early media not usable")
		return
	}
	r.early = answer
	if r.Left {
		c.bridge.Plug(c.attempts.current.formats, answer)
	}
}

// answered reads the new party's answer. The caller is connected to it once its media can be heard.
func (rs *replacements) answered(f leg.Answered) {
	c, r := rs.call, rs.current
	answer, err := c.attempts.readAnswer(f.SDP)
	var seen *sdp.Description // by the caller
	if err == nil {
		if c.b != nil && rs.isTried(answer) { // while caller and agent are as they were: Seen changes the caller
			c.bridge.Exchanges.Interrupt(&c.b.Half)
		}
		seen, err = c.bridge.Agreement.Seen(answer)
	}
	if err != nil {
		c.attempts.badAnswer(err)
		r.code, r.phrase = 488, message.StatusText(488)
		rs.next()
		return
	}
	if !rs.waits(f, answer) {
		rs.takes(answer, seen)
	}
}

// takes connects the caller to the party that has answered. seen is the answer in the caller's payload types.
func (rs *replacements) takes(answer, seen *sdp.Description) {
	c, r := rs.call, rs.current
	c.attempts.note(cause.None, 200)
	before, agent := c.connected, cmp.Or(r.waiting, c.b)
	held := r.held || c.b != nil && c.bridge.Agreement.Description[media.SideB].Held()
	rs.current, c.bridge.Sounds.OnHold = nil, false
	c.bridge.Announcement.End()
	r.why.stands(done, 200, message.StatusText(200))
	c.connected, c.b = c.attempts.current, c.attempts.current.line
	c.connected.answered = time.Now()
	r.why.answered(seen)
	c.bridge.Replace(c.connected.mediaName, c.connected.formats, answer)
	c.bridge.Tell(bridge.Left{Leg: halfOf(agent)})
	c.server.vacate(before)
	c.limitDuration()
	c.connected.settle()
	c.checkpoint.flush(true) // the agent leaves when it is told, and the target stays after its ACK
	c.checkpoint.awaitReplica()
	r.why.report(r, 200, message.StatusText(200))
	if held {
		rs.resume()
	}
	if !r.Left {
		c.step(agent, leg.Hangup{Why: cause.Transferred})
	}
	c.hasAgent()
	how, message := r.why.connected()
	c.log.Info().Str("target", c.connected.target.Dial.Name).Str("target_sip_call_id", c.b.callID).Msg(message)
	c.ladder.Decide("%s: the caller is connected to %s", how, c.connected.target.Dial.Name)
}

// resume offers the caller the session again if the caller was told that the agent
// holds the call (reinvite: relay). The new target does not hold it.
func (rs *replacements) resume() {
	c := rs.call
	if told, err := sdp.Read(c.a.Leg.Described(), sdp.Accept{Any: true}); err == nil && told.Direction() != sdp.SendRecv {
		c.bridge.Exchanges.Restore(&c.a.Half)
	}
}

// failed leaves the caller with its agent. If that has gone, the reason says how the call ends.
func (rs *replacements) failed() {
	c, r := rs.call, rs.current
	r.why.report(r, r.code, r.phrase)
	r.why.stands(failed, r.code, r.phrase)
	c.log.Warn().Int("code", r.code).Bool("agent_left", r.Left).Bool("rescue", rs.lost()).Msg("transfer failed")
	c.ladder.Decide("nobody takes the caller: %d %s", r.code, r.phrase)
	rs.current, c.attempts.current = nil, c.connected
	r.why.failed(r)
	c.checkpoint.flush(true) // the next process must not tell the agent again
}

// agentLeft: the agent hung up meanwhile, as some do once their REFER is accepted. The caller waits for the new target.
func (rs *replacements) agentLeft(f leg.Gone) {
	c := rs.call
	rs.loseAgent()
	c.log.Info().Str("cause", string(f.Cause)).Msg("agent left, the transfer goes on")
	c.ladder.Decide("the agent hangs up, the transfer goes on")
}

// loseAgent keeps the caller waiting without an agent until somebody else has answered.
func (rs *replacements) loseAgent() {
	c, r := rs.call, rs.current
	r.Left, r.held = true, c.bridge.Agreement.Description[media.SideB].Held()
	agent := c.b
	c.b = nil
	c.server.vacate(c.connected)
	c.bridge.Tell(bridge.Left{Leg: halfOf(agent)})
	if r.early != nil {
		c.bridge.Plug(c.attempts.current.formats, r.early)
	} else {
		c.bridge.Media.Unplug()
	}
}

// takeOut ends the current one without a word; nil: there is none.
func (rs *replacements) takeOut() *replacement {
	r := rs.current
	rs.current = nil
	return r
}

// giveUp fails one that the end of a process has ended, whose target is told by its leg.
func (rs *replacements) giveUp(r *replacement, why reason) {
	r.why, r.code, r.phrase = why, 500, message.StatusText(500)
	rs.current, rs.call.attempts.last.cause = r, cause.ProcessRestart
	rs.failed()
}

// stop ends a replacement because the call ends.
func (rs *replacements) stop(why cause.Cause) {
	c, r := rs.call, rs.current
	if r == nil {
		return
	}
	c.b = cmp.Or(r.waiting, c.b)
	r.why.report(r, 487, message.StatusText(487))
	c.abandon(why, cause.Reasons{})
	c.server.vacate(c.attempts.current)
	rs.current = nil
}
