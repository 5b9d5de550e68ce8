package media

import (
	"encoding/binary"
	"time"

	"flowbridge/audio"
)

const (
	playFrame    = 20 * time.Millisecond // between packets, unless Play says other
	playShortest = 10 * time.Millisecond
	playLongest  = 60 * time.Millisecond

	// yieldFor is how long the other side has to be silent before a sound that has
	// yielded to it goes on. Speech has packets every 20 to 60 ms.
	yieldFor = 400 * time.Millisecond

	// playBehind is how late a frame may be sent. What is later is left out, as
	// the receiver has played something else by then.
	playBehind = 60 * time.Millisecond
)

// Play is what Session.Play does.
type Play struct {
	Sound       *audio.Sound
	Law         audio.Law
	PayloadType uint8         // of Law, as the side wants it
	Frame       time.Duration // of a packet: a multiple of 10 ms up to 60 ms; 0 means 20 ms
	Loop        bool          // again and again, until StopPlay

	// Mix adds it to the packets of PayloadType that are relayed meanwhile, instead
	// of taking their place: where none are, nothing is heard.
	Mix bool

	// Yield has it pause while RTP of the other side could be relayed, and for
	// 400 ms after the last of it. Otherwise that is dropped as long as it lasts.
	Yield bool

	// ID comes back in EventPlayed.
	ID uint64
}

// player puts a sound into the stream towards a side, a frame at a time on a
// steady clock. It is a value without clock or I/O, owned by the worker.
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

// start begins a sound at now.
func (p *player) start(play Play, now time.Duration) {
	if play.Frame == 0 {
		play.Frame = playFrame
	}
	*p = player{play: play, audio: play.Sound.In(play.Law), size: int(play.Frame / time.Millisecond * audio.Rate / 1000), next: now, playing: true}
	if play.Mix { // it ends in time, whether there is anything to be mixed with or not
		if p.next = never; !play.Loop {
			p.next = now + play.Sound.Duration()
		}
	}
}

// speaks says whether the sound takes the place of what is relayed.
func (p *player) speaks() bool { return p.playing && !p.play.Mix && !p.paused }

// mix adds the sound to a packet that is being relayed.
func (p *player) mix(pkt []byte) {
	if !p.play.Mix || pkt[1]&0x7f != p.play.PayloadType {
		return
	}
	payload := rtpPayload(pkt)
	p.play.Law.Mix(payload, p.audio[p.at:])
	p.at += min(len(payload), len(p.audio)-p.at)
	if p.at == len(p.audio) && p.play.Loop {
		p.at = 0
	}
}

// stop ends it.
func (p *player) stop() { *p = player{next: never} }

// playPacket is an RTP packet with the longest frame, for G.711.
type playPacket [rtpHeaderLen + int(playLongest/time.Millisecond)*audio.Rate/1000]byte

// write writes the frame that is due, and says whether the sound is over with it.
// The last frame is filled up with silence. Frames for which it is far too late
// are left out.
func (p *player) write(o *outlet, pkt *playPacket, now time.Duration) (frame []byte, over bool) {
	if p.frames == 0 {
		o.timestamp = o.moment(audio.Rate, now)
	} else {
		o.timestamp += uint32(p.size)
	}
	for ; now-p.next > playBehind; p.next += p.play.Frame {
		p.at += p.size
		o.timestamp += uint32(p.size)
	}
	o.seq++
	o.at = p.next
	pkt[0], pkt[1] = 0x80, p.play.PayloadType
	if p.frames == 0 {
		pkt[1] |= 0x80 // RFC 3551 §4.1: a talkspurt begins
	}
	binary.BigEndian.PutUint16(pkt[2:], o.seq)
	binary.BigEndian.PutUint32(pkt[4:], o.timestamp)
	binary.BigEndian.PutUint32(pkt[8:], o.ssrc)
	frame = pkt[:rtpHeaderLen+p.size]
	over = p.fill(frame[rtpHeaderLen:])
	p.next += p.play.Frame
	p.frames++
	return frame, over
}

// fill takes the next samples of the sound, and says whether they are the last.
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
