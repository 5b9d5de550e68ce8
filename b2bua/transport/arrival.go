package transport

import (
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
)

// stamp sees every message before its transaction does. A new INVITE gets our
// To tag here: the transaction answers CANCEL and timeouts by itself, and all
// its answers have to carry the same tag (RFC 3261 section 8.2.6.2).
func (s *Stack) stamp(msg sip.Message) {
	req, ok := msg.(*sip.Request)
	if !ok {
		if res, ok := msg.(*sip.Response); ok {
			s.dropSpoiled(res)
		}
		return
	}
	// The library writes the method in capitals. Its case matters (RFC 3261 section
	// 7.1), and the screen has compared the original with CSeq's. The version's case
	// does not matter.
	if cseq := req.CSeq(); cseq != nil && strings.EqualFold(string(cseq.MethodName), string(req.Method)) {
		req.Method = cseq.MethodName
	}
	req.SipVersion = "SIP/2.0"
	source := message.ParseSource(req.Source())
	if via := req.Via(); via != nil {
		s.noteSource(req, via, source)
	}
	to, from, callID, cseq := req.To(), req.From(), req.CallID(), req.CSeq()
	if to != nil && from != nil {
		tidyTag(to.Params)
		tidyTag(from.Params)
	}
	// A CANCEL's is that of its INVITE (RFC 3261 section 9.2).
	if (req.Method == sip.INVITE || req.Method == sip.CANCEL) && to != nil && from != nil && callID != nil && cseq != nil && message.TagOf(to.Params) == "" {
		tag := s.mint.InviteTag(message.OriginOf(req))
		to.Params.Add("tag", string(tag[:]))
	}
	disguise(req, source)
}

// disguise puts the sender's address behind the branch of a request while it is on its
// way through the library. The library knows a transaction by its Via alone, which a
// sender may copy or guess: then the request, the ACK or the CANCEL of one would count
// as that of another. A CANCEL gets its method, too, because the library must not find
// its INVITE: the registry does.
func disguise(req *sip.Request, source netip.AddrPort) {
	via := req.Via()
	if via == nil {
		return
	}
	branch, _ := via.Params.Get("branch")
	branch += branchEnd + source.Addr().String()
	if req.Method == sip.CANCEL {
		branch += branchEnd + string(sip.CANCEL)
	}
	via.Params.Add("branch", branch)
}

// branchEnd is behind the branch of a disguised request. No branch has a space.
const branchEnd = " "

// undisguise undoes disguise.
func undisguise(req *sip.Request) {
	via := req.Via()
	branch, _ := via.Params.Get("branch")
	if branch, _, _ = strings.Cut(branch, branchEnd); branch == "" {
		via.Params.Remove("branch")
		return
	}
	via.Params.Add("branch", branch)
}

// dropSpoiled hides a 2xx with an unreadable Contact or Record-Route from its
// transaction: without Via it belongs to none. In other answers these headers don't
// matter.
func (s *Stack) dropSpoiled(res *sip.Response) {
	if !res.IsSuccess() || message.SpoiledIn(res.Headers()) == "" {
		return
	}
	s.rejected.Malformed.Add(1)
	for res.RemoveHeader("Via") {
	}
}

// tidyTag gives a tag the spelling that the library knows.
func tidyTag(params sip.HeaderParams) {
	for i, p := range params {
		if message.IsTag(p.K) {
			params[i] = sip.HeaderKV{K: "tag", V: strings.TrimSpace(p.V)}
		}
	}
}

// noteSource adds received if Via names another host than the source (RFC 3261
// section 18.2.1). For trunks behind NAT it adds rport, so that the answer goes to
// the source port, although they did not ask for it (RFC 3581).
func (s *Stack) noteSource(req *sip.Request, via *sip.ViaHeader, source netip.AddrPort) {
	sentBy, err := netip.ParseAddr(message.TrimBrackets(via.Host))
	if err == nil && sentBy.Unmap() == source.Addr() {
		return
	}
	via.Params.Add("received", source.Addr().String())
	if via.Params.Has("rport") {
		return
	}
	t := s.server.Peers().Likely(req, s.SenderOf(req))
	if t == nil {
		return
	}
	private := err == nil && leg.IsPrivate(sentBy.Unmap()) && !leg.IsPrivate(source.Addr())
	if t.Caller.NAT == config.NATOn || (t.Caller.NAT == config.NATAuto && private) {
		via.Params.Add("rport", "")
	}
}

// onRequest gives the server a request that is not a retransmission.
func (s *Stack) onRequest(req *sip.Request, tx *sip.ServerTx) {
	defer func() {
		if v := recover(); v != nil {
			s.server.Panicked("request", v)
			tx.Terminate()
		}
	}()
	undisguise(req)
	if problem := message.Malformed(req); problem != "" {
		s.ReplyOnce(req, tx, 400, problem)
		return
	}
	s.server.Request(req, tx)
}

// onStrayResponse gives the server a response that no transaction waits for.
func (s *Stack) onStrayResponse(res *sip.Response) {
	defer s.recovered("response")
	s.server.StrayResponse(res)
}

// Reply answers a request that belongs to no call. ACK has no answer.
func (s *Stack) Reply(req *sip.Request, tx *sip.ServerTx, code int, reason string, headers ...sip.Header) {
	if req.Method == sip.ACK {
		tx.Terminate()
		return
	}
	res := sip.NewResponseFromRequest(req, code, reason, nil)
	for _, h := range headers {
		res.AppendHeader(h)
	}
	res.AppendHeader(sip.NewHeader("Server", s.agent))
	err := tx.Respond(res)
	if err != nil || req.Method == sip.CANCEL {
		tx.Terminate() // the library writes an answer to CANCEL past its own state machine
	}
}

// ReplyOnce answers a request without keeping its transaction (RFC 3261 section
// 26.3.2.4), whose timers would repeat the answer to a source that may be forged.
// Answers to unknown senders are bounded.
func (s *Stack) ReplyOnce(req *sip.Request, tx *sip.ServerTx, code int, reason string, headers ...sip.Header) {
	if !s.isStranger(req) || s.strangersBy(message.TransportOf(req)).Allow() {
		s.Reply(req, tx, code, reason, headers...)
	}
	tx.Terminate()
}

// isStranger says whether a request comes from an address that no trunk has.
func (s *Stack) isStranger(req *sip.Request) bool {
	return !s.server.Peers().Standing(s.SenderOf(req)).Known
}

// Trying answers an INVITE with 100, unless it was cancelled meanwhile: then its
// transaction has answered it.
func Trying(req *sip.Request, tx *sip.ServerTx) {
	respondInvite(tx, sip.NewResponseFromRequest(req, 100, "Trying", nil))
}

// SenderOf is the sender of a message: its address and certificate names.
func (s *Stack) SenderOf(msg sip.Message) peers.Sender {
	source := message.ParseSource(msg.Source())
	return peers.Sender{Addr: source, Names: s.streams.certNames(msg.Transport(), source)}
}

// StreamOf is the connection that a message came by; nil over UDP.
func (s *Stack) StreamOf(msg sip.Message) *Stream {
	if t := message.TransportOf(msg); t != "" {
		return s.streams.findAny(t, message.ParseSource(msg.Source()))
	}
	return nil
}
