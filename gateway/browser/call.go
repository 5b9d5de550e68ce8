package browser

import (
	"context"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// Call is what a browser asks for.
type Call struct {
	To    string // the number, or another user part
	By    string // the name of the token
	Offer []byte // SDP
}

// Answer is the first description that a call was answered with, by the agent or before it.
type Answer struct {
	Location string // what the browser must show to hang up
	CallID   string // of the call, in SIP
	SDP      []byte
}

// Call places a call, and returns its first answer. If ctx ends before, the call is cancelled. A *RefusedError is the
// B2BUA's response.
func (g *Gateway) Call(ctx context.Context, c Call) (Answer, error) {
	invite := g.invite(&c)
	tx, err := g.begin(ctx, invite)
	if err != nil {
		return Answer{}, err
	}
	p := &setup{gateway: g, invite: invite, tx: tx, first: make(chan *sip.Response, 1), unwanted: make(chan struct{}, 1)}
	id := invite.CallID().Value()
	g.mu.Lock()
	g.pending[id] = p
	g.mu.Unlock()
	g.wg.Go(func() {
		p.run()
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.pending, id)
	})
	select {
	case res := <-p.first:
		if res == nil {
			return Answer{}, errNoAnswer
		}
		if res.StatusCode >= 300 {
			return Answer{}, refused(res)
		}
		d, err := dialogOf(res)
		if err != nil {
			p.cancel()
			return Answer{}, err
		}
		d.By = c.By
		location, err := g.seals.seal(&d)
		return Answer{Location: location, CallID: id, SDP: res.Body()}, err
	case <-ctx.Done():
		p.cancel()
		return Answer{}, ctx.Err()
	}
}

// invite returns the INVITE of a call.
func (g *Gateway) invite(c *Call) *sip.Request {
	at := sip.Uri{Scheme: "sip", User: c.To, Host: g.to.Addr().String()}
	from := sip.Uri{Scheme: "sip", User: strings.ReplaceAll(c.By, " ", "%20"), Host: g.at.Addr().String()}
	d := dialog{
		CallID: newToken(), LocalTag: newToken(), From: from.String(), To: at.String(), Target: at.String(),
	}
	req := d.request(sip.INVITE, 1)
	req.AppendHeader(g.contact())
	req.AppendHeader(sip.NewHeader("Allow", allowed))
	req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	req.SetBody(c.Offer)
	return req
}

// setup is a call until its final response.
type setup struct {
	gateway  *Gateway
	invite   *sip.Request
	tx       sip.ClientTransaction
	first    chan *sip.Response // the first response with a description, or the refusal; nil: neither came
	unwanted chan struct{}
}

// cancel ends the call, whatever its state. It does not block.
func (p *setup) cancel() {
	select {
	case p.unwanted <- struct{}{}:
	default: // it was said before
	}
}

// tell gives the waiting request its response. Later ones are dropped.
func (p *setup) tell(res *sip.Response) {
	select {
	case p.first <- res:
	default:
	}
}

// run waits for the final response.
func (p *setup) run() {
	defer p.tell(nil)
	defer p.tx.Terminate()
	wanted, proceeds, cancelled := true, false, false
	for {
		if !wanted && proceeds && !cancelled { // not before a provisional response (RFC 3261 section 9.1)
			cancelled = true
			p.gateway.wg.Go(p.sendCancel)
		}
		select {
		case res := <-p.tx.Responses():
			switch {
			case res.IsProvisional():
				proceeds = true
				if len(res.Body()) > 0 {
					p.tell(res)
				}
			case res.IsSuccess():
				p.answered(res, wanted)
				return
			default:
				p.tell(res)
				return
			}
		case <-p.unwanted:
			wanted = false
		case <-p.tx.Done():
			return
		case <-p.gateway.ctx.Done():
			return
		}
	}
}

// answered acknowledges the final response, and hangs up if the call is no longer wanted.
func (p *setup) answered(res *sip.Response, wanted bool) {
	g := p.gateway
	_ = g.acknowledge(res) // the B2BUA repeats its response until it is acknowledged
	p.tell(res)
	if wanted {
		return
	}
	if d, err := dialogOf(res); err == nil {
		_ = g.bye(g.ctx, d) // if it is lost, the B2BUA misses the browser
	}
}

// sendCancel sends the CANCEL (RFC 3261 section 9.1).
func (p *setup) sendCancel() {
	req := sip.NewRequest(sip.CANCEL, p.invite.Recipient)
	via, hops := p.invite.Via().Clone(), sip.MaxForwardsHeader(70)
	req.AppendHeader(via)
	sip.CopyHeaders("From", p.invite, req)
	sip.CopyHeaders("To", p.invite, req)
	sip.CopyHeaders("Call-ID", p.invite, req)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: p.invite.CSeq().SeqNo, MethodName: sip.CANCEL})
	req.AppendHeader(&hops)
	if tx, err := p.gateway.begin(p.gateway.ctx, req); err == nil {
		select {
		case <-tx.Responses():
		case <-tx.Done():
		}
		tx.Terminate()
	}
}

// Hangup ends the call at a location.
func (g *Gateway) Hangup(ctx context.Context, location string) error {
	d, err := g.seals.open(location)
	if err != nil {
		return err
	}
	g.mu.Lock()
	p := g.pending[d.CallID]
	g.mu.Unlock()
	if p != nil {
		p.cancel()
		return nil
	}
	return g.bye(ctx, d)
}

// Read returns a call's Call-ID, and the name of the token that has placed it. Its error is ErrLocation for a location
// that is not one of this node.
func (g *Gateway) Read(location string) (callID, by string, err error) {
	d, err := g.seals.open(location)
	return d.CallID, d.By, err
}
