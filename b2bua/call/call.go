package call

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/ladder"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/store/record"
)

// phase is one phase of a call. It handles facts until the call leaves the phase, and returns the next phase, or
// nil when the call is over. When nothing is left to handle, the phase returns itself, and the call waits without a
// goroutine. The state of all phases is in the Call.
type phase func(*Call) phase

// Call is one call: its A leg, the attempts at targets with their B legs, the media between them, and the record.
// Only the goroutine in run reads or writes the fields below mailbox; there is at most one at a time.
type Call struct {
	id    string // constant; so are host and peers
	host  *Host
	peers *peers.Snapshot // the configuration that the call started with
	origin
	reports

	mailbox mailbox
	turn
	sides

	routed
	attempts attempts
	places

	bridge bridge.Bridge
	parts

	times  times
	asking asking
	record recorded
	ending
}

// reports holds the logs and the ladder that show a call's progress.
type reports struct {
	log     bridge.Log
	peerLog bridge.Log   // rate-limited log for lines that a peer can cause without limit
	ladder  *ladder.Call // nil if the call has no ladder
}

// ending is the end of a call.
type ending struct {
	ended    *record.Record // nil while the call is live
	finished bool           // the record has been handed over
	why      cause.Cause    // cause for hanging up a call that a killed process left
}

// New creates a call of a trunk from the INVITE req. p is the configuration that the call uses.
func New(h *Host, id string, started time.Time, req *sip.Request, p *peers.Snapshot, t *peers.Trunk,
	source netip.AddrPort,
) *Call {
	c := &Call{
		id: id, host: h, peers: p, origin: origin{trunk: t, invite: req, source: source},
		turn: turn{now: (*Call).admitted}, times: times{started: started},
	}
	c.bindParts()
	c.mailbox.Open(c.run, h.Stack.Turns())
	c.readInvite()
	c.ladder = h.Ladders.Claim(c.id, c.vars.SIPCallID, message.TagOf(req.From().Params),
		cmp.Or(t.TrunkName(), t.TargetName()), c.times.started)
	c.ladder.Traced(c.trace.ID())
	c.bridge.Open(bridgeCall{c}, bridge.Options{
		Resources: &h.Bridges, ID: id, Trunk: t, Source: source, Privacy: c.privacy, Tones: p.Tones, Ladder: c.ladder,
		TraceID: c.trace.ID(),
	})
	if d, has := message.Seconds(message.FirstHeader(req, "expires")); has {
		c.times.limit(expires, started, d) // counts from the call's start, even if an old process started it
	}
	c.record = recorded{record.Live{
		Trunk: t.TrunkName(), Target: t.TargetName(), StartedAt: record.TimeOf(c.times.started),
	}}
	return c
}

// bindParts links each part to the call.
func (c *Call) bindParts() {
	c.log, c.peerLog = c.bridge.Logs()
	c.attempts.of(c)
	for _, p := range c.all() {
		p.of(c)
	}
}

// end closes the call: its media, its record, and its place at the trunk. Every phase ends a call through it. The
// legs may still have messages to send.
func (c *Call) end(why cause.Cause, by string, status, q850 int) phase {
	c.enter("ending")
	c.attempts.current.stop()
	for _, p := range c.all() {
		p.end()
	}
	c.times.unlimit(setup, expires, duration)
	c.asking.stop()
	now := time.Now()
	r := new(c.cdr())
	c.bridge.End(r)
	r.EndedAt = record.TimeOf(now)
	r.Cause, r.EndedBy = string(why), by
	if r.AnsweredAt.IsZero() {
		r.SIPStatus, r.Q850 = status, q850
		if r.Q850 == 0 {
			r.Q850 = cause.Q850Of(status)
		}
		r.Disposition = outbound.DispositionOf(why, status)
	} else {
		r.SIPStatus, r.Disposition = 200, c.telling.disposition(why)
		r.DurationMS = now.Sub(c.times.answered).Milliseconds()
		r.Q850 = q850
		if q850 == 0 {
			r.Q850 = cause.Q850OfCause(why)
		}
	}
	c.ended = r
	c.ladder.Ended(why, by, now.Sub(c.times.started))
	c.bridge.Media.WarnOfDeafness(&r.Media)
	c.finish()
	return (*Call).linger
}

