package call

import (
	"errors"
	"fmt"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/snapshot"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/store/record"
)

// This file implements routes[].tell: the caller hears a statement, whole, before it is connected to an agent. The call
// is then like a placed call whose first party has answered (customer.go): the agent is called as its first agent, and
// waits until the statement is over and its receipt is written. With tell.early the statement is said in early media,
// and the target's answer waits.

// telling says the statement of a call's route.
type telling struct {
	idle
	snapshot.Telling
	since  record.Told // the part of it that is known before the end
	lost   int64       // packets that the caller had reported as lost when the statement began
	called bool        // the target has been called
}

// What a telling reports to itself.
type (
	agentDue  struct{} // the target is to be called, so that its answer is due at the statement's end
	speakable struct{} // the caller may be able to hear us now
	receipted struct { // the receipt of the statement is written
		at  time.Time // when the statement was over
		err error
	}
)

func (agentDue) isPartEvent()  {}
func (speakable) isPartEvent() {}
func (receipted) isPartEvent() {}

// receiptWithin is how long an agent waits for the receipt to be written. A slow disk may not cost the call.
const receiptWithin = 2 * time.Second

// underway reports whether the statement is not over, so that the caller may not hear an agent.
func (t *telling) underway() bool {
	return t.Stage != snapshot.ToldNothing && t.Stage < snapshot.ToldAll
}

// holds reports whether a target that has just answered has to wait. What it says from now on is kept.
func (t *telling) holds() bool {
	if t.underway() {
		t.call.bridge.Saying.HoldAnew()
	}
	return t.underway()
}

// tells returns what the call's route tells, or nil.
func (t *telling) tells() *config.Tell {
	if r := t.call.route; r != nil {
		return r.Tell
	}
	return nil
}

// first tells the caller before the first attempt. It returns the next phase, or nil if there is nothing to tell or no
// target can be called now.
func (t *telling) first() phase {
	c := t.call
	if t.tells() == nil || t.Stage != snapshot.ToldNothing {
		return nil
	}
	a := c.attempts.pick(c.attempts.plan)
	if a == nil {
		return nil
	}
	c.attempts.putBack(a)
	c.reserve(a)
	err := t.choose()
	if err == nil {
		err = t.toCaller()
	}
	switch {
	case err == nil && t.tells().Early:
		return (*Call).saysEarly
	case err == nil:
		return (*Call).bridged
	case !t.mayFail(err):
		return c.refuse(c.route.Otherwise, cause.NotTold)
	}
	return nil
}

// choose chooses the statement for the caller.
func (t *telling) choose() (err error) {
	c := t.call
	vars := c.variables()
	if t.Sound, err = t.tells().Sound.Render(vars); err != nil {
		return fmt.Errorf("tell.sound: %w", err)
	}
	if !c.bridge.Sounds.Has(t.Sound) {
		return fmt.Errorf("tell.sound names %q, which is not among sounds", t.Sound)
	}
	t.know(false)
	return nil
}

// know notes what is known of the statement before it is said. talked says that the caller has spoken since an old
// process began it.
func (t *telling) know(talked bool) {
	t.since = record.Told{
		Sound: t.Sound, SHA256: t.call.bridge.Sounds.Hash(t.Sound), Language: t.Sound, TalkedOver: talked,
	}
}

var errUnheard = errors.New("the caller offers no audio in which a sound can be played")

// toCaller answers the caller, or sends it early media, for the statement.
func (t *telling) toCaller() error {
	c := t.call
	targets := c.attempts.plan.Targets
	if t.tells().Early {
		if !c.progressSent.earlyMedia && !c.ring(targets) {
			return errUnheard
		}
		t.keepApart()
		t.speak()
		return nil
	}
	if !c.progressSent.earlyMedia && !c.bridge.Sounds.Answer(targets) {
		return errUnheard
	}
	if !c.progressSent.earlyMedia && !c.bridge.Agreement.Late {
		c.bridge.Media.SetPeer(media.SideA, c.bridge.Agreement.Offer)
	}
	c.times.answer(time.Now(), targets[0].MaxDuration(c.trunk))
	c.host.Admission.Answered(c.trunk)
	c.record.answered(&c.times)
	c.customer.waits(&placement{})
	c.bridge.Media.Start()
	t.keepApart()
	c.bridge.Tell(bridge.Answered{})
	c.ladder.Decide("the caller is answered, and is told %s before target %s is called", t.Sound, targets[0].Dial.Name)
	c.step(c.a, leg.Answer{SDP: c.bridge.Agreement.Answer})
	return nil
}

// customer tells the first party of a placed call, which has answered. It returns false if there is nothing to tell.
func (t *telling) customer() bool {
	if t.tells() == nil || t.Stage != snapshot.ToldNothing {
		return false
	}
	if err := t.choose(); err != nil {
		return !t.mayFail(err)
	}
	t.keepApart()
	t.speak()
	return true
}

