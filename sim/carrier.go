package sim

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"
)

// errCarrierClosed is returned for a call that is placed after Close.
var errCarrierClosed = errors.New("carrier is closed")

// CarrierOptions say where the carrier sends from.
type CarrierOptions struct {
	Listen    string         // UDP, one socket for all calls; "127.0.0.1:0" if empty
	MediaAddr netip.Addr     // address of RTP; the listener's if zero
	Tap       func(Datagram) // sees every SIP message; must not block; nil: nobody
	Log       zerolog.Logger
}

// Header is a header line of an INVITE, sent as it is.
type Header struct {
	Name  string
	Value string
}

// CarrierCall is a call to place.
type CarrierCall struct {
	To          string         // Request-URI: sip:+15075785607@127.0.0.1:5060
	Dest        netip.AddrPort // where it is sent; zero: where To says
	From        string         // number or other user part; "anonymous" if empty
	Username    string         // answers a challenge, with Password; empty: a challenge is a refusal
	Password    string
	DisplayName string
	Headers     []Header
	Hold        time.Duration // from the answer to the BYE; zero: until the other side or ctx ends it
	Seed        uint64        // of the caller's words
	Digits      string        // telephone-events, sent from 300 ms after the answer on
	CancelAfter time.Duration // CANCEL that long after the INVITE, if it is not answered by then; zero: never
	HangupBy    Side          // SideAgent: no BYE of ours, Hold does not count; empty is SideCaller
	OnAnswer    func(sipCallID string)
	OnRefer     func(referTo string) int // gives the status that a transfer ends with; nil: the agent's REFER gets 405
}

// CarrierResult is what the carrier saw of a call.
type CarrierResult struct {
	SIPCallID string

	InvitedAt  time.Time
	TryingAt   time.Time // 100
	RingingAt  time.Time // first 18x
	AnsweredAt time.Time
	EndedAt    time.Time

	Status      int // final response; 408 too when none came at all
	Reason      string
	Provisional []int // every provisional response, in order, at most 32
	Cancelled   bool  // CANCEL was sent
	EndedBy     Side  // of an answered call
	ByeStatus   int   // answer to our BYE
	ReInvites   int   // received

	PostDialDelay time.Duration // INVITE to the first 18x, or to the answer if there was none
	MediaDelay    time.Duration // answer to the first RTP heard; negative with early media

	Heard      []int16 // the first 20 s, decoded, 8 kHz
	Digits     string
	RTP        RTPStats
	SentMarks  []PacketMark
	HeardMarks []PacketMark
	Headers    []string // of the final response, "Name: value"
	SDP        string   // of the answer
}

// Carrier places calls, as many at a time as wanted, from one socket.
type Carrier struct {
	opts  CarrierOptions
	sip   *endpoint
	clock *clock

	mu     sync.Mutex
	calls  map[string]*outgoing // by Call-ID and our tag
	closed bool
}

// StartCarrier opens the socket. Cancelling ctx ends the calls.
func StartCarrier(ctx context.Context, o CarrierOptions) (*Carrier, error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	c := &Carrier{opts: o, calls: map[string]*outgoing{}}
	var err error
	if c.sip, err = openEndpoint(ctx, o.Listen, "carrier-sim", o.Log, nil); err != nil {
		return nil, err
	}
	c.sip.sock.tap = o.Tap
	c.clock = startClock()
	c.sip.server.OnBye(c.onBye)
	c.sip.server.OnInvite(c.onReInvite)
	c.sip.server.OnAck(func(*sip.Request, sip.ServerTransaction) {})
	for _, method := range []sip.RequestMethod{sip.INFO, sip.UPDATE, sip.NOTIFY} {
		c.sip.server.OnRequest(method, c.inDialog)
	}
	c.sip.server.OnRefer(c.onRefer)
	c.sip.server.OnOptions(ok)
	c.sip.serve()
	return c, nil
}

// Addr is the socket's address.
func (c *Carrier) Addr() netip.AddrPort { return c.sip.local }

// Close hangs up and waits until nothing of the carrier runs.
func (c *Carrier) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.mu.Unlock()
	err := c.sip.close()
	c.clock.close()
	return err
}

