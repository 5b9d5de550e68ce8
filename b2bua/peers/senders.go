package peers

import (
	"crypto/subtle"
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
)

// Senders says whose requests a leg takes. The tags of a dialog are secret between its
// ends, but a trunk's requests have to come from where the trunk is, too: carriers send
// signalling in the clear. Platforms send from addresses that are not configured, so a
// target's may come from anywhere but another trunk. It never changes.
type Senders struct {
	Peers  *Snapshot
	Caller *Trunk         // that has placed the call
	Callee *Target        // of the leg; nil: it is the caller's
	From   netip.AddrPort // of the caller's INVITE, or of the callee
	Shown  string         // credentials of the caller's INVITE; empty: it needed none
}

// Trust is what a request within a dialog gets for its sender.
type Trust int

// The degrees of trust.
const (
	TrustFull  Trust = iota // it is taken
	TrustProof              // it is taken if it shows the trunk's credentials
	TrustNone               // it is refused
)

// TrustOf returns what a request within the leg's dialog gets for its sender.
func (s *Senders) TrustOf(from Sender) Trust {
	trunk := s.Caller.Platform == nil && s.Callee == nil
	switch {
	case from.Addr.Addr() == s.From.Addr() || (trunk && s.Caller.Has(from)):
		return TrustFull
	case s.Peers.isOthers(from, s.Caller, s.Callee, s.From.Addr()):
		return TrustNone
	case !trunk:
		return TrustFull
	case s.Caller.NeedsCredentials():
		return TrustProof
	default:
		return TrustNone
	}
}

// AreShown reports whether a request shows the credentials of the caller's INVITE again.
func (s *Senders) AreShown(by *sip.Request) bool {
	return s.Shown != "" && subtle.ConstantTimeCompare([]byte(CredentialsIn(by)), []byte(s.Shown)) == 1
}

// CredentialsIn gives the credentials that a request shows, as text; empty: none.
func CredentialsIn(req *sip.Request) string {
	return strings.Join(message.RawValues(req, "authorization", "authorization"), "\n")
}
