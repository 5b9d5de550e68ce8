package b2bua

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/snapshot"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/store/record"
)

// A REFER of the agent (RFC 3515) asks us to connect the caller to another party.
// This file has the agent's side of it; outbound/transfer.go has the permitted
// destinations.
//
// With transfer: local we place the call ourselves, as an attempt beside the
// bridge, and report its progress to the agent by NOTIFY. If it is answered, the
// caller is bridged to it and the agent's leg ends. Otherwise the caller stays with
// the agent, unless the agent has gone.

// transfers are those away from the agent of a call.
type transfers struct {
	call *Call
	snapshot.Transfers
	current *transfer // nil: none is under way
}

func (tr *transfers) save(k *snapshot.Sheet) {
	k.Transfers = tr.Transfers
	if t := tr.current; t != nil && !t.first {
		k.Transfer = new(t.Transfer)
		if b := tr.call.bridge.Agreement.Before[media.SideB]; t.waiting != nil {
			k.Transfer.Waiting = &snapshot.Waiting{Description: b.Description.State(), SentTo: b.Terms.SentTo[media.SideB]}
		}
	}
}

// restore goes on with what the transfer under way was. The call's first turn ends it, or begins the rescue again.
func (tr *transfers) restore(k *snapshot.Call) {
	tr.Transfers = k.Transfers
	if k.Transfer != nil {
		tr.current = &transfer{
			Transfer: *k.Transfer, agent: tr.call.b, code: 500, reason: message.StatusText(500), said: tr.Last,
		}
	}
}

// transfer is a call away from the agent that is under way.
type transfer struct {
	snapshot.Transfer
	agent   *legOnWire // asked for it
	held    bool       // the agent was holding the call when it hung up
	plan    outbound.Plan
	early   *sdp.Description // early media of the new target
	code    int              // the last final answer
	reason  string
	told    int              // the last status that was reported to the agent
	waiting *legOnWire       // the agent, while the new target agrees on its keys; nil: it does not wait
	first   bool             // the call that we have placed has had no agent yet
	said    *record.Transfer // the state that an operator sees; nil: a rescue

	announce bridge.Announce // before it is connected; without a sound: nothing
	accepted bool            // it was heard, and the new target takes the call
}

// asked is a REFER of the agent.
func (tr *transfers) asked(from *legOnWire, req *sip.Request) {
	if from != tr.call.b {
		tr.call.bridge.Reply(&from.Half, req, 405, leg.AllowHeader(from.Leg.Peer.Allow))
		return
	}
	to, err := message.ReferTo(req)
	switch {
	case errors.Is(err, message.ErrReferScheme):
		tr.refuse(from, req, 416, err)
	case err != nil:
		tr.refuse(from, req, 400, err)
	case tr.current != nil:
		tr.refuse(from, req, 491, errTransferring)
	case tr.Referrals >= maxReferrals:
		tr.refuse(from, req, 403, errTooOften)
	default:
		tr.begin(from, req, to)
	}
}

// maxReferrals bounds the transfers of one call.
const maxReferrals = 20

var (
	errTooOften     = errors.New("too many transfers of one call")
	errTransferring = errors.New("a transfer is under way already")
)

func (tr *transfers) refuse(from *legOnWire, req *sip.Request, code int, err error) {
	c := tr.call
	c.peerLog.Warn().Err(err).Int("code", code).Msg("transfer refused")
	c.ladder.Decide("the agent's transfer is refused with %d: %v", code, err)
	c.bridge.Reply(&from.Half, req, code, message.Warning("399 "+err.Error()))
}

