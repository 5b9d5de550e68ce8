package transport

import (
	"fmt"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
)

// screen judges every message before it is parsed: messages of strangers are dropped,
// malformed ones are refused from their raw bytes, and a trunk over its caps gets 503
// without an allocation.
type screen struct {
	mint      *message.Minter
	server    Handler
	transport string // udp, tcp or tls
	// names returns the names in the verified certificate of a connection. It is nil for UDP and TCP.
	names  func(source netip.AddrPort) []string
	tap    Tap
	count  *Rejections
	passed *Messages
	offer  []message.Algorithm // challenges offered to trunks that need credentials
	rejectionLog
	strangerLimits *strangerLimits // limits the answers to strangers
	refusals       *refusals
}

func (s *Stack) newScreen(transport string, tap Tap) *screen {
	return &screen{
		mint: s.mint, server: s.server, transport: transport, tap: tap, count: &s.rejected, passed: &s.passed,
		offer: message.AlgorithmsOf(s.cfg.AuthAlgorithms), rejectionLog: newRejectionLog(s.log),
		strangerLimits: s.strangerLimits,
		refusals:       s.refusals,
	}
}

// sender returns the address and the certificate names of a message's sender.
func (s *screen) sender(source netip.AddrPort) peers.Sender {
	if s.names == nil {
		return peers.Sender{Addr: source}
	}
	return peers.Sender{Addr: source, Names: s.names(source)}
}

// verdict is the screen's decision about a message.
type verdict struct {
	admitted bool
	proven   bool   // the message belongs to a leg, which proves its sender
	hangup   bool   // close the message's connection
	status   string // status of the refusal, such as "503 Service Unavailable"; empty means no answer
	toTag    message.Minted
	port     uint16              // destination of the refusal over UDP; 0 means the request's source port
	headers  string              // headers of the refusal, each line with CRLF
	nonce    message.Nonce       // nonce for the challenges of a 401
	stale    bool                // goes into a 401: the request's nonce was right, but too old
	offer    []message.Algorithm // challenges of a 401
	atMost   int                 // the most bytes that a refusal over UDP may have, or it is not sent; 0 means no limit
	more     int                 // bytes that a refusal in short form may have in addition
	viaHost  []byte              // host in the topmost Via of an admitted request; part of the message
	viaPort  int

	// IDs of an admitted message for the Tap; parts of the message
	callID, fromTag, toTagOf []byte
	invite                   bool // an INVITE outside a dialog
}

// moreThanAsked is how many bytes longer than its request a challenge in short form may be, if the request has to be
// answered: a small phone's REGISTER is shorter than any challenge to it. The rate of answers bounds the effect of
// forged requests.
const moreThanAsked = 200

// appendRefusal appends the stateless answer to a request that was refused. If the answer
// is longer than it may be, it gets only one challenge: the last one, which every phone
// can answer (RFC 7616 section 3.3). If it is still too long, it is written in short
// form. If that is too long, nothing is appended.
func (v verdict) appendRefusal(out, request []byte, from netip.AddrPort) []byte {
	begin := len(out)
	fits := func() bool { return v.atMost == 0 || len(out)-begin <= v.atMost }
	var room [512]byte
	headers := func(short bool) []byte {
		if v.nonce == (message.Nonce{}) {
			return append(room[:0], v.headers...)
		}
		return peers.AppendChallenges(append(room[:0], v.headers...), v.offer, v.nonce, v.stale, short)
	}
	out = message.StatelessRefusal(out, request, from, v.status, v.toTag[:], headers(false))
	if fits() {
		return out
	}
	if len(v.offer) > 1 {
		v.offer = v.offer[len(v.offer)-1:]
		out = message.StatelessRefusal(out[:begin], request, from, v.status, v.toTag[:], headers(false))
		if fits() {
			return out
		}
	}
	v.atMost += v.more
	out = message.ShortRefusal(out[:begin], request, from, v.status, v.toTag[:], headers(true))
	if fits() {
		return out
	}
	return out[:begin]
}