// Call places a call and returns when it is over. What the far end did is in
// the result, whatever it was; an error means that the call could not be
// placed, or that ctx ended before there was an answer. When ctx ends an
// answered call, that is a hang-up and no error.
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
	c.mu.Lock()
	c.calls[o.key] = o
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.calls, o.key)
		c.mu.Unlock()
	}()
	err = o.run(ctx)
	return o.result(), err
}

// prepare makes the INVITE and opens the media.
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
	if cc.From == "" {
		cc.From = "anonymous"
	}
	req := sip.NewRequest(sip.INVITE, to)
	if cc.Dest.IsValid() {
		req.SetDestination(cc.Dest.String())
	}
	ip := c.opts.MediaAddr
	if !ip.IsValid() {
		ip = c.sip.ip(req.Destination())
	}
	digits, err := newTones(cc.Digits)
	if err != nil {
		return nil, err
	}
	st, err := openStream(ip)
	if err != nil {
		return nil, err
	}
	st.tones = digits
	o := &outgoing{carrier: c, cc: cc, req: req, stream: st, bye: newSignal(), refers: make(chan string, maxRefers)}
	contact := c.sip.contact("carrier", req.Destination())
	callID, hops := sip.CallIDHeader(newTag()+"@"+contact.Address.Host), sip.MaxForwardsHeader(70)
	from := &sip.FromHeader{DisplayName: cc.DisplayName, Address: sip.Uri{Scheme: "sip", User: cc.From, Host: contact.Address.Host}}
	o.tag = newTag()
	from.Params.Add("tag", o.tag)
	plain := *to.Clone()
	plain.UriParams, plain.Headers = nil, nil
	req.AppendHeader(from)
	req.AppendHeader(&sip.ToHeader{Address: plain})
	req.AppendHeader(&callID)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: 1, MethodName: sip.INVITE})
	req.AppendHeader(&hops)
	req.AppendHeader(contact)
	req.AppendHeader(sip.NewHeader("Allow", allowed))
	for _, h := range cc.Headers {
		req.AppendHeader(sip.NewHeader(h.Name, h.Value))
	}
	req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	req.SetTransport("UDP")
	o.offer = offerFor(netip.AddrPortFrom(ip, st.local.Port()))
	req.SetBody(o.offer)
	o.key = dialogKey(callID.Value(), o.tag)
	o.res.SIPCallID = callID.Value()
	return o, nil
}

func offerFor(addr netip.AddrPort) []byte {
	u, _ := codecFor(payloadPCMU)
	a, _ := codecFor(payloadPCMA)
	return writeSDP(addr, uint64(addr.Port()), []codec{u, a}, payloadEvent)
}

func (c *Carrier) find(req *sip.Request) *outgoing {
	if req.CallID() == nil || req.To() == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[dialogKey(req.CallID().Value(), tagOf(req.To().Params))]
}

func (c *Carrier) onBye(req *sip.Request, tx sip.ServerTransaction) {
	c.inDialog(req, tx)
	if o := c.find(req); o != nil {
		o.bye.set()
	}
}

func (c *Carrier) inDialog(req *sip.Request, tx sip.ServerTransaction) {
	if c.find(req) == nil {
		reply(req, tx, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
		return
	}
	ok(req, tx)
}

// onReInvite answers with the session that there is, and follows the offer's
// address. A new call to a carrier that only places calls finds nobody.
func (c *Carrier) onReInvite(req *sip.Request, tx sip.ServerTransaction) {
	o := c.find(req)
	if o == nil {
		reply(req, tx, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
		return
	}
	if len(req.Body()) > 0 {
		media, err := parseSDP(req.Body())
		if err != nil {
			reply(req, tx, sip.StatusNotAcceptableHere, printable(err.Error()))
			return
		}
		if now := o.stream.peer.Load(); now != nil {
			media.codec = now.codec
		}
		o.stream.peer.Store(&media)
	}
	o.update(func(r *CarrierResult) { r.ReInvites++ })
	res := sip.NewSDPResponseFromRequest(req, o.offer)
	res.AppendHeader(c.sip.contact("carrier", req.Source()))
	_ = tx.Respond(res)
}
