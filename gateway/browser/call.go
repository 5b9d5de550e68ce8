package browser

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/gateway/dialog"
)

// Call is what a browser asks for.
type Call struct {
	ID    string // the Call-ID; empty: a new one
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
	p := &setup{gateway: g, invite: invite, first: make(chan *sip.Response, 1), changed: make(chan struct{}, 1)}
	g.pend(p) // before it is sent, so that CancelUnanswered knows each call that the B2BUA knows
	var err error
	if p.tx, err = g.begin(ctx, invite); err != nil {
		g.unpend(p)
		return Answer{}, err
	}
	g.wg.Go(p.run)
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
			return Answer{}, errors.Join(err, p.cancel())
		}
		d.By = c.By
		location, err := g.seals.Seal(&d)
		return Answer{Location: location, CallID: d.CallID, SDP: res.Body()}, err
	case <-ctx.Done():
		return Answer{}, errors.Join(ctx.Err(), p.cancel())
	}
}

// invite returns the INVITE of a call.
func (g *Gateway) invite(c *Call) *sip.Request {
	at := sip.Uri{Scheme: "sip", User: c.To, Host: g.to.Addr().String()}
	from := sip.Uri{Scheme: "sip", User: strings.ReplaceAll(c.By, " ", "%20"), Host: g.at.Addr().String()}
	d := dialog.Dialog{
		CallID: cmp.Or(c.ID, newToken()), LocalTag: newToken(),
		Local: from.String(), Remote: at.String(), Target: at.String(),
	}
	req := d.Request(sip.INVITE, 1)
	req.AppendHeader(g.contact())
	req.AppendHeader(sip.NewHeader("Allow", allowed))
	req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	req.SetBody(c.Offer)
	return req
}

// setup is a call until its final response.
type setup struct {
	gateway *Gateway
	invite  *sip.Request
	tx      sip.ClientTransaction
	first   chan *sip.Response // the first response with a description, or the refusal; nil: neither came
	changed chan struct{}      // holds one value after a change of unwanted

	// Guarded by the gateway's mutex.
	told     bool    // first has had a value
	unwanted bool    // the call is to end
	dialog   *sealed // of the answered call, which must be hung up if it is unwanted; else nil
}

// cancel ends the call. It hangs up if the call is answered already.
func (p *setup) cancel() error {
	g := p.gateway
	g.mu.Lock()
	before, d := p.unwanted, p.dialog
	p.unwanted = true
	g.mu.Unlock()
	switch {
	case before:
		return nil
	case d != nil:
		return g.bye(g.ctx, *d)
	}
	p.changed <- struct{}{} // has room: this is the only value
	return nil
}

// isUnwanted reports whether the call is to end.
func (p *setup) isUnwanted() bool {
	p.gateway.mu.Lock()
	defer p.gateway.mu.Unlock()
	return p.unwanted
}

// tell gives the waiting request its response. Later ones are dropped.
func (p *setup) tell(res *sip.Response) {
	p.gateway.mu.Lock()
	defer p.gateway.mu.Unlock()
	if !p.told {
		p.told = true
		p.first <- res
	}
}

// CancelUnanswered cancels the calls whose browsers have no description yet, because their requests end with the
// process. It does not wait for the end of the calls.
func (g *Gateway) CancelUnanswered() {
	g.mu.Lock()
	var all []*setup
	for _, p := range g.pending {
		if !p.told {
			all = append(all, p)
		}
	}
	g.mu.Unlock()
	for _, p := range all {
		_ = p.cancel() // of a call that was answered just now, a lost BYE: the B2BUA misses the browser
	}
}

func (g *Gateway) pend(p *setup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pending[p.invite.CallID().Value()] = p
}

func (g *Gateway) unpend(p *setup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.pending, p.invite.CallID().Value())
}

// run waits for the final response.
func (p *setup) run() {
	defer p.gateway.unpend(p)
	defer p.tell(nil)
	defer p.tx.Terminate()
	proceeds, cancelled := false, false
	for {
		if proceeds && !cancelled && p.isUnwanted() { // not before a provisional response (RFC 3261 section 9.1)
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
				p.answered(res)
				return
			default:
				p.tell(res)
				return
			}
		case <-p.changed:
		case <-p.tx.Done():
			return
		case <-p.gateway.ctx.Done():
			return
		}
	}
}

// answered acknowledges the final response, and hangs up if the call is no longer wanted.
func (p *setup) answered(res *sip.Response) {
	g := p.gateway
	_ = g.acknowledge(res) // the B2BUA repeats its response until it is acknowledged
	d, err := dialogOf(res)
	g.mu.Lock()
	unwanted := p.unwanted
	if err == nil {
		p.dialog = &d
	}
	g.mu.Unlock()
	p.tell(res)
	if unwanted && err == nil {
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
	d, err := g.open(location)
	if err != nil {
		return err
	}
	g.mu.Lock()
	p := g.pending[d.CallID]
	g.mu.Unlock()
	if p != nil {
		return p.cancel()
	}
	return g.bye(ctx, d)
}

// Read returns a call's Call-ID, and the name of the token that has placed it. Its error is ErrLocation for a location
// that is not one of this node.
func (g *Gateway) Read(location string) (callID, by string, err error) {
	d, err := g.open(location)
	return d.CallID, d.By, err
}