// judge decides what to do with one message.
func (s *screen) judge(text []byte, from netip.AddrPort) verdict {
	msg, ok := message.Scan(text)
	if !ok {
		s.count.NotSIP.Add(1)
		return verdict{hangup: true}
	}
	sender := s.sender(from)
	trust := s.trustOf(sender)
	v := s.decide(msg, len(text), sender, trust)
	v.callID, v.fromTag, v.toTagOf = msg.CallID, msg.FromTag, msg.ToTag
	v.invite = len(msg.ToTag) == 0 && string(msg.Method) == "INVITE"
	if v.status == "" {
		return v
	}
	if !trust.Known {
		ok, proven := s.strangerLimits.allow(s.transport, msg.Method, from.Addr())
		if !ok {
			if v.offer != nil { // if the request is refused for another reason, it has been counted already
				s.rejected(&s.count.StrangerRate, from, "stranger_rate")
			}
			return verdict{hangup: v.hangup}
		}
		v.atMost = len(text)
		if proven || trust.Registers && string(msg.Method) == "REGISTER" {
			v.more = moreThanAsked
		}
	}
	if !msg.Rport && !trust.BehindNAT(msg.ViaHost, from.Addr()) {
		// As for parsed requests (RFC 3261 section 18.2.2).
		v.port = sentByOf(nil, msg.ViaPort, s.transport).port
	}
	return v
}

func (s *screen) decide(msg message.Scanned, size int, from peers.Sender, trust peers.SourceTrust) verdict {
	if !trust.Known && (!trust.Open || !s.mayBeTrunk(msg, from, trust)) && !s.ours(msg) {
		s.rejected(&s.count.UnknownSource, from.Addr, "unknown_source")
		return verdict{hangup: !msg.Response} // a response may come by a connection that other messages use
	}
	if status := s.objection(msg, size); status != "" {
		s.refused(from.Addr, status, msg.CallID)
		return s.refuse(msg, from, status, "")
	}
	if msg.Response && !s.ours(msg) {
		s.rejected(&s.count.NotOurs, from.Addr, "response_without_request")
		return verdict{}
	}
	if !msg.Response && len(msg.ToTag) > 0 && string(msg.Method) != "ACK" && !s.server.InDialog(msg.ToTag) {
		return s.outOfDialog(msg, from, trust)
	}
	if v, refused := s.refuseNew(msg, from, trust); refused {
		return v
	}
	if msg.Response {
		return verdict{admitted: true, proven: true}
	}
	known := len(msg.ToTag) > 0 && string(msg.Method) != "ACK"
	return verdict{admitted: true, proven: known, viaHost: msg.ViaHost, viaPort: msg.ViaPort}
}

// countChallenge counts an answer if it is a challenge.
func (s *screen) countChallenge(v verdict) {
	if v.offer != nil {
		s.count.Challenged.Add(1)
	}
}

// outOfDialog answers a request whose To tag belongs to no leg, without keeping state
// (RFC 3261 section 12.2.2). A stranger gets an answer only to BYE, because our tags
// stay known for longer than their dialogs live.
func (s *screen) outOfDialog(msg message.Scanned, from peers.Sender, trust peers.SourceTrust) verdict {
	if !trust.Known && string(msg.Method) != "BYE" {
		s.rejected(&s.count.UnknownSource, from.Addr, "unknown_source")
		return verdict{}
	}
	s.count.NoDialog.Add(1)
	return s.refuse(msg, from, "481 Call/Transaction Does Not Exist", "")
}

// trustOf returns how far the sender of a message is trusted to be a trunk.
func (s *screen) trustOf(from peers.Sender) peers.SourceTrust { return s.server.Peers().TrustOf(from) }

// knows reports whether an address belongs to a trunk.
func (s *screen) knows(source netip.AddrPort) bool { return s.trustOf(s.sender(source)).Known }

// mayBeTrunk reports whether a message may come from a trunk at any address that has not
// proven itself yet: a request that can be challenged, or the CANCEL of a pending INVITE.
// A CANCEL that has overtaken its INVITE will be repeated.
func (s *screen) mayBeTrunk(msg message.Scanned, from peers.Sender, trust peers.SourceTrust) bool {
	if msg.Response || len(msg.ToTag) > 0 {
		return false
	}
	switch string(msg.Method) {
	case "INVITE", "OPTIONS":
		return true
	case "REGISTER":
		return trust.Registers
	case "CANCEL":
		return s.inProgress(msg, from)
	default:
		return false
	}
}