// keepApart keeps the caller and the agent apart.
func (t *telling) keepApart() {
	s := bridge.Statement{To: media.SideA, Sound: t.Sound, Whole: true}
	if accept := t.tells().Accept; accept != nil {
		s.Accept, s.Within = accept.Key, accept.Within
	}
	t.Stage = snapshot.TellsSoon
	t.call.bridge.Saying.Begin(s)
}

// speak says the statement.
func (t *telling) speak() {
	c := t.call
	if !c.bridge.Saying.Speak() {
		return // the caller has not described its media yet
	}
	t.Stage = snapshot.Tells
	t.lost, _ = c.bridge.Media.Reported(media.SideA)
	c.ladder.Decide("the caller is told %s", t.Sound)
}

// mayFail handles a statement that can't be said. It reports whether the call goes on without.
func (t *telling) mayFail(err error) bool {
	c := t.call
	c.log.Error().Err(err).Str("sound", t.Sound).Msg("caller not told")
	c.ladder.Decide("the caller can't be told %s: %v", t.Sound, err)
	t.since.Sound, t.since.Language = t.Sound, t.Sound
	c.record.told(t.since)
	t.Stage = snapshot.ToldAll
	return !t.tells().Required
}

// on handles the end of the statement and of its receipt, and the caller's ACK. In early media the target's answer
// waits.
func (t *telling) on(h happening) (next phase, handled bool) {
	c := t.call
	if _, is := h.fact.(leg.Confirmed); is && h.from == c.a && t.underway() {
		c.mailbox.happened(ofPart{speakable{}}) // after what else the ACK says, which may be the caller's description
	}
	if e, is := h.event.(inBridge); is {
		said, is := e.Event.(bridge.Said)
		if is = is && said.To == media.SideA; is && t.underway() {
			next = t.said(said)
		}
		return next, is
	}
	part, _ := h.event.(ofPart)
	if _, is := part.partEvent.(speakable); is {
		if t.Stage == snapshot.TellsSoon {
			t.speak()
		}
		return nil, true
	}
	if _, is := part.partEvent.(agentDue); is {
		if t.underway() {
			next = t.callsAgent()
		}
		return next, true
	}
	e, is := part.partEvent.(receipted)
	if is {
		next = t.receipted(e)
	}
	return next, is
}

// deadline returns when the target is to be called, so that its answer is due at the statement's end.
func (t *telling) deadline() (at time.Time) {
	if t.Stage != snapshot.Tells || t.called || t.tells().Accept != nil {
		return at
	}
	if ends := t.call.bridge.Saying.Ends(); !ends.IsZero() {
		if usual := t.call.attempts.plan.Targets[0].UsualAnswer(); usual > 0 {
			at = ends.Add(-usual)
		}
	}
	return at
}

func (t *telling) due(time.Time) {
	t.called = true
	t.call.mailbox.happened(ofPart{agentDue{}})
}

// callsAgent calls the agent that follows the statement. It returns the next phase, or nil to stay in this one.
func (t *telling) callsAgent() phase {
	c := t.call
	t.called = true
	if c.whoIs() == ringing {
		return c.nextAttempt()
	}
	c.customer.callAgent()
	return nil
}

// said handles the end of the statement, and of the wait for a key.
func (t *telling) said(e bridge.Said) phase {
	c := t.call
	if t.Stage == snapshot.TellsNotTaken {
		c.hangup(c.attempts.last.cause, record.EndedBySystem)
		return nil
	}
	if whole := t.note(e.Sent); !whole && !t.Again {
		t.Again = true
		c.ladder.Decide("the statement was not sent whole: it is said again")
		t.keepApart()
		t.speak()
		return nil
	}
	t.Stage, t.since.Key = snapshot.ToldUnwritten, e.Key
	c.record.told(t.since)
	accepts := t.tells().Accept
	switch {
	case !t.since.Whole && t.tells().Required:
		return t.fails(cause.NotTold)
	case accepts == nil || e.Accepted || accepts.Otherwise.Continues:
	case accepts.Otherwise.Route == "":
		return t.fails(cause.NotAccepted)
	default:
		t.reroute(accepts.Otherwise.Route)
	}
	t.Accepted = t.since.Whole && e.Accepted
	t.writeReceipt()
	return nil
}

// note notes what was sent of the statement, and reports whether that is all of it.
func (t *telling) note(s media.Sent) (whole bool) {
	c := t.call
	since := func(at time.Time) int64 {
		if at.IsZero() {
			return 0
		}
		return at.Sub(c.times.started).Milliseconds()
	}
	t.since.FromMS, t.since.ToMS, t.since.Packets = since(s.First), since(s.Last), s.Packets
	t.since.Whole = s.Missed == 0 && s.Packets > 0 && s.At >= c.bridge.Sounds.Length(t.Sound)
	t.since.TalkedOver = t.since.TalkedOver || c.bridge.Saying.TalkedOver()
	if lost, known := c.bridge.Media.Reported(media.SideA); known {
		t.since.Lost = new(max(lost-t.lost, 0))
	}
	return t.since.Whole
}

