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

// screen judges every message before it is parsed: it drops messages of strangers, refuses malformed messages by their
// raw bytes, and refuses calls of a trunk over its limits with 503, without an allocation.
type screen struct {
	mint      *message.Minter
	server    Handler
	transport string // udp, tcp or tls
	// names returns the names in the verified certificate of a connection's peer. It is nil for UDP and TCP.
	names  func(source netip.AddrPort) []string
	tap    Tap
	count  *Rejections
	passed *Messages
	offer  []message.Algorithm // algorithms that a challenge offers, one challenge each
	rejectionLog
	strangerLimits *strangerLimits // limits the rate of answers to strangers
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
	proven   bool   // the message belongs to a leg, so its sender is no stranger
	hangup   bool   // close the connection that the message came over
	status   string // status line of the refusal, such as "503 Service Unavailable"; empty means that no answer is sent
	toTag    message.Minted
	port     uint16              // port that a refusal over UDP is sent to; 0 means the request's source port
	headers  string              // headers of the refusal; each line ends with CRLF
	nonce    message.Nonce       // nonce for the challenges of a 401
	stale    bool                // a 401 must say that the nonce was right, but is too old
	offer    []message.Algorithm // algorithms for the challenges of a 401
	atMost   int                 // greatest size of a refusal over UDP, in bytes; 0 means no limit
	more     int                 // bytes by which a refusal in short form may exceed atMost
	viaHost  []byte              // host in the topmost Via of an admitted request; part of the message
	viaPort  int

	// IDs of an admitted message for the Tap. They are parts of the message.
	callID, fromTag, toTagOf []byte
	invite                   bool // the message is an INVITE outside a dialog
}

// moreThanAsked is how many bytes longer than its request a challenge in short form may be, if the request has to be
// answered: a REGISTER of a small phone is shorter than any challenge to it. The limited rate of answers bounds the
// harm of forged requests.
const moreThanAsked = 200

// appendRefusal appends the refusal of a request to out. If the refusal is longer than atMost, it gets only one
// challenge: the last one, which every phone can answer (RFC 7616 section 3.3). If it is still too long, it is written
// in short form. If even that is too long, nothing is appended.
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
			if v.offer != nil { // a request that is refused for another reason has been counted before
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
		// Parsed requests are answered at the same port (RFC 3261 section 18.2.2).
		v.port = sentByOf(nil, msg.ViaPort, s.transport).port
	}
	return v
}

