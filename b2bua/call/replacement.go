package call

import (
	"cmp"

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

// This file calls another party while the caller is bridged. When that party answers, it replaces the agent; the
// caller's leg stays the same. A reason says why the party is called, and what happens if no party answers.

// replacements calls another party to replace the agent, or calls the first agent of a placed call.
type replacements struct {
	idle
	current *replacement // nil if no replacement is in progress
}

// replacement is a replacement in progress.
type replacement struct {
	snapshot.Replacement
	why      reason // nil if an old process started it, until the call's first turn
	plan     outbound.Plan
	held     bool             // the agent had put the call on hold when it hung up
	early    *sdp.Description // early media of the called party
	code     int              // the last final status of a called party
	phrase   string
	waiting  *LegOnWire // the agent that waits while the called party agrees on its keys; nil if none does
	announce bridge.Announce
	hears    bool // the called party is hearing the announcement
	accepted bool // the called party has accepted the call after the announcement
}

// standing is the progress of a replacement.
type standing int

const (
	rings standing = iota
	hears          // the called party hears the announcement
	done
	failed
)

// reason says why another party is called. Its methods report the progress.
type reason interface {
	// stands reports the progress to viewers of the call.
	stands(at standing, code int, phrase string)
	// report reports the progress to the agent by NOTIFY.
	report(r *replacement, code int, phrase string)
	// answered is called when a party has answered, before the caller is connected to it. seen is the answer in the
	// caller's payload types. The call's state is saved afterwards.
	answered(seen *sdp.Description)
	// connected is called once the caller is connected to the new party. It returns a word for the ladder and a message
	// for the log.
	connected() (how, message string)
	// holds reports whether a party that has answered has to wait before the caller is connected to it.
	holds() bool
	// failed is called if no party takes the caller.
	failed(r *replacement)
}

// unwatched is embedded in reasons that report no progress.
type unwatched struct{}

func (unwatched) stands(standing, int, string)     {}
func (unwatched) report(*replacement, int, string) {}
func (unwatched) answered(*sdp.Description)        {}
func (unwatched) holds() bool                      { return false }

func (rs *replacements) save(k *snapshot.Sheet) {
	r, c := rs.current, rs.call
	if r == nil || c.connected == nil { // a placed call without an agent saves its plan instead
		return
	}
	k.Replacement = new(r.Replacement)
	if b := c.bridge.Agreement.Before[media.SideB]; r.waiting != nil {
		k.Replacement.Waiting = &snapshot.Waiting{Description: b.Description.State(), SentTo: b.Terms.SentTo[media.SideB]}
	}
}

// restore stores the saved replacement. The call's first turn ends or restarts it.
func (rs *replacements) restore(k *snapshot.Call, _ *record.Record) error {
	if k.Replacement != nil {
		rs.current = &replacement{Replacement: *k.Replacement}
	}
	return nil
}

// on handles facts of the called party's leg and of a waiting agent's leg, the BYE of the agent, and the end of an
// announcement.
func (rs *replacements) on(h happening) (next phase, handled bool) {
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
	e, is := in.Event.(bridge.Said)
	if handled = is && e.To == media.SideB; handled {
		rs.announced(e.Accepted)
	}
	return nil, handled
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
		// The attempt in progress.
		l.Record.Attempts = append(l.Record.Attempts, rs.call.attempts.current.recordOf(cause.None, 0))
	}
}

func (rs *replacements) underway() bool { return rs.current != nil }

// lost reports whether this replacement was started because the agent was lost, and not because of a transfer.
func (rs *replacements) lost() bool { return rs.current != nil && rs.current.Lost != nil }

// waiting returns the leg of the agent that waits while the called party agrees on its keys, or nil.
func (rs *replacements) waiting() *LegOnWire {
	if rs.current == nil {
		return nil
	}
	return rs.current.waiting
}

// targets returns the target that is being called, followed by the targets to try after it.
func (rs *replacements) targets() []*peers.Target {
	return append([]*peers.Target{rs.call.attempts.current.target}, rs.current.plan.Targets...)
}

// isLine reports whether a leg is the called party's, or the waiting agent's.
func (rs *replacements) isLine(l *LegOnWire) bool {
	return rs.current != nil && l != nil && (l == rs.call.attempts.current.line || l == rs.current.waiting)
}

// try makes r the current replacement. Call next to start its first attempt.
func (rs *replacements) try(r *replacement) {
	r.code, r.phrase = 503, message.StatusText(503)
	rs.current = r
}

// next tries the next target. If none is left, the replacement has failed.
func (rs *replacements) next() {
	if !rs.call.attempts.try(&rs.current.plan) {
		rs.failed()
	}
}

// prepared dials the target of an attempt whose preparation is complete, or tries the next target if it failed.
func (rs *replacements) prepared(e ready) {
	if rs.current != nil && rs.call.attempts.dialPrepared(e) == notDialled {
		rs.next()
	}
}

// fact handles what the called party's leg or the waiting agent's leg reports.
func (rs *replacements) fact(from *LegOnWire, f leg.Fact) {
	c := rs.call
	switch f := f.(type) {
	case leg.Progress:
		rs.rings(f)
	case leg.Answered:
		rs.answered(f)
	case leg.Refused:
		rs.refused(f)
	case leg.Offered:
		if from == rs.current.waiting || c.attempts.current.answer != nil { // during a trial, no session can change
			c.step(from, bridge.Rejection(491))
		} else {
			c.step(from, bridge.NotAcceptable())
		}
	case leg.Asked:
		if !c.bridge.Saying.Asked(&from.Half, f.Req) {
			c.bridge.Reply(&from.Half, f.Req, 480)
		}
	case leg.Gone:
		rs.goneInTry(from, f)
	case leg.Replied:
		c.bridge.Relays.Replied(f)
	case leg.Cancelled, leg.Confirmed, leg.Withdrawn, leg.AnswerReady, leg.OfferRefused: // these can't happen here
	}
}

