package stage

import (
	"cmp"
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/packet"
	"flowbridge/media/stream"
	"flowbridge/media/voice/turns"
)

const (
	playFrame   = 20 * time.Millisecond // between packets, unless Play.Frame sets another interval
	playLongest = 60 * time.Millisecond

	// yieldFor is how long the other side must be silent before a yielding sound resumes. Speech has packets every 20 to
	// 60 ms.
	yieldFor = 400 * time.Millisecond

	// playBehind is how late a frame may be sent. A later frame is skipped, because the receiver has already played
	// something else.
	playBehind = 60 * time.Millisecond
)

// Play is a sound to insert into the stream to a side.
type Play struct {
	Sound       *audio.Sound
	Law         audio.Law
	PayloadType uint8         // of Law, as the side expects it
	Frame       time.Duration // length of a packet: a multiple of 10 ms up to 60 ms; 0 means 20 ms
	Loop        bool          // repeat until Stop

	// Mix adds the sound to the relayed packets of PayloadType instead of replacing them. Without such packets the sound
	// is not heard.
	Mix bool

	// Yield pauses the sound while RTP of the other side could be relayed, and until 400 ms after its last packet. Without
	// Yield that RTP is dropped during the sound.
	Yield bool

	// From is where in the sound to begin, rounded down to a frame. At or beyond the sound's end nothing is played, and
	// the end is reported at once.
	From time.Duration

	// Whole sends late frames late, instead of skipping them, and restarts when the side's RTP goes to another address:
	// every frame of the sound counts.
	Whole bool

	// ID is passed to Session.Played.
	ID uint64
}

// Sent says what was sent of a sound that replaces the relayed packets. It counts packets of Play.Frame. Silence that
// the receiver's codec leaves out (DTX) counts neither as sent nor as missed, and a digit only delays the sound. Of a
// mixed sound only At is known, how much was mixed in.
type Sent struct {
	At      time.Duration // how far in the sound it has come
	Packets int64         // packets that were sent
	Missed  int64         // packets that were not: no receiver, on hold, not confirmed, an error, or skipped because late

	// Restarts is how often a whole sound has begun again, because its side has moved. What was sent before does not
	// count.
	Restarts int

	First, Last time.Time // when the first and the last packet was sent; zero if none was
}

// player inserts a sound into the stream to a side, one frame at a time on a steady clock. It is a value without clock
// or I/O, owned by the worker.
type player struct {
	idle
	way     *way
	play    Play
	audio   []byte // the sound's samples, in Law
	at      int    // next sample in audio
	size    int    // samples per frame
	next    time.Duration
	frames  int // since the sound last began to replace the relayed packets
	playing bool
	paused  bool // it has yielded

	restarts int // of Sent

	packets, missed int64 // of Sent, as are first and last
	first, last     time.Duration
}

func (p *player) start(play Play, now time.Duration) {
	play.Frame = cmp.Or(play.Frame, playFrame)
	*p = player{
		way: p.way, play: play, audio: play.Sound.In(play.Law), size: int(play.Frame / time.Millisecond * audio.Rate / 1000),
		next: now, playing: true,
	}
	p.at = int(max(play.From, 0)/play.Frame) * p.size
	if play.Loop && len(p.audio) > 0 {
		p.at %= len(p.audio)
	}
	p.at = min(p.at, len(p.audio))
	if play.Mix { // a mixed sound ends on time, even if there are no packets to mix it with
		p.next = stream.Never
		if !play.Loop {
			p.next = now + play.Sound.Duration() - lasts(p.at)
		}
	}
}

// speaks reports whether the sound replaces the relayed packets.
func (p *player) speaks() bool { return p.playing && !p.play.Mix && !p.paused }

// leave mixes the sound into a packet that is being relayed.
func (p *player) leave(pkt []byte) {
	if !p.playing || !p.play.Mix || pkt[1]&0x7f != p.play.PayloadType {
		return
	}
	payload := packet.Payload(pkt)
	p.play.Law.Mix(payload, p.audio[p.at:])
	p.at += min(len(payload), len(p.audio)-p.at)
	if p.at == len(p.audio) && p.play.Loop {
		p.at = 0
	}
}

func (p *player) stop() { *p = player{way: p.way, next: stream.Never} }

// LongestPacket is the size of the longest packet of our own.
const LongestPacket = packet.HeaderLen + int(playLongest/time.Millisecond)*audio.Rate/1000

// lasts returns the duration of n samples.
func lasts(n int) time.Duration { return time.Duration(n) * time.Second / audio.Rate }

// sent returns what was sent of the sound so far.
func (p *player) sent() Sent {
	s := Sent{At: lasts(min(p.at, len(p.audio))), Packets: p.packets, Missed: p.missed, Restarts: p.restarts}
	if p.packets > 0 {
		s.First, s.Last = p.way.session.Clock(p.first), p.way.session.Clock(p.last)
	}
	return s
}