func (s *screen) decide(msg message.Scanned, size int, from peers.Sender, trust peers.SourceTrust) verdict {
	if !trust.Known && (!trust.Open || !s.mayBeTrunk(msg, from, trust)) && !s.ours(msg) {
		s.rejected(&s.count.UnknownSource, from.Addr, "unknown_source")
		// Don't close the connection because of a response, because other messages may use it.
		return verdict{hangup: !msg.Response}
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

// outOfDialog answers a request whose To tag belongs to no leg with 481, without keeping state (RFC 3261 section
// 12.2.2). A stranger gets an answer only to BYE, because our tags can be recognised for longer than their dialogs
// exist.
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

// knows reports whether an address belongs to a trunk or target.
func (s *screen) knows(source netip.AddrPort) bool { return s.trustOf(s.sender(source)).Known }

// mayBeTrunk reports whether a message may come from a trunk that may have any address and has not proven itself yet:
// it is a request that can be challenged, or the CANCEL of a pending INVITE. A CANCEL that has overtaken its INVITE is
// dropped, and will be repeated.
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

// refuseNew refuses a call for which there is no room, and challenges a request without credentials from an address
// whose trunks all need credentials. Neither answer keeps state. refused is false for other messages.
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
			// If two copies arrived at the same time, one may have been refused and the other admitted: then the transaction of
			// the other has the answer (RFC 3261 section 17.2.1).
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

// asksCredentials reports whether a request with this method needs credentials.
func asksCredentials(msg message.Scanned, trust peers.SourceTrust) bool {
	return string(msg.Method) == "INVITE" || string(msg.Method) == "OPTIONS" && !trust.Known
}

// noRoom refuses a request because of a lack of capacity, and remembers the refusal of an INVITE.
func (s *screen) noRoom(msg message.Scanned, from peers.Sender) verdict {
	if string(msg.Method) == "INVITE" {
		tag := s.mint.InviteTag(originOf(msg, from))
		s.refusals.note(tag[:])
	}
	return s.refuseAgain(msg, from)
}

// refuseAgain refuses a request because of a lack of capacity, without remembering that.
func (s *screen) refuseAgain(msg message.Scanned, from peers.Sender) verdict {
	return s.refuse(msg, from, "503 Service Unavailable", "Retry-After: "+message.RetrySeconds+"\r\n")
}

// showsCredentials reports whether a request has credentials that are worth checking. A stranger's credentials must
// have a nonce that we gave to the same address, which shows that the address is not forged. moved reports that we gave
// the nonce to another address.
func (s *screen) showsCredentials(msg message.Scanned, from peers.Sender, trust peers.SourceTrust) (shown, moved bool) {
	if !msg.Authorized || trust.Known {
		return msg.Authorized, false
	}
	nonce, ours := s.mint.ReadNonce(msg.Nonce)
	given := ours && s.mint.GivenTo(nonce, from.Addr.Addr())
	return given, ours && !given
}

// objection returns the status line that refuses a malformed message, and counts the refusal. It returns "" if the
// message is well-formed. The body of a response that may have SDP is not limited: a 200 dropped because of its SDP
// would get no ACK, and its target would be recorded as silent. The call acknowledges it, hangs up and records why.
func (s *screen) objection(msg message.Scanned, size int) string {
	count, status := &s.count.Malformed, ""
	body := len(msg.Body)
	if msg.MayBringSDP() {
		size, body = size-body, 0
	}
	switch {
	case len(msg.Version) > 0 && !message.IsSupportedVersion(string(msg.Version)): // RFC 3261 section 21.5.6
		count, status = &s.count.NotSIP, "505 Version Not Supported"
	case size > maxMessage:
		count, status = &s.count.TooLarge, longMessage
	case msg.Wrong != "" && msg.Header == message.RequestURI && msg.UnknownScheme(): // RFC 3261 section 8.2.2.1
		status = "416 Unsupported URI Scheme"
	case msg.Wrong != "" && msg.Header == "":
		status = "400 " + msg.Wrong
	case msg.Wrong != "":
		status = "400 " + msg.Header + " " + msg.Wrong
	case msg.Headers > maxHeaders:
		status = manyHeaders
	case msg.Longest > maxHeader:
		status = longHeader
	case body > maxBody:
		count, status = &s.count.TooLarge, longBody
	default:
		return ""
	}
	count.Add(1)
	return status
}

// Objection returns the status line that would refuse a malformed message, or "" if the message is well-formed.
func (s *Stack) Objection(msg message.Scanned, size int) string {
	return s.newScreen(config.TransportUDP, nil).objection(msg, size)
}

// These are the limits of a message, in bytes, except that maxHeaders counts headers. A folded header counts with all
// its lines. The body of a response that may have SDP has no limit here; over a connection that we opened, a response
// may be as long as a datagram: maxResponse.
const (
	maxMessage  = 16 << 10
	maxResponse = 64 << 10
	maxHeaders  = 128
	maxHeader   = 4 << 10
	maxBody     = 12 << 10
)

// These status lines refuse messages beyond these limits.
var (
	longMessage = fmt.Sprintf("513 Message Longer Than %d Bytes", maxMessage)
	manyHeaders = fmt.Sprintf("400 More Than %d Headers", maxHeaders)
	longHeader  = fmt.Sprintf("400 Header Longer Than %d Bytes", maxHeader)
	longBody    = fmt.Sprintf("513 Body Longer Than %d Bytes", maxBody)
)

// ours reports whether a message belongs to a transaction or dialog of this server: a response has our branch, or a
// request has our tag. It may come from any address.
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

// inProgress reports whether an INVITE, or the INVITE that a CANCEL is for, already has a call.
func (s *screen) inProgress(msg message.Scanned, from peers.Sender) bool {
	return s.server.InProgress(s.mint.InviteTag(originOf(msg, from)))
}

// refuse returns the verdict that refuses a request with this status line and these headers. An ACK, or a request
// without a readable Via, gets no answer.
func (s *screen) refuse(msg message.Scanned, from peers.Sender, status, headers string) verdict {
	if msg.Response || !msg.Readable || string(msg.Method) == "ACK" {
		return verdict{}
	}
	return verdict{status: status, toTag: s.mint.RefusalTag(msg.Method, originOf(msg, from)), headers: headers}
}

// Rejections counts, by reason, the messages that the screen refused, and the requests that were refused because of
// their sender.
type Rejections struct {
	UnknownSource atomic.Uint64 // no answer: neither from a trunk, nor a response to our request
	TooLarge      atomic.Uint64
	NotOurs       atomic.Uint64 // no answer: a trunk's response to a request that we have not sent
	TooShort      atomic.Uint64 // no answer: it would be longer than the stranger's request
	NotSIP        atomic.Uint64
	NoDialog      atomic.Uint64 // 481: within an unknown dialog
	Malformed     atomic.Uint64 // 400, or no answer if it is a response or an ACK
	Full          atomic.Uint64 // 503: the trunk or the process is at its limit
	Draining      atomic.Uint64 // 503: the process drains
	Connections   atomic.Uint64 // connection closed: there are more than the limits allow
	Setups        atomic.Uint64 // 503: too many calls are being set up
	Ports         atomic.Uint64 // 503: too many calls have ports
	Flood         atomic.Uint64 // 503: too many new requests from one address of a trunk
	Overload      atomic.Uint64 // 503: messages wait too long for the process
	Memory        atomic.Uint64 // 503: the process has too little memory
	Challenged    atomic.Uint64 // 401: no credentials, or a nonce that is too old
	StrangerRate  atomic.Uint64 // no answer: too many answers were sent to strangers, so there is no challenge
	Unauthorized  atomic.Uint64 // 401: wrong credentials
	Throttled     atomic.Uint64 // 403: too many wrong credentials came before
	NoTrunk       atomic.Uint64 // 403: the address is a trunk's, but no trunk's conditions are met
	// 403, or no answer to an ACK: the request belongs to a dialog, but comes from an address outside the call.
	NotOfCall atomic.Uint64
}

// rejectionLog counts and logs rejected messages. It limits the rate of log lines.
type rejectionLog struct {
	log    zerolog.Logger
	budget *rate.Limiter
}

// newRejectionLog returns a log that allows five lines at once, and then one a second.
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

// full counts and logs a call that is refused because of a lack of capacity.
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

// maxLogged bounds how much text of a peer a log line contains, in bytes.
const maxLogged = 128

// refused logs the status with which a message was refused.
func (l *rejectionLog) refused(from netip.AddrPort, status string, callID []byte) {
	if l.budget.Allow() {
		callID = callID[:min(len(callID), maxLogged)]
		l.log.Warn().Stringer("src", from).Str("reason", status).Bytes("sip_call_id", callID).Msg("sip rejected")
	}
}

// Rejections returns the counters of refused messages.
func (s *Stack) Rejections() *Rejections { return &s.rejected }

// Messages returns the counters of SIP messages.
func (s *Stack) Messages() *Messages { return &s.passed }

// LogRefused logs why a trunk's request was refused. The rate of lines is limited.
func (s *Stack) LogRefused(req *sip.Request, code int, reason string) {
	s.rejecting.refused(message.ParseSource(req.Source()), strconv.Itoa(code)+" "+reason, []byte(req.CallID().Value()))
}
