package b2bua

import (
	"net/netip"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registrar"
	"flowbridge/b2bua/transaction"
	"flowbridge/media"
	"flowbridge/store/record"
)

// Request takes every well-formed request that is neither a retransmission nor a CANCEL.
func (s front) Request(req *sip.Request, tx *transaction.Server) {
	switch {
	case req.Method == sip.INVITE && s.mint.IsNew(req):
		s.onInvite(req, tx)
	case message.TagOf(req.To().Params) != "":
		s.onInDialog(req, tx)
	case req.Method == sip.OPTIONS:
		s.stack.AnswerOptions(req, tx, s.Draining())
	case req.Method == sip.REGISTER && s.admission.Peers.Load().TrustOf(s.stack.SenderOf(req)).Registers:
		s.onRegister(req, tx)
	case req.Method == sip.ACK: // an ACK without a dialog
	case leg.Allowed(leg.Methods, req.Method): // such as a BYE without a dialog
		s.stack.Reply(req, tx, 481, message.StatusText(481))
	default:
		code := leg.StatusOfMethod(req.Method)
		s.stack.Reply(req, tx, code, message.StatusText(code), leg.AllowHeader(s.admission.Peers.Load().Allow))
	}
}

// onInDialog passes a request to its leg.
func (s *Server) onInDialog(req *sip.Request, tx *transaction.Server) {
	tag := message.TagOf(req.To().Params)
	l := s.registry.Leg(tag)
	if l == nil && req.Method == sip.BYE && s.registry.ByeAnswered(tag, message.BranchOf(req)) {
		s.stack.Reply(req, tx, 200, message.StatusText(200))
		return
	}
	if l == nil || l.callID != req.CallID().Value() {
		s.stack.Refuse(req, tx, 481)
		return
	}
	if !l.wire.Admits(req, tx, &l.senders) {
		return
	}
	l.wire.Follow(s.stack.StreamOf(req))
	in := leg.RequestIn{Req: req, Source: message.ParseSource(req.Source())}
	if req.Method == sip.ACK {
		l.post(in)
		return
	}
	l.wire.Serve(req, tx)
	// An INVITE gets its 100 when the call has saved it. Until then, the peer repeats it, if need be to another process.
	if req.Method == sip.INVITE {
		l.cancellable(req, tx)
	}
	if l.post(in) {
		return
	}
	l.wire.Forget(tx)
	if s.registry.Leg(tag) == l { // the inbox is full
		s.stack.Refuse(req, tx, 503, leg.RetryAfter())
		return
	}
	s.stack.Refuse(req, tx, 481)
}

// onRegister accepts a registration if its sender shows the credentials of a trunk or target that may register here.
func (s *Server) onRegister(req *sip.Request, tx *transaction.Server) {
	now, from := time.Now(), s.stack.SenderOf(req)
	t := s.stack.ProvenTrunk(req, tx, s.admission.Peers.Load().Registering(req, from))
	if t == nil {
		return
	}
	flow := s.stack.StreamOf(req)
	a := s.registrar.Register(now, registrar.Request{
		Request: req, Holder: t.KindAndName(), Record: t.Record(),
		From: from.Addr, Flow: flow.ID(),
	})
	if a.Code >= 300 {
		s.stack.LogRefused(req, a.Code, a.Reason)
	}
	s.stack.Reply(req, tx, a.Code, a.Reason, a.Headers...)
}

// onInvite admits a new call or refuses it. A refusal is sent once, without state,
// because the INVITE may be forged.
func (s *Server) onInvite(req *sip.Request, tx *transaction.Server) {
	source := message.ParseSource(req.Source())
	if tag := message.TagOf(req.To().Params); s.registry.Leg(tag) != nil || s.registry.IsGone(tag, message.BranchOf(req)) {
		tx.Terminate() // a retransmission after its transaction's end
		return
	}
	before := s.successor.restartOf(req)
	p, t := s.successor.trunkOf(before)
	if t == nil {
		p, t = s.stack.Identify(req, tx)
	}
	if t == nil {
		return
	}
	if l := s.registry.MergedWith(t.MergeKey(req)); l != nil && l.Branch == message.BranchOf(req) {
		tx.Terminate() // a retransmission from another address of the same sender
		return
	} else if l != nil || s.mint.Looped(req) {
		s.stack.Refuse(req, tx, 482)
		return
	}
	if code, reason, headers := leg.Refusal(req, t.Options(p)); code != 0 {
		s.stack.LogRefused(req, code, reason)
		s.stack.ReplyOnce(req, tx, code, reason, headers...)
		return
	}
	local, err := s.stack.LocalFor(message.TransportOf(req), source.Addr())
	if err != nil {
		s.log.Error().Err(err).Msg("no address toward the peer")
		s.stack.Refuse(req, tx, 500)
		return
	}
	enter := s.admission.Enter
	if before != nil { // a restarting call keeps its place, regardless of the limits
		enter = s.admission.Reenter
	}
	if why := enter(t); why != peers.CapacityFree {
		s.stack.NoRoom(req, tx, why)
		return
	}
	s.begin(req, tx, p, t, source, local, before)
}

