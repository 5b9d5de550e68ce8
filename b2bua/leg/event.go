package leg

import (
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/config"
)

// Input is an event for a leg. The set is closed: all its members are in this file.
//
//sumtype:decl
type Input interface{ isInput() }

type (
	// RequestIn is a request within the leg's dialog. The INVITE that creates a UAS leg is an argument of NewUAS
	// instead.
	RequestIn struct {
		Req    *sip.Request
		Source netip.AddrPort
	}
	// CancelIn is a CANCEL of the peer's INVITE with this CSeq. The transaction has already answered the CANCEL with
	// 200 and the INVITE with 487.
	CancelIn struct {
		Seq uint32
		Why cause.Reasons // from the CANCEL's Reason header
	}
	// ResponseIn is a response to a request of the leg. A 2xx may be a repeated one, or come from another fork.
	ResponseIn struct {
		Res    *sip.Response
		Source netip.AddrPort
	}
	// RequestFailed means that a request of the leg will get no final response.
	RequestFailed struct {
		Method sip.RequestMethod
		Seq    uint32
		Cause  cause.Cause // target_silent, target_unreachable, tls_failed or dns_failed
		Err    error
	}
	// FinalLost means that the leg's final answer to the INVITE with this CSeq was not sent, because a CANCEL came
	// first.
	FinalLost struct{ Seq uint32 }
	// MediaReceived means that the peer's RTP arrives, after this process has taken over the call.
	MediaReceived struct{}
	// DeadlineReached means that the leg's Deadline has passed.
	DeadlineReached struct{}

	// Ring sends a provisional answer, with or without SDP.
	Ring struct {
		Code    int
		Reason  string
		SDP     []byte
		Headers []sip.Header
	}
	// Answer sends a 200 with SDP: the answer to the INVITE's offer, or an offer if the INVITE had none. If an
	// earlier answer waits for its PRACK, the 200 is sent after the PRACK.
	Answer struct {
		SDP     []byte
		Headers []sip.Header
	}
	// Refuse sends a final response with a status from 300 to 699.
	Refuse struct {
		Code    int
		Reason  string
		Headers []sip.Header
	}
	// Invite sends the INVITE of a UAC leg.
	Invite struct {
		Request       *sip.Request   // the leg adds Via, From, To, Call-ID, CSeq and Contact
		Offer         []byte         // the session description in the INVITE
		Dest          netip.AddrPort // where to send it
		Transport     string         // config.Transport…
		FirstResponse time.Duration  // time limit for the first response, including 100; 0 means none
		RingTimeout   time.Duration  // time limit for the final response; 0 means none
		Auth          *config.Auth   // credentials for challenges; may be nil
		// Shorten is called when credentials or a session timer make the INVITE larger by this many bytes. It returns a
		// shorter request, or nil if the INVITE fits as it is. fits is false if there is not enough room even without
		// all optional parts. A nil Shorten means that there is no size limit.
		Shorten func(more int) (req *sip.Request, fits bool)
		// OnResponse, if not nil, is called with each provisional response, including 100, and with the final response
		// to an INVITE that was given up.
		OnResponse func(code int)
	}
	// Abandon gives up an INVITE that has no final response: with CANCEL as soon as that is allowed, and with ACK
	// and BYE if a 200 comes nevertheless.
	Abandon struct {
		Why    cause.Cause
		Caller cause.Reasons // reasons in the CANCEL of the caller
	}
	// Hangup ends a confirmed dialog with BYE.
	Hangup struct {
		Why     cause.Cause
		Q850    int          // from the BYE of the call's other side; 0 means the code of Why
		Headers []sip.Header // headers to pass on from the other side's BYE
	}

	// Offer offers the peer a new session, in a re-INVITE as soon as one is allowed. The outcome comes as
	// AnswerReady or OfferRefused.
	Offer struct {
		Ref     int // identifies the offer in AnswerReady and OfferRefused; never 0
		SDP     []byte
		Headers []sip.Header // headers to pass on from the other side's re-INVITE or UPDATE
	}
	// Accept answers the peer's Offered: with an SDP answer, or, if the peer sent no SDP, with an offer.
	Accept struct {
		SDP     []byte
		Headers []sip.Header // headers to pass on from the other side's answer
	}
	// Reject refuses the peer's Offered. The session does not change.
	Reject struct {
		Code    int
		Reason  string
		Headers []sip.Header
	}
	// Send sends a request within the dialog. The outcome comes as Replied with the same Ref.
	Send struct {
		Ref int
		Content
		Method sip.RequestMethod
	}
	// Reply answers the peer's request that was reported as Asked.
	Reply struct {
		Method sip.RequestMethod
		Seq    uint32
		Code   int
		Reason string
		Content
	}
)