// finish hands over the record, releases the call's place and logs the end.
func (c *Call) finish() {
	c.finished = true
	if c.ended == nil { // end panicked
		c.ended = new(c.cdr())
	}
	r := c.ended
	r.Attempts = slices.Clone(r.Attempts) // a clone keeps a waiting record from holding the attempts in memory
	if c.counted {
		c.host.Admission.Release(c.trunk, peers.PartiesOf(&c.vars))
	}
	c.host.Admission.Leave(c.trunk, c.times.answered.IsZero())
	c.log.Info().Stringer("source", &c.source).EmbedObject(bridge.Ended{Record: r}).Msg("call ended")
	// The call stays in the list of live calls until its record is stored, so that it can always be found.
	c.host.Unwritten.Add(1)
	if c.a != nil && c.times.answered.IsZero() {
		c.checkpoint.saveRefusal()
	}
	if settled := c.bridge.Settled(); settled == nil {
		c.checkpoint.saveOutstanding(func(state []byte) { c.keep(r, state) })
	} else {
		c.checkpoint.saveEnded(r)
		c.checkpoint.saveOutstanding(c.checkpoint.writeOutstanding) // the record follows when the recordings are written
		c.host.Beside(func() {
			whole := *r // a copy, because the call's own record must not change
			settled(c.host.Context, &whole)
			c.keep(&whole, nil)
		})
	}
	// Frees the places: a target with a single place must learn of this call's end before the next call comes.
	c.checkpoint.release()
	c.host.vacate(c.attempts.current)
	c.host.vacate(c.connected)
	c.host.vacate(c.kept)
	for _, p := range c.all() {
		p.release()
	}
}

// keep hands the record to the sink, with the encoded state of the legs that still have messages to send. The call
// is live until the sink has stored the record.
func (c *Call) keep(r *record.Record, owes []byte) {
	c.host.keep(r, owes, func() { c.host.Registry.RemoveCall(c.id, c) })
}

// hangupAll ends all legs, whatever their state.
func (c *Call) hangupAll(why cause.Cause) {
	for _, l := range slices.Clone(c.legs) {
		if l.Leg.UAS {
			c.step(l, refusal(500, leg.RetryAfter()))
		} else {
			c.step(l, leg.Abandon{Why: why})
		}
		c.step(l, leg.Hangup{Why: why})
	}
}

// putOnWire attaches a leg to the transport, with the configuration of its peer. flow is the leg's connection, or
// nil over UDP.
func (c *Call) putOnWire(machine *leg.Leg, side media.Side, to *peers.Peer, tls *config.TargetTLS,
	flow *transport.Stream,
) *LegOnWire {
	l := &LegOnWire{call: c, callID: machine.Dialog().CallID}
	l.Tag = machine.Dialog().LocalTag
	l.Half = bridge.Half{Line: l, Side: side, Leg: machine, Peer: to}
	l.wire.Open(c.host.Stack, &machine.Local, tls, flow, l.Post)
	return l
}

// addLeg is putOnWire for a leg to the target of the current attempt. It also registers the leg with the server.
func (c *Call) addLeg(leg *leg.Leg, f ready, side media.Side) *LegOnWire {
	target := c.attempts.current.target
	l := c.putOnWire(leg, side, &target.Dial.Peer, &target.Dial.TLS, f.Flow)
	l.senders = peers.Senders{Peers: c.peers, Caller: c.trunk, Callee: target, From: f.Dest}
	l.Confirmed = true // the target's media starts only after it has answered, so its address is real
	c.host.Registry.AddLeg(l)
	c.join(l)
	c.ladder.Join(l.callID, l.Tag, target.Dial.Name, side == media.SideA)
	return l
}

// Ask returns the call's state, as of its next turn. It returns false if ctx ends first. The state of a call that
// is over no longer changes, so Ask reads it directly.
func (c *Call) Ask(ctx context.Context) (registry.LiveCall, bool) {
	reply := make(chan registry.LiveCall, 1)
	if !c.mailbox.Post(item{ask: reply}) {
		return c.snapshot(), true
	}
	select {
	case l := <-reply:
		return l, true
	case <-ctx.Done():
		return registry.LiveCall{}, false
	}
}

func (c *Call) snapshot() registry.LiveCall {
	r := c.cdr()
	r.Attempts = slices.Clone(r.Attempts)
	live := registry.LiveCall{Record: r, Phase: c.phase}
	if c.finished { // the call's goroutine may be releasing everything else
		return live
	}
	c.bridge.Show(&live)
	live.Vars, live.Caller = c.variables(), c.caller
	for _, p := range c.all() {
		p.show(&live)
	}
	if c.connected != nil {
		live.At = c.connected.target.Dial.Name
	}
	if c.invite != nil {
		live.Invite = c.invite.Headers()
	}
	return live
}

// ID returns the call's id.
func (c *Call) ID() string { return c.id }

// Kill ends the call in its next turn. by is who ends it, as in records (record.EndedBy…).
func (c *Call) Kill(why cause.Cause, by string) {
	c.mailbox.Post(item{event: killed{Cause: why, By: by}})
}
