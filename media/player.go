package media

import (
	"cmp"
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

const (
	playFrame   = 20 * time.Millisecond // between packets, unless Play.Frame says otherwise
	playLongest = 60 * time.Millisecond

	// yieldFor is how long the other side must be silent before a sound that has yielded goes on. Speech has packets
	// every 20 to 60 ms.
	yieldFor = 400 * time.Millisecond

	// playBehind is how late a frame may be sent. A later one is skipped, because the receiver has played something
	// else by then.
	playBehind = 60 * time.Millisecond
)

// Play says what Session.Play does.
type Play struct {
	Sound       *audio.Sound
	Law         audio.Law
	PayloadType uint8         // of Law, as the side wants it
	Frame       time.Duration // of a packet: a multiple of 10 ms up to 60 ms; 0 means 20 ms
	Loop        bool          // again and again, until StopPlay

	// Mix adds the sound to the relayed packets of PayloadType instead of replacing them. Without packets nothing is
	// heard.
	Mix bool

	// Yield pauses the sound while RTP of the other side could be relayed, and for 400 ms after the last of it.
	// Without Yield that RTP is dropped during the sound.
	Yield bool

	// From is where to begin, for a sound that goes on (PlayState.At).
	From time.Duration

	// ID comes back in EventPlayed.
	ID uint64
}

// player puts a sound into the stream towards a side, one frame at a time on a steady clock. It is a value without
// clock or I/O, owned by the worker.
type player struct {
	play    Play
	audio   []byte // of the sound, in the law
	at      int    // of audio, the next sample
	size    int    // of a frame, in samples
	next    time.Duration
	frames  int // sent
	playing bool
	paused  bool // it has yielded
}

func (p *player) start(play Play, now time.Duration) {
	play.Frame = cmp.Or(play.Frame, playFrame)
	*p = player{
		play: play, audio: play.Sound.In(play.Law), size: int(play.Frame / time.Millisecond * audio.Rate / 1000),
		next: now, playing: true,
	}
	p.at = min(int(max(play.From, 0)*audio.Rate/time.Second), len(p.audio))
	if play.Mix { // it ends in time, whether there is anything to be mixed with or not
		if p.next = never; !play.Loop {
			p.next = now + max(play.Sound.Duration()-play.From, 0)
		}
	}
}

// speaks reports whether the sound replaces what is relayed.
func (p *player) speaks() bool { return p.playing && !p.play.Mix && !p.paused }

// mix adds the sound to a packet that is being relayed.
func (p *player) mix(pkt []byte) {
	if !p.play.Mix || pkt[1]&0x7f != p.play.PayloadType {
		return
	}
	payload := packet.Payload(pkt)
	p.play.Law.Mix(payload, p.audio[p.at:])
	p.at += min(len(payload), len(p.audio)-p.at)
	if p.at == len(p.audio) && p.play.Loop {
		p.at = 0
	}
}

// position is how far the sound was played.
func (p *player) position() time.Duration {
	return time.Duration(p.at) * time.Second / audio.Rate
}

func (p *player) stop() { *p = player{next: never} }

// playPacket is an RTP packet with the longest frame, for G.711.
type playPacket [packet.HeaderLen + int(playLongest/time.Millisecond)*audio.Rate/1000]byte

// write writes the frame that is due, and reports whether it ends the sound. Silence fills the last frame. Frames
// that are far too late are skipped.
func (p *player) write(o *stream.Outlet, pkt *playPacket, now time.Duration) (frame []byte, over bool) {
	behind := 0
	for ; now-p.next > playBehind; p.next += p.play.Frame {
		behind += p.size
	}
	timestamp := o.After(p.size + behind)
	if p.frames == 0 {
		timestamp = o.Moment(audio.Rate, now) + uint32(behind)
	}
	p.at += behind
	o.Put(pkt[:], p.play.PayloadType, p.frames == 0, timestamp, p.next)
	frame = pkt[:packet.HeaderLen+p.size]
	over = p.fill(frame[packet.HeaderLen:])
	p.next += p.play.Frame
	p.frames++
	return frame, over
}

// fill takes the next samples of the sound, and reports whether they are the last.
func (p *player) fill(payload []byte) (over bool) {
	for n := 0; n < len(payload); {
		if p.at >= len(p.audio) {
			if !p.play.Loop {
				silence := payload[n:]
				for i := range silence {
					silence[i] = p.play.Law.Silence()
				}
				return true
			}
			p.at %= len(p.audio)
		}
		copied := copy(payload[n:], p.audio[p.at:])
		n, p.at = n+copied, p.at+copied
	}
	return p.at >= len(p.audio) && !p.play.Loop
}

func (w *worker) play(r *relay, to Side, p Play) {
	ep := r.heard(to.Other())
	if ep.player == nil {
		ep.player = &player{}
	}
	if !ep.player.speaks() && !p.Mix {
		ep.outlet.Begin(&ep.stream, w.now)
	}
	ep.player.start(p, w.now)
	w.arm(ep)
	w.quiet(ep) // where one that took the place of speech is followed by one that does not
}

func (w *worker) stopPlay(r *relay, to Side) {
	if ep := &r.endpoint[to.Other()][RTP]; ep.rtpState != nil && ep.player != nil && ep.player.playing {
		ep.player.stop()
		w.quiet(ep)
	}
}

// yield pauses the sound for a packet from ep.
func (w *worker) yield(ep *endpoint) {
	p := ep.player
	p.next = w.now + yieldFor
	if !p.paused {
		p.paused = true
		w.quiet(ep)
	}
}

// sound sends the due frame into the stream from ep. A digit goes first.
func (w *worker) sound(ep *endpoint) {
	p := ep.player
	switch {
	case p.play.Mix:
		w.played(ep)
		return
	case p.paused: // nothing came for a while
		p.paused, p.frames = false, 0
		if ep.dialer == nil || !ep.dialer.dialing {
			ep.outlet.Begin(&ep.stream, w.now)
		}
		ep.relay.line(w.now)
	}
	if ep.dialer != nil && ep.dialer.dialing {
		p.next = ep.dialer.next
		p.frames = 0
		return
	}
	frame, over := p.write(&ep.outlet, &w.frame, w.now)
	if ep.dest.size > 0 {
		w.emit(ep, frame)
	}
	if over {
		w.played(ep)
	}
}

// played ends a sound that has reached its end.
func (w *worker) played(ep *endpoint) {
	id := ep.player.play.ID
	ep.player.stop()
	w.quiet(ep)
	ep.relay.post(EventPlayed{Side: ep.side.Other(), ID: id})
}

// quiet resumes the stream from ep, unless our own packets still replace it.
func (w *worker) quiet(ep *endpoint) {
	if !ep.speaks() {
		ep.outlet.End(&ep.stream, w.now)
		_ = ep.relay.route()
	}
	ep.relay.line(w.now)
}
