package b2bua

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
	"flowbridge/config/template"
	"flowbridge/internal/tracecontext"
	"flowbridge/media"
	"flowbridge/store/record"
)

// phase is one phase of a call. It handles facts until the call leaves the phase, and
// returns the next phase, or nil when the call is over. When nothing is left to handle,
// it returns itself, and the call rests. All its state is in the Call.
type phase func(*Call) phase

// Call is one call: its A leg, the attempts at targets with their B legs, the media
// between them, and the record. Only one goroutine at a time, the one in run, reads or
// writes the fields below mailbox.
type Call struct {
	id     string // constant, like the next two
	server *Server
	peers  *peers.Snapshot // from the configuration that the call began with
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
	record record.Live
	ending
}

// origin is the data that a call begins with. It is constant, except for invite and caller.
type origin struct {
	trunk   *peers.Trunk
	invite  *sip.Request       // nil once the call is settled
	caller  message.HeaderText // the invite's headers once the call is settled
	source  netip.AddrPort
	privacy outbound.Privacy // the privacy that the caller asks for
	trace   tracecontext.Trace
}

// reports holds the receivers of a call's progress.
type reports struct {
	log     bridge.Log
	peerLog bridge.Log   // for lines that a peer can provoke without end
	ladder  *ladder.Call // nil if the call has no ladder
}

// turn is the state of a call's turn.
type turn struct {
	now    phase  // the phase in which the call rests; nil if it is over
	phase  string // name of the phase
	idle   bool   // nothing is left to handle
	broken bool   // it has panicked
}

// sides holds the legs of a call.
type sides struct {
	legs          []*legOnWire // legs that still have something to send
	a             *legOnWire   // the caller
	b             *legOnWire   // connected to the caller; nil if none, or if it is lost and another is called
	connected     *attempt     // the attempt connected to the caller, now or last
	progressSent  progressSent // sent to the caller before its answer
	packetsBefore [2]uint64    // packets received from each side before a restart
}

// routed holds the route and the destinations of a call.
type routed struct {
	vars  template.Vars
	route *config.Route  // nil until it is found
	plan  *outbound.Plan // plan for calling its agents; nil until they are found, and once it is no longer needed
}

// places records for which limits a call counts.
type places struct {
	counted    bool     // the call counts against the limits of its numbers
	readmitted bool     // an earlier process has admitted it
	hadPlace   bool     // the call had a place at a target in the old process, and has none here yet
	kept       *attempt // an attempt with a place for the next attempt at its target; nil if none
}

// ending is the end of a call.
type ending struct {
	ended    *record.Record // nil while the call is live
	finished bool           // the record is handed over
	why      cause.Cause    // cause of the hang-up of a call that a killed process left behind
}

// times holds the times of a call, with monotonic readings, because the clock may be set during a call. Zero means
// not yet, or no limit.
type times struct {
	started, answered time.Time
	setupUntil        time.Time // deadline
	durationUntil     time.Time // deadline
	expiresAt         time.Time // deadline, by the Expires of the INVITE (RFC 3261 section 13.3.1)
	askAt             time.Time // deadline, for a call that has outlived its process
}

func (s *Server) newCall(id string, started time.Time, req *sip.Request, p *peers.Snapshot, t *peers.Trunk,
	source netip.AddrPort,
) *Call {
	c := &Call{
		id: id, server: s, peers: p, origin: origin{trunk: t, invite: req, source: source},
		turn: turn{now: (*Call).admitted}, times: times{started: started},
	}
	c.bindParts()
	c.mailbox.Open(c.run, s.stack.Turns())
	c.trace = outbound.TraceOf(c.id, req, t.Caller.Trusted, &s.cfg.Telemetry.OTLP)
	c.vars = outbound.VarsOf(c.id, req, t)
	c.privacy = outbound.PrivacyOf(req, t.Caller)
	c.ladder = s.ladders.Claim(c.id, c.vars.SIPCallID, message.TagOf(req.From().Params),
		cmp.Or(t.TrunkName(), t.TargetName()), c.times.started)
	c.ladder.Traced(c.trace.ID())
	c.bridge.Open(bridgeCall{c}, bridge.Options{
		Resources: &s.bridges, ID: id, Trunk: t, Source: source, Privacy: c.privacy, Tones: p.Tones, Ladder: c.ladder,
		TraceID: c.trace.ID(),
	})
	if d, has := message.Seconds(message.FirstHeader(req, "expires")); has {
		c.times.expiresAt = started.Add(d) // also if an old process began the call
	}
	c.record = record.Live{Trunk: t.TrunkName(), Target: t.TargetName(), StartedAt: record.TimeOf(c.times.started)}
	return c
}

// bindParts sets the call of its parts.
func (c *Call) bindParts() {
	c.log, c.peerLog = c.bridge.Logs()
	c.attempts.call = c
	for _, p := range c.all() {
		p.of(c)
	}
}

