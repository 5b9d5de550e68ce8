package recording

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"sync"
	"time"

	"flowbridge/media"
)

const (
	// listenEvery is how often a listener is sent what was said.
	listenEvery = 100 * time.Millisecond

	// listenDelay is how far a listener is behind the call. A packet may be late by the part above listenEvery.
	listenDelay = 300 * time.Millisecond

	// listenLag is how far a listener may lag behind. The ring holds as much.
	listenLag = 5 * time.Second
)

// errSlow ends a listener that lags too far behind.
var errSlow = errors.New("the listener reads too slowly")

// Listener is somebody who hears a live call as a stream of WAV. It is a media.Tap beside the recorder's. The ring is
// emptied by the goroutine that runs Stream, so a slow listener delays no other one, and no file.
type Listener struct {
	intake

	sides []media.Side // constant: the channels of the WAV
	ended chan struct{}

	mu    sync.Mutex // guards the fields below
	endAt time.Time
	why   error // why it has ended; nil if it has not
}

// NewListener returns a listener that hears these sides, each as a channel. No packet comes before it is a tap.
func NewListener(sides ...media.Side) *Listener {
	l := &Listener{
		intake: intake{began: time.Now(), ring: newRing(ringSize)},
		sides:  sides, ended: make(chan struct{}),
	}
	for side := range l.payloads {
		l.payloads[side].Store(&Payloads{})
	}
	return l
}

// Hear says what the sides' payload types carry. The error names a codec that can't be decoded.
func (l *Listener) Hear(all [2]Payloads) error {
	for _, side := range l.sides {
		if p := &all[side]; !p.decodable() {
			return errCodec(p.OtherName)
		}
	}
	for side, p := range all {
		l.SetPayloads(media.Side(side), p)
	}
	return nil
}

// End ends the stream. Only the first reason counts.
func (l *Listener) End(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == nil {
		l.why, l.endAt = why, time.Now()
		l.over.Store(true)
		close(l.ended)
	}
}

// Ended returns when and why the stream has ended. The reason is nil if it has not.
func (l *Listener) Ended() (at time.Time, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.endAt, l.why
}

// Stream writes WAV to the listener until End is called or a write fails, which ends the listener. The sizes in the
// header are the largest ones, because the end is not known.
func (l *Listener) Stream(to io.Writer) {
	w := &wav{
		buf:      make([]byte, 0, wavBatch),
		sink:     &sink{medium: channels{to, l.sides}, limit: math.MaxInt64},
		inHeader: math.MaxInt64, // never updated
		payloads: func(s media.Side) *Payloads { return l.payloads[s].Load() },
	}
	w.line = &timeline{emit: w.take}
	_, w.failed = to.Write(wavHeader(uint16(len(l.sides)), wavLimit))
	tick := time.NewTicker(listenEvery)
	defer tick.Stop()
	for over := false; !over; {
		until := time.Since(l.began)
		if over = l.over.Load(); !over { // before the ring is emptied for the last time
			until -= listenDelay
		}
		if l.dropped.Load() > 0 || frameAt(until)-w.line.done > frameAt(listenLag) {
			l.End(errSlow)
			return
		}
		err := l.drain(w)
		w.line.settle(frameAt(until))
		w.flush()
		if err = errors.Join(err, w.failed); err != nil {
			l.End(err)
			return
		}
		select {
		case <-tick.C:
		case <-l.ended:
		}
	}
}

// drain takes everything out of the ring.
func (l *Listener) drain(w *wav) error {
	for {
		p, ok := l.ring.get()
		if !ok {
			return nil
		}
		var err error
		for _, side := range l.sides {
			if p.side == side {
				err = w.packet(p)
			}
		}
		if l.ring.drop(); err != nil {
			return err
		}
	}
}

// channels is the medium of a WAV that is streamed to a listener. It writes only the channels of the sides that the
// listener wants. What was sent can't be changed, so WriteAt and Truncate do nothing.
type channels struct {
	io.Writer

	sides []media.Side
}

// Write writes whole frames.
func (c channels) Write(frames []byte) (int, error) {
	if len(c.sides) == 2 {
		return c.Writer.Write(frames)
	}
	var one []byte
	for ; len(frames) >= frameSize; frames = frames[frameSize:] {
		one = binary.LittleEndian.AppendUint16(one, binary.LittleEndian.Uint16(frames[sampleSize*c.sides[0]:]))
	}
	return c.Writer.Write(one)
}

func (channels) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }
func (channels) Truncate(int64) error                   { return nil }
func (channels) Close() error                           { return nil }
