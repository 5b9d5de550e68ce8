package media

import (
	"fmt"
	"time"

	"flowbridge/media/answerer"
	"flowbridge/media/packet"
	"flowbridge/media/stage"
	"flowbridge/media/stream"
)

// What orders to a session's stages say.
type (
	Side            = stage.Side
	Kind            = stage.Kind
	PayloadSet      = packet.PayloadSet
	TelephoneEvents = stage.TelephoneEvents
	Mask            = stage.Mask
	Digit           = stage.Digit
	Play            = stage.Play
	Tap             = stage.Tap
	Tapped          = stage.Tapped
)

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
func (r *relay) Paused(now time.Duration)        { r.line(now) }
func (r *relay) Dialed(from Side)                { r.ledger.flow[from][RTP].ofRTP().Digits.Add(1) }

func (r *relay) Pressed(by Side, digit byte, d time.Duration) {
	r.post(EventDigit{Side: by, Digit: digit, Duration: d})
}

func (r *relay) Played(to Side, id uint64) { r.post(EventPlayed{Side: to, ID: id}) }

func (r *relay) Answered(side Side, a answerer.Answer) {
	r.post(EventAnsweredBy{Side: side, Answer: a})
}

func (r *relay) Beeped(side Side, b answerer.Beep) { r.post(EventBeep{Side: side, Beep: b}) }
