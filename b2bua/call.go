package b2bua

import (
	"context"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/recording"
	"flowbridge/store"
)

// phase is one phase of a call: it handles facts until the call leaves it and
// returns the next, nil when the call is over.
type phase func(*Call) phase

// Call is one carrier call: its A leg, the attempts at targets with their B
// legs, the media between them, the record. One goroutine, run, owns
// everything below inbox; nothing else reads or writes it.
type Call struct {
	// constant
	id      string
	server  *Server
	peers   *peers.Snapshot // of the configuration that it began with
	trunk   *peers.Trunk
	invite  *sip.Request
	source  netip.AddrPort
	local   leg.Local // toward the carrier
	log     zerolog.Logger
	peerLog zerolog.Logger // for what a peer can provoke any number of
	inbox   *inbox

	ctx    context.Context // ends with the call: stops what it started
	cancel context.CancelFunc

	phaseName string
	timer     *time.Timer
	legs      []*legOnWire // legs that still owe their peer something
	due       []item       // requests that have their turn
	pending   []fromLeg    // not yet handled

	a       *legOnWire
	vars    config.Vars
	privacy outbound.Privacy // what the caller wants to be withheld
	route   *config.Route
	untried []*peers.Target // not yet tried
	attempt *attempt        // the current one
	bridge  *attempt        // that the caller is bridged to
	b       *legOnWire      // its leg; nil: it has gone, and another one is called
	target  *peers.Target   // and whose it is
	tried   int
	last    outcome // of the last attempt

	offer  *sdp.Description // the caller's, or what it could have offered
	late   bool             // the caller's INVITE had none, and its answer is to come
	answer []byte           // our SDP that the caller has
	terms
	changes       [2][]media.PayloadChange // of what a side sends
	description   [2]*sdp.Description
	rollback      [2]*rollback           // what was in force before the last change, by the side that wanted it
	secured       [2]secured             // whose keys the media has
	plain         map[*peers.Target]bool // targets that have not taken SRTP, and are offered RTP
	onHold        [2]bool                // a side has said that it wants no media
	streamOrder   [2]*sdp.Description    // whose streams, in number and order, ours to a side have (RFC 3264 section 8)
	offers        int                    // made in mid-call
	exchange      *exchange              // a change that the other side is asked for
	relays        map[int]relayed        // requests that the other side was sent, by Ref
	lastRelay     int
	transfer      *transfer  // away from the agent, under way
	referrals     int        // that the agent has asked for
	watcher       *legOnWire // the agent whose REFER the caller's side reports on
	listening     bool       // for digits
	tape          *tape      // its SIP; nil: it is not recorded
	recorder      *recording.Recorder
	recorders     []*recording.Recorder // all that there were
	masked        bool                  // the caller's keys are
	maskApplied   bool                  // the session has been told
	maskedUpTo    uint32                // CSeq of the caller's last request that came while they were
	session       RelaySession
	sessionAddr   [2]netip.Addr // in SDP, by side
	oneWay        string        // the side that nothing was heard from; empty: none
	voices        [2]*voice     // that a side hears
	plays         uint64        // begun so far
	ringSent      bool
	earlySent     bool // a provisional answer with SDP
	soundsRinging bool // it was our own, and the caller hears ringing

	started, answered time.Time // with their monotonic reading: the clock may be set meanwhile
	setupUntil        time.Time
	beepAt            time.Time
	durationUntil     time.Time

	record   store.Record
	finished bool // the record is handed over
}

// fromLeg is a fact and the leg that it comes from, nil for the others.
type fromLeg struct {
	from *legOnWire
	fact leg.Fact
}

// outcome is how an attempt ended.
type outcome struct {
	code   int // the target's final answer, 0: none
	reason string
	cause  cause.Cause
	q850   int
	err    error // why there is no answer, if that is known
}

// run is the call's goroutine.
func (c *Call) run() {
	defer c.recovered()
	c.timer = time.NewTimer(time.Hour)
	defer c.timer.Stop()
	for p := phase((*Call).admitted); p != nil; {
		p = p(c)
	}
	c.linger()
	c.leave()
}

