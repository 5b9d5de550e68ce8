package recording

import (
	"time"

	"flowbridge/media"
)

// sampleRate is the sample rate of WAV and G.711, in Hz.
const sampleRate = 8000

const (
	// reach is how far from the present a packet may be placed, in frames: one second, in both directions.
	reach = sampleRate

	// span is how many frames are held: a power of two greater than twice reach.
	span = 16384

	// jumpFrames is how far a timestamp may lag behind the present before it counts as reset: networks do not delay
	// speech by ten seconds.
	jumpFrames = 10 * sampleRate

	// driftEvery is how often a side's delay is checked. If the delay deviates by driftFrames (60 ms) or more, in either
	// direction, it is corrected.
	driftEvery  = 5 * time.Second
	driftFrames = sampleRate * 60 / 1000

	// lateLimit is how long all of a side's packets may come too late before its place is determined again.
	lateLimit = 500 * time.Millisecond
)

// timeline aligns the speech of both sides on one time axis, as frames with one sample of each side. A packet's RTP
// timestamp decides its place. At the start of a stream, its timestamps are tied to the arrival times. So jitter and
// reordering disappear, and a pause keeps its length. timeline is a value without clock or I/O; times count from the
// start of the recording.
type timeline struct {
	emit   func(frames []int16) // receives the settled frames, with samples of A and B alternating
	done   int64                // emitted frames
	frames [2 * span]int16      // frames not emitted yet, by frame modulo span
	tracks [2]track
}

type track struct {
	tied      bool
	ssrc      uint32
	timestamp uint32 // of the frame at place
	place     int64
	end       int64 // the frame after the last one put

	lateSince time.Duration // since when all packets have come too late; 0 if they have not
	least     int64         // the smallest delay since watched, in frames
	watched   time.Duration // 0 if not started
}

func frameAt(at time.Duration) int64 {
	return int64(max(at, 0)) * sampleRate / int64(time.Second)
}

// put places the samples of a packet that arrived at the given time.
func (l *timeline) put(side media.Side, at time.Duration, ssrc, timestamp uint32, samples []int16) {
	l.advance(at)
	t, now := &l.tracks[side], frameAt(at)
	place := t.place + int64(int32(timestamp-t.timestamp)) // modulo 2^32 on purpose
	switch late := now - place; {
	case !t.tied || t.ssrc != ssrc || late > jumpFrames || place+int64(len(samples)) > now+reach:
		place = t.tie(at)
	case place+int64(len(samples)) <= l.done:
		if t.lateSince == 0 {
			t.lateSince = at
		}
		if at-t.lateSince < lateLimit {
			return
		}
		place = t.tie(at)
	default:
		place += t.drift(at, late)
	}
	t.tied, t.ssrc, t.timestamp, t.place, t.lateSince = true, ssrc, timestamp, place, 0
	for i, sample := range samples {
		if f := place + int64(i); f >= l.done && f < l.done+span {
			l.frames[2*(f%span)+int64(side)] = sample
		}
	}
	t.end = max(t.end, place+int64(len(samples)))
}

// tie returns the place of a packet that arrives at the given time, after the side's earlier speech.
func (t *track) tie(at time.Duration) int64 {
	t.watched = 0
	place := frameAt(at)
	if t.end < place+reach/2 {
		place = max(place, t.end)
	}
	return place
}

// drift returns how far to move the side's place. The sender's clock differs from ours, and the packet that tied the
// stream may have been delayed. drift looks at the packets with the smallest delay.
func (t *track) drift(at time.Duration, late int64) (by int64) {
	if t.watched == 0 {
		t.watched, t.least = at, late
	}
	t.least = min(t.least, late)
	if at-t.watched < driftEvery {
		return 0
	}
	by = t.least
	if by > -driftFrames && by < driftFrames {
		by = 0
	}
	t.watched = 0
	return by
}

// advance emits frames that can't change any more at the given time.
func (l *timeline) advance(at time.Duration) { l.settle(frameAt(at) - reach) }

// finish emits everything up to the given time, or up to the last frame if that is later.
func (l *timeline) finish(at time.Duration) {
	l.settle(max(frameAt(at), l.tracks[media.SideA].end, l.tracks[media.SideB].end))
}

func (l *timeline) settle(before int64) {
	for l.done < before {
		from := l.done % span
		n := min(before-l.done, span-from)
		part := l.frames[2*from : 2*(from+n)]
		l.emit(part)
		clear(part)
		l.done += n
	}
}