// Playing returns the ID of the sound that is played in a side's stream, and what was sent of it; zero if there is
// none.
func (s *Stages) Playing(from Side) (id uint64, is Sent) {
	if w := s.ways[from]; w != nil && w.player != nil && w.player.playing {
		return w.player.play.ID, w.player.sent()
	}
	return 0, Sent{}
}

// skip skips frames that are far too late, and returns their length in samples.
func (p *player) skip(now time.Duration) (behind int) {
	if p.play.Whole && now-p.next > playBehind {
		p.next = now
	}
	for ; now-p.next > playBehind && !p.over(); p.next += p.play.Frame {
		behind, p.at, p.missed = behind+p.size, p.at+p.size, p.missed+1
	}
	return behind
}

// over reports whether the end of the sound is reached.
func (p *player) over() bool { return p.at >= len(p.audio) && !p.play.Loop }

// write writes the frame that is due, behind samples that were skipped, and reports whether it ends the sound. Silence
// fills the last frame.
func (p *player) write(o *stream.Outlet, pkt []byte, behind int, now time.Duration) (frame []byte, over bool) {
	timestamp := o.After(p.size + behind)
	if p.frames == 0 {
		timestamp = o.Moment(audio.Rate, now) + uint32(behind)
	}
	o.Put(pkt, p.play.PayloadType, p.frames == 0, timestamp, p.next)
	frame = pkt[:packet.HeaderLen+p.size]
	over = p.fill(frame[packet.HeaderLen:])
	p.next += p.play.Frame
	p.frames++
	return frame, over
}

// fill copies the next samples of the sound, and reports whether they are the last.
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
	return p.over()
}

func (p *player) due() time.Duration       { return p.next }
func (p *player) plain(time.Duration) bool { return !p.playing }

func (p *player) pauses(time.Duration) turns.Why {
	if p.speaks() {
		return turns.Sound
	}
	return 0
}

func (p *player) silence(moved bool, now time.Duration) {
	switch {
	case !moved:
	case p.playing && p.play.Whole:
		p.restart(now)
	default:
		p.stop()
	}
}

// restart begins a sound again, because the receiver at the new address has not heard it.
func (p *player) restart(now time.Duration) {
	play, before := p.play, p.restarts
	play.From = 0
	p.start(play, now)
	p.restarts = before + 1
	p.way.session.Restarted(p.way.side.Other(), play.ID)
}

// Redirect begins a whole sound in a side's stream again, because the stream goes to another address of its receiver.
// Other sounds go on there, and one that repeats is only to keep the sides apart.
func (s *Stages) Redirect(from Side, now time.Duration) {
	if w := s.ways[from]; w != nil && w.player != nil && w.player.playing && w.player.play.Whole && !w.player.play.Loop {
		w.player.restart(now)
	}
}

func (c Play) apply(w *way, now time.Duration) {
	if w.player == nil {
		w.player = &player{way: w, next: stream.Never}
		w.arrange()
	}
	if !w.player.speaks() && !c.Mix {
		w.out.Begin(w.in, now)
	}
	w.player.start(c, now)
	w.quiet(now) // needed if a mixed sound follows one that replaced speech
}

// Stop ends the sound; the relayed stream continues.
type Stop struct{}

func (Stop) apply(w *way, now time.Duration) {
	if p := w.player; p != nil && p.playing {
		p.stop()
		w.quiet(now)
	}
}

// packet pauses a sound that yields.
func (p *player) packet(is *Packet) Verdict {
	if p.playing && p.play.Yield && !p.way.hold.keeps() && p.way.session.Receives(p.way.side) {
		p.next = is.Now + yieldFor
		if !p.paused {
			p.paused = true
			p.way.quiet(is.Now)
		}
	}
	return Relay
}

// attend sends the due frame. A digit goes first.
func (p *player) attend(now time.Duration) {
	w := p.way
	first := w.speaker(p)
	switch {
	case p.play.Mix:
		p.played(now)
		return
	case p.paused: // nothing came for a while
		p.paused, p.frames = false, 0
		if first == nil {
			w.out.Begin(w.in, now)
		}
		w.both.Changed(now)
	}
	if first != nil {
		p.next, p.frames = first.due(), 0
		return
	}
	behind := p.skip(now)
	if p.over() {
		p.played(now)
		return
	}
	frame, over := p.write(w.out, w.session.Scratch(), behind, now)
	p.count(w.session.Receives(w.side) && w.session.Send(w.side, frame), now)
	if over {
		p.played(now)
	}
}

// count counts a frame that was sent or not.
func (p *player) count(sent bool, now time.Duration) {
	e := p.way.both.edge(p.way.side.Other())
	switch {
	case !sent:
		p.missed++
		return
	case e != nil && e.rests():
		return
	case p.packets == 0:
		p.first = now
	}
	p.packets, p.last = p.packets+1, now
}

// played ends a sound that has reached its end, and reports it.
func (p *player) played(now time.Duration) {
	id, sent := p.play.ID, p.sent()
	p.stop()
	p.way.quiet(now)
	p.way.session.Played(p.way.side.Other(), id, sent)
}