// refuseNew refuses a call for which there is no room. It challenges a request without credentials from an address
// whose trunks all need them. Neither answer keeps state. Messages other than new requests are not refused.
func (s *screen) refuseNew(msg message.Scanned, from peers.Sender, trust peers.SourceTrust) (v verdict, refused bool) {
	if msg.Response || len(msg.ToTag) > 0 {
		return v, false
	}
	if v, flooded := s.refuseFlood(msg, from); flooded {
		return v, true
	}
	invite := string(msg.Method) == "INVITE"
	why := peers.CapacityFree
	if invite {
		if s.refusals.has(func() message.Minted { return s.mint.InviteTag(originOf(msg, from)) }) {
			// Of two copies that came at once, one may have been refused: then the other's transaction has the answer (RFC 3261
			// section 17.2.1).
			return s.refuseAgain(msg, from), !s.inProgress(msg, from)
		}
		why = s.server.Capacity(from)
	}
	shown, moved := s.showsCredentials(msg, from, trust)
	register := trust.Registers && string(msg.Method) == "REGISTER"
	if register && shown && !trust.Known && !s.server.Peers().MayRegister(from, time.Now()) {
		s.rejected(&s.count.Flood, from.Addr, "source_rate")
		return s.refuseAgain(msg, from), true
	}
	challenged := !shown && (register || trust.Asked && asksCredentials(msg, trust))
	if (why == peers.CapacityFree && !challenged) || (invite && s.inProgress(msg, from)) {
		return v, false
	}
	if why == peers.CapacityFree {
		v = s.refuse(msg, from, "401 Unauthorized", "")
		v.nonce, v.offer, v.stale = s.mint.Challenge(from.Addr.Addr(), msg.Called(), time.Now()), s.offer, moved
		return v, true
	}
	s.full(s.count, why, from.Addr)
	return s.noRoom(msg, from), true
}

// asksCredentials reports whether a request of this method needs credentials from a sender that is asked for them.
func asksCredentials(msg message.Scanned, trust peers.SourceTrust) bool {
	return string(msg.Method) == "INVITE" || string(msg.Method) == "OPTIONS" && !trust.Known
}

// noRoom refuses a request for lack of capacity, and remembers the refusal.
func (s *screen) noRoom(msg message.Scanned, from peers.Sender) verdict {
	if string(msg.Method) == "INVITE" {
		tag := s.mint.InviteTag(originOf(msg, from))
		s.refusals.note(tag[:])
	}
	return s.refuseAgain(msg, from)
}

// refuseAgain refuses a request for lack of capacity, without remembering the refusal.
func (s *screen) refuseAgain(msg message.Scanned, from peers.Sender) verdict {
	return s.refuse(msg, from, "503 Service Unavailable", "Retry-After: "+message.RetrySeconds+"\r\n")
}

// showsCredentials reports whether a request has credentials that are worth checking. A stranger's must have a nonce
// that we gave to the same address, which shows that the address is not forged. moved reports that we gave the nonce to
// another address.
func (s *screen) showsCredentials(msg message.Scanned, from peers.Sender, trust peers.SourceTrust) (shown, moved bool) {
	if !msg.Authorized || trust.Known {
		return msg.Authorized, false
	}
	nonce, ours := s.mint.ReadNonce(msg.Nonce)
	given := ours && s.mint.GivenTo(nonce, from.Addr.Addr())
	return given, ours && !given
}

