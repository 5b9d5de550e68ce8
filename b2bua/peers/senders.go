package peers

import (
	"crypto/subtle"
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
)

// Senders decides whose requests a leg accepts. The tags of a dialog are a secret of both
// ends, but carriers send signalling in the clear, so a trunk's requests must also come
// from the trunk's addresses. Platforms send from addresses that are not configured, so a
// target's requests may come from anywhere except another trunk. Senders never changes.
type Senders struct {
	Peers  *Snapshot
	Caller *Trunk         // placed the call
	Callee *Target        // the leg's callee; nil for the caller's leg
	From   netip.AddrPort // source of the caller's INVITE, or address of the callee
	Shown  string         // credentials of the caller's INVITE; empty if it needed none
}

// Trust is the decision about a request within a dialog because of its sender.
type Trust int

// The degrees of trust.
const (
	TrustFull  Trust = iota // accept it
	TrustProof              // accept it if it shows the trunk's credentials
	TrustNone               // refuse it
)

// TrustOf returns the decision about a request within the leg's dialog because of its
// sender.
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

// CredentialsIn returns the credentials that a request shows as text, or "" if there are
// none.
func CredentialsIn(req *sip.Request) string {
	return strings.Join(message.RawValues(req, "authorization", "authorization"), "\n")
}
