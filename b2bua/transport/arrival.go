package transport

import (
	"net/netip"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transaction"
	"flowbridge/config"
)

// arrival describes how a message came.
type arrival struct {
	transport string // in the spelling of Via
	source    netip.AddrPort
	name      string             // the source as text
	over      transaction.Sender // the socket or connection that it came over
}

// names caches the text of the addresses that messages came from last.
type names [64]struct {
	addr netip.AddrPort
	text string
}

func (n *names) of(addr netip.AddrPort) string {
	bytes := addr.Addr().As16()
	known := &n[(int(bytes[15])+int(addr.Port()))%len(n)]
	if known.addr != addr {
		known.addr, known.text = addr, addr.String()
	}
	return known.text
}

// receive parses an admitted message, and passes it to its transaction or to the server.
func (s *Stack) receive(text []byte, from arrival) {
	defer s.recovered("message")
	if s.held.on.Load() && s.hold(text, from) {
		return
	}
	msg, err := message.Parse(text)
	if err != nil {
		return // Scan found no fault that matters, so it is not worth an answer
	}
	msg.SetTransport(from.transport)
	msg.SetSource(from.name)
	switch msg := msg.(type) {
	case *sip.Request:
		s.stamp(msg, from.source)
		s.onRequest(msg, from)
	case *sip.Response:
		s.onResponse(msg, from)
	}
}

// onRequest passes a request to its transaction, or to the server if it is new.
func (s *Stack) onRequest(req *sip.Request, from arrival) {
	key, ok := transaction.KeyOf(req, from.source.Addr(), from.isStream())
	if !ok {
		return
	}
	if req.Method == sip.ACK {
		if !s.transactions.Acknowledge(key, req.CSeq().SeqNo) && message.Malformed(req) == "" {
			s.server.Request(req, nil)
		}
		return
	}
	tx, twin := s.transactions.Receive(req, key, from.back(req))
	if tx == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			s.server.Panicked("request", v)
			tx.Terminate()
		}
	}()
	switch problem := message.Malformed(req); {
	case problem != "":
		s.ReplyOnce(req, tx, 400, problem)
	case req.Method == sip.CANCEL:
		s.onCancel(req, tx, twin)
	default:
		if twin != nil { // the CANCEL overtook its INVITE, which may still be refused
			tx.OnTaken(func() { s.cancelParked(twin, tx) })
		}
		s.server.Request(req, tx)
	}
}

func (a arrival) isStream() bool {
	_, ok := a.over.(*Stream)
	return ok
}

// back returns the socket or connection, and the address, for the answers to a request
// (RFC 3261 section 18.2.2, RFC 3581 section 4).
func (a arrival) back(req *sip.Request) transaction.Way {
	way := transaction.Way{Over: a.over, To: a.source, Reliable: a.isStream()}
	if via := req.Via(); !via.Params.Has("rport") {
		way.To = netip.AddrPortFrom(a.source.Addr(), sentByOf(nil, via.Port, config.TransportUDP).port)
	}
	return way
}

// onResponse passes a response to its transaction, or to the server if none waits for it.
// A 2xx with an unreadable Contact or Record-Route is dropped. In other answers these
// headers don't matter.
func (s *Stack) onResponse(res *sip.Response, from arrival) {
	switch {
	case res.IsSuccess() && message.BadHeaderIn(res.Headers()) != "":
		s.rejected.Malformed.Add(1)
	case !s.transactions.Answer(res, from.isStream()):
		s.server.StrayResponse(res)
	}
}

// stamp adds what a request needs before its transaction begins. A new INVITE gets our To
// tag here: all its answers have to carry the same tag (RFC 3261 section 8.2.6.2).
func (s *Stack) stamp(req *sip.Request, source netip.AddrPort) {
	if via := req.Via(); via != nil {
		s.noteSource(req, via, source)
	}
	to, from, callID, cseq := req.To(), req.From(), req.CallID(), req.CSeq()
	// A CANCEL gets the tag of its INVITE (RFC 3261 section 9.2).
	if (req.Method == sip.INVITE || req.Method == sip.CANCEL) && to != nil && from != nil && callID != nil &&
		cseq != nil && message.TagOf(to.Params) == "" {
		tag := s.mint.TagOfInvite(req)
		to.Params.Add("tag", string(tag[:]))
	}
}

// noteSource adds received if Via names another host than the source (RFC 3261 section
// 18.2.1). For trunks behind NAT it adds rport, so that the answer goes to the source
// port, although the trunk did not ask for that (RFC 3581).
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

// Reply answers a request that belongs to no call. It does not answer ACK, and it drops
// an answer that is too late.
func (s *Stack) Reply(req *sip.Request, tx *transaction.Server, code int, reason string, headers ...sip.Header) {
	if req.Method != sip.ACK {
		_ = s.answer(req, tx, code, reason, headers...)
	}
}

func (s *Stack) answer(req *sip.Request, tx *transaction.Server, code int, reason string, headers ...sip.Header) error {
	res := sip.NewResponseFromRequest(req, code, reason, nil)
	for _, h := range headers {
		res.AppendHeader(h)
	}
	res.AppendHeader(sip.NewHeader("Server", s.agent))
	return tx.Respond(res)
}

// ReplyOnce answers a request without keeping its transaction (RFC 3261 section
// 26.3.2.4), whose timers would repeat the answer to a source that may be forged. The
// rate of answers to unknown senders is bounded.
func (s *Stack) ReplyOnce(req *sip.Request, tx *transaction.Server, code int, reason string, headers ...sip.Header) {
	if req.Method == sip.ACK {
		return
	}
	ok := !s.isStranger(req)
	if !ok {
		ok, _ = s.strangerLimits.allow(message.TransportOf(req), []byte(req.Method), message.ParseSource(req.Source()).Addr())
	}
	if ok {
		s.Reply(req, tx, code, reason, headers...)
	}
	tx.Terminate()
}

// isStranger reports whether a request comes from an address that no trunk has.
func (s *Stack) isStranger(req *sip.Request) bool {
	return !s.server.Peers().TrustOf(s.SenderOf(req)).Known
}

// SenderOf returns the sender of a message: its address and certificate names.
func (s *Stack) SenderOf(msg sip.Message) peers.Sender {
	source := message.ParseSource(msg.Source())
	return peers.Sender{Addr: source, Names: s.streams.certNames(msg.Transport(), source)}
}

// StreamOf returns the connection that a message came by, or nil over UDP.
func (s *Stack) StreamOf(msg sip.Message) *Stream {
	if t := message.TransportOf(msg); t != "" {
		return s.streams.findAny(t, message.ParseSource(msg.Source()))
	}
	return nil
}