// refused handles a called party's refusal: it tries the party's next address or the next target, or fails the
// replacement.
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

// rings handles a provisional answer of the called party. The caller hears the party's early media only if the agent
// has left.
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
	rs.plugEarly()
}

// plugEarly lets the caller hear the called party's early media, if the agent has left and nothing holds the party.
func (rs *replacements) plugEarly() {
	if r := rs.current; r != nil && r.early != nil && r.Left && !r.why.holds() {
		rs.call.bridge.Plug(rs.call.attempts.current.formats, r.early)
	}
}

// answered handles the answer of a called party. The caller is connected at once, or after the party has its keys and
// has accepted the call.
func (rs *replacements) answered(f leg.Answered) {
	c, r := rs.call, rs.current
	if c.attempts.current.answer == nil {
		c.attempts.current.noteAnswerTime()
		c.telling.noteAgentAnswer()
	}
	answer, err := c.attempts.readAnswer(f.SDP)
	var seen *sdp.Description // answer in the caller's payload types
	if err == nil {
		if c.b != nil && rs.isTried(answer) { // must come before Seen, which changes what is agreed with the caller
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

// takes connects the caller to the party that has answered. seen is the party's answer in the caller's payload types.
func (rs *replacements) takes(answer, seen *sdp.Description) {
	c, r := rs.call, rs.current
	c.attempts.note(cause.None, 200)
	before, agent := c.connected, cmp.Or(r.waiting, c.b)
	held := r.held || c.b != nil && c.bridge.Agreement.Description[media.SideB].Held()
	rs.current, c.bridge.Sounds.OnHold = nil, false
	c.bridge.Saying.End()
	r.why.stands(done, 200, message.StatusText(200))
	c.connect(c.attempts.current)
	r.why.answered(seen)
	c.bridge.Replace(c.connected.mediaName, c.connected.formats, answer)
	c.bridge.Tell(bridge.Left{Leg: halfOf(agent)})
	c.host.vacate(before)
	c.limitDuration()
	c.connected.settle()
	c.checkpoint.flush(true) // must come before the agent leaves, and before the target gets its ACK
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

// resume offers the caller the session again if the caller was told of the agent's hold (reinvite: relay), because the
// new party does not hold the call.
func (rs *replacements) resume() {
	c := rs.call
	if told, err := sdp.Read(c.a.Leg.Described(), sdp.Accept{Any: true}); err == nil && told.Direction() != sdp.SendRecv {
		c.bridge.Exchanges.Restore(&c.a.Half)
	}
}

// failed handles a replacement for which no target is left. The caller stays with its agent. If the agent has left, the
// reason decides how the call ends.
func (rs *replacements) failed() {
	c, r := rs.call, rs.current
	r.why.report(r, r.code, r.phrase)
	r.why.stands(failed, r.code, r.phrase)
	c.log.Warn().Int("code", r.code).Bool("agent_left", r.Left).Bool("rescue", rs.lost()).Msg("transfer failed")
	c.ladder.Decide("nobody takes the caller: %d %s", r.code, r.phrase)
	rs.current = nil
	c.attempts.back(c.connected)
	r.why.failed(r)
	c.checkpoint.flush(true) // so that a new process does not report this to the agent again
}

// agentLeft handles an agent that hangs up before the new party has answered, as some do once their REFER is accepted.
// The caller waits for the new party.
func (rs *replacements) agentLeft(f leg.Gone) {
	c := rs.call
	rs.loseAgent()
	c.log.Info().Str("cause", string(f.Cause)).Msg("agent hung up: the transfer continues")
	c.ladder.Decide("the agent hangs up, the transfer goes on")
}

// loseAgent disconnects the agent. The caller waits until another party answers, and hears that party's early media if
// there is any.
func (rs *replacements) loseAgent() {
	c, r := rs.call, rs.current
	r.Left, r.held = true, c.bridge.Agreement.Description[media.SideB].Held()
	agent := c.lose()
	c.host.vacate(c.connected)
	c.bridge.Tell(bridge.Left{Leg: halfOf(agent)})
	if r.early != nil {
		c.bridge.Plug(c.attempts.current.formats, r.early)
	} else {
		c.bridge.Media.Unplug()
	}
}

// takeOut removes and returns the current replacement, without reporting anything. It returns nil if there is none.
func (rs *replacements) takeOut() *replacement {
	r := rs.current
	rs.current = nil
	return r
}

// giveUp reports a replacement as failed because its process ended during it. The restored legs end the dialog with the
// called party.
func (rs *replacements) giveUp(r *replacement, why reason) {
	r.why, r.code, r.phrase = why, 500, message.StatusText(500)
	rs.current = r
	rs.call.attempts.lost(cause.ProcessRestart)
	rs.failed()
}

// stop ends the current replacement because the call ends.
func (rs *replacements) stop(why cause.Cause) {
	c, r := rs.call, rs.current
	if r == nil {
		return
	}
	c.regain(cmp.Or(r.waiting, c.b))
	r.why.report(r, 487, message.StatusText(487))
	c.attempts.abandon(why, cause.Reasons{})
	c.host.vacate(c.attempts.current)
	rs.current = nil
}
