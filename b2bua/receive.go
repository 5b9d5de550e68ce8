package b2bua

import (
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/call"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registrar"
	"flowbridge/b2bua/transaction"
	"flowbridge/media"
)

// Request handles every well-formed request that is neither a retransmission nor a CANCEL.
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
	case req.Method == sip.ACK: // no dialog has this ACK, and an ACK gets no response
	case leg.Allowed(leg.Methods, req.Method): // a known method outside a dialog, such as BYE
		s.stack.Reply(req, tx, 481, message.StatusText(481))
	default:
		code := leg.StatusOfMethod(req.Method)
		s.stack.Reply(req, tx, code, message.StatusText(code), s.admission.Peers.Load().Allow)
	}
}

// onInDialog passes a request within a dialog to its leg, or refuses it.
func (s *Server) onInDialog(req *sip.Request, tx *transaction.Server) {
	tag := message.TagOf(req.To().Params)
	l := s.registry.Leg(tag)
	if l == nil && req.Method == sip.BYE && s.registry.ByeAnswered(tag, message.BranchOf(req)) {
		s.stack.Reply(req, tx, 200, message.StatusText(200))
		return
	}
	if l == nil || l.CallID() != req.CallID().Value() {
		s.stack.Refuse(req, tx, 481)
		return
	}
	if l.Request(req, tx) {
		return
	}
	if s.registry.Leg(tag) == l { // the leg exists, so its inbox is full
		s.stack.Refuse(req, tx, 503, leg.RetryAfter())
		return
	}
	s.stack.Refuse(req, tx, 481)
}

// onRegister accepts a registration if its sender proves the credentials of a trunk or target that may register here.
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

// onInvite admits a new call or refuses it. A refusal is sent once, without keeping state, because the INVITE may be
// forged.
func (s *Server) onInvite(req *sip.Request, tx *transaction.Server) {
	source := message.ParseSource(req.Source())
	if tag := message.TagOf(req.To().Params); s.registry.Leg(tag) != nil || s.registry.IsGone(tag, message.BranchOf(req)) {
		tx.Terminate() // a retransmission after the end of its transaction
		return
	}
	p, t := s.stack.Identify(req, tx)
	if t == nil {
		return
	}
	if l := s.registry.MergedWith(t.MergeKey(req)); l != nil && l.Branch == message.BranchOf(req) {
		tx.Terminate() // a retransmission from another address of the sender
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
	as, why := s.admission.Admit(t, req)
	if why != peers.CapacityFree {
		s.stack.NoRoom(req, tx, why)
		return
	}
	started := false
	defer func() {
		if !started {
			s.admission.Leave(t, true)
		}
	}()
	c := call.New(&s.host, as.ID, as.Began, req, p, t, source)
	if !c.Invited(req, tx, local) {
		s.stack.Reply(req, tx, 482, message.StatusText(482)) // a merged copy of this INVITE arrived at the same moment
		return
	}
	started = true
	c.Begin(req, tx)
}

// StrayResponse handles a response that no transaction waits for. A provisional response belongs to a leg whose INVITE
// another process has sent. A final response to one of our INVITEs must be acknowledged: a repeated refusal gets its
// ACK again (RFC 3261 section 17.1.1.3), and a 2xx goes to its leg (section 13.2.2.4). If the leg is gone, the 2xx gets
// ACK and BYE. The rate of these messages is limited, and none is sent for a leg that ended more than 64*T1 ago.
func (s front) StrayResponse(res *sip.Response) {
	if !message.AnswersInvite(res) {
		return
	}
	tag := message.TagOf(res.From().Params)
	l := s.registry.Leg(tag)
	if l != nil && l.CallID() != res.CallID().Value() {
		return
	}
	in := leg.ResponseIn{Res: res, Source: message.ParseSource(res.Source())}
	ours := s.mint.OwnsBranch([]byte(message.BranchOf(res)), []byte(tag))
	if res.StatusCode < 200 {
		postIf(ours, l, in)
		return
	}
	known := l != nil || s.registry.KnowsTag([]byte(tag)) || s.registry.IsYoung() && ours // sent by an earlier process
	if !known || !s.strays.Allow() {
		return // unknown, or its call ended more than 64*T1 ago
	}
	switch {
	case res.StatusCode >= 300:
		s.stack.AckRefusal(res, l.InvitedBy(res))
		postIf(ours, l, in) // the refusal of an INVITE that an earlier process has cancelled
	case l == nil || !l.Post(in):
		s.stack.HangupLost(in, leg.Options{Side: media.SideB, Minter: s.mint})
	}
}

// postIf posts an input to a leg if wanted is set and the leg is not nil.
func postIf(wanted bool, l *call.LegOnWire, in leg.Input) {
	if wanted && l != nil {
		l.Post(in)
	}
}

// front implements transport.Handler for the server.
type front struct{ *Server }

// HeldTrunk returns the trunk of an INVITE for which a place is held, or nil.
func (s front) HeldTrunk(invite *sip.Request) (*peers.Snapshot, *peers.Trunk) {
	return s.admission.HeldTrunk(invite)
}

// Peers returns the current trunks and targets.
func (s front) Peers() *peers.Snapshot { return s.admission.Peers.Load() }

// maxUnwritten is how many records may wait for a slow disk before new calls are refused.
const maxUnwritten = 10_000

// Capacity returns whether there is room for a new call from a sender, and otherwise why not.
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

// InDialog reports whether a To tag belongs to a leg that exists or ended recently.
func (s front) InDialog(toTag []byte) bool { return s.registry.KnowsTag(toTag) }

// InProgress reports whether the INVITE to which we give this To tag already has a call.
func (s front) InProgress(toTag message.Minted) bool { return s.registry.Has(toTag) }

// Panicked counts and logs a panic that was recovered.
func (s front) Panicked(where string, value any) { s.panicked(s.log.Error(), where, value) }
