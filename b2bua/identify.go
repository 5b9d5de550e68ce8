package b2bua

import (
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transaction"
)

// identify finds the trunk of a request. If there is none, or it needs credentials
// first, identify answers the request.
func (s *Server) identify(req *sip.Request, tx *transaction.Server) (p *peers.Snapshot, t *peers.Trunk) {
	from := s.stack.SenderOf(req)
	p = s.admission.Peers.Load()
	fit := p.Candidates(req, from)
	if len(fit) == 0 {
		s.nobody(req, tx, p.Standing(from), from)
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
		s.unproven(req, tx, how, from)
		return p, nil
	}
	s.stack.Prove(req)
	return p, t
}

// unproven answers a request without the credentials that it needs.
func (s *Server) unproven(req *sip.Request, tx *transaction.Server, how peers.Proof, from peers.Sender) {
	switch how {
	case peers.ProofNone, peers.ProofStale, peers.ProofRight:
		s.stack.Rejections().Challenged.Add(1)
	case peers.ProofWrong:
		s.stack.Reject(&s.stack.Rejections().Unauthorized, from.Addr, "unauthorized")
	case peers.ProofBlocked:
		s.stack.Reject(&s.stack.Rejections().Throttled, from.Addr, "throttled")
		s.replyOnce(req, tx, 403)
		return
	}
	s.replyOnce(req, tx, 401, s.auth.ChallengeHeaders(from.Addr.Addr(), req, how == peers.ProofStale, time.Now())...)
}

// no trunk: the request meets no trunk's conditions. It gets an answer if its sender's
// address belongs to a trunk.
func (s *Server) nobody(req *sip.Request, tx *transaction.Server, who peers.Standing, from peers.Sender) {
	if !who.Known {
		tx.Terminate()
		return
	}
	s.stack.Reject(&s.stack.Rejections().NoTrunk, from.Addr, "no_trunk")
	s.replyOnce(req, tx, 403)
}

// replyOnce answers a request without keeping its transaction.
func (s *Server) replyOnce(req *sip.Request, tx *transaction.Server, code int, headers ...sip.Header) {
	s.stack.ReplyOnce(req, tx, code, message.StatusText(code), headers...)
}
