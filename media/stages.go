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

// TelephoneEvents is the argument of Session.SetTelephoneEvents.
type TelephoneEvents = stage.TelephoneEvents

// Mask is the argument of Session.SetMask.
type Mask = stage.Mask

// Digit is the argument of Session.SendDigit.
type Digit = stage.Digit

// Play is the argument of Session.Play.
type Play = stage.Play

// Sent says what was sent of a sound.
type Sent = stage.Sent

// Tap is the argument of Session.SetTap.
type Tap = stage.Tap

// Taps is a Tap that gives the packets to several others.
type Taps = stage.Taps

// Tapped is a packet for a Tap.
type Tapped = stage.Tapped

// Conversation is the argument of Session.Follow.
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

// SetTelephoneEvents starts or stops reporting the telephone-events of a side as EventDigit. A session starts without.
// A second call during an event neither loses nor doubles a digit.
func (s *Session) SetTelephoneEvents(side Side, c TelephoneEvents) {
	s.set(command{op: opOrder, side: side, order: c})
}

// SendDigit presses a key towards a side, after all earlier keys. The digit is a telephone-event inside the relayed
// stream, which pauses for it (RFC 4733 §2.5.1). At most 32 digits wait, and they are sent at least 40 ms apart.
// Waiting digits are dropped when the side is held or its RTP address changes, because they were for another receiver.
func (s *Session) SendDigit(to Side, d Digit) error {
	s.wake()
	if err := s.worker.do(command{op: opOrder, relay: &s.relay, side: to.Other(), order: d}); err != nil {
		return fmt.Errorf("media: %w", err)
	}
	return nil
}

// Play plays a sound to a side, replacing the current one. The sound continues unheard while the side is held or its
// address is unknown. It ends when the side's RTP address changes. EventPlayed reports its end. Sounds are G.711: they
// can't be played to a side with another codec.
func (s *Session) Play(to Side, p Play) {
	s.wake()
	_ = s.worker.post(command{op: opOrder, relay: &s.relay, side: to.Other(), order: p}, true)
}

// StopPlay ends the sound to a side; the relayed stream continues.
func (s *Session) StopPlay(to Side) {
	s.tell(command{op: opOrder, side: to.Other(), order: stage.Stop{}})
}

// Playing returns the ID of the sound that is being played to a side, and what was sent of it so far. Both are zero if
// there is none. After Close it returns what was being played then.
func (s *Session) Playing(to Side) (id uint64, is Sent) {
	if r := &s.relay; r.enter() {
		defer r.leave()
	} // else the session is closed, and no goroutine changes the figures
	return s.relay.stages.Playing(to.Other())
}

// HoldBack keeps what a side says from the other side while it is on. When it is switched off, what was kept is sent as
// soon as no sound or digit is sent to the other side, and the delay ends in the side's first pause; see
// stage.HoldBack. It stays in force in another process. What was kept survives an upgrade, but not a kill.
func (s *Session) HoldBack(from Side, on bool) {
	s.set(command{op: opOrder, side: from, order: stage.HoldBack(on)})
	s.worker.rouse()
}

// SetTap gives t the packets of both sides from now on, replacing the previous tap; nil removes it. When SetTap
// returns, the previous tap is no longer called. A tap does not change what is relayed.
func (s *Session) SetTap(t Tap) {
	s.wake()
	order := stage.Tapping{Tap: t, Epoch: s.engine.epoch, Local: s.relay.local}
	_ = s.worker.do(command{op: opOrder, relay: &s.relay, order: order})
}

// DetectAnswer starts to detect what has answered a side, a person or a machine, and EventAnsweredBy reports it. If the
// limits include a time for a beep, EventBeep follows when that wait is over. Until then the side's flow is not
// offloaded to the kernel. A second call restarts the detection. After an upgrade or a restart the detection is not
// continued, and no event is posted.
func (s *Session) DetectAnswer(side Side, l answerer.Limits) {
	s.tell(command{op: opOrder, side: side, order: stage.Detect(l)})
}

