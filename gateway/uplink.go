package gateway

import "time"

// maxHeld is how many packets wait for a missing one before its place is filled with silence.
const maxHeld = 3

// maxGap bounds the silence that fills one gap, and how far the bot's audio may be ahead of the time that has elapsed,
// because gaps are what the caller's timestamps say. In bytes: a second.
const maxGap = perSecond

// uplink makes frames of 20 ms out of the caller's RTP. Packets that come in the wrong order are put right, and gaps
// are filled with silence. It is a value without I/O.
type uplink struct {
	started bool
	ssrc    uint32
	next    uint16 // sequence number of the next packet
	stamp   uint32 // its timestamp, if no packet is missing
	filled  int    // bytes of silence since the last packet
	ahead   int    // bytes given to the bot beyond the time that has elapsed, at most maxGap and a packet
	now     time.Time
	held    []heldPacket
	part    []byte // the beginning of a frame
}

type heldPacket struct {
	seq     uint16
	stamp   uint32
	payload []byte
}

// elapse tells the time.
func (u *uplink) elapse(now time.Time) {
	if !u.now.IsZero() {
		elapsed := min(now.Sub(u.now), time.Second) * perSecond / time.Second
		u.ahead = max(0, u.ahead-int(elapsed))
	}
	u.now = now
}

// push takes the audio of a packet, and calls emit for each frame that is complete. The frame is valid only in emit.
func (u *uplink) push(ssrc uint32, seq uint16, stamp uint32, payload []byte, emit func([]byte)) {
	ahead := int16(seq - u.next)
	if !u.started || ssrc != u.ssrc || ahead < -100 || ahead > 100 {
		u.started, u.ssrc, u.next, u.stamp, u.held = true, ssrc, seq, stamp, nil
		ahead = 0
	}
	switch {
	case ahead < 0: // late, or twice
		return
	case ahead > 0:
		u.hold(heldPacket{seq, stamp, append([]byte(nil), payload...)})
		if len(u.held) <= maxHeld {
			return
		}
	default:
		u.take(heldPacket{seq, stamp, payload}, emit)
	}
	for len(u.held) > 0 && (u.held[0].seq == u.next || len(u.held) > maxHeld) {
		first := u.held[0]
		u.held = u.held[1:]
		u.take(first, emit)
	}
}

// hold keeps a packet in order of its number.
func (u *uplink) hold(p heldPacket) {
	i := 0
	for ; i < len(u.held) && int16(u.held[i].seq-p.seq) < 0; i++ {
	}
	if i < len(u.held) && u.held[i].seq == p.seq {
		return
	}
	u.held = append(u.held, heldPacket{})
	copy(u.held[i+1:], u.held[i:])
	u.held[i] = p
}

func (u *uplink) take(p heldPacket, emit func([]byte)) {
	if gap := int(int32(p.stamp-u.stamp)) - u.filled; gap > 0 && gap <= maxGap-u.ahead {
		u.silence(gap, emit)
	}
	u.next, u.stamp, u.filled = p.seq+1, p.stamp+uint32(len(p.payload)), 0
	u.add(p.payload, emit)
}

// skip counts a packet of the stream that has no audio, such as an event's.
func (u *uplink) skip(ssrc uint32, seq uint16) {
	if u.started && ssrc == u.ssrc && seq == u.next {
		u.next++
	}
}

// fill emits n bytes of silence because no packet has come for so long.
func (u *uplink) fill(n int, emit func([]byte)) {
	u.filled += n
	u.silence(n, emit)
}

func (u *uplink) silence(n int, emit func([]byte)) {
	var quiet [frameSize]byte
	for i := range quiet {
		quiet[i] = silentByte
	}
	for ; n > 0; n -= frameSize {
		u.add(quiet[:min(n, frameSize)], emit)
	}
}

func (u *uplink) add(audio []byte, emit func([]byte)) {
	u.ahead = min(u.ahead+len(audio), maxGap)
	if len(u.part) == 0 && len(audio) == frameSize {
		emit(audio)
		return
	}
	u.part = append(u.part, audio...)
	for len(u.part) >= frameSize {
		emit(u.part[:frameSize])
		u.part = append(u.part[:0], u.part[frameSize:]...)
	}
}
