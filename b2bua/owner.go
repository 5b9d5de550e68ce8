package b2bua

import (
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/peers"
)

// owner says whose requests a leg takes. The tags of a dialog are secret between its
// ends, but a trunk's requests have to come from where the trunk is, too: carriers send
// signalling in the clear. Platforms send from addresses that nobody has announced, so a
// target's may come from anywhere but another trunk. It never changes.
type owner struct {
	peers  *peers.Snapshot
	caller *peers.Trunk   // that has placed the call
	callee *peers.Target  // of the leg; nil: it is the caller's
	from   netip.AddrPort // of the caller's INVITE, or of the callee
}

// trust is what a request within a dialog gets for its sender.
type trust int

const (
	trustFull  trust = iota // it is taken
	trustProof              // it is taken if it shows the trunk's credentials
	trustNone               // it is refused
)

// trusts judges a request within the leg's dialog by its sender.
func (o *owner) trusts(from peers.Sender) trust {
	trunk := o.caller.Platform == nil && o.callee == nil
	switch {
	case from.Addr.Addr() == o.from.Addr() || (trunk && o.caller.Has(from)):
		return trustFull
	case o.peers.IsOthers(from, o.caller, o.callee):
		return trustNone
	case !trunk:
		return trustFull
	case o.caller.NeedsCredentials():
		return trustProof
	default:
		return trustNone
	}
}

// admits says whether a leg takes a request. If not, it answers it, and nothing else
// happens. An ACK has no answer, and can't be asked for credentials (RFC 3261 section
// 22.1).
func (s *Server) admits(l *legOnWire, req *sip.Request, tx *sip.ServerTx) bool {
	from := s.stack.SenderOf(req)
	trusted := l.owner.trusts(from)
	switch {
	case trusted == trustFull:
		return true
	case trusted == trustProof && req.Method != sip.ACK:
		_, how := s.auth.Check(req, []*peers.Trunk{l.owner.caller}, time.Now())
		if how != peers.ProofRight {
			s.unproven(req, tx, how, from)
		}
		return how == peers.ProofRight
	}
	s.stack.Reject(&s.stack.Rejections().NotOfCall, from.Addr, "not_of_call")
	s.replyOnce(req, tx, 403)
	return false
}
