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
		Why cause.Reasons // its Reason
	}
	// ResponseIn is a response to a request of the leg. A 2xx may come again, or from
	// another fork.
	ResponseIn struct {
		Res    *sip.Response
		Source netip.AddrPort
	}
	// RequestFailed says that a request of the leg will get no final response.
	RequestFailed struct {
		Method sip.RequestMethod
		Seq    uint32
		Cause  cause.Cause // target_silent, target_unreachable, tls_failed or dns_failed
		Err    error
	}
	// FinalLost says that a CANCEL was faster than the final answer to the INVITE with
	// this CSeq.
	FinalLost struct{ Seq uint32 }
	// MediaReceived says that the peer's RTP comes, to a process that was not there when the peer began to send it.
	MediaReceived struct{}
	// DeadlineReached says that the leg's Deadline has come.
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
	// Refuse sends a final answer from 300 to 699.
	Refuse struct {
		Code    int
		Reason  string
		Headers []sip.Header
	}
	// Invite sends the INVITE of a UAC leg.
	Invite struct {
		Request       *sip.Request   // the leg adds Via, From, To, Call-ID, CSeq and Contact
		Offer         []byte         // the session description in it
		Dest          netip.AddrPort // where it is sent
		Transport     string         // config.Transport…
		FirstResponse time.Duration  // the limit for any response, 100 included; 0: none
		RingTimeout   time.Duration  // the limit for a final answer; 0: none
		Auth          *config.Auth   // credentials for challenges; nil: none
		// Shorten makes the request again for an INVITE that gets so many bytes more, of
		// credentials or of a session timer. It gives nil where they fit as it is, and
		// false where nothing that may be left out makes room for them. nil: no limit.
		Shorten func(more int) (req *sip.Request, fits bool)
		// OnResponse is called at each provisional answer, 100 included, and at the final one of an abandoned INVITE; nil:
		// not.
		OnResponse func(code int)
	}
	// Abandon gives up an INVITE without a final answer: with CANCEL as soon as that is
	// allowed, and with ACK and BYE if a 200 comes nevertheless.
	Abandon struct {
		Why    cause.Cause
		Caller cause.Reasons // of the caller's CANCEL
	}
	// Hangup ends a confirmed dialog with BYE.
	Hangup struct {
		Why     cause.Cause
		Q850    int          // from the other side; 0: Why's own
		Headers []sip.Header // of the other side's BYE that are passed on
	}

	// Offer offers the peer another session, in a re-INVITE as soon as that is allowed.
	// Its outcome is AnswerReady or OfferRefused.
	Offer struct {
		Ref     int // not 0
		SDP     []byte
		Headers []sip.Header // of the other side's re-INVITE or UPDATE that are passed on
	}
	// Accept answers what the peer Offered: with an answer, or with an offer if the
	// peer sent none.
	Accept struct {
		SDP     []byte
		Headers []sip.Header // of the other side's answer that are passed on
	}
	// Reject refuses what the peer Offered. The session stays as it was.
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
	// Reply answers what the peer Asked.
	Reply struct {
		Method sip.RequestMethod
		Seq    uint32
		Code   int
		Reason string
		Content
	}
)

// Content is the part of a request or answer that goes from one side to the other.
type Content struct {
	Headers     []sip.Header
	ContentType string // empty: no body
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

// Fact is an event that a leg reports to its call. The set is closed: all its members
// are in this file, and each phase of the call handles every one.
//
//sumtype:decl
type Fact interface{ isFact() }

type (
	// Progress is a provisional answer from the target, 101 to 199.
	Progress struct {
		Code    int
		Reason  string
		SDP     []byte
		Headers []sip.Header // all of the answer's
	}
	// Answered is the target's 200, already acknowledged.
	Answered struct {
		SDP     []byte
		Headers []sip.Header // all of the answer's
	}
	// Refused says that the leg's INVITE failed: with a final answer (Code 300 to 699),
	// or without one (Code 0, and perhaps Err).
	Refused struct {
		Code    int
		Reason  string
		Cause   cause.Cause
		Q850    int // from the answer's Reason header (RFC 3326); 0: none
		Err     error
		Headers []sip.Header // all of the answer's
	}
	// Cancelled says that the carrier gave up before the answer.
	Cancelled struct{ Why cause.Reasons }
	// Confirmed says that the leg's 200 was acknowledged.
	Confirmed struct{}
	// Gone says that a dialog is over, or will be after the leg's BYE.
	Gone struct {
		Cause   cause.Cause
		ByPeer  bool
		Q850    int
		Headers []sip.Header // of the peer's BYE
	}
	// Offered says that the peer wants another session (re-INVITE, UPDATE, PRACK). It
	// waits for Accept or Reject.
	Offered struct {
		Method sip.RequestMethod
		SDP    []byte // nil: it asks for an offer

		Headers []sip.Header // all of the request's
	}
	// Withdrawn says that the peer has cancelled what it Offered.
	Withdrawn struct{}
	// AnswerReady is the answer to the leg's offer: in the 200 to a re-INVITE, or in ACK
	// or PRACK if a 200 or provisional answer had the offer.
	AnswerReady struct {
		SDP      []byte // nil: it is missing
		Late     bool   // in ACK or PRACK
		Ref      int    // of the Offer; 0: to a refresh, or to an offer that another one has replaced
		Overtook bool   // the offer counts as refused: the peer has another session than this side

		Headers []sip.Header // all of the answer's to a re-INVITE
	}
	// OfferRefused says that the peer refused an offer. The session stays as it was.
	OfferRefused struct {
		Ref  int // of the Offer
		Code int // 0: it was not sent
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

// Effect is a leg's instruction to the wire. The effects of a leg are performed in
// order.
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
	// Acknowledged ends the transaction of the peer's INVITE with this CSeq: the peer
	// has the 200.
	Acknowledged struct{ Seq uint32 }
	// Forgotten ends the transaction of the peer's INVITE with this CSeq: it has
	// answered a CANCEL.
	Forgotten struct{ Seq uint32 }
)

func (SendRequest) isEffect()  {}
func (SendACK) isEffect()      {}
func (SendResponse) isEffect() {}
func (Acknowledged) isEffect() {}
func (Forgotten) isEffect()    {}

// Hop is the next hop of a request: an address, or a host that the wire looks up.
type Hop struct {
	Transport string         // config.Transport…; empty: udp
	Addr      netip.AddrPort // valid: no lookup
	Host      string
	Port      uint16

	back *wayBack // nil: Addr is valid, or the source is not known
}

// wayBack leads to the source of the peer's messages; zero: that is not known.
type wayBack struct {
	nat       config.NATMode
	own       netip.Addr // this server's
	source    netip.Addr
	transport string
	addr      netip.AddrPort
}

// At returns the hop of a request whose host is this address, or a name of it. It leads
// to the source of the peer's messages instead if that is behind NAT, or if the address
// leads into this machine and the peer is not in it.
func (h Hop) At(addr netip.Addr) Hop {
	if h.back != nil {
		return h.back.or(h, addr)
	}
	return h.at(addr)
}

func (h Hop) at(addr netip.Addr) Hop {
	return Hop{Transport: h.Transport, Addr: netip.AddrPortFrom(addr.Unmap(), h.Port), Host: h.Host}
}

// or is the hop at this address, or the way back instead.
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

// IsAnswer reports whether a fact is the answer of a callee.
func IsAnswer(f Fact) bool {
	_, ok := f.(Answered)
	return ok
}

// IsBye reports whether a fact is the BYE of a peer.
func IsBye(f Fact) bool {
	gone, ok := f.(Gone)
	return ok && gone.ByPeer
}
