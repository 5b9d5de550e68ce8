package call

import (
	"errors"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/reach"
	"flowbridge/b2bua/report"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
)

// Explain adds to o what a new call would do, up to its INVITEs. It sends nothing.
func (c *Call) Explain(o *report.Explanation) error {
	o.From, o.To, o.Diversion = report.Party(c.vars.From), report.Party(c.vars.To), c.vars.Diversion
	vars := c.variables()
	if !o.Verify(c.invite, c.trunk.Caller, &vars, c.times.started) {
		return nil
	}
	c.identity.set(vars.Verified)
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
		c.host.Config.Media.PortLow)
	for i, t := range o.LeadTo(c.peers, c.route, &c.vars) {
		c.attempts.back(&attempt{number: i + 1, plan: &ofRoute, target: t, started: time.Now(), cancel: func() {}})
		o.Targets = append(o.Targets, c.explainAttempt(o))
	}
	return nil
}

// explainAttempt describes the current attempt and its INVITE, or why there would be none.
func (c *Call) explainAttempt(o *report.Explanation) report.Target {
	a, t := c.attempts.current, c.attempts.current.target.Dial
	r := report.TargetOf(a.target)
	r.Transcodes = c.bridge.Agreement.Makes(t.Codecs)
	if err := c.attempts.offerTo(a); err != nil {
		r.Cause, r.Error = bridge.CauseOfOffer(err), err.Error()
		return r
	}
	if a.crypto.Offers && r.SRTPKeying == "" {
		o.Note("target %s: SRTP keys are new for each call, and not shown", t.Name)
	}
	if t.Media.SRTP == config.SRTPOptional {
		o.Note("target %s: where it does not take SRTP, RTP is offered by a second INVITE", t.Name)
	}
	vars := a.plan.VarsFor(a.number, c.variables())
	ready := ready{
		Attempt: a.number, Reached: &reach.Reached{Requested: outbound.Request(c.host.Context, a.target, vars)},
	}
	if ready.Cause != cause.None {
		r.Cause = ready.Cause
		if ready.Err != nil {
			r.Error = ready.Err.Error()
		}
		return r
	}
	c.explainInvite(o, &r, ready)
	return r
}

// explainInvite adds the INVITE to a target's description.
func (c *Call) explainInvite(o *report.Explanation, r *report.Target, ready ready) {
	a, t := c.attempts.current, c.attempts.current.target.Dial
	peer := o.AddrOf(ready.URI.Host, t, c.host.Config)
	invite := func(over string) (*leg.Leg, leg.Invite, cause.Cause, error) {
		return c.attempts.outboundLeg(ready, o.Local(c.host.Stack, over, peer),
			o.Media(&c.host.Bridges, peer, t.Media.Address))
	}
	l, in, why, err := invite(t.Transport)
	if errors.Is(err, outbound.ErrWantsTCP) {
		o.Note("target %s: the INVITE is over the UDP budget and goes over TCP; where no connection can be opened, headers are left out", t.Name)
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
	r.Configured(t.Headers, o)
	r.Budget(t, in, func() []string { return a.dropped })
}
