package call

import (
	"net/netip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/internal/tracecontext"

	"github.com/emiago/sipgo/sip"
)

// origin is the data that a call starts with. It is constant, except for invite and caller, and the source of a placed
// call.
type origin struct {
	trunk   *peers.Trunk
	invite  *sip.Request       // nil once the caller has acknowledged the answer (settle)
	caller  message.HeaderText // the headers of invite, once that is nil
	source  netip.AddrPort
	privacy outbound.Privacy // the privacy that the caller asks for
	trace   tracecontext.Trace
}

// routed holds the route of a call.
type routed struct {
	vars  template.Vars // made once, from the INVITE and the route; see variables
	route *config.Route // nil until it is found
}

// readInvite reads what the call needs to know of its INVITE.
func (c *Call) readInvite() {
	req, t := c.invite, c.trunk
	c.trace = outbound.TraceOf(c.id, req, t.Caller.Trusted, &c.host.Config.Telemetry.OTLP)
	c.vars = outbound.VarsOf(c.id, req, t)
	c.privacy = outbound.PrivacyOf(req, t.Caller)
}

// variables returns the variables for templates as they are now. Parts are asked for what they know.
func (c *Call) variables() template.Vars {
	v := c.vars
	v.Queue.Seconds, v.Verified, v.Told = c.queue.seconds, c.identity.found, c.telling.Sound
	return v
}

// takeRoute sets the call's route, and the template variables that depend on it.
func (c *Call) takeRoute(index int) {
	c.route = &c.peers.Routes[index]
	c.vars.Route, c.vars.Direction = c.peers.RouteName(index), c.route.Direction
	c.vars.Row = c.peers.RowOf(c.route.AgentNumber(&c.vars))
}

// takePlaced sets the route of a placed call, or, if index is negative, that it has none.
func (c *Call) takePlaced(index int) {
	c.vars.Direction = template.DirectionOutbound
	if index >= 0 {
		c.takeRoute(index)
		return
	}
	c.route, c.vars.Row = config.Unrouted(), c.peers.RowOf(c.vars.From.Number)
}

// calledAt sets where the first party of a placed call is called.
func (o *origin) calledAt(dest netip.AddrPort) { o.source = dest }

// keepHeaders replaces the caller's INVITE by its headers.
func (c *Call) keepHeaders(text message.HeaderText) {
	c.caller, c.invite, c.vars.HeaderFunc = text, nil, text.Value
}

// unsettle makes the headers an INVITE again.
func (o *origin) unsettle() { o.invite = o.callerInvite() }

// forgetOrigin drops the caller's INVITE and its headers.
func (c *Call) forgetOrigin() { c.caller, c.invite, c.vars.HeaderFunc = "", nil, nil }

// callerInvite returns the caller's INVITE. Once the call is settled, only the headers are left.
func (o *origin) callerInvite() *sip.Request {
	if o.invite != nil {
		return o.invite
	}
	return o.caller.Request()
}
