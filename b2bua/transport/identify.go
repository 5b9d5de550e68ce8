package transport

import (
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transaction"
	"flowbridge/config"
)

// This file finds out who has sent a parsed request, and whether the sender has proven its identity. The screen does
// the same before parsing.

// Identify returns the trunk of a request outside a dialog. If there is none, or the trunk needs credentials first,
// Identify answers the request and returns nil.
func (s *Stack) Identify(req *sip.Request, tx *transaction.Server) (p *peers.Snapshot, t *peers.Trunk) {
	if p, t = s.server.HeldTrunk(req); t != nil {
		return p, t
	}
	from := s.SenderOf(req)
	p = s.server.Peers()
	fit := p.Candidates(req, from)
	if len(fit) == 0 {
		s.refuseUnmatched(req, tx, p.TrustOf(from), from)
		return p, nil
	}
	asked, fallback := peers.Contenders(fit, from)
	if len(asked) == 0 {
		return p, fallback
	}
	t, how := s.auth.Check(req, asked, time.Now())
	if how == peers.ProofNone && fallback != nil {
		return p, fallback
	}
	if how != peers.ProofRight {
		s.refuseUnproven(req, tx, how, from)
		return p, nil
	}
	s.Prove(req)
	return p, t
}

// ProvenTrunk returns the trunk in of whose credentials a request shows. If the request shows no valid credentials,
// ProvenTrunk answers it and returns nil.
func (s *Stack) ProvenTrunk(req *sip.Request, tx *transaction.Server, of []*peers.Trunk) *peers.Trunk {
	t, how := s.auth.Check(req, of, time.Now())
	if how != peers.ProofRight {
		s.refuseUnproven(req, tx, how, s.SenderOf(req))
		return nil
	}
	s.Prove(req)
	return t
}

// Admits reports whether a request within the leg's dialog comes from an allowed sender. If not, Admits answers the
// request. An ACK can't be challenged, but it has the credentials of its INVITE (RFC 3261 section 22.1).
func (w *Wire) Admits(req *sip.Request, tx *transaction.Server, senders *peers.Senders) bool {
	s := w.stack
	if w.carries(s.StreamOf(req)) {
		return true
	}
	from := s.SenderOf(req)
	trusted := senders.TrustOf(from)
	switch {
	case trusted == peers.TrustFull:
		return true
	case trusted == peers.TrustProof && req.Method == sip.ACK:
		if senders.AreShown(req) {
			return true
		}
	case trusted == peers.TrustProof:
		_, how := s.auth.Check(req, []*peers.Trunk{senders.Caller}, time.Now())
		if how != peers.ProofRight {
			s.refuseUnproven(req, tx, how, from)
		}
		return how == peers.ProofRight
	}
	s.rejecting.rejected(&s.rejected.NotOfCall, from.Addr, "not_of_call")
	s.Refuse(req, tx, 403)
	return false
}

// refuseUnproven answers a request that lacks the credentials it needs.
func (s *Stack) refuseUnproven(req *sip.Request, tx *transaction.Server, how peers.Proof, from peers.Sender) {
	switch how {
	case peers.ProofNone, peers.ProofStale, peers.ProofRight:
		s.rejected.Challenged.Add(1)
	case peers.ProofWrong:
		s.rejecting.rejected(&s.rejected.Unauthorized, from.Addr, "unauthorized")
	case peers.ProofBlocked:
		s.rejecting.rejected(&s.rejected.Throttled, from.Addr, "throttled")
		s.Refuse(req, tx, 403)
		return
	}
	s.Refuse(req, tx, 401, s.auth.ChallengeHeaders(from.Addr.Addr(), req, how == peers.ProofStale, time.Now())...)
}

// refuseUnmatched refuses a request that meets no trunk's conditions. It sends an answer only if the sender's address
// belongs to a trunk.
func (s *Stack) refuseUnmatched(req *sip.Request, tx *transaction.Server, trust peers.SourceTrust, from peers.Sender) {
	if !trust.Known {
		tx.Terminate()
		return
	}
	s.rejecting.rejected(&s.rejected.NoTrunk, from.Addr, "no_trunk")
	s.Refuse(req, tx, 403)
}

// NoRoom refuses an INVITE because of a lack of capacity, and remembers that, so that a copy of the INVITE is refused
// as well.
func (s *Stack) NoRoom(req *sip.Request, tx *transaction.Server, why peers.Capacity) {
	s.rejecting.full(&s.rejected, why, message.ParseSource(req.Source()))
	s.refusals.note([]byte(message.TagOf(req.To().Params)))
	s.Refuse(req, tx, 503, leg.RetryAfter())
}

// Refuse is ReplyOnce with the status's standard reason phrase.
func (s *Stack) Refuse(req *sip.Request, tx *transaction.Server, code int, headers ...sip.Header) {
	s.ReplyOnce(req, tx, code, message.StatusText(code), headers...)
}

// AnswerOptions answers an OPTIONS from a trunk. If its address or certificate does not identify a trunk, it needs
// credentials. drains says that the server takes no new calls, so that the answer is 503.
func (s *Stack) AnswerOptions(req *sip.Request, tx *transaction.Server, drains bool) {
	p := s.server.Peers()
	if !p.TrustOf(s.SenderOf(req)).Known {
		if _, t := s.Identify(req, tx); t == nil {
			return
		}
	}
	if drains {
		s.Reply(req, tx, 503, message.StatusText(503), leg.RetryAfter())
		return
	}
	o := leg.PeerOptions{Rel100: config.Rel100Supported, Allow: p.Allow}
	if code, reason, headers := leg.Unsupported(req, o); code != 0 {
		s.Reply(req, tx, code, reason, headers...)
		return
	}
	s.Reply(req, tx, 200, message.StatusText(200), leg.Capabilities(o)...)
}
