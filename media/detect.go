package media

import (
	"time"

	"flowbridge/media/answerer"
	"flowbridge/media/packet"
	"flowbridge/media/voice"
)

// DetectAnswer finds out who has answered a side, from now on. EventAnsweredBy says who. If the limits have a time for
// a beep, EventBeep follows when it is over. Until then the kernel does not have the side's flow. A second call starts
// the detection again. Another process does not continue it, and reports nothing.
func (s *Session) DetectAnswer(side Side, l answerer.Limits) {
	s.tell(command{op: opDetect, side: side, detect: &l})
}

func (r *relay) detect(side Side, l answerer.Limits, now time.Duration) *endpoint {
	ep := r.heard(side)
	ep.answerer = answerer.New(l, now, func(a answerer.Answer) {
		r.post(EventAnsweredBy{Side: side, Answer: a})
	}, func(b answerer.Beep) {
		r.post(EventBeep{Side: side, Beep: b})
	})
	return ep
}

// detect has a packet that was accepted from ep judged.
func (ep *endpoint) detect(h packet.Header, pkt []byte, now time.Duration) {
	ep.answerer.Packet(voice.Packet{
		Arrival: now, SSRC: h.SSRC, Timestamp: h.Timestamp, Content: voice.ContentOf(h.PayloadType),
		Payload: packet.Payload(pkt),
	})
	ep.detected()
}

// detected lets go of a detector that has nothing more to say.
func (ep *endpoint) detected() {
	if ep.answerer.Over() {
		ep.answerer = nil
	}
}
