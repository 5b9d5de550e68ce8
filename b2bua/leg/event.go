package leg

import (
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/config"
)

// Input is everything that can happen to a leg. The set is closed: only this
// file adds to it.
//
//sumtype:decl
type Input interface{ isInput() }

type (
	// RequestIn is a request of the leg's dialog. The INVITE that made a UAS
	// leg is not among them: it is given to newUASLeg.
	RequestIn struct {
		Req    *sip.Request
		Source netip.AddrPort
	}
	// CancelIn is a CANCEL of the peer's INVITE with this CSeq. Both it and the
	// INVITE have been answered already, with 200 and 487.
	CancelIn struct {
		Seq uint32
		Why cause.Reasons // its Reason
	}
	// ResponseIn is a response to a request of ours, a 2xx that comes again
	// or from another fork among them.
	ResponseIn struct {
		Res    *sip.Response
		Source netip.AddrPort
	}
	// RequestFailed says that a request of ours will have no final response.
	RequestFailed struct {
		Method sip.RequestMethod
		Seq    uint32
		Cause  cause.Cause // target_silent, target_unreachable, tls_failed or dns_failed
		Err    error
	}
	// FinalLost says that a final answer to the INVITE with this CSeq was not
	// sent because a CANCEL was faster.
	FinalLost struct{ Seq uint32 }
	// DeadlineReached says that Deadline has come.
	DeadlineReached struct{}

	// Ring sends a provisional answer, with or without SDP.
	Ring struct {
		Code    int
		Reason  string
		SDP     []byte
		Headers []sip.Header
	}
	// Answer sends 200 with SDP: the answer to the INVITE's offer, or an offer
	// where the INVITE had none. It waits for the PRACK that it has to wait for.
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
		Request       *sip.Request   // but for what the leg adds: Via, From, To, Call-ID, CSeq, Contact
		Dest          netip.AddrPort // resolved by the caller
		Transport     string         // config.Transport…
		FirstResponse time.Duration  // nothing at all, not even 100, for so long: given up; 0: no limit
		RingTimeout   time.Duration  // no final answer for so long: given up; 0: no limit
		Auth          *config.Auth   // answers challenges; nil: none
	}
	// Abandon gives up an INVITE that has no final answer: CANCEL as soon as
	// that is allowed, and ACK and BYE if a 200 comes all the same.
	Abandon struct {
		Why    cause.Cause
		Caller cause.Reasons // that the caller gave for its CANCEL
	}
	// Hangup ends a confirmed dialog with BYE.
	Hangup struct {
		Why     cause.Cause
		Q850    int          // that the other side gave; 0: that of Why
		Headers []sip.Header // of the other side's BYE that pass on
	}

	// Offer offers the peer another session, in a re-INVITE as soon as one may
	// be sent. What comes of it is AnswerReady or OfferRefused.
	Offer struct {
		Ref int // not 0
		SDP []byte
	}
	// Accept answers what the peer Offered: with the answer, or with an offer
	// where it had none.
	Accept struct{ SDP []byte }
	// Reject refuses what the peer Offered; the session stays as it was.
	Reject struct {
		Code    int
		Reason  string
		Headers []sip.Header
	}
	// Send sends a request within the dialog. What comes of it is Replied with
	// the same Ref.
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

// Content is what of a request or its answer goes from one side to the other.
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

// Fact is what a call learns from a leg. The set is closed: only this file adds
// to it, and each phase of the call has an answer to every member.
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
	// Refused says that an INVITE of ours came to nothing: a final answer
	// (Code 300 to 699), or none (Code 0, and maybe Err).
	Refused struct {
		Code   int
		Reason string
		Cause  cause.Cause
		Q850   int // from the answer's Reason header (RFC 3326), 0 where there is none
		Err    error
		// Headers are all of the answer's.
		Headers []sip.Header
	}
	// Cancelled says that the carrier gave up before the answer.
	Cancelled struct{ Why cause.Reasons }
	// Confirmed says that our 200 was acknowledged.
	Confirmed struct{}
	// Gone says that a dialog is over, or as good as over.
	Gone struct {
		Cause   cause.Cause
		ByPeer  bool
		Q850    int
		Headers []sip.Header // of the peer's BYE
	}
	// Offered says that the peer wants another session than the one there is
	// (re-INVITE, UPDATE, PRACK). It waits for Accept or Reject.
	Offered struct {
		Method sip.RequestMethod
		SDP    []byte // nil: it wants our offer
	}
	// Withdrawn says that the peer has cancelled what it Offered.
	Withdrawn struct{}
	// AnswerReady is the answer to an offer of ours: in the 200 to a re-INVITE,
	// or, where our 200 or provisional answer had the offer, in ACK or PRACK.
	AnswerReady struct {
		SDP      []byte // nil: there should have been one
		Late     bool   // in ACK or PRACK
		Ref      int    // of the Offer; 0: to the session as it is, or to an offer that another one has replaced
		Overtook bool   // to an offer that counts as refused: the peer has another session than we
	}
	// OfferRefused says that the peer does not want what was offered to it; the
	// session stays as it was.
	OfferRefused struct {
		Ref    int // of the Offer
		Code   int // 0: not asked
		Reason string
	}
	// Asked is a request of the peer that the call has to Reply to.
	Asked struct{ Req *sip.Request }
	// Replied is the answer to what was sent with this Ref.
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

// Effect is what a leg wants done on the wire. Effects of a leg are performed
// in order.
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
	// Acknowledged says that the peer has our 200 to its INVITE with this CSeq:
	// its transaction is over.
	Acknowledged struct{ Seq uint32 }
	// Forgotten says that the transaction of the peer's INVITE with this CSeq has
	// answered a CANCEL: nothing of ours goes there any more.
	Forgotten struct{ Seq uint32 }
)

func (SendRequest) isEffect()  {}
func (SendACK) isEffect()      {}
func (SendResponse) isEffect() {}
func (Acknowledged) isEffect() {}
func (Forgotten) isEffect()    {}

// Hop is where a request goes next: an address, or a host that the wire has
// to look up first.
type Hop struct {
	Transport string         // config.Transport…; empty: udp
	Addr      netip.AddrPort // valid: no lookup
	Host      string
	Port      uint16
}