// next waits for the next fact that concerns the call.
func (c *Call) next() fromLeg {
	for {
		if len(c.pending) > 0 {
			t := c.pending[0]
			c.pending = c.pending[1:]
			if t.from == nil || t.from == c.a || t.from == c.b || (c.attempt != nil && t.from == c.attempt.line) {
				return t
			}
			continue // of a leg that was given up
		}
		c.wait()
	}
}

// wait handles one posted item, or the deadlines that have come.
func (c *Call) wait() {
	if c.nextDue() {
		return
	}
	it, ok, overflow := c.inbox.take()
	if overflow {
		c.pending = append(c.pending, fromLeg{fact: Killed{Cause: cause.Overflow, By: store.EndedBySystem}})
	}
	if ok {
		c.take(it)
		return
	}
	if overflow {
		return
	}
	c.setTimer()
	select {
	case <-c.inbox.wake:
	case <-c.timer.C:
		c.onTimer(time.Now())
	case <-c.server.ctx.Done():
		c.pending = append(c.pending, fromLeg{fact: Killed{Cause: cause.Shutdown, By: store.EndedBySystem}})
	}
}

func (c *Call) take(it item) {
	switch {
	case it.ask != nil:
		it.ask <- c.snapshot()
	case it.order != nil:
		c.carryOut(it.order)
	case it.line != nil:
		c.input(it.line, it.in)
	case it.fact != nil:
		c.pending = append(c.pending, fromLeg{fact: it.fact})
	}
}

// input gives a leg what was posted for it, its peer's requests in their order.
func (c *Call) input(l *legOnWire, in leg.Input) {
	if cancel, ok := in.(leg.CancelIn); ok && l.sequence.Holds(cancel.Seq) { // nothing that is cancelled may come later
		for _, due := range l.sequence.Flush() {
			c.due = append(c.due, item{line: l, in: due})
		}
		c.due = append(c.due, item{line: l, in: in})
		return
	}
	req, ok := in.(leg.RequestIn)
	if !ok || l.leg.Done() { // then nothing is waited for: nobody would look at what is held
		c.step(l, in)
		return
	}
	c.noteMasked(l, req.Req)
	for _, due := range l.sequence.Take(time.Now(), req) {
		c.due = append(c.due, item{line: l, in: due})
	}
}

// noteRefusals says what a peer asks within its dialog and does not get.
func (c *Call) noteRefusals(l *legOnWire, effects []leg.Effect) {
	for _, e := range effects {
		r, ok := e.(leg.SendResponse)
		if !ok || r.Res.StatusCode < 400 || (l.leg.UAS && r.Method == sip.INVITE && r.Seq == l.leg.InviteSeq) {
			continue
		}
		c.peerLog.Info().Stringer("side", c.side(l)).Str("method", string(r.Method)).Int("code", r.Res.StatusCode).
			Str("reason", r.Res.Reason).Msg("request refused")
	}
}

// nextDue steps a leg by the next request that has its turn, and says whether
// there was one. What the call makes of each comes before the next.
func (c *Call) nextDue() bool {
	if len(c.due) == 0 {
		return false
	}
	it := c.due[0]
	if c.due = c.due[1:]; len(c.due) == 0 {
		c.due = nil
	}
	if in, ok := it.in.(leg.RequestIn); ok {
		c.noteSource(it.line, in)
	}
	c.step(it.line, it.in)
	return true
}

// noteSource says that a request within a dialog came from another address than
// those before it: it is known by its tags, wherever it comes from.
func (c *Call) noteSource(l *legOnWire, in leg.RequestIn) {
	if was := l.leg.Dialog().Source.Addr(); was.IsValid() && in.Source.IsValid() && was != in.Source.Addr() {
		c.peerLog.Info().Stringer("side", c.side(l)).Str("method", string(in.Req.Method)).Stringer("src", in.Source).
			Stringer("before", l.leg.Dialog().Source).Msg("request from another address")
	}
}

