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
	// RequestIn is a request within the leg's dialog. The INVITE that begins a UAS leg
	// is an argument of NewUAS.
	RequestIn struct {
		Req    *sip.Request
		Source netip.AddrPort
	}
	// CancelIn is a CANCEL of the peer's INVITE with this CSeq. The CANCEL has been
	// answered with 200 and the INVITE with 487.
	CancelIn struct {
		Seq uint32
		Why cause.Reasons // from the CANCEL's Reason header
	}
	// ResponseIn is a response to a request of the leg. A 2xx may be repeated, or come from
	// another fork.
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
	// FinalLost means that a CANCEL came before the final answer to the INVITE with this
	// CSeq could be sent.
	FinalLost struct{ Seq uint32 }
	// MediaReceived means that the peer's RTP arrives, after another process has taken over
	// the call.
	MediaReceived struct{}
	// DeadlineReached means that the leg's Deadline has come.
	DeadlineReached struct{}

	// Ring sends a provisional answer, with or without SDP.
	Ring struct {
		Code    int
		Reason  string
		SDP     []byte
		Headers []sip.Header
	}
	// Answer sends 200 with SDP: the answer to the INVITE's offer, or an offer if the
	// INVITE had none. The 200 waits for the PRACK of an earlier answer.
	Answer struct {
		SDP     []byte
		Headers []sip.Header
	}
	// Refuse sends a final answer with a status from 300 to 699.
	Refuse struct {
		Code    int
		Reason  string
		Headers []sip.Header
	}
	// Invite sends the INVITE of a UAC leg.
	Invite struct {
		Request       *sip.Request   // the leg adds Via, From, To, Call-ID, CSeq and Contact
		Offer         []byte         // the session description in it
		Dest          netip.AddrPort // where to send it
		Transport     string         // config.Transport…
		FirstResponse time.Duration  // the limit for any response, 100 included; 0 if none
		RingTimeout   time.Duration  // the limit for a final answer; 0 if none
		Auth          *config.Auth   // credentials for challenges; nil if none
		// Shorten returns the request again, made shorter because the INVITE grows by this many
		// bytes through credentials or a session timer. It returns a nil request if the INVITE
		// fits anyway, and false if leaving out all optional parts does not make enough room. A
		// nil Shorten means no limit.
		Shorten func(more int) (req *sip.Request, fits bool)
		// OnResponse, if not nil, is called with each provisional answer, 100 included, and with the final answer to an
		// abandoned INVITE.
		OnResponse func(code int)
	}
	// Abandon gives up an INVITE without a final answer: with CANCEL as soon as that is
	// allowed, and with ACK and BYE if a 200 comes nevertheless.
	Abandon struct {
		Why    cause.Cause
		Caller cause.Reasons // reasons in the caller's CANCEL
	}
	// Hangup ends a confirmed dialog with BYE.
	Hangup struct {
		Why     cause.Cause
		Q850    int          // from the other side; 0 means the code of Why
		Headers []sip.Header // headers of the other side's BYE to pass on
	}

	// Offer offers the peer another session, in a re-INVITE as soon as one is allowed. Its
	// outcome is AnswerReady or OfferRefused.
	Offer struct {
		Ref     int // identifies the offer in its outcome; never 0
		SDP     []byte
		Headers []sip.Header // headers of the other side's re-INVITE or UPDATE to pass on
	}
	// Accept answers the peer's Offered: with an SDP answer, or with an offer if the peer
	// sent none.
	Accept struct {
		SDP     []byte
		Headers []sip.Header // headers of the other side's answer to pass on
	}
	// Reject refuses the peer's Offered. The session does not change.
	Reject struct {
		Code    int
		Reason  string
		Headers []sip.Header
	}
	// Send sends a request within the dialog. Its outcome is Replied with the same Ref.
	Send struct {
		Ref int
		Content
		Method sip.RequestMethod
	}
	// Reply answers the peer's Asked.
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

// Fact is an event that a leg reports to its call. The set is closed: all its members are
// in this file, and each phase of the call handles all of them.
//
//sumtype:decl
type Fact interface{ isFact() }

