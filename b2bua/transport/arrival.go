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

// arrival describes how a message arrived.
type arrival struct {
	transport string // in Via's spelling
	source    netip.AddrPort
	name      string             // the source as text
	over      transaction.Sender // the socket or connection that it arrived over
}

// names caches the text form of the addresses that recent messages came from.
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
		return // Scan found nothing wrong that matters, so this rare case gets no answer
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
		if twin != nil { // the CANCEL came before its INVITE, and the INVITE may still be refused
			tx.OnTaken(func() { s.cancelParked(twin, tx) })
		}
		s.server.Request(req, tx)
	}
}

func (a arrival) isStream() bool {
	_, ok := a.over.(*Stream)
	return ok
}

// back returns the socket or connection, and the address, for the response to a request (RFC 3261
// section 18.2.2, RFC 3581 section 4).
func (a arrival) back(req *sip.Request) transaction.Way {
	way := transaction.Way{Over: a.over, To: a.source, Reliable: a.isStream()}
	if via := req.Via(); !via.Params.Has("rport") {
		way.To = netip.AddrPortFrom(a.source.Addr(), sentByOf(nil, via.Port, config.TransportUDP).port)
	}
	return way
}

// onResponse passes a response to its transaction, or to the server if no transaction waits for it.
// It drops a 2xx whose Contact or Record-Route is malformed; in other responses these headers don't
// matter.
func (s *Stack) onResponse(res *sip.Response, from arrival) {
	switch {
	case res.IsSuccess() && message.BadHeaderIn(res.Headers()) != "":
		s.rejected.Malformed.Add(1)
	case !s.transactions.Answer(res, from.isStream()):
		s.server.StrayResponse(res)
	}
}

// stamp completes a request before its transaction exists. A new INVITE gets our To tag here,
// because all its responses need the same tag (RFC 3261 section 8.2.6.2).
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

// noteSource adds a received parameter if Via names another host than the source (RFC 3261 section
// 18.2.1). For a trunk behind NAT it also adds rport, which the trunk did not ask for, so that the
// response goes to the source port (RFC 3581).
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

// Reply answers a request that belongs to no call. It does nothing for an ACK, or if the request
// has its answer already.
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
	res.AppendHeader(leg.Server)
	return tx.Respond(res)
}

// ReplyOnce answers a request without keeping its transaction (RFC 3261 section 26.3.2.4), because
// the transaction would repeat the answer to a source that may be forged. The rate of answers to
// unknown senders is limited.
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

// isStranger reports whether a request's sender matches no trunk's addresses or certificates.
func (s *Stack) isStranger(req *sip.Request) bool {
	return !s.server.Peers().TrustOf(s.SenderOf(req)).Known
}

// SenderOf returns the sender of a message: its address, and the names in its certificate.
func (s *Stack) SenderOf(msg sip.Message) peers.Sender {
	source := message.ParseSource(msg.Source())
	return peers.Sender{Addr: source, Names: s.streams.certNames(msg.Transport(), source)}
}

// StreamOf returns the connection that a message arrived over, or nil over UDP.
func (s *Stack) StreamOf(msg sip.Message) *Stream {
	if t := message.TransportOf(msg); t != "" {
		return s.streams.findAny(t, message.ParseSource(msg.Source()))
	}
	return nil
}
