package stage

import (
	"time"

	"flowbridge/media/packet"
	"flowbridge/media/stream"
	"flowbridge/media/voice"
	"flowbridge/media/voice/turns"
)

const (
	// holdMost is how much of a side's audio is kept. holdUnknown is the same if its silence is not known, so that its
	// delay can't be made up for.
	holdMost    = 3 * time.Second
	holdUnknown = 200 * time.Millisecond

	// holdPause is how much of a pause is kept.
	holdPause = 60 * time.Millisecond

	// holdPatience is how long a side may speak without a pause, as music does. After that its packets are dropped until
	// the kept ones are sent.
	holdPatience = 30 * time.Second
)

// HoldBack keeps what a side says from the other side while it is on, because the other side must hear something else
// first. Once it is off and no sound or digit is being sent to the other side, what was kept is sent in order and at
// its own pace. What comes while that is sent queues up behind it. Switched on again, it forgets what was kept. The
// zero value is off, the default of a session.
//
// At most 3 s of audio are kept, the latest. Pauses are shortened to 60 ms when they arrive, so the delay ends with the
// first pause that is as long. If it has not ended within 30 s, what the side says is left out until it has. If silence
// is not known, as in G.722, only 200 ms are kept, and sent at twice their pace: the delay stays in the receiver's
// buffer. Silence is known in G.711, and in Opus that the conversation decodes (Conversation.Opus).
//
// While it is on, telephone-events of the side are left out. So is a packet that comes behind a later one, until the
// delay has ended.
type HoldBack bool

// holdBack keeps the packets of a side. It is a value without clock or I/O, owned by the worker.
//
//	idle --on--> keeping --off--> sending --all is sent--> idle
//
// It sends them in the stream to the other side like packets of our own, after all other stages that do so.
type holdBack struct {
	idle
	way  *way
	on   bool
	kept *kept         // nil: idle
	off  time.Duration // when it was switched off, or last had to wait for another stage

	known  bool          // a packet has come
	newest packet.Header // of the side's packets; its timestamp is the audio's

	ear   voice.Detector // used if the way has none
	quiet bool           // the last packet had silence
	loud  bool           // the last packet had sound
	said  bool           // the side has spoken
	spoke uint32         // timestamp of the last packet with sound
	deaf  bool           // its silence is not known

	sent      bool          // audio was sent since it was switched off
	last      packet.Header // of the last kept audio packet that was sent
	timestamp uint32        // last's timestamp in the stream to the other side
	at        time.Duration // when the last packet was due
}

func (on HoldBack) apply(w *way, now time.Duration) {
	if w.hold == nil {
		if !on {
			return
		}
		w.hold = &holdBack{way: w}
		w.arrange()
	}
	h := w.hold
	switch {
	case bool(on) && h.on:
		h.said = false
		h.forget()
	case bool(on) && h.kept == nil:
		w.out.Leave(w.in)
		*h = holdBack{way: w, kept: new(kept)}
	case !bool(on) && h.on:
		h.on, h.off, h.sent = false, now, false
		h.rest(now)
	}
	h.on = bool(on)
}

// rest ends the sending of kept packets if there are none. The side's stream continues behind them.
func (h *holdBack) rest(now time.Duration) {
	if h.kept.count > 0 {
		return
	}
	h.kept = nil
	if w := h.way; h.sent && h.newest.SSRC == w.in.SSRC() { // else the next packet begins another stream
		w.out.Continue(h.newest, now)
	}
	h.way.quiet(now)
}

// keeps reports whether the side's packets must not reach the other side.
func (h *holdBack) keeps() bool { return h != nil && h.on }

func (h *holdBack) speaks() bool             { return h.kept != nil }
func (h *holdBack) plain(time.Duration) bool { return h.kept == nil }

func (h *holdBack) pauses(time.Duration) turns.Why {
	if h.kept != nil {
		return turns.Sound
	}
	return 0
}

