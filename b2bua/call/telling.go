package call

import (
	"errors"
	"fmt"
	"math"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/snapshot"
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
	told    record.Told // what the record and the receipt say of it
	spoke   time.Time   // when the statement began
	lost    int64       // packets that the caller had reported as lost by then, or by its last move
	reports uint64      // in as many reports
	called  bool        // the target has been called
	until   time.Time   // when the statement must be over
}

// What a telling reports to itself.
type (
	agentDue    struct{} // the target is to be called, so that its answer is due at the statement's end
	tellTimeout struct{} // the caller could not be told within tellWithin
	callerReady struct{} // the caller may be able to hear us now
	receiptDone struct { // the receipt of the statement is written
		at  time.Time // when the statement was over
		err error
	}
)

func (agentDue) isPartEvent()    {}
func (tellTimeout) isPartEvent() {}
func (callerReady) isPartEvent() {}
func (receiptDone) isPartEvent() {}

// tellWithin is how much longer than the sound and the wait for a key a statement may take: a caller that holds the
// call must not keep a target's place for ever.
const tellWithin = 2 * time.Minute

// receiptWithin is how long an agent waits for the receipt to be written. A slow disk must not cost the call.
const receiptWithin = 2 * time.Second

// setStage sets how far the statement has come.
func (t *telling) setStage(at snapshot.ToldStage) { t.Stage = at }

// setMailbox notes that a mailbox has answered the placed call, and hears nothing more of the statement.
func (t *telling) setMailbox() { t.Stage, t.Sound = snapshot.ToldMailbox, "" }

// underway reports whether the statement is not over, so that the caller may not hear an agent.
func (t *telling) underway() bool {
	return t.Stage != snapshot.ToldNothing && t.Stage < snapshot.ToldAll
}

// leftOut reports whether the call has no statement: its route tells nothing, or a mailbox has answered before it.
func (t *telling) leftOut() bool {
	return t.Stage == snapshot.ToldNothing || t.Stage == snapshot.ToldMailbox && t.call.record.Told == nil
}

// noteAgentAnswer records when the first agent of a told caller answered.
func (t *telling) noteAgentAnswer() {
	if !t.leftOut() {
		t.call.record.agentAnswered()
	}
}

// holdsAnswer reports whether a target that has just answered has to wait. What it says from now on is kept.
func (t *telling) holdsAnswer() bool {
	if t.underway() {
		t.call.bridge.Saying.RestartHoldBack()
	}
	return t.underway()
}

// tellFirst tells the caller before the first attempt. It returns the next phase, or nil if there is nothing to tell,
// or no target can be called now.
func (t *telling) tellFirst() phase {
	c := t.call
	if t.config() == nil || t.Stage != snapshot.ToldNothing {
		return nil
	}
	a := c.attempts.pick(c.attempts.plan)
	if a == nil {
		return nil
	}
	c.attempts.putBack(a)
	c.reserve(a)
	err := t.chooseSound()
	if err == nil {
		err = t.beginForCaller()
	}
	switch {
	case err == nil && t.config().Early:
		return (*Call).saysEarly
	case err == nil:
		return (*Call).bridged
	case !t.recordNotTold(err):
		return c.refuse(c.route.Otherwise, cause.NotTold)
	}
	return nil
}

// chooseSound chooses the statement for the caller.
func (t *telling) chooseSound() (err error) {
	c := t.call
	vars := c.variables()
	if t.Sound, err = t.config().Sound.Render(vars); err != nil {
		return fmt.Errorf("tell.sound: %w", err)
	}
	if !c.bridge.Sounds.Has(t.Sound) {
		return fmt.Errorf("tell.sound names %q, which is not among sounds", t.Sound)
	}
	t.initTold(false)
	return nil
}

// initTold notes what is known of the statement before it is said. talked says that the caller has spoken since an old
// process began it.
func (t *telling) initTold(talked bool) {
	t.told = record.Told{
		Sound: t.Sound, SHA256: t.call.bridge.Sounds.Hash(t.Sound), Language: t.Sound, TalkedOver: talked,
	}
}

var errUnheard = errors.New("the caller offers no audio in which a sound can be played")