// begin carries a REFER out as the target's configuration says.
func (tr *transfers) begin(from *legOnWire, req *sip.Request, to message.Referral) {
	c := tr.call
	dest, code, err := tr.way().To(to)
	if err != nil {
		c.peerLog.Warn().Str("uri", to.URI).Str("number", dest.Party.Number).Msg("transfer not possible")
		tr.refuse(from, req, code, err)
		return
	}
	if c.connected.target.Dial.Transfer == config.TransferRelay {
		by := outbound.Referrer(req, c.b.Leg.Dialog(), c.a.Leg.Local)
		c.bridge.Relays.Refer(&from.Half, req, dest.ReferTo, by, func() { c.notes.before(true) })
		return
	}
	t := tr.take(dest, to.Headers, req)
	t.Reports, t.said.To = message.WantsReport(req), cmp.Or(dest.Party.Number, to.URI)
	if tr.Referrals > 1 { // RFC 3515 section 2.4.6
		t.ID = fmt.Sprintf(";id=%d", req.CSeq().SeqNo)
	}
	c.log.Info().Str("to", dest.Party.Number).Str("uri", to.URI).Strs("dropped", to.Dropped).Msg("transfer asked")
	c.ladder.Decide("the agent transfers the call to %s", t.said.To)
	var accepted []sip.Header
	if !t.Reports {
		accepted = append(accepted, sip.NewHeader("Refer-Sub", "false")) // RFC 4488 section 4
	}
	c.notes.before(true) // the next process tells the agent, who has heard that its transfer is under way
	c.bridge.Reply(&from.Half, req, 202, accepted...)
	tr.report(tr.current, 100, "Trying")
	tr.next()
}

// way is what destinations of the agent depend on.
func (tr *transfers) way() *outbound.Transfer {
	c := tr.call
	return &outbound.Transfer{
		Peers: c.peers, Trunk: c.trunk, Agent: c.connected.target.Dial, Vars: c.vars, Caller: c.a.Leg.Dialog(),
		Ours: [2]string{c.a.Leg.Local.Host, c.b.Leg.Local.Host}, Tried: c.record.Attempts,
	}
}

// take makes a transfer the current one. req is the agent's REFER; nil: it is ordered.
func (tr *transfers) take(dest outbound.Destination, with []message.HeaderLine, req *sip.Request) *transfer {
	c := tr.call
	by := outbound.Referrer(req, c.b.Leg.Dialog(), c.a.Leg.Local)
	tr.Referrals++
	tr.Last = &record.Transfer{State: record.TransferDialing}
	tr.current = &transfer{
		agent: c.b, code: 503, reason: message.StatusText(503), said: tr.Last, plan: tr.way().Plan(dest, with, by, req),
	}
	c.bridge.Media.Interrupt(true)
	return tr.current
}

// order begins a transfer that is ordered: as by a REFER of the agent, who is not told of it.
func (tr *transfers) order(r *bridge.TransferRequest) error {
	c := tr.call
	now := bridgeCall{c}.Moment()
	switch {
	case len(r.Of) > 0 && (c.connected == nil || !slices.Contains(r.Of, c.connected.target.Dial.Name)):
		return &bridge.OrderError{Problem: "the call is not at a target of this token", Remedy: "list the target", Code: 403}
	case !now.Answered || c.a.Leg.AnswerWaits():
		return bridge.NotAnswered()
	case c.trunk.Platform != nil:
		return &bridge.OrderError{Problem: "a target has placed the call", Remedy: "transfer calls that a target has taken"}
	case now.First || tr.current != nil:
		return now.NoAgent()
	case tr.Referrals >= maxReferrals:
		return &bridge.OrderError{Problem: errTooOften.Error(), Remedy: "end the call, or leave it where it is", Code: 403}
	}
	if err := c.bridge.Announcement.Check(r.Announce); err != nil {
		return err
	}
	dest, headers, err := tr.way().Ordered(r.Order)
	if err != nil {
		c.peerLog.Warn().Err(err).Str("to", r.To).Str("by", r.By).Msg("ordered transfer refused")
		return bridge.Refusal(err)
	}
	t := tr.take(dest, headers, nil)
	t.announce, t.said.To, t.said.By, t.plan.By = r.Announce, r.To, r.By, r.By
	c.log.Info().Str("to", r.To).Str("by", r.By).Str("announce", r.Announce.Sound).Msg("transfer ordered")
	c.ladder.Decide("%s orders a transfer of the call to %s", r.By, r.To)
	tr.next()
	return nil
}

// report reports a transfer's progress to the agent (RFC 3515 section 2.4.4).
func (tr *transfers) report(t *transfer, code int, reason string) {
	if t.Left || !t.Reports || t.told >= 200 || (code < 200 && t.told == code) {
		return
	}
	t.told = code
	tr.call.step(t.agent, leg.ReportOfRefer(t.ID, code, reason))
}

// next tries the next destination, or ends the transfer.
func (tr *transfers) next() {
	if !tr.call.attempts.try(&tr.current.plan) {
		tr.failed()
	}
}