func (h *holdBack) packet(p *Packet) Verdict {
	if h.kept == nil {
		return Relay
	}
	if h.on || h.yields() {
		h.off = p.Now
	}
	silent, pauses := h.listen(p)
	same := h.known && p.SSRC == h.newest.SSRC
	if same && h.newest.Seq-p.Seq < stream.MaxMisorder { // modulo 2^16 on purpose
		return Replaced
	}
	long := h.units(playFrame)
	if step := p.Timestamp - h.newest.Timestamp; same && step > 0 && step <= h.units(playLongest) {
		long = step
	}
	switch {
	case !h.known, !p.Key:
		h.known, h.newest = true, p.Header
	case same:
		h.newest.Seq = p.Seq
	}
	switch {
	case p.Key && h.on, pauses, len(p.Data) > len(h.kept.pkt), p.Now-h.off > holdPatience:
		return Replaced
	}
	most := h.units(holdMost)
	if h.deaf {
		most = h.units(holdUnknown)
	}
	for !h.kept.fits(len(p.Data), long, most) {
		if silent {
			return Replaced
		}
		h.drop()
	}
	h.kept.add(p, long)
	return Kept
}

// listen reports whether a packet is silent, and whether it belongs to a pause and is not among the first of it.
func (h *holdBack) listen(p *Packet) (silent, pauses bool) {
	d := &h.ear
	if e := h.way.ear; e != nil && e.hears() {
		d = &e.Detector // which has heard the packet
	} else if !p.Key {
		is := p.voice()
		d.Packet(is)
		h.hear(d, is)
	}
	silent = h.quiet && !h.loud && !p.Key
	h.quiet, h.loud, h.deaf = false, false, d.Foreign > 0 || d.Long > 0
	if !silent && !p.Key {
		h.said, h.spoke = true, p.Timestamp
	}
	return silent, silent && (!h.said || p.Timestamp-h.spoke > h.units(holdPause)) // modulo 2^32 on purpose
}

// hear notes whether something is heard in a packet, or in a part of it, that a detector has judged.
func (h *holdBack) hear(d *voice.Detector, p voice.Packet) {
	quiet := d.Quiet(p)
	h.quiet, h.loud = h.quiet || quiet, h.loud || !quiet
}

// units converts a time to the unit of the side's timestamps.
func (h *holdBack) units(d time.Duration) uint32 { return stream.Units(d, h.way.in.Rate) }

// drop leaves out the oldest packet.
func (h *holdBack) drop() {
	h.kept.take()
	h.way.session.Cut(h.way.side, Replaced)
}

func (h *holdBack) due() time.Duration {
	if h.kept == nil || h.on || h.kept.count == 0 || h.yields() {
		return stream.Never
	}
	after, follows := h.follows()
	switch {
	case !follows:
		return max(h.at+playFrame, h.way.out.Due())
	case h.deaf:
		after /= 2
	}
	return h.at + stream.Span(uint64(after), uint32(h.way.in.Rate))
}

// yields reports whether another stage is sending packets, which go first. A sound with Play.Yield does not count.
func (h *holdBack) yields() bool {
	w := h.way
	s := w.speaker(h)
	return s != nil && (s != stage(w.player) || !w.player.play.Yield)
}

// follows reports whether the oldest kept packet is audio that follows on the last packet sent, and after how many
// units of its timestamp.
func (h *holdBack) follows() (after uint32, is bool) {
	next := h.kept.oldest()
	after = next.Timestamp - h.last.Timestamp // modulo 2^32 on purpose
	return after, h.sent && !next.key && next.SSRC == h.last.SSRC && after > 0 && after <= h.units(playLongest) &&
		h.timestamp == h.way.out.After(0)
}

// attend sends the packets that are due.
func (h *holdBack) attend(now time.Duration) {
	for due := h.due(); due <= now; due = h.due() {
		if now-due > playBehind { // it had to wait
			due = now
		}
		h.send(due, now)
	}
	h.rest(now)
}

// send sends the oldest packet.
func (h *holdBack) send(due, now time.Duration) {
	w, o := h.way, h.way.out
	if w.player != nil {
		w.player.packet(&Packet{Now: now})
	}
	o.Begin(w.in, now)
	after, follows := h.follows()
	is, pkt := h.kept.take()
	if h.at = due; is.key {
		o.CarryKey(is.Header, pkt, w.in.Rate, due)
	} else {
		timestamp := o.Moment(w.in.Rate, due)
		if follows {
			timestamp = o.After(int(after))
		}
		o.Carry(pkt, timestamp, due)
		h.sent, h.last, h.timestamp = true, is.Header, timestamp
	}
	w.session.Forward(w.side, pkt)
}

// forget leaves out all that is kept.
func (h *holdBack) forget() {
	for h != nil && h.kept != nil && h.kept.count > 0 {
		h.drop()
	}
}
