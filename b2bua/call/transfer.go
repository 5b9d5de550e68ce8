package call

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/snapshot"
	"flowbridge/config"
	"flowbridge/store/record"
)

// This file handles the agent's side of a transfer: the agent's REFER (RFC 3515) asks us to connect the caller to
// another party. The file outbound/transfer.go decides which destinations are permitted.
//
// With transfer: local we place the call to the other party ourselves, as an attempt in parallel with the bridge, and
// report its progress to the agent by NOTIFY. If the party answers, the caller is connected to it and the agent's leg
// ends. Otherwise the caller stays with the agent, unless the agent has left.

// transfers handles transfers of the caller to another party.
type transfers struct {
	idle
	snapshot.Transfers
}

func (tr *transfers) save(k *snapshot.Sheet) { k.Transfers = tr.Transfers }

func (tr *transfers) restore(k *snapshot.Call, _ *record.Record) error {
	tr.Transfers = k.Transfers
	return nil
}

// on handles a REFER in an answered call.
func (tr *transfers) on(h happening) (next phase, handled bool) {
	f, is := h.fact.(leg.Asked)
	handled = is && f.Req.Method == sip.REFER && tr.call.whoIs() != ringing
	if handled {
		tr.asked(h.from, f.Req)
	}
	return nil, handled
}

// begin reports a transfer as failed that was in progress when the old process ended.
func (tr *transfers) begin(v *restoring) phase {
	if k := v.k.Replacement; k != nil && !k.Rescues() {
		tr.call.replacements.giveUp(&replacement{Replacement: *k}, tr.reason())
	}
	return nil
}

func (tr *transfers) show(l *registry.LiveCall) {
	if tr.Last != nil {
		l.Transfer = new(*tr.Last)
	}
}

// transfer is the reason (see reason) for calling another party because the agent, an operator or a tool asked for it.
type transfer struct {
	*transfers
	agent *LegOnWire       // the agent that asked for the transfer, or that would be replaced
	told  int              // the last status reported to the agent
	said  *record.Transfer // the progress that operators see
}

// asked handles a REFER: it starts the transfer, or refuses it.
func (tr *transfers) asked(from *LegOnWire, req *sip.Request) {
	if from != tr.call.b {
		tr.call.bridge.Reply(&from.Half, req, 405, from.Leg.Peer.Allow)
		return
	}
	to, err := message.ReferTo(req)
	switch {
	case errors.Is(err, message.ErrReferScheme):
		tr.refuse(from, req, 416, err)
	case err != nil:
		tr.refuse(from, req, 400, err)
	case tr.call.replacements.underway():
		tr.refuse(from, req, 491, errTransferring)
	case tr.Referrals >= maxReferrals:
		tr.refuse(from, req, 403, errTooOften)
	default:
		tr.obey(from, req, to)
	}
}

// maxReferrals is the maximum number of transfers of one call.
const maxReferrals = 20

var (
	errTooOften     = errors.New("too many transfers of one call")
	errTransferring = errors.New("a transfer is under way already")
)

func (tr *transfers) refuse(from *LegOnWire, req *sip.Request, code int, err error) {
	c := tr.call
	c.peerLog.Warn().Err(err).Int("code", code).Msg("transfer refused")
	c.ladder.Decide("the agent's transfer is refused with %d: %v", code, err)
	c.bridge.Reply(&from.Half, req, code, message.Warning("399 "+err.Error()))
}

// obey carries out a REFER if the configuration of the agent's target permits it, and refuses it otherwise.
func (tr *transfers) obey(from *LegOnWire, req *sip.Request, to message.Referral) {
	c := tr.call
	dest, code, err := tr.way().To(to)
	if err != nil {
		c.peerLog.Warn().Str("uri", to.URI).Str("number", dest.Party.Number).Msg("transfer not possible")
		tr.refuse(from, req, code, err)
		return
	}
	if c.connected.target.Dial.Transfer == config.TransferRelay {
		by := outbound.Referrer(req, c.b.Leg.Dialog(), c.a.Leg.Local)
		c.bridge.Relays.Refer(&from.Half, req, dest.ReferTo, by, func() { c.checkpoint.flush(true) })
		return
	}
	r := tr.take(dest, to.Headers, req)
	r.Reports, tr.Last.To = message.WantsReport(req), cmp.Or(dest.Party.Number, to.URI)
	if tr.Referrals > 1 { // from the second REFER on, NOTIFYs need an id (RFC 3515 section 2.4.6)
		r.ID = fmt.Sprintf(";id=%d", req.CSeq().SeqNo)
	}
	c.log.Info().Str("to", dest.Party.Number).Str("uri", to.URI).Strs("dropped", to.Dropped).Msg("transfer requested")
	c.ladder.Decide("the agent transfers the call to %s", tr.Last.To)
	var accepted []sip.Header
	if !r.Reports {
		accepted = append(accepted, sip.NewHeader("Refer-Sub", "false")) // RFC 4488 section 4
	}
	// The agent is now told that its transfer is in progress, so a new process must be able to report how it ends.
	c.checkpoint.flush(true)
	c.bridge.Reply(&from.Half, req, 202, accepted...)
	r.why.report(r, 100, "Trying")
	c.replacements.next()
}