type (
	// Progress is a provisional answer of the target, 101 to 199.
	Progress struct {
		Code    int
		Reason  string
		SDP     []byte
		Headers []sip.Header // all headers of the answer
	}
	// Answered is the target's 200, already acknowledged.
	Answered struct {
		SDP     []byte
		Headers []sip.Header // all headers of the answer
	}
	// Refused means that the leg's INVITE failed: with a final answer (Code 300 to 699), or
	// without one (Code 0, and perhaps Err).
	Refused struct {
		Code    int
		Reason  string
		Cause   cause.Cause
		Q850    int // from the answer's Reason header (RFC 3326); 0 if none
		Err     error
		Headers []sip.Header // all headers of the answer
	}
	// Cancelled means that the caller gave up before the answer.
	Cancelled struct{ Why cause.Reasons }
	// Confirmed means that the leg's 200 was acknowledged.
	Confirmed struct{}
	// Gone means that the dialog is over, or will be over after the leg's BYE.
	Gone struct {
		Cause   cause.Cause
		ByPeer  bool
		Q850    int
		Headers []sip.Header // all headers of the peer's BYE
	}
	// Offered means that the peer wants another session (re-INVITE, UPDATE, PRACK). It waits
	// for Accept or Reject.
	Offered struct {
		Method sip.RequestMethod
		SDP    []byte // nil means that the peer asks for an offer

		Headers []sip.Header // all headers of the request
	}
	// Withdrawn means that the peer has cancelled its Offered.
	Withdrawn struct{}
	// AnswerReady is the answer to the leg's offer: in the 200 to a re-INVITE, or in ACK
	// or PRACK if a 200 or provisional answer had the offer.
	AnswerReady struct {
		SDP      []byte // nil if it is missing
		Late     bool   // in ACK or PRACK
		Ref      int    // Ref of the Offer; 0 for a refresh, or an offer that another one replaced
		Overtook bool   // the offer counts as refused already, so the two sides now have different sessions

		Headers []sip.Header // all headers of the answer to a re-INVITE
	}
	// OfferRefused means that the peer refused an offer. The session does not change.
	OfferRefused struct {
		Ref  int // Ref of the Offer
		Code int // 0 means that the offer was not sent
	}
	// Asked is a request of the peer that the call has to Reply to.
	Asked struct{ Req *sip.Request }
	// Replied is the answer to the Send with this Ref.
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

// Effect is a leg's instruction to the wire, which performs a leg's effects in order.
//
//sumtype:decl
type Effect interface{ isEffect() }

type (
	// SendRequest starts a client transaction.
	SendRequest struct {
		Req *sip.Request
		To  Hop
	}
	// SendACK sends the ACK of a 2xx, which has no transaction (RFC 3261
	// section 13.2.2.4).
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
	// Acknowledged ends the transaction of the peer's INVITE with this CSeq, because the
	// peer has the 200.
	Acknowledged struct{ Seq uint32 }
	// Forgotten ends the transaction of the peer's INVITE with this CSeq, which a CANCEL has
	// ended.
	Forgotten struct{ Seq uint32 }
)

func (SendRequest) isEffect()  {}
func (SendACK) isEffect()      {}
func (SendResponse) isEffect() {}
func (Acknowledged) isEffect() {}
func (Forgotten) isEffect()    {}

// Hop is the next hop of a request: an address, or a host that the wire looks up.
type Hop struct {
	Transport string         // config.Transport…; empty means udp
	Addr      netip.AddrPort // if valid, no look-up is needed
	Host      string
	Port      uint16

	back *wayBack // nil if Addr is valid, or the source is not known
}

// wayBack is the source of the peer's messages, as a way to reach the peer. It is zero if
// that source is not known.
type wayBack struct {
	nat       config.NATMode
	own       netip.Addr // this server's address
	source    netip.Addr
	transport string
	addr      netip.AddrPort
}

// At returns the hop of a request whose host has this address. If the source of the
// peer's messages is behind NAT, or if the address is on this machine but the peer is
// not, the hop leads to that source instead.
func (h Hop) At(addr netip.Addr) Hop {
	if h.back != nil {
		return h.back.or(h, addr)
	}
	return h.at(addr)
}

func (h Hop) at(addr netip.Addr) Hop {
	return Hop{Transport: h.Transport, Addr: netip.AddrPortFrom(addr.Unmap(), h.Port), Host: h.Host}
}

// or returns h at this address, or the way back if the peer must be reached there (see
// At).
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
