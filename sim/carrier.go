package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"
)

// errCarrierClosed is returned for a call that is placed after Close.
var errCarrierClosed = errors.New("carrier is closed")

// CarrierOptions configure a carrier.
type CarrierOptions struct {
	Listen string         // UDP, one socket for all calls; "127.0.0.1:0" if empty
	To     *Peer          // the only peer to call, over a connection or UDP; nil for any peer, over UDP
	Tap    func(Datagram) // receives every SIP message; must not block; may be nil
	Log    zerolog.Logger
}

// Header is a header line of an INVITE, sent unchanged.
type Header struct {
	Name  string
	Value string
}

// CarrierCall is a call to place.
type CarrierCall struct {
	To          string         // Request-URI: sip:+15075785607@127.0.0.1:5060
	Dest        netip.AddrPort // where the INVITE is sent; if invalid, to the address in To
	From        string         // number or another user part; "anonymous" if empty
	Username    string         // answers a challenge, with Password; if empty, a challenge ends the call
	Password    string
	DisplayName string
	Headers     []Header
	Hold        time.Duration // time from the answer to the BYE; if zero, the other side or ctx ends the call
	Heard       int           // packets of audio to send, and to receive, before the BYE; in addition to Hold
	Seed        uint64        // selects the caller's words
	Listens     bool          // the caller waits for the greeting before it speaks
	Party       Party         // speaks in place of the caller's words; may be nil
	Terminal    Terminal      // the audio in place of the carrier's own; may be nil
	Identity    *Identity     // may be nil
	Silence     time.Duration // how long to wait for any response before the call is given up; zero means 32 s
	CancelAfter time.Duration // time from the INVITE to the CANCEL of an unanswered call; zero for no CANCEL
	OnAnswer    func(sipCallID string)
	OnRefer     func(referTo string) int // returns the final status of a transfer; if nil, a REFER gets 405
}

// CarrierResult is a call as the carrier saw it.
type CarrierResult struct {
	SIPCallID string

	InvitedAt  time.Time
	RingingAt  time.Time // first 18x
	AnsweredAt time.Time
	EndedAt    time.Time

	Status      int // final response; 408 if there was no response at all
	Reason      string
	Provisional []int // every provisional response, in order, at most 32
	Cancelled   bool  // CANCEL was sent
	EndedBy     Side  // which side ended the answered call
	ByeStatus   int   // answer to the carrier's BYE
	AckTo       string
	Repeated    int // 200s that were repeated after their ACK

	PostDialDelay time.Duration // INVITE to the first 18x, or to the answer if there was none
	MediaDelay    time.Duration // answer to the first RTP received; negative with early media

	Media
	Headers []string // headers of the final response, as "Name: value"
}

// Carrier places any number of calls from one socket.
type Carrier struct {
	sip     *endpoint
	dialogs dialogs[*outgoing]
}

// StartCarrier opens the socket. Cancelling ctx ends the calls.
func StartCarrier(ctx context.Context, o CarrierOptions) (*Carrier, error) {
	c := &Carrier{}
	var err error
	if o.To != nil && o.To.Network != "UDP" {
		c.sip, err = connectEndpoint(ctx, o)
	} else {
		c.sip, err = openEndpoint(ctx, o.Listen, "carrier-sim", "carrier", o.Log, nil)
	}
	if err != nil {
		return nil, err
	}
	if c.sip.sock != nil {
		c.sip.sock.tap = o.Tap
		if o.To != nil {
			c.sip.sock.watch(c.sip.unreachable)
		}
	}
	server := c.sip.server
	server.OnBye(c.dialogs.only(c.onBye))
	server.OnInvite(c.dialogs.only(c.onReInvite)) // a new call gets 481
	server.OnAck(func(*sip.Request, sip.ServerTransaction) {})
	for _, method := range []sip.RequestMethod{sip.INFO, sip.UPDATE, sip.NOTIFY} {
		server.OnRequest(method, c.dialogs.only(acceptAllowed))
	}
	server.OnRefer(c.dialogs.only(c.onRefer))
	server.OnOptions(ok)
	c.sip.serve()
	return c, nil
}

// Addr returns the socket's address.
func (c *Carrier) Addr() netip.AddrPort { return c.sip.local }

// Close hangs up and waits for all of the carrier's goroutines.
func (c *Carrier) Close() error { return c.sip.close() }

// Call places a call and returns when it is over. If the call is refused, that is a result and not an error. An error
// means that the call could not be placed, or that ctx ended before the answer. If ctx ends after the answer, the
// carrier hangs up.
func (c *Carrier) Call(ctx context.Context, cc CarrierCall) (CarrierResult, error) {
	if !c.sip.enter() {
		return CarrierResult{}, errCarrierClosed
	}
	defer c.sip.leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.sip.ctx, cancel)()
	o, err := c.prepare(cc)
	if err != nil {
		return CarrierResult{}, err
	}
	c.dialogs.add(o.key, o)
	defer c.dialogs.remove(o.key)
	err = o.run(ctx)
	return o.result(), err
}

