package stage

import (
	"errors"
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/opus"
	"flowbridge/media/packet"
	"flowbridge/media/voice"
)

// opusEar decodes the Opus of a side that passes the session unchanged, so that an ear can hear it. It decodes packets
// as they arrive: an error after a lost packet is over within some 10 ms.
type opusEar struct {
	takes   packet.PayloadSet
	decoder *opus.Decoder
	broken  bool // the decoder has failed
	budget  budget

	begun         bool
	ssrc          uint32
	base8, base48 uint32 // timestamps of the last packet, in the two clocks

	samples [opus.Longest]int16
	codes   [opus.Longest]byte
}

// newOpusEar returns an opusEar for packets with these payload types.
func newOpusEar(takes packet.PayloadSet) (*opusEar, error) {
	decoder, err := opus.NewDecoder()
	if err != nil {
		return nil, err
	}
	return &opusEar{takes: takes, decoder: decoder}, nil
}

// decode has the ear decode packets with these payload types, or none. It uses fresh if it decodes none so far.
func (e *ear) decode(takes packet.PayloadSet, fresh *opusEar) {
	switch {
	case takes == (packet.PayloadSet{}):
		e.opus = nil
	case e.opus == nil:
		e.opus = fresh
	default:
		e.opus.takes = takes
	}
}

// earPiece is the longest packet that a detector judges: 60 ms, in samples.
const earPiece = opus.Longest / 2

// hear decodes a packet of Opus and gives it to the ear as G.711. A packet that can't be decoded is left out, as if it
// were lost. hear returns false if the decoder has failed.
func (o *opusEar) hear(p voice.Packet, e *ear) bool {
	n := opus.Samples(p.Payload)
	first := !o.begun || p.SSRC != o.ssrc
	if o.broken || n == 0 || !o.budget.affords(n, first, p.Arrival) {
		return !o.broken
	}
	if first {
		o.begun, o.ssrc, o.base8, o.base48 = true, p.SSRC, p.Timestamp/opus.Scale, p.Timestamp
		o.broken = o.decoder.Reset() != nil
	}
	n, err := o.decoder.Decode(p.Payload, o.samples[:])
	if o.broken = o.broken || errors.Is(err, opus.ErrBroken); err != nil {
		return !o.broken
	}
	// 32 bits at 48 kHz last for a day, so their start is kept; modulo 2^32
	o.base8, o.base48 = o.base8+uint32(int32(p.Timestamp-o.base48)/opus.Scale), p.Timestamp
	audio.ULaw.Encode(o.codes[:n], o.samples[:n])
	for at := 0; at < n; at += earPiece {
		end := min(at+earPiece, n)
		e.hear(voice.Packet{
			Arrival: p.Arrival - time.Duration(n-end)*time.Second/opus.Rate,
			SSRC:    p.SSRC, Timestamp: o.base8 + uint32(at), Content: voice.MuLaw, Payload: o.codes[at:end],
		})
	}
	return true
}