// Follow starts measuring the conversation. Further calls only replace the Conversation. An error means that its Opus
// can't be decoded; the rest is measured.
func (s *Session) Follow(c Conversation) error {
	ready, err := c.Ready()
	if err != nil {
		ready, err = Conversation{Agent: c.Agent}, fmt.Errorf("media: %w", err)
	}
	s.set(command{op: opOrder, order: ready})
	return err
}

// Interrupt says that the line does not carry the conversation of caller and agent, or carries it again.
func (s *Session) Interrupt(on bool) { s.set(command{op: opOrder, order: stage.Interrupt(on)}) }

// look reads the conversation. It first brings the conversation up to date with figures from the kernel that are no
// older than age.
func (s *Session) look(age func(*offloader) time.Duration, read func(is *stage.Stages, now time.Duration)) {
	r, now := &s.relay, s.engine.now()
	if r.enter() {
		defer r.leave()
		r.refresh(age)
		r.stages.Look(now)
	} // else the session is closed, and no goroutine changes the figures
	read(&r.stages, now)
}

// Talk returns the figures of the conversation so far, or nil if it is not followed. After Close they are final.
func (s *Session) Talk() (f *turns.Figures) {
	s.look(anyAge, func(is *stage.Stages, _ time.Duration) { f = is.Figures() })
	return f
}

// DeadAir returns how long the caller has been waiting for the agent to speak; 0 if the caller is not waiting, or
// if that is unknown.
func (s *Session) DeadAir() (waited time.Duration) {
	s.look(atOnce, func(is *stage.Stages, now time.Duration) { waited = is.Waiting(now) })
	return waited
}

// Speaking reports which parties are speaking now, by turns.Party. Both are false if the conversation is not followed.
func (s *Session) Speaking() (who [2]bool) {
	s.look(anyAge, func(is *stage.Stages, _ time.Duration) { who = is.Speaking() })
	return who
}

// Speech returns when the call was answered and when both parties have spoken since, by turns.Party, for display. ok is
// false if the conversation is not followed or not measured.
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

// tick tells the stages the time.
func (r *relay) tick(now time.Duration) {
	r.probe(now)
	if r.stages.Tick(now) {
		r.outdated()
	}
}

// relay implements stage.Session, through which the stages act on a session.
var _ stage.Session = (*relay)(nil)

func (r *relay) Stream(from Side) (*stream.Stream, *stream.Outlet) {
	ep := r.heard(from)
	return &ep.stream, &ep.outlet
}

func (r *relay) Send(from Side, pkt []byte) bool  { return r.worker.emit(&r.endpoint[from][RTP], pkt) }
func (r *relay) Forward(from Side, pkt []byte)    { r.worker.forward(&r.endpoint[from][RTP], pkt) }
func (r *relay) Clock(at time.Duration) time.Time { return r.worker.epoch.Add(at) }
func (r *relay) Scratch() []byte                  { return r.worker.own[:] }
func (r *relay) Receives(from Side) bool          { return r.endpoint[from][RTP].dest.size > 0 }
func (r *relay) Shifted()                         { _ = r.route() }
func (r *relay) Arm(from Side)                    { r.worker.arm(&r.endpoint[from][RTP]) }
func (r *relay) Away(from Side) (read time.Duration, away bool) {
	ep := &r.endpoint[from][RTP]
	if ep.rtpState == nil || ep.offload.by == nil {
		return 0, false
	}
	return ep.offload.read, true
}

func (r *relay) Pressed(by Side, digit byte, d time.Duration) {
	r.post(EventDigit{Side: by, Digit: digit, Duration: d})
}

func (r *relay) Played(to Side, id uint64, s Sent) { r.post(EventPlayed{Side: to, ID: id, Sent: s}) }

func (r *relay) Restarted(to Side, id uint64) { r.post(EventRestarted{Side: to, ID: id}) }

func (r *relay) Answered(side Side, a answerer.Answer) {
	r.post(EventAnsweredBy{Side: side, Answer: a})
}

func (r *relay) Beeped(side Side, b answerer.Beep) { r.post(EventBeep{Side: side, Beep: b}) }