// step gives a leg an input, performs what it wants and keeps what it tells.
func (c *Call) step(l *legOnWire, in leg.Input) {
	facts, effects := l.leg.Step(time.Now(), in)
	c.noteRefusals(l, effects)
	l.wire.Perform(effects)
	for _, f := range facts {
		c.pending = append(c.pending, fromLeg{l, f})
	}
	if l.leg.Done() {
		for _, in := range l.sequence.Flush() {
			_, effects = l.leg.Step(time.Now(), in)
			l.wire.Perform(effects)
		}
		c.drop(l)
	}
}

// drop lets a leg go that owes nothing any more.
func (c *Call) drop(l *legOnWire) {
	l.wire.Close()
	c.server.registry.removeLeg(l)
	for i, o := range c.legs {
		if o == l {
			c.legs = append(c.legs[:i], c.legs[i+1:]...)
			return
		}
	}
}

// setTimer sets the one timer to the earliest deadline of the call and its
// legs.
func (c *Call) setTimer() {
	first := leg.Earliest(c.setupUntil, c.durationUntil, c.exchangeDeadline(), c.beepAt)
	for _, l := range c.legs {
		first = leg.Earliest(first, l.leg.Deadline(), l.sequence.Until)
	}
	if first.IsZero() {
		c.timer.Stop()
		return
	}
	c.timer.Reset(time.Until(first))
}

func (c *Call) onTimer(now time.Time) {
	due := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	if due(c.setupUntil) {
		c.setupUntil = time.Time{}
		c.pending = append(c.pending, fromLeg{fact: Expired{Cause: cause.SetupTimeout}})
	}
	if due(c.durationUntil) {
		c.durationUntil = time.Time{}
		c.pending = append(c.pending, fromLeg{fact: Expired{Cause: cause.MaxDuration}})
	}
	if due(c.beepAt) {
		c.beep(now)
	}
	if due(c.exchangeDeadline()) {
		c.exchangeExpired()
	}
	for _, l := range append([]*legOnWire(nil), c.legs...) {
		if due(l.sequence.Until) {
			for _, in := range l.sequence.Flush() {
				c.due = append(c.due, item{line: l, in: in})
			}
		}
		if due(l.leg.Deadline()) {
			c.step(l, leg.DeadlineReached{})
		}
	}
}

// end closes the call: media, record, its place in the trunk. It is the only
// way out of the phases. The legs may still owe their peers something.
func (c *Call) end(why cause.Cause, by string, status, q850 int) phase {
	c.phaseName = "ending"
	c.cancel()
	c.setupUntil, c.durationUntil, c.beepAt = time.Time{}, time.Time{}, time.Time{}
	c.transfer, c.exchange, c.relays = nil, nil, nil
	now := time.Now()
	c.stopRecording()
	if c.session != nil {
		c.record.Media = c.mediaRecord(c.session.Close())
		c.session = nil
	}
	c.vacate(c.attempt)
	c.vacate(c.bridge)
	r := &c.record
	r.EndedAt = store.TimeOf(now)
	r.Cause, r.EndedBy = string(why), by
	if r.AnsweredAt.IsZero() {
		r.SIPStatus, r.Q850 = status, q850
		if r.Q850 == 0 {
			r.Q850 = cause.Q850Of(status)
		}
		r.Disposition = dispositionOf(why, status)
	} else {
		r.SIPStatus, r.Disposition = 200, store.DispositionAnswered
		r.DurationMS = now.Sub(c.answered).Milliseconds()
		if r.Q850 = q850; q850 == 0 {
			r.Q850 = cause.Q850OfCause(why)
		}
	}
	c.warnOfDeafness()
	c.finish()
	return nil
}