// beginForCaller answers the caller, or sends it early media, for the statement.
func (t *telling) beginForCaller() error {
	c := t.call
	targets := c.attempts.plan.Targets
	if t.config().Early {
		if !c.progressSent.earlyMedia && !c.ring(targets) {
			return errUnheard
		}
		t.beginStatement()
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
	t.beginStatement()
	c.bridge.Tell(bridge.Answered{})
	c.ladder.Decide("the caller is answered, and is told %s before target %s is called", t.Sound, targets[0].Dial.Name)
	c.step(c.a, leg.Answer{SDP: c.bridge.Agreement.Answer})
	return nil
}

// tellCustomer tells the first party of a placed call, which has answered. It returns false if there is nothing to
// tell.
func (t *telling) tellCustomer() bool {
	if t.config() == nil || t.Stage != snapshot.ToldNothing {
		return false
	}
	err := t.chooseSound()
	if err == nil {
		t.beginStatement()
		if t.speak(); t.Stage != snapshot.Tells {
			t.call.bridge.Saying.End()
			err = errUnheard
		}
	}
	switch {
	case err == nil:
	case t.recordNotTold(err):
		return false
	default:
		t.call.hangup(cause.NotTold, record.EndedBySystem)
	}
	return true
}

// beginStatement keeps the caller and the agent apart, until the statement is over.
func (t *telling) beginStatement() {
	s := bridge.Statement{To: media.SideA, Sound: t.Sound, Whole: true}
	if accept := t.config().Accept; accept != nil {
		s.Accept, s.Within = accept.Key, accept.Within
	}
	t.Stage, t.Required = snapshot.TellsSoon, t.config().Required
	t.limit(t.Sound, s.Within)
	t.call.bridge.Saying.Begin(s)
}

// limit sets when the caller must have heard a sound, and pressed a key.
func (t *telling) limit(sound string, within time.Duration) {
	t.until = time.Now().Add(t.call.bridge.Sounds.Length(sound) + within + tellWithin)
}

// speak says the statement, unless the caller has not described its media yet.
func (t *telling) speak() {
	c := t.call
	if !c.bridge.Saying.Speak() {
		return
	}
	t.Stage = snapshot.Tells
	t.spoke = time.Now()
	t.lost, t.reports = c.bridge.Media.Reported(media.SideA) // later reports are about the statement
	c.ladder.Decide("the caller is told %s", t.Sound)
}

// recordNotTold records that the statement can't be said, and reports whether the call continues without it.
func (t *telling) recordNotTold(err error) (goesOn bool) {
	c := t.call
	t.logNotTold(err)
	t.told.Sound, t.told.Language = t.Sound, t.Sound
	c.record.told(t.told)
	t.Stage, t.Sound = snapshot.ToldAll, ""
	return !t.config().Required
}

// Why a caller was not told although the statement began.
var (
	errHeld       = errors.New("the caller held the call, moved, or could not be reached, for two minutes")
	errIncomplete = errors.New("twice, packets of it could not be sent")
)

// logNotTold says in the log and the ladder why the caller was not told.
func (t *telling) logNotTold(err error) {
	t.call.log.Error().Err(err).Str("sound", t.Sound).Msg("caller not told")
	t.call.ladder.Decide("the caller can't be told %s: %v", t.Sound, err)
}

// on handles the end of the statement and of its receipt, and the caller's ACK. In early media the target's answer
// waits.
func (t *telling) on(h happening) (next phase, handled bool) {
	c := t.call
	if _, is := h.fact.(leg.Confirmed); is && h.from == c.a && t.underway() {
		c.mailbox.happened(ofPart{callerReady{}}) // after what else the ACK says, which may be the caller's description
	}
	if e, is := h.event.(inBridge); is {
		// Another receiver may count from the beginning, and one that has moved counts what went to its earlier address. So
		// no report says what is lost of this statement.
		if again, is := e.Event.(media.EventRestarted); is && t.underway() && c.bridge.Saying.Says(again.Side, again.ID) {
			t.reports = math.MaxUint64
		}
		said, is := e.Event.(bridge.Said)
		if is = is && said.To == media.SideA; is && t.underway() {
			next = t.onSaid(said)
		}
		return next, is
	}
	part, _ := h.event.(ofPart)
	if _, is := part.partEvent.(callerReady); is {
		if t.Stage == snapshot.TellsSoon {
			t.speak()
		}
		return nil, true
	}
	if _, is := part.partEvent.(agentDue); is {
		if t.underway() {
			next = t.callAgent()
		}
		return next, true
	}
	if _, is := part.partEvent.(tellTimeout); is {
		next = t.tooLate()
		return next, true
	}
	e, is := part.partEvent.(receiptDone)
	if is {
		next = t.onReceipt(e)
	}
	return next, is
}

// deadline returns when the target is to be called, so that its answer is due at the statement's end, or when the
// caller must have been told, whichever comes first.
func (t *telling) deadline() (at time.Time) {
	if t.underway() && t.Stage != snapshot.ToldUnwritten {
		at = t.until
	}
	if t.Stage != snapshot.Tells || t.called || t.config().Accept != nil {
		return at
	}
	if ends := t.call.bridge.Saying.Ends(); !ends.IsZero() {
		if usual := t.call.attempts.plan.Targets[0].UsualAnswer(); usual > 0 {
			at = leg.Earliest(at, ends.Add(-usual))
		}
	}
	return at
}

func (t *telling) due(now time.Time) {
	if isDue(t.until, now) { // the caller holds the call, or does not say where it hears
		t.until = time.Time{}
		t.call.mailbox.happened(ofPart{tellTimeout{}})
		return
	}
	t.called = true
	t.call.mailbox.happened(ofPart{agentDue{}})
}

// callAgent calls the agent that follows the statement. It returns the next phase, or nil to stay in this one.
func (t *telling) callAgent() phase {
	c := t.call
	t.called = true
	if c.whoIs() == ringing {
		return c.nextAttempt()
	}
	if !c.replacements.underway() {
		c.customer.callAgent()
	}
	return nil
}

// onSaid handles the end of the statement, and of the wait for a key.
func (t *telling) onSaid(e bridge.Said) phase {
	c := t.call
	if t.Stage == snapshot.TellsNotTaken {
		c.hangup(c.attempts.last.cause, record.EndedBySystem)
		return nil
	}
	if whole := t.noteSent(e.Sent); !whole && !t.Again {
		t.Again = true
		c.ladder.Decide("the statement was not sent whole: it is said again")
		t.beginStatement()
		if e.Key != "" {
			c.bridge.Saying.Resume(media.Sent{}, e.Key[0])
		}
		t.speak()
		return nil
	}
	t.Stage, t.told.Key = snapshot.ToldUnwritten, e.Key
	accepts := t.config().Accept
	if accepts != nil {
		t.told.Accepted = new(t.told.Whole && e.Accepted)
	}
	c.record.told(t.told)
	switch {
	case !t.told.Whole && t.config().Required:
		t.logNotTold(errIncomplete)
		return t.endCall(cause.NotTold)
	case !t.told.Whole:
		t.Sound = "" // templates may not say that the caller was told
	case accepts == nil || e.Accepted || accepts.Otherwise.Continues:
	case accepts.Otherwise.Route == "":
		return t.endCall(cause.NotAccepted)
	default:
		t.reroute(accepts.Otherwise.Route)
	}
	t.Accepted = t.told.Whole && e.Accepted
	t.writeReceipt()
	return nil
}

// noteSent stores how much of the statement was sent, and reports whether it was sent whole.
func (t *telling) noteSent(s media.Sent) (whole bool) {
	c := t.call
	into := func(at time.Time) int64 {
		if at.IsZero() {
			return 0
		}
		return at.Sub(c.times.started).Milliseconds()
	}
	t.told.FromMS, t.told.ToMS, t.told.Packets = into(s.First), into(s.Last), s.Packets
	t.told.Whole = s.Missed == 0 && s.Packets > 0 && s.At >= c.bridge.Sounds.Length(t.Sound)
	t.told.TalkedOver = t.told.TalkedOver || c.bridge.Saying.TalkedOver()
	t.told.Lost = nil
	if lost, reports := c.bridge.Media.Reported(media.SideA); reports > t.reports && !s.First.Before(t.spoke) {
		t.told.Lost = new(min(max(lost-t.lost, 0), s.Packets))
	}
	return t.told.Whole
}

// recordPartly records a statement that is not said to its end.
func (t *telling) recordPartly() {
	if t.Stage == snapshot.Tells || t.Stage == snapshot.TellsSoon {
		t.noteSent(t.call.bridge.Saying.Progress())
		t.told.Whole = false
		t.call.record.told(t.told)
	}
}

// end records a statement that was not said to its end.
func (t *telling) end() {
	t.recordPartly()
	if t.underway() {
		t.Stage = snapshot.ToldAll
	}
}
