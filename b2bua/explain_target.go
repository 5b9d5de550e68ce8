package b2bua

import (
	"errors"
	"strings"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/reach"
	"flowbridge/b2bua/report"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
)

// attempt reports on an attempt and its INVITE.
func (x *explainer) attempt(c *Call) report.Target {
	a, t := c.attempts.current, c.attempts.current.target.Dial
	r := report.TargetOf(a.target)
	if err := c.attempts.offerTo(a); err != nil {
		r.Cause, r.Error = cause.NoCommonCodec, err.Error()
		return r
	}
	if a.crypto.Offers && r.SRTPKeying == "" {
		x.out.Note("target %s: SRTP keys are new for each call, and not shown", t.Name)
	}
	if t.Media.SRTP == config.SRTPOptional {
		x.out.Note("target %s: where it does not take SRTP, RTP is offered by a second INVITE", t.Name)
	}
	ready := ready{
		Attempt: a.number,
		Reached: &reach.Reached{Requested: outbound.Request(c.server.ctx, a.target, a.varsOf(c.vars))},
	}
	if ready.Cause != cause.None {
		r.Cause = ready.Cause
		if ready.Err != nil {
			r.Error = ready.Err.Error()
		}
		return r
	}
	x.invite(&r, c, ready)
	return r
}

// invite adds the INVITE to a target.
func (x *explainer) invite(r *report.Target, c *Call, ready ready) {
	a, t := c.attempts.current, c.attempts.current.target.Dial
	peer := x.out.AddrOf(ready.URI.Host, t, x.server.cfg)
	l, in, cause, err := c.attempts.outboundLeg(ready, x.out.Local(x.server.stack, t.Transport, peer),
		x.out.Media(&x.server.bridges, peer, t.Media.Address))
	if errors.Is(err, outbound.ErrWantsTCP) {
		x.out.Note("target %s: the INVITE is over the UDP budget and goes over TCP; where no connection can be opened, headers are left out", t.Name)
		r.Transport, ready.Flow = config.TransportTCP, &transport.Stream{}
		l, in, cause, err = c.attempts.outboundLeg(ready, x.out.Local(x.server.stack, config.TransportTCP, peer),
			x.out.Media(&x.server.bridges, peer, t.Media.Address))
	}
	if err != nil {
		r.Cause, r.Error = cause, err.Error()
		return
	}
	r.URI = ready.URI.String()
	_, effects := l.Step(time.Now(), in)
	for _, e := range effects {
		if sent, ok := e.(leg.SendRequest); ok {
			text := sent.Req.String()
			head, body, _ := strings.Cut(text, "\r\n\r\n")
			r.Bytes, r.Invite, r.Body = len(text), strings.Split(head, "\r\n"), string(message.MaskKeys([]byte(body)))
		}
	}
	r.Dropped = a.dropped
	r.Configured(t.Headers, &x.out)
	r.Budget(t, in, func() []string { return a.dropped })
}