// prepare creates the INVITE and opens the media.
func (c *Carrier) prepare(cc CarrierCall) (*outgoing, error) {
	var to sip.Uri
	if err := sip.ParseUri(cc.To, &to); err != nil {
		return nil, fmt.Errorf("request uri %q: %w", cc.To, err)
	}
	for _, h := range cc.Headers {
		if h.Name == "" || strings.ContainsAny(h.Name+h.Value, "\r\n") {
			return nil, fmt.Errorf("header %q: empty name or a line break", h.Name)
		}
	}
	cc.From = cmp.Or(cc.From, "anonymous")
	req := sip.NewRequest(sip.INVITE, to)
	if cc.Dest.IsValid() {
		req.SetDestination(cc.Dest.String())
	}
	o := &outgoing{
		carrier: c, cc: cc, req: req, tag: newTag(), bye: newSignal(), refers: make(chan string, maxRefers),
	}
	if err := o.open(c.sip.ip(req.Destination())); err != nil {
		return nil, err
	}
	id := Identity{Allow: allowed}
	if cc.Identity != nil {
		id = *cc.Identity
	}
	contact := c.sip.contact(req.Destination())
	callID := sip.CallIDHeader(cmp.Or(id.CallID, newTag()+"@"+contact.Address.Host))
	hops := sip.MaxForwardsHeader(70)
	from := &sip.FromHeader{
		DisplayName: cc.DisplayName,
		Address:     sip.Uri{Scheme: "sip", User: cc.From, Host: cmp.Or(id.Host, contact.Address.Host)},
	}
	from.Params.Add("tag", o.tag)
	plain := *to.Clone()
	plain.UriParams, plain.Headers = nil, nil
	req.AppendHeader(from)
	req.AppendHeader(&sip.ToHeader{Address: plain})
	req.AppendHeader(&callID)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: 1, MethodName: sip.INVITE})
	req.AppendHeader(&hops)
	req.AppendHeader(contact)
	req.AppendHeader(sip.NewHeader("Allow", id.Allow))
	for _, h := range cc.Headers {
		req.AppendHeader(sip.NewHeader(h.Name, h.Value))
	}
	req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	req.SetTransport(c.sip.network)
	req.SetBody(o.offer)
	o.key = dialogKey(callID.Value(), o.tag)
	o.res.SIPCallID = callID.Value()
	return o, nil
}

// open opens the media at an address, and writes the offer.
func (o *outgoing) open(ip netip.Addr) (err error) {
	if o.cc.Terminal != nil {
		o.offer = o.cc.Terminal.Offer()
		return nil
	}
	if o.stream, err = openStream(ip); err != nil {
		return err
	}
	u, _ := codecFor(payloadPCMU)
	a, _ := codecFor(payloadPCMA)
	port := o.stream.local.Port()
	o.offer = writeSDP(netip.AddrPortFrom(ip, port), uint64(port), []codec{u, a}, payloadEvent)
	if o.cc.Party != nil {
		o.stream.join(o.cc.Party)
	}
	return nil
}

func (c *Carrier) onBye(o *outgoing, req *sip.Request, tx sip.ServerTransaction) {
	ok(req, tx)
	o.bye.set()
}

// onReInvite repeats the carrier's own description and sends RTP to the address
// of the new offer.
func (c *Carrier) onReInvite(o *outgoing, req *sip.Request, tx sip.ServerTransaction) {
	if o.cc.Identity != nil {
		reply(req, tx, sip.StatusNotAcceptableHere, "Re-INVITE is not supported")
		return
	}
	if err := o.stream.follow(req.Body()); err != nil {
		reply(req, tx, sip.StatusNotAcceptableHere, Printable(err.Error()))
		return
	}
	_ = tx.Respond(c.sip.response(req, sip.StatusOK, "OK", o.offer))
}

// onRefer hands a transfer to the goroutine of the call.
func (c *Carrier) onRefer(o *outgoing, req *sip.Request, tx sip.ServerTransaction) {
	to := req.GetHeader("Refer-To")
	switch {
	case o.cc.OnRefer == nil:
		reply(req, tx, sip.StatusMethodNotAllowed, "Method Not Allowed")
		return
	case to == nil:
		reply(req, tx, sip.StatusBadRequest, "no Refer-To")
		return
	}
	select {
	case o.refers <- strings.Trim(to.Value(), "<> "):
		reply(req, tx, sip.StatusAccepted, "Accepted")
	default:
		reply(req, tx, sip.StatusRequestPending, "Request Pending")
	}
}

// acceptAllowed answers a request within a call with 200, or with 405 if the call does not take its method.
func acceptAllowed(o *outgoing, req *sip.Request, tx sip.ServerTransaction) {
	if !o.cc.Identity.allows(req.Method) {
		reply(req, tx, sip.StatusMethodNotAllowed, "Method Not Allowed")
		return
	}
	ok(req, tx)
}