// objection returns the status that refuses a malformed message, or "" if its form is
// right. It counts the refusal.
func (s *screen) objection(msg message.Scanned, size int) string {
	count, status := &s.count.Malformed, ""
	switch {
	case len(msg.Version) > 0 && !message.IsSupportedVersion(string(msg.Version)): // RFC 3261 section 21.5.6
		count, status = &s.count.NotSIP, "505 Version Not Supported"
	case size > maxMessage:
		count, status = &s.count.TooLarge, longMessage
	case msg.Wrong != "" && msg.Header == message.RequestURI && msg.UnknownScheme(): // section 8.2.2.1
		status = "416 Unsupported URI Scheme"
	case msg.Wrong != "" && msg.Header == "":
		status = "400 " + msg.Wrong
	case msg.Wrong != "":
		status = "400 " + msg.Header + " " + msg.Wrong
	case msg.Headers > maxHeaders:
		status = manyHeaders
	case msg.Longest > maxHeader:
		status = longHeader
	case len(msg.Body) > maxBody:
		count, status = &s.count.TooLarge, longBody
	default:
		return ""
	}
	count.Add(1)
	return status
}

// Objection returns the status that would refuse a malformed message, or "" if its form
// is right.
func (s *Stack) Objection(msg message.Scanned, size int) string {
	return s.newScreen(config.TransportUDP, nil).objection(msg, size)
}

// The limits of a message, in bytes except maxHeaders, which counts lines. A folded header counts with its folds.
const (
	maxMessage = 16 << 10
	maxHeaders = 128
	maxHeader  = 4 << 10
	maxBody    = 12 << 10
)

// The answers to messages beyond these limits.
var (
	longMessage = fmt.Sprintf("513 Message Longer Than %d Bytes", maxMessage)
	manyHeaders = fmt.Sprintf("400 More Than %d Headers", maxHeaders)
	longHeader  = fmt.Sprintf("400 Header Longer Than %d Bytes", maxHeader)
	longBody    = fmt.Sprintf("513 Body Longer Than %d Bytes", maxBody)
)

// ours reports whether a message from any address belongs to a transaction or dialog of
// this server: a response with our branch, or a request with our tag.
func (s *screen) ours(msg message.Scanned) bool {
	if msg.Response {
		return s.mint.OwnsBranch(msg.Branch, msg.FromTag)
	}
	return s.mint.OwnsTag(msg.ToTag)
}

func originOf(msg message.Scanned, from peers.Sender) message.Origin {
	return message.Origin{
		CallID: msg.CallID, FromTag: msg.FromTag, CSeq: msg.CSeq, Branch: msg.Branch,
		Source: from.Addr.Addr(),
	}
}

// inProgress reports whether an INVITE, or the INVITE that a CANCEL is for, has begun a call already.
func (s *screen) inProgress(msg message.Scanned, from peers.Sender) bool {
	return s.server.InProgress(s.mint.InviteTag(originOf(msg, from)))
}

// refuse returns the verdict that refuses a request with a status. It does not answer an ACK, or a request without a
// readable Via.
func (s *screen) refuse(msg message.Scanned, from peers.Sender, status, headers string) verdict {
	if msg.Response || !msg.Readable || string(msg.Method) == "ACK" {
		return verdict{}
	}
	return verdict{status: status, toTag: s.mint.RefusalTag(msg.Method, originOf(msg, from)), headers: headers}
}

// Rejections counts the messages that the screen refused, and the requests that
// matched no trunk, by reason.
type Rejections struct {
	UnknownSource atomic.Uint64 // neither from a trunk nor an answer to our message
	TooLarge      atomic.Uint64
	NotOurs       atomic.Uint64 // responses of trunks that match no request of this server
	TooShort      atomic.Uint64 // requests of strangers that were not answered: the answer would be longer
	NotSIP        atomic.Uint64
	NoDialog      atomic.Uint64 // 481: within an unknown dialog
	Malformed     atomic.Uint64 // 400; no answer to a response or ACK
	Full          atomic.Uint64 // 503: trunk or process over its caps
	Draining      atomic.Uint64 // 503: the process drains
	Connections   atomic.Uint64 // closed: more than the limits allow
	Setups        atomic.Uint64 // 503: too many calls wait for their answer
	Ports         atomic.Uint64 // 503: too many calls have ports
	Flood         atomic.Uint64 // 503: too many new requests from one address of a trunk
	Overload      atomic.Uint64 // 503: messages wait for too long
	Memory        atomic.Uint64 // 503: the process has too little memory
	Challenged    atomic.Uint64 // 401: no credentials yet, or a nonce that is too old
	StrangerRate  atomic.Uint64 // no answer, though a challenge was due: too many answers to strangers before
	Unauthorized  atomic.Uint64 // 401: wrong credentials
	Throttled     atomic.Uint64 // 403: too many wrong credentials before
	NoTrunk       atomic.Uint64 // 403: a trunk's address, but no trunk's conditions are met
	NotOfCall     atomic.Uint64 // 403, or nothing to an ACK: within a dialog, from an address outside its call
}

