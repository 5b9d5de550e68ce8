package transport

import (
	"net/netip"
	"strconv"
	"sync/atomic"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"flowbridge/b2bua/message"
)

// Rejections counts what the guard kept from the SIP stack, and the requests
// that got no further for want of a trunk, by reason.
type Rejections struct {
	UnknownSource atomic.Uint64 // neither a trunk nor an answer to something of ours
	TooLarge      atomic.Uint64
	NotSIP        atomic.Uint64
	NoDialog      atomic.Uint64 // 481: within a dialog that there is not
	Malformed     atomic.Uint64 // 400 or, for an answer or ACK, silence
	Full          atomic.Uint64 // 503: trunk or process over its caps, or draining
	Connections   atomic.Uint64 // closed: more than the limits allow
	Setups        atomic.Uint64 // 503: too many calls wait for their answer
	Overload      atomic.Uint64 // 503: messages wait for too long
	Challenged    atomic.Uint64 // 401: no credentials yet, or with a nonce that is too old
	Unauthorized  atomic.Uint64 // 401: wrong credentials
	Throttled     atomic.Uint64 // 403: too many wrong ones before
	NoTrunk       atomic.Uint64 // 403: a trunk's address, but what no trunk's match asks for
}

// rejectionLog counts and logs what a peer could send any number of, at a
// bounded rate.
type rejectionLog struct {
	log    zerolog.Logger
	budget *rate.Limiter
}

// newRejectionLog allows a few lines at once and then one a second.
func newRejectionLog(log zerolog.Logger) rejectionLog {
	return rejectionLog{log: log, budget: rate.NewLimiter(1, 5)}
}

func (l *rejectionLog) rejected(count *atomic.Uint64, from netip.AddrPort, reason string) {
	if n := count.Add(1); l.budget.Allow() {
		l.log.Warn().Stringer("src", from).Str("reason", reason).Uint64("count", n).Msg("sip rejected")
	}
}

// maxLogged bounds what of a peer's goes into a line of log, in bytes.
const maxLogged = 128

// refused logs what a message was refused for.
func (l *rejectionLog) refused(from netip.AddrPort, status string, callID []byte) {
	if l.budget.Allow() {
		callID = callID[:min(len(callID), maxLogged)]
		l.log.Warn().Stringer("src", from).Str("reason", status).Bytes("sip_call_id", callID).Msg("sip rejected")
	}
}

// Rejections counts what was kept from the SIP stack, and what was rejected by
// Reject.
func (s *Stack) Rejections() *Rejections { return &s.rejected }

// Reject counts a request that is refused although the guard let it in, and logs
// it at a bounded rate. count is one of Rejections.
func (s *Stack) Reject(count *atomic.Uint64, from netip.AddrPort, reason string) {
	s.rejecting.rejected(count, from, reason)
}

// LogRefused logs why a trunk's request was refused, at a bounded rate.
func (s *Stack) LogRefused(req *sip.Request, code int, reason string) {
	s.rejecting.refused(message.ParseSource(req.Source()), strconv.Itoa(code)+" "+reason, []byte(req.CallID().Value()))
}
