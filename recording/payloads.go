package recording

import (
	"flowbridge/audio"
	"flowbridge/media"
)

// Payloads say what the RTP payload types of a side hold. What is in none of the
// sets (comfort noise, telephone-events) is silence in WAV.
type Payloads struct {
	ULaw, ALaw media.PayloadSet // G.711, at 8 kHz
	Other      media.PayloadSet // speech that can't be decoded here
	OtherName  string           // of its codec, for the reason why there is no WAV
}

// codec is what a packet holds.
type codec uint8

const (
	codecSilence codec = iota
	codecULaw
	codecALaw
	codecOther
)

// codec is what packets of a payload type hold.
func (p *Payloads) codec(payloadType uint8) codec {
	switch {
	case p.ULaw.Has(payloadType):
		return codecULaw
	case p.ALaw.Has(payloadType):
		return codecALaw
	case p.Other.Has(payloadType):
		return codecOther
	default:
		return codecSilence
	}
}

// decodable reports whether the side may say something that WAV can hold, or
// nothing at all.
func (p *Payloads) decodable() bool {
	return p.ULaw != media.PayloadSet{} || p.ALaw != media.PayloadSet{} || p.Other == media.PayloadSet{}
}

// decode appends the samples of G.711.
func (c codec) decode(out []int16, payload []byte) []int16 {
	table := audio.DecodeULaw
	if c == codecALaw {
		table = audio.DecodeALaw
	}
	for _, b := range payload {
		out = append(out, table(b))
	}
	return out
}