// reroute plans the targets of another route, because the caller does not accept.
func (t *telling) reroute(name string) {
	c := t.call
	for i := range c.peers.Routes {
		if c.peers.Routes[i].Name == name {
			c.vacateKept()
			c.takeRoute(i)
			break
		}
	}
	targets, share := c.peers.DestinationsFor(c.route, &c.vars)
	c.attempts.follow(&outbound.Plan{Targets: targets, Shared: share > 0, FailoverOn: c.route.FailoverOn})
	c.ladder.Decide("the caller does not accept: route %s takes the call", name)
}

// writeReceipt writes the receipt. The agent waits for it.
func (t *telling) writeReceipt() {
	c, told := t.call, t.since
	done := receipted{at: time.Now()}
	if c.host.Receipts == nil {
		c.mailbox.happened(ofPart{done})
		return
	}
	c.host.Calls.Add(1)
	written := make(chan error, 1)
	c.host.Beside(func() { written <- c.host.Receipts.Write(c.id, done.at, told) })
	c.host.Beside(func() {
		defer c.host.Calls.Done()
		limit := time.NewTimer(receiptWithin)
		defer limit.Stop()
		select {
		case done.err = <-written:
		case <-limit.C:
			done.err = errors.New("the disk is slow: it is not written yet")
		}
		c.mailbox.Post(item{event: ofPart{done}})
	})
}

// receipted lets the agent in.
func (t *telling) receipted(e receipted) phase {
	c := t.call
	if t.Stage != snapshot.ToldUnwritten {
		return nil
	}
	if e.err != nil {
		c.log.Error().Err(e.err).Msg("receipt not written")
		c.ladder.Decide("the receipt of the statement is not written: %v", e.err)
	}
	t.Stage = snapshot.ToldAll
	c.ladder.Decide("the caller was told %s in %d packets", t.Sound, t.since.Packets)
	c.bridge.Saying.End()
	if t.Accepted {
		c.bridge.Tell(bridge.Told{})
	}
	return t.letIn()
}

// letIn connects the agent that has answered meanwhile, or calls it.
func (t *telling) letIn() phase {
	c := t.call
	a := c.attempts.current
	answered := a != nil && a.answer != nil && !a.crypto.Awaits()
	switch {
	case c.whoIs() == ringing && answered:
		return c.bridgeTo(*a.answer)
	case !t.called:
		next := t.callsAgent()
		c.checkpoint.flush(true)
		return next
	case c.whoIs() == ringing:
		c.bridge.Tell(bridge.Turned{})
	case answered:
		c.replacements.answered(*a.answer)
	default:
		c.replacements.plugEarly()
	}
	c.checkpoint.flush(true)
	return nil
}

// fails ends a call whose caller was not told, or does not accept.
func (t *telling) fails(why cause.Cause) phase {
	c := t.call
	if c.whoIs() != ringing {
		c.hangup(why, record.EndedBySystem)
		return (*Call).linger
	}
	c.attempts.abandon(why, cause.Reasons{})
	return c.refuse(c.route.Otherwise, why)
}

// notTaken tells the caller that no target takes the call. It returns false if there is nothing to say.
func (t *telling) notTaken() bool {
	c := t.call
	tell := t.tells()
	if t.Stage == snapshot.ToldNothing || tell == nil || tell.NotTaken == "" || !c.bridge.Sounds.Has(tell.NotTaken) {
		return false
	}
	c.bridge.Saying.End()
	c.bridge.Saying.Begin(bridge.Statement{To: media.SideA, Sound: tell.NotTaken, Whole: true})
	t.Stage = snapshot.TellsNotTaken
	if !c.bridge.Saying.Speak() {
		return false
	}
	c.ladder.Decide("the caller is told that nobody takes the call")
	return true
}

// stop ends the statement, because the first party of a placed call is none that is told.
func (t *telling) stop() {
	if t.underway() {
		t.Stage = snapshot.ToldAll
		t.call.bridge.Saying.End()
	}
}

// end records a statement that was not said to its end.
func (t *telling) end() {
	if t.Stage == snapshot.Tells {
		t.note(t.call.bridge.Saying.Progress())
		t.since.Whole = false
		t.call.record.told(t.since)
	}
	if t.underway() {
		t.Stage = snapshot.ToldAll
	}
}

// isCallers reports whether this is a call of a caller that was answered for the statement.
func (t *telling) isCallers() bool { return t.call.a != nil && t.call.a.Leg.UAS }

// disposition returns the disposition of an answered call. One without an agent, whose caller was told something, has
// failed for its caller.
func (t *telling) disposition(why cause.Cause) string {
	switch {
	case t.call.connected != nil || t.Stage == snapshot.ToldNothing:
		return record.DispositionAnswered
	case why == cause.CallerHangup:
		return record.DispositionCancelled
	}
	return record.DispositionFailed
}

// saysEarly is the phase in which a caller hears the statement in early media, before a target is called.
func (c *Call) saysEarly() phase { return c.setUp("telling", (*Call).saysEarly) }