// rejectionLog counts rejected messages and logs them at a bounded rate.
type rejectionLog struct {
	log    zerolog.Logger
	budget *rate.Limiter
}

// newRejectionLog returns a log that allows a few lines at once and then one a second.
func newRejectionLog(log zerolog.Logger) rejectionLog {
	return rejectionLog{log: log, budget: rate.NewLimiter(1, 5)}
}

func (l *rejectionLog) rejected(count *atomic.Uint64, from netip.AddrPort, reason string) {
	if n := count.Add(1); l.budget.Allow() {
		line := l.log.Warn().Stringer("src", from).Str("reason", reason).Uint64("count", n)
		if remedy := remedies[reason]; remedy != "" {
			line.Str("remedy", remedy)
		}
		line.Msg("sip rejected")
	}
}

// full counts a call that is refused for lack of capacity.
func (l *rejectionLog) full(count *Rejections, why peers.Capacity, from netip.AddrPort) {
	switch why {
	case peers.CapacityNone:
		l.rejected(&count.Full, from, "full")
	case peers.CapacityDraining:
		l.rejected(&count.Draining, from, "draining")
	case peers.CapacitySetups:
		l.rejected(&count.Setups, from, "setups")
	case peers.CapacityPorts:
		l.rejected(&count.Ports, from, "ports")
	case peers.CapacityOverload:
		l.rejected(&count.Overload, from, "overload")
	case peers.CapacityMemory:
		l.rejected(&count.Memory, from, "memory")
	case peers.CapacityFree:
	}
}

// remedies tells an operator, by reason, what to do if a sender should have been admitted.
var remedies = map[string]string{ //nolint:gochecknoglobals // a table
	"unknown_source":       "if it may call, add its address to trunks[].sources and reload; a phone that registers needs a trunk with registrar",
	"not_of_call":          "if it is the trunk's, add its address to trunks[].sources and reload: that counts for new calls",
	"too_short_for_answer": "if it may call, give it a trunk with its address in sources and reload, or have it use TCP: then it is answered",
	"unauthorized":         "compare its user name and password with trunks[].auth; a uri of another number is wrong, too",
	"throttled":            "it has sent too many wrong passwords: compare its user name and password with trunks[].auth",
	"no_trunk":             "its address is a trunk's, but the request meets no trunks[].match",
	"stranger_rate":        "if it may call, give it a trunk with its address in sources and reload: then the rate of strangers is not its own",
	"source_rate":          "if the trunk sends so many calls, write a max_cps of half as many at the trunk",
	"setups":               "if the machine can do more, raise sip.limits.setups; max_calls of the other trunks bounds their shares",
	"memory":               "give the process more memory (MemoryMax= of the unit), or lower max_calls",
	"ports":                "widen media.ports; max_calls of the other trunks bounds their shares",
}

// maxLogged bounds a peer's text in a log line, in bytes.
const maxLogged = 128

// refused logs why a message was refused.
func (l *rejectionLog) refused(from netip.AddrPort, status string, callID []byte) {
	if l.budget.Allow() {
		callID = callID[:min(len(callID), maxLogged)]
		l.log.Warn().Stringer("src", from).Str("reason", status).Bytes("sip_call_id", callID).Msg("sip rejected")
	}
}

// Rejections returns the counts of the messages that were refused, before or after parsing.
func (s *Stack) Rejections() *Rejections { return &s.rejected }

// Messages returns the counts of the messages.
func (s *Stack) Messages() *Messages { return &s.passed }

// LogRefused logs why a trunk's request was refused, at a bounded rate.
func (s *Stack) LogRefused(req *sip.Request, code int, reason string) {
	s.rejecting.refused(message.ParseSource(req.Source()), strconv.Itoa(code)+" "+reason, []byte(req.CallID().Value()))
}