// begin creates the call of an admitted INVITE and starts it.
func (s *Server) begin(req *sip.Request, tx *transaction.Server, p *peers.Snapshot, t *peers.Trunk,
	source netip.AddrPort, local leg.Local, before *restart,
) {
	started := false
	defer func() {
		if !started {
			s.admission.Leave(t, true)
		}
	}()
	id, at := record.NewID(), time.Now()
	if before != nil { // as in the old process
		s.successor.restarts.Delete(message.TagOf(req.To().Params))
		id, at = before.Record.ID, leg.TimeOf(before.k.Times.Started)
	}
	c := s.newCall(id, at, req, p, t, source)
	leg := leg.NewUAS(s.legOptions(media.SideA, local, t.Options(p)), req, source)
	flow := s.stack.StreamOf(req)
	c.a = c.putOnWire(leg, media.SideA, &c.trunk.Caller.Peer, t.CallerTLS(&s.callerTLS), flow)
	c.a.Branch, c.a.Merged = strings.Clone(message.BranchOf(req)), t.MergeKey(req)
	c.a.senders = peers.Senders{Peers: p, Caller: t, From: source, Shown: peers.CredentialsIn(req)}
	c.a.Confirmed = flow != nil || t.NeedsCredentials()
	c.a.sequence.Next = req.CSeq().SeqNo + 1
	c.a.wire.Serve(req, tx)
	if !s.registry.AddCall(c.id, c, c.a) {
		c.ladder.Discard()
		if before != nil {
			s.successor.drop(before)
		}
		c.a.wire.Close()
		s.stack.Reply(req, tx, 482, message.StatusText(482)) // merged with a copy that came at the same moment
		return
	}
	before.restore(c)
	c.legs = append(c.legs, c.a)
	c.a.cancellable(req, tx)
	c.log.Debug().Str("from", c.vars.From.Number).Str("to", c.vars.To.Number).Str("sip_call_id", c.vars.SIPCallID).
		Msg("call started")
	started = true
	s.calls.Add(1)
	c.mailbox.Begin()
}

// cancellable registers the leg for a CANCEL of the peer's INVITE.
func (l *legOnWire) cancellable(req *sip.Request, tx *transaction.Server) {
	seq := req.CSeq().SeqNo
	tx.OnCancel(func(c *sip.Request) {
		l.post(leg.CancelIn{Seq: seq, Why: cause.ReasonsIn(message.RawValues(c, "reason", "reason"))})
	})
}

// StrayResponse takes a response that no transaction waits for. A provisional answer
// belongs to a leg whose INVITE another process has sent. A final answer to one of our
// INVITEs always gets a reaction: a repeated refusal gets its ACK again (RFC 3261 section
// 17.1.1.3), and a 2xx goes to its leg (section 13.2.2.4). If the leg is gone, the 2xx
// gets ACK and BYE. The rate of these reactions is bounded, and they stop when a
// transaction would end.
func (s front) StrayResponse(res *sip.Response) {
	if !message.AnswersInvite(res) {
		return
	}
	tag := message.TagOf(res.From().Params)
	l := s.registry.Leg(tag)
	if l != nil && l.callID != res.CallID().Value() {
		return
	}
	in := leg.ResponseIn{Res: res, Source: message.ParseSource(res.Source())}
	ours := s.mint.OwnsBranch([]byte(message.BranchOf(res)), []byte(tag))
	if res.StatusCode < 200 {
		l.postIf(ours, in)
		return
	}
	known := l != nil || s.registry.KnowsTag([]byte(tag)) || s.registry.IsYoung() && ours // from an earlier process
	if !known || !s.strays.Allow() {
		return // belongs to no call, or to one that ended more than 64*T1 ago
	}
	switch {
	case res.StatusCode >= 300:
		s.stack.AckRefusal(res, l.invitedBy(res))
		l.postIf(ours, in) // an earlier process has cancelled it
	case l == nil || !l.post(in):
		s.stack.HangupLost(in, s.legOptions(media.SideB, leg.Local{}, leg.PeerOptions{}))
	}
}

// postIf is post for a leg that may be nil.
func (l *legOnWire) postIf(wanted bool, in leg.Input) {
	if wanted && l != nil {
		l.post(in)
	}
}

// invitedBy returns the Request-URI of the INVITE that a response is to. If its leg is gone, the INVITE began a dialog,
// and its Request-URI was the same as To.
func (l *legOnWire) invitedBy(res *sip.Response) sip.Uri {
	if l == nil {
		return res.To().Address
	}
	return l.wire.LastInvited()
}

// front is the server as its transport sees it: a transport.Handler.
type front struct{ *Server }

// Peers returns the trunks and targets in force.
func (s front) Peers() *peers.Snapshot { return s.admission.Peers.Load() }

// maxUnwritten is the number of records that may wait for a slow disk before new calls
// are refused.
const maxUnwritten = 10_000

// Capacity reports whether there is room for a new call.
func (s front) Capacity(from peers.Sender) peers.Capacity {
	switch {
	case s.unwritten.Load() >= maxUnwritten:
		return peers.CapacityNone
	case s.stack.IsOverloaded() && !s.admission.Spared(from):
		return peers.CapacityOverload
	default:
		return s.admission.Capacity(from)
	}
}

// InDialog reports whether a To tag belongs to a leg, or to one that ended recently.
func (s front) InDialog(toTag []byte) bool { return s.registry.KnowsTag(toTag) }

// InProgress reports whether the INVITE that gets this To tag is known.
func (s front) InProgress(toTag message.Minted) bool { return s.registry.Has(toTag) }

// Panicked counts and logs a panic that was recovered.
func (s front) Panicked(where string, value any) { s.panicked(s.log.Error(), where, value) }