// on handles a fact of the leg that is called for a transfer, or of an agent that waits for it.
func (tr *transfers) on(from *legOnWire, f leg.Fact) {
	c := tr.call
	switch f := f.(type) {
	case leg.Progress:
		tr.rings(f)
	case leg.Answered:
		tr.answered(f)
	case leg.Refused:
		tr.refused(f)
	case leg.Offered:
		if from == tr.current.waiting || c.attempts.current.answer != nil { // until the target has its keys
			c.step(from, bridge.Rejection(491))
		} else {
			c.step(from, bridge.NotAcceptable())
		}
	case leg.Asked:
		if !c.bridge.Announcement.Asked(&from.Half, f.Req) {
			c.bridge.Reply(&from.Half, f.Req, 480)
		}
	case leg.Gone:
		tr.goneInTry(from, f)
	case leg.Replied:
		c.bridge.Relays.Replied(f)
	case leg.Cancelled, leg.Confirmed, leg.Withdrawn, leg.AnswerReady, leg.OfferRefused: // not for here
	}
}

// refused: a destination does not take the call. The next one is tried.
func (tr *transfers) refused(f leg.Refused) {
	tr.current.early = nil
	if tr.call.attempts.elsewhere(f) {
		return
	}
	tr.current.code = cmp.Or(f.Code, 408)
	tr.current.reason = cmp.Or(f.Reason, message.StatusText(tr.current.code))
	if !tr.call.attempts.refusedBy(f) {
		tr.current.plan.Targets = nil
	}
	tr.next()
}

// rings: the caller hears the new target's early media only if the agent has
// gone.
func (tr *transfers) rings(f leg.Progress) {
	c := tr.call
	c.attempts.current.judge(cause.None, f.Code)
	tr.report(tr.current, f.Code, f.Reason)
	tr.current.said.Is(record.TransferRinging, f.Code, f.Reason)
	if f.SDP == nil {
		return
	}
	answer, err := c.attempts.readAnswer(f.SDP)
	if err != nil {
		c.peerLog.Warn().Err(err).Msg("early media not usable")
		return
	}
	if tr.current.early = answer; tr.current.Left {
		c.bridge.Plug(c.attempts.current.formats, answer)
	}
}

// answered bridges the caller to the new target, once that can be heard.
func (tr *transfers) answered(f leg.Answered) {
	c := tr.call
	answer, err := c.attempts.readAnswer(f.SDP)
	var seen *sdp.Description // by the caller
	if err == nil {
		seen = answer.InNumbersOf(c.bridge.Agreement.OnlyAgreedCodec(media.SideA, c.bridge.Agreement.Offer))
		if seen.Speaks() != c.bridge.Agreement.Codec[media.SideA] {
			err = sdp.ErrNoCodec
		}
	}
	if err != nil {
		c.attempts.badAnswer(err)
		tr.current.code, tr.current.reason = 488, message.StatusText(488)
		tr.next()
		return
	}
	warm := tr.current.announce.Sound != "" && !tr.current.accepted
	if (warm || answer.OverDTLS()) && c.attempts.current.answer == nil && tr.tryOut(f, answer) {
		return
	}
	if warm {
		tr.announce()
		return
	}
	c.attempts.note(cause.None, 200)
	t, before := tr.current, c.connected
	held := t.held || c.b != nil && c.bridge.Agreement.Description[media.SideB].Held()
	tr.current, c.bridge.Sounds.OnHold = nil, false
	c.bridge.Announcement.End()
	t.said.Is(record.TransferDone, 200, message.StatusText(200))
	c.connected, c.b = c.attempts.current, c.attempts.current.line
	c.connected.answered = time.Now()
	if t.first { // a change of the customer's is compared to what both have
		c.bridge.Agreement.Tell(media.SideA, seen.Common(c.bridge.Agreement.Offer))
	}
	c.bridge.Replace(c.connected.mediaName, c.connected.formats, answer)
	c.bridge.Relays.Drop(halfOf(t.agent))
	c.server.vacate(before)
	c.limitDuration()
	c.connected.settle()
	c.notes.before(true) // the agent leaves when it is told, and the target stays after its ACK
	c.notes.share()
	tr.report(t, 200, message.StatusText(200))
	if held {
		tr.resume()
	}
	if !t.Left {
		c.step(t.agent, leg.Hangup{Why: cause.Transferred})
	}
	c.rescues.listen()
	tr.connected(t)
}