// end closes the call: its media, its record, and its place at the trunk. It is the only
// way out of the phases. The legs may still have something to send.
func (c *Call) end(why cause.Cause, by string, status, q850 int) phase {
	c.phase = "ending"
	c.attempts.current.stop()
	for _, p := range c.all() {
		p.end()
	}
	c.times = times{started: c.times.started, answered: c.times.answered}
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
		r.SIPStatus, r.Disposition = 200, record.DispositionAnswered
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

// finish hands over the record, gives back the call's place and logs the end.
func (c *Call) finish() {
	c.finished = true
	if c.ended == nil { // end panicked
		c.ended = new(c.cdr())
	}
	r := c.ended
	r.Attempts = slices.Clone(r.Attempts) // so that a waiting record does not keep attempts in memory
	if c.counted {
		c.server.admission.Release(c.trunk, peers.PartiesOf(&c.vars))
	}
	c.server.admission.Leave(c.trunk, c.times.answered.IsZero())
	c.log.Info().Stringer("source", &c.source).EmbedObject(bridge.Ended{Record: r}).Msg("call ended")
	// The call stays in the list of live calls until its record is committed, so that it can
	// always be found.
	c.server.unwritten.Add(1)
	if c.a != nil && c.times.answered.IsZero() {
		c.checkpoint.saveRefusal()
	}
	if settled := c.bridge.Settled(); settled == nil {
		c.checkpoint.saveOutstanding(func(state []byte) { c.keep(r, state) })
	} else {
		c.checkpoint.saveEnded(r)
		c.checkpoint.saveOutstanding(c.checkpoint.writeOutstanding) // the record comes later
		c.server.beside(func() {
			whole := *r // a copy: the call's record stays as it is
			settled(c.server.ctx, &whole)
			c.keep(&whole, nil)
		})
	}
	c.checkpoint.release() // a target with one place learns of this call's end before the next call comes
	c.server.vacate(c.attempts.current)
	c.server.vacate(c.connected)
	c.server.vacate(c.kept)
	for _, p := range c.all() {
		p.release()
	}
}

// keep hands the record to the sink, with the state of what its legs still have to send.
func (c *Call) keep(r *record.Record, owes []byte) {
	c.server.keep(r, owes, func() { c.server.registry.RemoveCall(c.id, c) })
}

// keep hands a record to the sink, with the state of what the legs still have to send. A server that stops does not
// wait for the sink.
func (s *Server) keep(r *record.Record, owes []byte, kept func()) {
	s.sink.Keep(s.ctx, r, owes, func(err error) {
		if err != nil && s.ctx.Err() == nil {
			s.log.Error().Err(err).Str("call", r.ID).Str("trunk", r.Trunk).Str("trace_id", r.TraceID).Msg("record not written")
		}
		kept()
		s.unwritten.Add(-1)
	})
}

// recovered ends only the call, and not the process, when one of its turns panics. The
// caller gets 500 or BYE, the target CANCEL or BYE, and the record its cause. A step that
// panics again is skipped.
func (c *Call) recovered() {
	v := recover()
	if v == nil {
		return
	}
	c.server.panicked(c.log.Error(), "call", v)
	if !c.finished {
		c.safely(func() { c.end(cause.InternalError, record.EndedBySystem, 500, 0) })
		c.safely(func() { c.hangupAll(cause.InternalError) })
	}
	if !c.finished {
		c.safely(c.finish)
	}
	c.now = (*Call).linger
	if c.broken {
		c.now = nil
	}
	c.broken = true
}

// safely runs one of several steps, so that the others run even if it panics.
func (c *Call) safely(do func()) {
	defer func() {
		if v := recover(); v != nil {
			c.server.panicked(c.log.Error(), "call", v)
		}
	}()
	do()
}

// hangupAll ends both legs in any state.
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

// vacate gives back the place of an attempt at its target.
func (s *Server) vacate(a *attempt) {
	if a != nil && a.placed {
		a.placed = false
		a.judge(cause.Shutdown, 0) // tells the circuit nothing, unless the outcome is known already
		s.admission.Vacate(a.target, a.parties)
	}
}

// putOnWire opens a leg's wire, with the configuration of its peer. flow is its connection, or nil over UDP.
func (c *Call) putOnWire(machine *leg.Leg, side media.Side, to *peers.Peer, tls *config.TargetTLS,
	flow *transport.Stream,
) *legOnWire {
	l := &legOnWire{call: c, callID: machine.Dialog().CallID}
	l.Tag = machine.Dialog().LocalTag
	l.Half = bridge.Half{Line: l, Side: side, Leg: machine, Peer: to}
	l.wire.Open(c.server.stack, &machine.Local, tls, flow, l.post)
	return l
}

// addLeg is putOnWire for a leg to the target of an attempt. It also registers the leg with the server.
func (c *Call) addLeg(leg *leg.Leg, f ready, side media.Side) *legOnWire {
	target := c.attempts.current.target
	l := c.putOnWire(leg, side, &target.Dial.Peer, &target.Dial.TLS, f.Flow)
	l.senders = peers.Senders{Peers: c.peers, Caller: c.trunk, Callee: target, From: f.Dest}
	l.Confirmed = true // the target's media begins with its answer
	c.server.registry.AddLeg(l)
	c.legs = append(c.legs, l)
	c.ladder.Join(l.callID, l.Tag, target.Dial.Name, side == media.SideA)
	return l
}

// ask makes the call describe itself in a turn. Once the call is over, its state no
// longer changes, and ask reads it directly.
func (c *Call) ask(ctx context.Context) (registry.LiveCall, bool) {
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
	if c.finished { // the call's goroutine may be releasing the rest
		return live
	}
	c.bridge.Show(&live)
	live.Vars, live.Caller = c.vars, c.caller
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
