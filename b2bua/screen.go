package b2bua

import (
	"net/netip"
	"sync/atomic"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

// screen decides about every message that comes, before it is parsed:
// strangers are not heard, what can't be taken is refused from its raw bytes,
// a trunk over its caps gets 503 without anything being allocated.
type screen struct {
	mint  *Minter
	gate  gate
	tap   Tap
	count *Rejections
	log   zerolog.Logger
	may   *rate.Limiter // lines of log that a peer can provoke
}

// Rejections counts what the guard kept from the SIP stack, by reason.
type Rejections struct {
	UnknownSource atomic.Uint64 // neither a trunk nor an answer to something of ours
	TooLarge      atomic.Uint64
	NotSIP        atomic.Uint64
	Full          atomic.Uint64 // 503: trunk or process over its caps, or draining
	Connections   atomic.Uint64 // closed: more than the limits allow
}

// maxDatagram bounds a SIP message over UDP, in bytes.
const maxDatagram = 16 << 10

// newRejectionLog allows a few lines at once and then one a second.
func newRejectionLog() *rate.Limiter { return rate.NewLimiter(1, 5) }

// gate says who may come in.
type gate interface {
	// knows says whether addr belongs to a trunk.
	knows(addr netip.Addr) bool
	// full says whether a new call from addr has to be refused now.
	full(addr netip.Addr) bool
	// inProgress says whether the INVITE that gets this To tag is known.
	inProgress(toTag string) bool
}

// verdict is what becomes of a message.
type verdict struct {
	admitted bool
	hangup   bool   // a connection that this came by is closed
	status   string // of the refusal: "503 Service Unavailable"; empty: no answer
	toTag    string
	headers  string // of the refusal, each line with its end
}

// appendRefusal appends the stateless answer to a request that was refused.
func (v verdict) appendRefusal(out, request []byte) []byte {
	return statelessRefusal(out, request, v.status, v.toTag, v.headers)
}

// judge decides about one message.
func (s *screen) judge(message []byte, from netip.AddrPort) verdict {
	msg, ok := scan(message)
	if !ok {
		s.count.NotSIP.Add(1)
		return verdict{hangup: true}
	}
	if !s.gate.knows(from.Addr()) && !s.ours(msg) {
		s.rejected(&s.count.UnknownSource, from, "unknown_source")
		return verdict{hangup: true}
	}
	if string(msg.version) != "SIP/2.0" { // RFC 3261 section 21.5.6
		s.count.NotSIP.Add(1)
		return s.refuse(msg, "505 Version Not Supported", "")
	}
	if len(message) > maxDatagram {
		s.count.TooLarge.Add(1)
		return s.refuse(msg, "513 Message Too Large", "")
	}
	if !msg.response && string(msg.method) == "INVITE" && msg.toTag == nil && s.gate.full(from.Addr()) &&
		!s.gate.inProgress(s.tagFor(msg)) {
		s.rejected(&s.count.Full, from, "full")
		return s.refuse(msg, "503 Service Unavailable", "Retry-After: 5\r\n")
	}
	return verdict{admitted: true}
}

// rejected counts a message that a peer could send any number of, and logs it
// at a bounded rate.
func (s *screen) rejected(count *atomic.Uint64, from netip.AddrPort, reason string) {
	if n := count.Add(1); s.may.Allow() {
		s.log.Warn().Stringer("src", from).Str("reason", reason).Uint64("count", n).Msg("sip rejected")
	}
}

// ours says that a message belongs to something that we began: a response
// with our branch, or a request within a dialog that has our tag, whatever
// address it comes from.
func (s *screen) ours(msg scanned) bool {
	if msg.response {
		return s.mint.MintedBranch(msg.branch)
	}
	return s.mint.MintedTag(msg.toTag)
}

func (s *screen) tagFor(msg scanned) string {
	return s.mint.TagFor(string(msg.callID), string(msg.fromTag), string(msg.cseq))
}

// refuse is the verdict that answers a request; what has no Via, or is an
// ACK, gets no answer.
func (s *screen) refuse(msg scanned, status, headers string) verdict {
	if msg.response || msg.vias == 0 || string(msg.method) == "ACK" {
		return verdict{}
	}
	return verdict{status: status, toTag: s.tagFor(msg), headers: headers}
}