// connected says who has answered.
func (tr *transfers) connected(t *transfer) {
	c := tr.call
	how, message := "transferred", "call transferred"
	switch {
	case t.first:
		c.bridge.Media.Interrupt(false)
		c.dropCustomer()
		c.settle()
		how, message = "answered", "agent connected"
	case t.Lost != nil: // else who is connected is not the agent
		c.bridge.Media.Interrupt(false)
		how, message = "rescued", "call rescued"
	}
	c.log.Info().Str("target", c.connected.target.Dial.Name).Str("target_sip_call_id", c.b.callID).Msg(message)
	c.ladder.Decide("%s: the caller is connected to %s", how, c.connected.target.Dial.Name)
	tr.tell(t)
}

// resume offers the caller the session again if the caller was told that the agent
// holds the call (reinvite: relay). The new target does not hold it.
func (tr *transfers) resume() {
	c := tr.call
	if told, err := sdp.Read(c.a.Leg.Described(), sdp.Accept{Any: true}); err == nil && told.Direction() != sdp.SendRecv {
		c.bridge.Exchanges.Restore(&c.a.Half)
	}
}

// failed tells the agent. The caller stays with the agent; if the agent has
// gone, the call ends.
func (tr *transfers) failed() {
	c := tr.call
	t := tr.current
	tr.report(t, t.code, t.reason)
	if t.said.Is(record.TransferFailed, t.code, t.reason); t.said != nil {
		t.said.Cause = string(c.attempts.last.cause)
	}
	tr.tell(t)
	c.log.Warn().Int("code", t.code).Bool("agent_left", t.Left).Bool("rescue", t.Lost != nil).Msg("transfer failed")
	c.ladder.Decide("nobody takes the caller: %d %s", t.code, t.reason)
	tr.current, c.attempts.current = nil, c.connected
	c.bridge.Media.Interrupt(false)
	switch {
	case t.Lost != nil:
		c.rescues.giveUp(*t.Lost)
	case t.first:
		c.hangup(c.attempts.last.cause, record.EndedBySystem)
	case t.Left:
		c.hangup(cause.TransferFailed, record.EndedBySystem)
	}
	c.notes.before(true) // the next process must not tell the agent again
}

// tell tells how a transfer has ended that was ordered.
func (tr *transfers) tell(t *transfer) {
	if c := tr.call; t.said != nil && t.said.By != "" && c.server.transferred != nil {
		c.server.transferred(*t.said, c.cdr())
	}
}

// giveUp tells the agent of a transfer that the end of a process has ended, whose target is told by its leg.
func (tr *transfers) giveUp(t *transfer) {
	tr.current = t
	tr.call.attempts.last.cause = cause.ProcessRestart
	tr.failed()
}

// agentLeft: the agent hung up during its transfer, as some do once their REFER is
// accepted. The caller waits for the new target.
func (tr *transfers) agentLeft(f leg.Gone) {
	c := tr.call
	tr.loseAgent()
	c.log.Info().Str("cause", string(f.Cause)).Msg("agent left, the transfer goes on")
	c.ladder.Decide("the agent hangs up, the transfer goes on")
}

// loseAgent keeps the caller waiting without an agent until the transfer under way has connected it.
func (tr *transfers) loseAgent() {
	c := tr.call
	tr.current.Left, tr.current.held = true, c.bridge.Agreement.Description[media.SideB].Held()
	agent := c.b
	c.b = nil
	c.server.vacate(c.connected)
	c.bridge.Exchanges.Drop()
	c.bridge.Relays.Drop(halfOf(agent))
	if early := tr.current.early; early != nil {
		c.bridge.Plug(c.attempts.current.formats, early)
	} else {
		c.bridge.Media.Unplug()
	}
	c.bridge.Sounds.Update()
}

// stop ends a transfer because the call ends.
func (tr *transfers) stop(why cause.Cause) {
	c := tr.call
	if tr.current == nil {
		return
	}
	c.b = cmp.Or(tr.current.waiting, c.b)
	tr.report(tr.current, 487, message.StatusText(487))
	c.abandon(why, cause.Reasons{})
	c.server.vacate(c.attempts.current)
	tr.current = nil
}

// isLine says whether a leg is the one that is called for a transfer, or of an agent that waits for it.
func (tr *transfers) isLine(l *legOnWire) bool {
	return tr.current != nil && l != nil && (l == tr.call.attempts.current.line || l == tr.current.waiting)
}
