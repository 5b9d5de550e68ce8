package media

import (
	"fmt"
	"time"

	"flowbridge/media/answerer"
	"flowbridge/media/packet"
	"flowbridge/media/stage"
	"flowbridge/media/stream"
	"flowbridge/media/voice/turns"
)

// Side is one of the two sides of a session.
type Side = stage.Side

// Kind tells RTP from RTCP.
type Kind = stage.Kind

// PayloadSet is a set of RTP payload types.
type PayloadSet = packet.PayloadSet

// TelephoneEvents is an order of Session.SetTelephoneEvents.
type TelephoneEvents = stage.TelephoneEvents

// Mask is an order of Session.SetMask.
type Mask = stage.Mask

// Digit is an order of Session.SendDigit.
type Digit = stage.Digit

// Play is an order of Session.Play.
type Play = stage.Play

// Tap is what Session.SetTap wants.
type Tap = stage.Tap

// Tapped is a packet for a Tap.
type Tapped = stage.Tapped

// Conversation is an order of Session.Follow.
type Conversation = stage.Conversation

// The sides of a session, and the kinds of a flow.
const (
	SideA = stage.SideA
	SideB = stage.SideB
	RTP   = stage.RTP
	RTCP  = stage.RTCP
)

// SetMask starts or stops masking the keys of a side.
func (s *Session) SetMask(side Side, m Mask) { s.set(command{op: opOrder, side: side, order: m}) }

// SetTelephoneEvents starts or stops reporting the telephone-events of a side as EventDigit. A session starts
// without. A second call during an event neither loses nor doubles a digit.
func (s *Session) SetTelephoneEvents(side Side, c TelephoneEvents) {
	s.set(command{op: opOrder, side: side, order: c})
}

// SendDigit presses a key towards a side, after the keys before it. The digit is a telephone-event inside the relayed
// stream, which pauses meanwhile (RFC 4733 §2.5.1). At most 32 digits wait, with 40 ms or more between them. They are
// dropped when the side is held or its RTP address changes, because they were for another receiver.
func (s *Session) SendDigit(to Side, d Digit) error {
	s.wake()
	if err := s.worker.do(command{op: opOrder, relay: &s.relay, side: to.Other(), order: d}); err != nil {
		return fmt.Errorf("media: %w", err)
	}
	return nil
}

// Play plays a sound to a side and replaces the one that is playing. The sound goes on unheard while the side is held
// or its address is unknown. It ends when the side's RTP address changes. EventPlayed comes at its end. Sounds are
// G.711: a side with another codec can't have them.
func (s *Session) Play(to Side, p Play) {
	s.wake()
	_ = s.worker.post(command{op: opOrder, relay: &s.relay, side: to.Other(), order: p}, true)
}

// StopPlay ends the sound towards a side; the relayed stream goes on.
func (s *Session) StopPlay(to Side) {
	s.tell(command{op: opOrder, side: to.Other(), order: stage.Stop{}})
}

// SetTap gives t the packets of both sides from now on and replaces the tap before; nil means none. When it returns,
// the former tap is not called any more. Packets are relayed as without a tap.
func (s *Session) SetTap(t Tap) {
	s.wake()
	order := stage.Tapping{Tap: t, Epoch: s.engine.epoch, Local: s.relay.local}
	_ = s.worker.do(command{op: opOrder, relay: &s.relay, order: order})
}

// DetectAnswer finds out who has answered a side, from now on. EventAnsweredBy says who. If the limits have a time for
// a beep, EventBeep follows when it is over. Until then the kernel does not have the side's flow. A second call starts
// the detection again. Another process does not continue it, and reports nothing.
func (s *Session) DetectAnswer(side Side, l answerer.Limits) {
	s.tell(command{op: opOrder, side: side, order: stage.Detect(l)})
}

// Follow has the conversation measured from the first call on.
func (s *Session) Follow(c Conversation) { s.set(command{op: opOrder, order: c}) }

// Interrupt says that the line carries no conversation of the caller with the agent, or does again.
func (s *Session) Interrupt(on bool) { s.set(command{op: opOrder, order: stage.Interrupt(on)}) }

// Talk returns what the conversation was like so far; nil: it is not followed. After Close it returns what it was like.
func (s *Session) Talk() *turns.Figures {
	r := &s.relay
	if r.enter() {
		defer r.leave()
		r.refresh(anyAge)
		r.stages.Look(s.engine.now())
	} // else nobody changes it any more
	return r.stages.Figures()
}

// AgentWaited returns for how long the caller has been waiting for the agent to say something; 0: it does not, or that
// is not known.
func (s *Session) AgentWaited() time.Duration {
	r := &s.relay
	if !r.enter() {
		return 0
	}
	defer r.leave()
	r.refresh(atOnce)
	now := s.engine.now()
	if !r.stages.Look(now) {
		return 0
	}
	return r.stages.Waiting(now)
}

// Speaking returns who speaks now, by turns.Party; false for both where the conversation is not followed.
func (s *Session) Speaking() (now [2]bool) {
	r := &s.relay
	if !r.enter() {
		return now
	}
	defer r.leave()
	r.refresh(anyAge)
	if r.stages.Look(s.engine.now()) {
		now = r.stages.Speaking()
	}
	return now
}

// Speech returns when the call was answered and what both parties said since, by turns.Party, to be shown. ok is false
// if the conversation is not followed, or not measured.
func (s *Session) Speech() (answered time.Time, said [2]turns.Spans, ok bool) {
	r := &s.relay
	if r.enter() {
		defer r.leave()
	}
	at, said, ok := r.stages.Said()
	if !ok {
		return answered, said, false
	}
	return s.engine.epoch.Add(at), said, true
}

// tick lets the stages know that time has passed.
func (r *relay) tick(now time.Duration) {
	if r.stages.Tick(now) {
		r.outdated()
	}
}

// What the stages of a session act on, as stage.Session says.
var _ stage.Session = (*relay)(nil)

func (r *relay) Stream(from Side) (*stream.Stream, *stream.Outlet) {
	ep := r.heard(from)
	return &ep.stream, &ep.outlet
}

func (r *relay) Send(from Side, pkt []byte) bool { return r.worker.emit(&r.endpoint[from][RTP], pkt) }
func (r *relay) Scratch() []byte                 { return r.worker.own[:] }
func (r *relay) Receives(from Side) bool         { return r.endpoint[from][RTP].dest.size > 0 }
func (r *relay) Shifted()                        { _ = r.route() }
func (r *relay) Arm(from Side)                   { r.worker.arm(&r.endpoint[from][RTP]) }
func (r *relay) Away(from Side) (read time.Duration, away bool) {
	ep := &r.endpoint[from][RTP]
	if ep.rtpState == nil || ep.offload.by == nil {
		return 0, false
	}
	return ep.offload.read, true
}

func (r *relay) Dialed(from Side) { r.ledger.flow[from][RTP].ofRTP().Digits.Add(1) }

func (r *relay) Pressed(by Side, digit byte, d time.Duration) {
	r.post(EventDigit{Side: by, Digit: digit, Duration: d})
}

func (r *relay) Played(to Side, id uint64) { r.post(EventPlayed{Side: to, ID: id}) }

func (r *relay) Answered(side Side, a answerer.Answer) {
	r.post(EventAnsweredBy{Side: side, Answer: a})
}

func (r *relay) Beeped(side Side, b answerer.Beep) { r.post(EventBeep{Side: side, Beep: b}) }