// way returns what decides which destinations are permitted.
func (tr *transfers) way() *outbound.Transfer {
	c := tr.call
	return &outbound.Transfer{
		Peers: c.peers, Trunk: c.trunk, Agent: c.connected.target.Dial, Vars: c.variables(), Caller: c.a.Leg.Dialog(),
		Ours: [2]string{c.a.Leg.Local.Host, c.b.Leg.Local.Host}, Tried: c.record.Attempts,
	}
}

// take starts a replacement that calls dest; next must be called to start its first attempt. with has additional
// headers for its INVITE. req is the agent's REFER, or nil if an operator or a tool asked for the transfer.
func (tr *transfers) take(dest outbound.Destination, with []message.HeaderLine, req *sip.Request) *replacement {
	c := tr.call
	by := outbound.Referrer(req, c.b.Leg.Dialog(), c.a.Leg.Local)
	tr.Referrals++
	tr.Last = &record.Transfer{State: record.TransferDialing}
	r := &replacement{why: tr.reason(), plan: tr.way().Plan(dest, with, by, req)}
	c.replacements.try(r)
	return r
}

func (tr *transfers) reason() *transfer {
	return &transfer{transfers: tr, agent: tr.call.b, said: tr.Last}
}

// Transfer starts a transfer that an operator or a tool asked for, for an order of the call.
func (c *Call) Transfer(r *bridge.TransferRequest) error { return c.transfers.order(r) }

// order starts a transfer that an operator or a tool asked for. Unlike a transfer by REFER, it sends the agent no
// reports.
func (tr *transfers) order(r *bridge.TransferRequest) error {
	c := tr.call
	switch {
	case len(r.Of) > 0 && (c.connected == nil || !slices.Contains(r.Of, c.connected.target.Dial.Name)):
		return &bridge.OrderError{Problem: "the call is not at a target of this token", Remedy: "list the target", Code: 403}
	case c.whoIs() == ringing || c.a.Leg.AnswerWaits():
		return bridge.NotAnswered()
	case c.trunk.Platform != nil:
		return &bridge.OrderError{Problem: "a target has placed the call", Remedy: "transfer calls that a target has taken"}
	case c.whoIs() == first || c.replacements.underway():
		return bridgeCall{c}.Moment().NoAgent()
	case tr.Referrals >= maxReferrals:
		return &bridge.OrderError{Problem: errTooOften.Error(), Remedy: "end the call, or leave it where it is", Code: 403}
	}
	if err := c.bridge.Saying.Check(r.Announce); err != nil {
		return err
	}
	dest, headers, err := tr.way().Ordered(r.Order)
	if err != nil {
		c.peerLog.Warn().Err(err).Str("to", r.To).Str("by", r.By).Msg("ordered transfer refused")
		return bridge.Refusal(err)
	}
	t := tr.take(dest, headers, nil)
	t.announce, tr.Last.To, tr.Last.By, t.plan.By = r.Announce, r.To, r.By, r.By
	c.log.Info().Str("to", r.To).Str("by", r.By).Str("announce", r.Announce.Sound).Msg("transfer ordered")
	c.ladder.Decide("%s orders a transfer of the call to %s", r.By, r.To)
	c.replacements.next()
	return nil
}

// report reports the progress of a transfer to the agent, unless the agent has left or wants no reports (RFC 3515
// section 2.4.4).
func (t *transfer) report(r *replacement, code int, phrase string) {
	if r.Left || !r.Reports || code == t.told {
		return
	}
	t.told = code
	t.call.step(t.agent, leg.ReportOfRefer(r.ID, code, phrase))
}

func (t *transfer) stands(at standing, code int, phrase string) {
	t.said.Is([...]string{
		rings: record.TransferRinging, hears: record.TransferAnnouncing, done: record.TransferDone,
		failed: record.TransferFailed,
	}[at], code, phrase)
}

func (*transfer) answered(*sdp.Description) {}
func (*transfer) holds() bool               { return false }

func (t *transfer) connected() (how, message string) {
	t.tell()
	return "transferred", "call transferred"
}

// failed ends the call if the agent has left. Otherwise the caller stays with the agent.
func (t *transfer) failed(r *replacement) {
	t.said.Cause = string(t.call.attempts.last.cause)
	if t.tell(); r.Left {
		t.call.hangup(cause.TransferFailed, record.EndedBySystem)
	}
}

// tell passes the result of a transfer that an operator or a tool asked for to Options.Transferred.
func (t *transfer) tell() {
	if c := t.call; t.said.By != "" && c.host.Transferred != nil {
		c.host.Transferred(*t.said, c.cdr())
	}
}