// Content is the part of a request or answer that is passed on to the other side.
type Content struct {
	Headers     []sip.Header
	ContentType string // empty means no body
	Body        []byte
}

func (RequestIn) isInput()       {}
func (CancelIn) isInput()        {}
func (ResponseIn) isInput()      {}
func (RequestFailed) isInput()   {}
func (FinalLost) isInput()       {}
func (MediaReceived) isInput()   {}
func (DeadlineReached) isInput() {}
func (Ring) isInput()            {}
func (Answer) isInput()          {}
func (Refuse) isInput()          {}
func (Invite) isInput()          {}
func (Abandon) isInput()         {}
func (Hangup) isInput()          {}
func (Offer) isInput()           {}
func (Accept) isInput()          {}
func (Reject) isInput()          {}
func (Send) isInput()            {}
func (Reply) isInput()           {}

// Fact is what a leg reports to its call. The set is closed: all its members are in this file, and each phase of
// the call handles all of them.
//
//sumtype:decl
type Fact interface{ isFact() }

type (
	// Progress is a provisional response of the target, from 101 to 199.
	Progress struct {
		Code    int
		Reason  string
		SDP     []byte
		Headers []sip.Header // all headers of the response
	}
	// Answered is the target's 200. The leg has already acknowledged it.
	Answered struct {
		SDP     []byte
		Headers []sip.Header // all headers of the 200
	}
	// Refused means that the leg's INVITE failed: with a final response (Code 300 to 699), or without one (Code 0,
	// perhaps with Err).
	Refused struct {
		Code    int
		Reason  string
		Cause   cause.Cause
		Q850    int // from the response's Reason header (RFC 3326); 0 if it has none
		Err     error
		Headers []sip.Header // all headers of the response
	}
	// Cancelled means that the caller gave up before the answer.
	Cancelled struct{ Why cause.Reasons }
	// Confirmed means that the leg's 200 was acknowledged.
	Confirmed struct{}
	// Gone means that the dialog has ended, or will have ended after the leg's BYE.
	Gone struct {
		Cause   cause.Cause
		ByPeer  bool
		Q850    int
		Headers []sip.Header // all headers of the peer's BYE
	}
	// Offered means that the peer wants to change the session, by re-INVITE, UPDATE or PRACK. The call must answer
	// with Accept or Reject.
	Offered struct {
		Method sip.RequestMethod
		SDP    []byte // nil means that the peer asks for an offer

		Headers []sip.Header // all headers of the request
	}
	// Withdrawn means that the peer has cancelled the request that was reported as Offered.
	Withdrawn struct{}
	// AnswerReady is the peer's answer to the leg's offer. It came in the 200 to a re-INVITE, or, if a 200 or
	// provisional response of ours had the offer, in the ACK or PRACK.
	AnswerReady struct {
		SDP  []byte // nil if the answer has no SDP
		Late bool   // came in an ACK or PRACK
		// Ref is that of the Offer; 0 for a refresh of the session timer, or for an offer that a newer one has replaced.
		Ref      int
		Overtook bool // the leg had already reported the offer as refused, so the two sides now have different sessions

		Headers []sip.Header // all headers of the 200 to a re-INVITE
	}
	// OfferRefused means that the peer has refused an offer, or that it was not sent. The session does not change.
	OfferRefused struct {
		Ref  int // Ref of the Offer
		Code int // 0 means that the offer was not sent
	}
	// Asked is a request of the peer that the call has to answer with Reply.
	Asked struct{ Req *sip.Request }
	// Replied is the final answer to the Send with this Ref.
	Replied struct {
		Ref    int
		Code   int
		Reason string
		Content
	}
)

