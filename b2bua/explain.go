package b2bua

import (
	"errors"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/reach"
	"flowbridge/b2bua/report"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/store/record"
)

// Explain reports what a call would do, using the functions that handle real calls. It opens no
// socket, sends nothing and looks up no name. preparers stand in for the platforms' APIs, and
// return made-up ids or none.
func Explain(cfg *config.Config, preparers map[string]peers.Preparer, q report.Question) (report.Explanation, error) {
	s, err := newServer(Options{Config: cfg, Preparers: preparers, Log: zerolog.Nop()}, transport.Unplugged)
	if err != nil {
		return report.Explanation{}, err
	}
	defer s.Close()
	x := explainer{server: s}
	req, t, err := q.Foresee(cfg, s.admission, s.stack, &x.out)
	if err != nil {
		return report.Explanation{}, err
	}
	if t == nil {
		return x.out, nil
	}
	c := s.newCall(record.NewID(), x.out.At, req, s.admission.Peers.Load(), t, message.ParseSource(req.Source()))
	err = x.call(c)
	return x.out, err
}

// explainer is one run of Explain.
type explainer struct {
	server *Server
	out    report.Explanation
}

// call adds to out what the call would do, up to its INVITEs.
func (x *explainer) call(c *Call) error {
	o := &x.out
	o.From, o.To, o.Diversion = report.Party(c.vars.From), report.Party(c.vars.To), c.vars.Diversion
	if !o.Verify(c.invite, c.trunk.Caller, &c.vars, c.times.started) {
		return nil
	}
	index := c.peers.FirstRoute(&c.vars, c.times.started)
	o.Before(index, c.peers, &c.vars, c.times.started)
	if index < 0 {
		o.Refuse(404, message.StatusText(404), "no route matches")
		return nil
	}
	c.takeRoute(index)
	o.Take(c.route, &c.vars)
	var err error
	if c.bridge.Agreement.Offer, err = sdp.Parse(message.SDPBody(c.invite)); err != nil {
		return err
	}
	o.Note("tags, branches, Call-ID and the o= line are new for each call")
	o.Note("the SDP is that of a caller who offers every codec of every target; port %d stands for the leased one",
		x.server.cfg.Media.PortLow)
	for i, t := range o.LeadTo(c.peers, c.route, &c.vars) {
		c.attempts.current = &attempt{number: i + 1, plan: &ofRoute, target: t, started: time.Now(), cancel: func() {}}
		o.Targets = append(o.Targets, x.attempt(c))
	}
	return nil
}

// attempt describes an attempt and its INVITE, or why there would be none.
func (x *explainer) attempt(c *Call) report.Target {
	a, t := c.attempts.current, c.attempts.current.target.Dial
	r := report.TargetOf(a.target)
	r.Transcodes = c.bridge.Agreement.Makes(t.Codecs)
	if err := c.attempts.offerTo(a); err != nil {
		r.Cause, r.Error = bridge.CauseOfOffer(err), err.Error()
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
		Reached: &reach.Reached{Requested: outbound.Request(c.server.ctx, a.target, a.plan.VarsFor(a.number, c.vars))},
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

// invite adds the INVITE to a target's description.
func (x *explainer) invite(r *report.Target, c *Call, ready ready) {
	a, t := c.attempts.current, c.attempts.current.target.Dial
	peer := x.out.AddrOf(ready.URI.Host, t, x.server.cfg)
	invite := func(over string) (*leg.Leg, leg.Invite, cause.Cause, error) {
		return c.attempts.outboundLeg(ready, x.out.Local(x.server.stack, over, peer),
			x.out.Media(&x.server.bridges, peer, t.Media.Address))
	}
	l, in, why, err := invite(t.Transport)
	if errors.Is(err, outbound.ErrWantsTCP) {
		x.out.Note("target %s: the INVITE is over the UDP budget and goes over TCP; where no connection can be opened, headers are left out", t.Name)
		r.Transport, ready.Flow = config.TransportTCP, &transport.Stream{}
		l, in, why, err = invite(config.TransportTCP)
	}
	if err != nil {
		r.Cause, r.Error = why, err.Error()
		return
	}
	r.URI = ready.URI.String()
	_, effects := l.Step(time.Now(), in)
	r.Sent(effects)
	r.Dropped = a.dropped
	r.Configured(t.Headers, &x.out)
	r.Budget(t, in, func() []string { return a.dropped })
}
