package b2bua

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/reach"
	"flowbridge/b2bua/report"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
)

// noPhoneNumber says why a target can't be dialled with a user part that is no phone number.
func noPhoneNumber(user string) string {
	if user == "" {
		return "the target's uri dials a number, and the call has none"
	}
	return fmt.Sprintf("the target's uri dials the called number, and %q is not a phone number; only a route whose to is exactly that may dial it", user)
}

// attempt reports on an attempt and its INVITE.
func (x *explainer) attempt(c *Call) report.Target {
	a, t := c.attempts.current, c.attempts.current.target.Dial
	r := targetOf(a)
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
	ready := ready{Attempt: a.number, Reached: &reach.Reached{Requested: outbound.Request(c.server.ctx, a.target, a.varsOf(c.vars))}}
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

// targetOf is what the configuration says of an attempt's target.
func targetOf(a *attempt) report.Target {
	t := a.target.Dial
	r := report.Target{
		Target: t.Name, Kind: t.Kind, Transport: t.Transport, Prepares: t.Prepare != nil, Codecs: t.Codecs,
		FirstResponseTimeoutMS: t.FirstResponseTimeout.Milliseconds(), RingTimeoutMS: t.RingTimeout.Milliseconds(),
		MaxCalls: t.MaxCalls, MaxCPS: t.MaxCPS,
		MediaAddress: t.Media.Address, Latch: string(t.Media.Latch), SRTP: string(t.Media.SRTP),
	}
	if a.target.Trunk != nil {
		r.Kind = "trunk"
	}
	if t.Auth != nil {
		r.Username = t.Auth.Username
	}
	if t.Prepare != nil {
		r.PrepareTimeoutMS, r.OnFailure, r.PrepareSuccess = t.Prepare.Timeout.Milliseconds(), t.Prepare.OnFailure, t.Prepare.Answer().String()
	}
	if t.Media.Keying == config.KeyingDTLS {
		r.SRTPKeying = string(t.Media.Keying)
	}
	return r
}

// invite adds the INVITE to a target.
func (x *explainer) invite(r *report.Target, c *Call, ready ready) {
	a, t := c.attempts.current, c.attempts.current.target.Dial
	peer := x.addrOf(ready.URI.Host, t)
	l, in, cause, err := c.attempts.outboundLeg(ready, x.local(t.Transport, peer), x.media(peer, t.Media.Address))
	if errors.Is(err, errWantsTCP) {
		x.out.Note("target %s: the INVITE is over the UDP budget and goes over TCP; where no connection can be opened, headers are left out", t.Name)
		r.Transport, ready.Flow = config.TransportTCP, &transport.Stream{}
		l, in, cause, err = c.attempts.outboundLeg(ready, x.local(config.TransportTCP, peer), x.media(peer, t.Media.Address))
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
	budgetOf(r, a, in)
}

// addrOf is the address of a target, or a made-up one for a name and for what has registered.
func (x *explainer) addrOf(host string, t *peers.Dial) netip.Addr {
	if t.Registered {
		x.out.Note("%s: the call goes to what has registered; without a uri, its Contact stands in place of sip:%s", t.Name, config.RegisteredHost)
		return report.SampleAddr(x.server.cfg)
	}
	if a, err := netip.ParseAddr(message.TrimBrackets(host)); err == nil {
		return a.Unmap()
	}
	x.out.Note("%s is not looked up: our own address is the one toward the internet, which another route to it may change", host)
	return report.SampleAddr(x.server.cfg)
}

// media is our RTP address toward a target.
func (x *explainer) media(peer, wanted netip.Addr) netip.AddrPort {
	_, name, err := x.server.bridges.Address(peer, wanted)
	if err != nil {
		x.out.Note("our media address toward %v is not known (%v): a made-up one stands for it", peer, err)
		name = report.SampleLike(peer)
	}
	return netip.AddrPortFrom(name, x.server.cfg.Media.PortLow)
}

// budgetOf reports on the size of an INVITE over UDP.
func budgetOf(r *report.Target, a *attempt, in leg.Invite) {
	t := a.target.Dial
	if in.Shorten == nil || message.IsStream(r.Transport) {
		return
	}
	r.UDPBudget, r.Overflow = t.Budget.Size, t.Overflow
	if t.Auth == nil {
		return
	}
	before := len(a.dropped)
	_, fits := in.Shorten(outbound.TypicalCredentials)
	r.ForChallenges = &report.Credentials{Bytes: outbound.TypicalCredentials, Fits: fits, Dropped: a.dropped[before:]}
}

// routes says why the routes before the matching one don't match.
func (x *explainer) routes(c *Call, found int) {
	for i := range x.server.cfg.Routes {
		r := &x.server.cfg.Routes[i]
		why := report.Route{Route: c.peers.RouteName(i), Matches: i == found}
		switch c.peers.Mismatch(r, &c.vars, c.times.started) {
		case "target":
			why.Why = "it is for calls of trunks"
			if r.Target != "" {
				why.Why = "it is for calls of target " + r.Target
			}
		case "trunk":
			why.Why = "it is for trunk " + r.Trunk
		case "to":
			why.Why = fmt.Sprintf("the called number %s does not match to: %s", c.vars.To.Number, r.To)
		case "from":
			why.Why = fmt.Sprintf("the calling number %s does not match from: %s", c.vars.From.Number, r.From)
		case "hours":
			why.Why = fmt.Sprintf("it is open %s, and the time there is %s", r.Hours, r.Hours.Clock(c.times.started))
		case "listed":
			why.Why = report.Unlisted(r, x.server.cfg.Numbers, &c.vars)
		default:
			why.Why = report.Met(r)
			if i != found {
				why.Why = "it matches, but no target is left: " + noPhoneNumber(c.vars.To.Number)
			}
		}
		x.out.Routes = append(x.out.Routes, why)
		if i == found {
			return
		}
	}
}
