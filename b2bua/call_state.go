package b2bua

import (
	"context"
	"net/netip"
	"strconv"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/store"
)

// maxChat bounds the lines of log that the peers of one call can provoke, a
// minute.
const maxChat = 20

func (s *Server) newCall(req *sip.Request, p *peers.Snapshot, t *peers.Trunk, source netip.AddrPort) *Call {
	c := &Call{
		id: NewID(), server: s, peers: p, trunk: t, invite: req, source: source,
		mailbox: mailbox{inbox: newInbox()}, times: times{started: time.Now()},
	}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	c.log = t.Logged(s.log.With().Str("call", c.id)).Logger()
	c.peerLog = c.log.Sample(&zerolog.BurstSampler{Burst: maxChat, Period: time.Minute})
	c.vars = config.Vars{
		To:         message.PartyOf("", &req.Recipient, t.Caller.Country),
		From:       outbound.CallerOf(req, t.Caller),
		CallID:     c.id,
		SIPCallID:  req.CallID().Value(),
		Trunk:      t.TrunkName(),
		Target:     t.TargetName(),
		Diversion:  outbound.Diversion(req, t.Caller.Country),
		Direction:  t.Direction(),
		HeaderFunc: outbound.HeaderOf(req),
	}
	c.privacy = outbound.PrivacyOf(req, t.Caller)
	c.recordings.tape = s.tapes.claim(c.vars.SIPCallID)
	c.record = store.Record{
		ID: c.id, Node: s.node, Trunk: t.TrunkName(), Target: t.TargetName(), Direction: t.Direction(),
		Lead: c.vars.Lead().Number, From: c.vars.From.Number, To: c.vars.To.Number, SIPCallID: c.vars.SIPCallID,
		StartedAt: store.TimeOf(c.times.started), Attempts: []store.Attempt{},
	}
	return c
}

// putOnWire puts a leg on a wire. flow is its connection, nil over UDP.
func (c *Call) putOnWire(machine *leg.Leg, local leg.Local, flow *transport.Stream) *legOnWire {
	l := &legOnWire{leg: machine, tag: machine.Dialog().LocalTag, callID: machine.Dialog().CallID}
	l.post = func(in leg.Input) bool { return c.mailbox.post(item{line: l, in: in}) }
	l.wire = c.server.stack.NewWire(local, flow, l.post)
	return l
}

// addLeg is putOnWire for a leg that the call makes, which the server must
// find.
func (c *Call) addLeg(leg *leg.Leg, local leg.Local, flow *transport.Stream) *legOnWire {
	l := c.putOnWire(leg, local, flow)
	c.server.registry.addLeg(l)
	c.legs = append(c.legs, l)
	c.recordings.tape.join(l.callID)
	return l
}

// journal notes the call's state for the case that the process is killed.
func (c *Call) journal() {
	r := c.record
	r.Codec = c.agreement.codecName
	r.Attempts = append([]store.Attempt(nil), r.Attempts...)
	r.Recordings = recordingsOf(c.recordings.all)
	c.server.sink.Journal(r)
}

// routeName is how a route, which has no name, is called: by its place.
func routeName(index int) string { return "routes[" + strconv.Itoa(index) + "]" }

// transactionKey is what a CANCEL and its INVITE have in common (RFC 3261
// section 9.2).
func transactionKey(req *sip.Request) string {
	via := req.Via()
	return message.BranchOf(req) + " " + via.Host + " " + strconv.Itoa(via.Port)
}

// ask has the call's goroutine describe the call. Where that has ended, and
// only the store still has to take the record, nobody writes it any more.
func (c *Call) ask(ctx context.Context) (LiveCall, bool) {
	reply := make(chan LiveCall, 1)
	if !c.mailbox.post(item{ask: reply}) {
		return c.snapshot(), true
	}
	select {
	case l := <-reply:
		return l, true
	case <-ctx.Done():
		return LiveCall{}, false
	}
}

func (c *Call) snapshot() LiveCall {
	r := c.record
	if !c.finished { // then the record has it, and its goroutine may be letting go of the rest
		r.Codec = c.agreement.codecName
	}
	r.Attempts = append([]store.Attempt(nil), r.Attempts...)
	r.Recordings = recordingsOf(c.recordings.all)
	if c.transfer != nil {
		r.Attempts = append(r.Attempts, c.attempts.current.recordOf(cause.None, 0)) // so far
	}
	if c.media.session != nil {
		r.Media = c.media.record(c.media.session.Stats(), &c.agreement)
	}
	if r.EndedAt.IsZero() && !r.AnsweredAt.IsZero() {
		r.DurationMS = time.Since(c.times.answered).Milliseconds() // so far
	}
	live := LiveCall{Record: r, Phase: c.phase, Recording: RecordingOff}
	if c.finished { // its goroutine may be letting go of the rest
		return live
	}
	live.Recording, live.Masked = c.recordings.state(), c.masking.on
	live.Vars, live.headers = c.vars, c.invite.Headers()
	for side, d := range c.agreement.description {
		live.Held[side] = d != nil && d.Held()
		if v := c.sounds.voices[side]; v != nil {
			live.Hears[side] = v.name
		}
	}
	return live
}
