package b2bua

import (
	"crypto/subtle"
	"net/netip"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transaction"
)

// senders says whose requests a leg takes. The tags of a dialog are secret between its
// ends, but a trunk's requests have to come from where the trunk is, too: carriers send
// signalling in the clear. Platforms send from addresses that nobody has announced, so a
// target's may come from anywhere but another trunk. It never changes.
type senders struct {
	peers  *peers.Snapshot
	caller *peers.Trunk   // that has placed the call
	callee *peers.Target  // of the leg; nil: it is the caller's
	from   netip.AddrPort // of the caller's INVITE, or of the callee
	shown  string         // credentials of the caller's INVITE; empty: it needed none
}

// trust is what a request within a dialog gets for its sender.
type trust int

const (
	trustFull  trust = iota // it is taken
	trustProof              // it is taken if it shows the trunk's credentials
	trustNone               // it is refused
)

// trusts judges a request within the leg's dialog by its sender.
func (s *senders) trusts(from peers.Sender) trust {
	trunk := s.caller.Platform == nil && s.callee == nil
	switch {
	case from.Addr.Addr() == s.from.Addr() || (trunk && s.caller.Has(from)):
		return trustFull
	case s.peers.IsOthers(from, s.caller, s.callee, s.from.Addr()):
		return trustNone
	case !trunk:
		return trustFull
	case s.caller.NeedsCredentials():
		return trustProof
	default:
		return trustNone
	}
}

// credentialsIn gives the credentials that a request shows, as text; empty: none.
func credentialsIn(req *sip.Request) string {
	return strings.Join(message.RawValues(req, "authorization", "authorization"), "\n")
}

// admits says whether a leg takes a request. If not, it answers it, and nothing else
// happens. An ACK can't be asked for credentials, but it repeats those of its INVITE (RFC
// 3261 section 22.1).
func (s *Server) admits(l *legOnWire, req *sip.Request, tx *transaction.Server) bool {
	if l.wire.Carries(s.stack.StreamOf(req)) {
		return true
	}
	from := s.stack.SenderOf(req)
	trusted := l.senders.trusts(from)
	switch {
	case trusted == trustFull:
		return true
	case trusted == trustProof && req.Method == sip.ACK:
		if l.senders.shown != "" && subtle.ConstantTimeCompare([]byte(credentialsIn(req)), []byte(l.senders.shown)) == 1 {
			return true
		}
	case trusted == trustProof:
		_, how := s.auth.Check(req, []*peers.Trunk{l.senders.caller}, time.Now())
		if how != peers.ProofRight {
			s.unproven(req, tx, how, from)
		}
		return how == peers.ProofRight
	}
	s.stack.Reject(&s.stack.Rejections().NotOfCall, from.Addr, "not_of_call")
	s.replyOnce(req, tx, 403)
	return false
}