// finish hands the record over, gives the call's place back and says so.
func (c *Call) finish() {
	c.finished = true
	r := c.record
	c.server.admission.Leave(c.trunk, c.answered.IsZero())
	c.log.Info().Str("disposition", r.Disposition).Str("cause", r.Cause).Str("ended_by", r.EndedBy).
		Int("code", r.SIPStatus).Str("sip_call_id", r.SIPCallID).Str("target", r.Target).Str("target_sip_call_id", r.TargetSIPCallID).
		Str("synthflow_call_id", r.SynthflowCallID).Int64("setup_ms", r.SetupMS).Int64("dur_ms", r.DurationMS).
		Int64("rx_a", r.Media.A.Rx).Int64("rx_b", r.Media.B.Rx).Msg("call ended")
	// The call stays in the list of live ones until its record is committed,
	// so that it can be found at any moment.
	c.server.unwritten.Add(1)
	recorders := c.recorders
	c.server.calls.Go(func() {
		defer c.server.unwritten.Add(-1)
		r.Recordings = settledRecordings(c.server.ctx, recorders)
		// A server that stops does not wait: the sink has the record.
		if err := c.server.sink.Put(c.server.ctx, r); err != nil && c.server.ctx.Err() == nil {
			c.log.Error().Err(err).Msg("record not written")
		}
		c.server.registry.removeCall(c)
	})
}

// linger sees the legs through what they owe after the call is over: the
// answer to a BYE, the end of a cancelled INVITE, a 200 that comes late.
func (c *Call) linger() {
	for len(c.legs) > 0 {
		c.pending = nil
		if c.nextDue() {
			continue
		}
		it, ok, _ := c.inbox.take()
		if ok {
			c.take(it)
			continue
		}
		c.setTimer()
		select {
		case <-c.inbox.wake:
		case <-c.timer.C:
			c.onTimer(time.Now())
		case <-c.server.ctx.Done():
			return
		}
	}
}

// leave refuses what is posted from now on.
func (c *Call) leave() {
	for _, it := range c.inbox.close() {
		c.safely(func() { c.take(it) }) // questions, and requests that want an answer
	}
	for len(c.due) > 0 {
		c.safely(func() { c.nextDue() })
	}
	for _, l := range append([]*legOnWire(nil), c.legs...) {
		for _, in := range l.sequence.Flush() {
			c.safely(func() { c.step(l, in) })
		}
		c.drop(l)
	}
	c.secured = [2]secured{}
	c.stopRecording()
	c.tape.drop()
	c.description, c.rollback, c.streamOrder = [2]*sdp.Description{}, [2]*rollback{}, [2]*sdp.Description{}
	c.invite, c.offer, c.vars.HeaderFunc = nil, nil, nil // not needed while the record waits to be written
}

// recovered ends the call, not the process, when its goroutine panics: the
// carrier gets 500 or BYE, the target CANCEL or BYE, the record its cause. What
// panics again on the way is left out.
func (c *Call) recovered() {
	if v := recover(); v == nil {
		return
	} else {
		c.server.panicked(&c.log, "call", v)
	}
	if !c.finished {
		c.safely(func() { c.end(cause.InternalError, store.EndedBySystem, 500, 0) })
		c.safely(func() { c.hangupAll(cause.InternalError) })
	}
	if !c.finished {
		c.safely(c.finish)
	}
	c.safely(c.linger)
	c.leave()
}

// safely does one thing of several that have to be done whatever the others
// come to.
func (c *Call) safely(do func()) {
	defer func() {
		if v := recover(); v != nil {
			c.server.panicked(&c.log, "call", v)
		}
	}()
	do()
}

// hangupAll ends both legs, whatever state they are in.
func (c *Call) hangupAll(why cause.Cause) {
	for _, l := range append([]*legOnWire(nil), c.legs...) {
		if l == c.a {
			c.step(l, leg.Refuse{Code: 500, Reason: message.StatusText(500)})
		} else {
			c.step(l, leg.Abandon{Why: why})
		}
		c.step(l, leg.Hangup{Why: why})
	}
}

// side is the side of the media that a leg is on.
func (c *Call) side(l *legOnWire) media.Side {
	if l == c.a {
		return media.SideA
	}
	return media.SideB
}

// other is the leg that one is bridged to; nil: none.
func (c *Call) other(l *legOnWire) *legOnWire {
	if l == c.a {
		return c.b
	}
	return c.a
}

// vacate gives back the place that an attempt has at its target.
func (c *Call) vacate(a *attempt) {
	if a != nil && a.placed {
		a.placed = false
		c.server.admission.Vacate(a.target)
	}
}