func (Progress) isFact()     {}
func (Answered) isFact()     {}
func (Refused) isFact()      {}
func (Cancelled) isFact()    {}
func (Confirmed) isFact()    {}
func (Gone) isFact()         {}
func (Offered) isFact()      {}
func (Withdrawn) isFact()    {}
func (AnswerReady) isFact()  {}
func (OfferRefused) isFact() {}
func (Asked) isFact()        {}
func (Replied) isFact()      {}

// Effect is what a leg wants sent. The leg's wire performs the effects in order.
//
//sumtype:decl
type Effect interface{ isEffect() }

type (
	// SendRequest starts a client transaction.
	SendRequest struct {
		Req *sip.Request
		To  Hop
	}
	// SendACK sends the ACK of a 2xx, which belongs to no transaction (RFC 3261 section 13.2.2.4).
	SendACK struct {
		Req *sip.Request
		To  Hop
	}
	// SendResponse answers the request with this method and CSeq.
	SendResponse struct {
		Method sip.RequestMethod
		Seq    uint32
		Res    *sip.Response
	}
	// Acknowledged ends the transaction of the peer's INVITE with this CSeq, because the peer has got the 200.
	Acknowledged struct{ Seq uint32 }
	// Forgotten ends the transaction of the peer's INVITE with this CSeq, because the peer has cancelled the INVITE.
	Forgotten struct{ Seq uint32 }
)

func (SendRequest) isEffect()  {}
func (SendACK) isEffect()      {}
func (SendResponse) isEffect() {}
func (Acknowledged) isEffect() {}
func (Forgotten) isEffect()    {}

// Hop is the next hop of a request: an address, or a host that the wire has to look up.
type Hop struct {
	Transport string         // config.Transport…; empty means udp
	Addr      netip.AddrPort // if valid, no look-up is needed
	Host      string
	Port      uint16

	back *wayBack // set only for a host that must be looked up, if the source of the peer's messages is known
}

// wayBack is the source of the peer's messages, where the peer can be reached if its Contact is of no use. The
// zero value means that the source is not known.
type wayBack struct {
	nat       config.NATMode
	own       netip.Addr // our address toward the peer
	source    netip.Addr
	transport string
	addr      netip.AddrPort
}

// At returns the hop for a host that was found to have this address. If the peer is behind NAT, or if the address
// is on this machine but the peer is not, the hop leads to the source of the peer's messages instead.
func (h Hop) At(addr netip.Addr) Hop {
	if h.back != nil {
		return h.back.or(h, addr)
	}
	return h.at(addr)
}

func (h Hop) at(addr netip.Addr) Hop {
	return Hop{Transport: h.Transport, Addr: netip.AddrPortFrom(addr.Unmap(), h.Port), Host: h.Host}
}

// or returns h with this address, or the hop back to the source of the peer's messages if the peer must be
// reached there (see At).
func (b *wayBack) or(h Hop, addr netip.Addr) Hop {
	if b.insteadOf(addr.Unmap()) {
		return b.hop()
	}
	return h.at(addr)
}

func (b *wayBack) hop() Hop { return Hop{Transport: b.transport, Addr: b.addr} }

func (b *wayBack) insteadOf(addr netip.Addr) bool {
	switch {
	case !b.source.IsValid():
		return false
	case (addr.IsLoopback() || addr.IsUnspecified()) && !b.source.IsLoopback(), addr == b.own && b.source != b.own:
		return true
	case b.nat == config.NATOn:
		return addr != b.source
	default:
		return b.nat == config.NATAuto && IsPrivate(addr) && !IsPrivate(b.source)
	}
}

// IsAnswer reports whether a fact is the callee's 200 to the INVITE.
func IsAnswer(f Fact) bool {
	_, ok := f.(Answered)
	return ok
}

// IsBye reports whether a fact is the peer's BYE.
func IsBye(f Fact) bool {
	gone, ok := f.(Gone)
	return ok && gone.ByPeer
}
