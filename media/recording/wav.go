package recording

import (
	"encoding/binary"
	"fmt"
	"time"

	"flowbridge/media"
	"flowbridge/media/packet"
)

const (
	wavHeaderSize = 44
	wavMark       = "RIFF"         // begins a file
	sampleSize    = 2              // bytes
	frameSize     = 2 * sampleSize // one sample of each side

	// wavLimit is the largest size that a header can express.
	wavLimit = 1<<32 - 1

	// wavBatch is how many bytes are written at a time: one second.
	wavBatch = sampleRate * frameSize

	// headerEvery is how many bytes are written between updates of the header.
	headerEvery = 5 * wavBatch
)

// wav is a WAV file that is being written: 16-bit PCM at 8 kHz, side A left and side B right.
type wav struct {
	sink     *sink
	line     *timeline
	buf      []byte // its capacity is wavBatch
	samples  []int16
	inHeader int64 // the size that the header states
	failed   error // a write error
	payloads func(media.Side) *Payloads
}

func newWAV(s *sink, payloads func(media.Side) *Payloads) (*wav, error) {
	w := &wav{sink: s, payloads: payloads, inHeader: wavHeaderSize, buf: make([]byte, 0, wavBatch)}
	w.line = &timeline{emit: w.take}
	data := int64(0)
	if s.grows() {
		data = wavLimit // as in a stream, which ends with the file
	}
	_, err := s.Write(wavHeader(2, data))
	return w, err
}

func wavHeader(channels uint16, data int64) []byte {
	le := binary.LittleEndian
	b := append(make([]byte, 0, wavHeaderSize), wavMark...)
	b = le.AppendUint32(b, uint32(min(data+wavHeaderSize-8, wavLimit)))
	b = append(b, "WAVEfmt "...)
	b = le.AppendUint32(b, 16)
	b = le.AppendUint16(b, 1) // PCM
	b = le.AppendUint16(b, channels)
	b = le.AppendUint32(b, sampleRate)
	b = le.AppendUint32(b, sampleRate*sampleSize*uint32(channels))
	b = le.AppendUint16(b, sampleSize*channels)
	b = le.AppendUint16(b, 16)
	b = append(b, "data"...)
	return le.AppendUint32(b, uint32(min(data, wavLimit)))
}

func (w *wav) packet(p tapped) error {
	if p.kind != media.RTP {
		return nil
	}
	switch p.codec {
	case codecOther:
		return fmt.Errorf("side %v: %w", p.side, errCodec(w.payloads(p.side).OtherName))
	case codecULaw, codecALaw:
		w.samples = p.codec.decode(w.samples[:0], packet.Payload(p.data))
		w.line.put(p.side, p.at, binary.BigEndian.Uint32(p.data[8:]), binary.BigEndian.Uint32(p.data[4:]), w.samples)
	case codecSilence:
		w.line.advance(p.at)
	}
	return w.failed
}

// errCodec is the error for a codec that WAV can't hold. Its value is the codec's name.
type errCodec string

func (e errCodec) Error() string {
	return string(e) + " can't be decoded: WAV is for PCMU and PCMA, pcapng for every codec"
}

func (w *wav) message(message) error { return nil }

func (w *wav) tick(now time.Duration) error {
	w.line.advance(now)
	return w.failed
}

func (w *wav) finish(at time.Duration) error {
	w.line.finish(at)
	w.flush()
	return w.failed
}

func (w *wav) take(frames []int16) {
	for len(frames) > 0 {
		had := len(w.buf)
		n := min(len(frames), (wavBatch-had)/sampleSize)
		w.buf = w.buf[:had+n*sampleSize]
		out := w.buf[had:]
		for i, v := range frames[:n] {
			binary.LittleEndian.PutUint16(out[i*sampleSize:], uint16(v))
		}
		if frames = frames[n:]; len(w.buf) == wavBatch {
			w.flush()
		}
	}
}

func (w *wav) flush() {
	if w.failed == nil && len(w.buf) > 0 {
		_, w.failed = w.sink.Write(w.buf)
	}
	w.buf = w.buf[:0]
	if w.failed == nil && !w.sink.grows() && w.sink.size-w.inHeader >= headerEvery {
		w.failed = w.close()
	}
}

// close writes the final sizes into the header, counting whole frames only.
func (w *wav) close() error {
	if w.sink.grows() {
		return nil
	}
	data := (w.sink.size - wavHeaderSize) / frameSize * frameSize
	w.inHeader = w.sink.size
	_, err := w.sink.WriteAt(wavHeader(2, max(data, 0)), 0)
	return err
}
