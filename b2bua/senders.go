package b2bua

import (
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transaction"
)

// admits says whether a leg takes a request. If not, it answers it, and nothing else
// happens. An ACK can't be asked for credentials, but it repeats those of its INVITE (RFC
// 3261 section 22.1).
func (s *Server) admits(l *legOnWire, req *sip.Request, tx *transaction.Server) bool {
	if l.wire.Carries(s.stack.StreamOf(req)) {
		return true
	}
	from := s.stack.SenderOf(req)
	trusted := l.senders.Judge(from)
	switch {
	case trusted == peers.TrustFull:
		return true
	case trusted == peers.TrustProof && req.Method == sip.ACK:
		if l.senders.AreShown(req) {
			return true
		}
	case trusted == peers.TrustProof:
		_, how := s.auth.Check(req, []*peers.Trunk{l.senders.Caller}, time.Now())
		if how != peers.ProofRight {
			s.unproven(req, tx, how, from)
		}
		return how == peers.ProofRight
	}
	s.stack.Reject(&s.stack.Rejections().NotOfCall, from.Addr, "not_of_call")
	s.replyOnce(req, tx, 403)
	return false
}
