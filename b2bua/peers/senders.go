package peers

import (
	"crypto/subtle"
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
)

// Senders decides whose requests a leg accepts. Only the two ends know the tags of a dialog, but
// carriers send signalling unencrypted, so a trunk's requests must also come from the trunk's
// addresses. Platforms send from addresses that are not configured, so a target's requests may come
// from anywhere except from another trunk. Senders never changes.
type Senders struct {
	Peers  *Snapshot
	Caller *Trunk         // who placed the call
	Callee *Target        // the callee of this leg; nil for the caller's leg
	From   netip.AddrPort // source of the caller's INVITE, or the callee's address
	Shown  string         // credentials in the caller's INVITE; empty if it needed none
}

// Trust says whether a leg accepts a request because of its sender.
type Trust int

// The values of Trust.
const (
	TrustFull  Trust = iota // accept the request
	TrustProof              // accept the request if it has the trunk's credentials
	TrustNone               // refuse the request
)

// TrustOf returns whether the leg accepts a request from this sender.
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

// AreShown reports whether a request has the same credentials as the caller's INVITE.
func (s *Senders) AreShown(by *sip.Request) bool {
	return s.Shown != "" && subtle.ConstantTimeCompare([]byte(CredentialsIn(by)), []byte(s.Shown)) == 1
}

// CredentialsIn returns the credentials in a request as text, or "" if there are none.
func CredentialsIn(req *sip.Request) string {
	return strings.Join(message.RawValues(req, "authorization", "authorization"), "\n")
}
