package sim

import "flowbridge/media/audio"

const (
	payloadPCMU  = 0
	payloadPCMA  = 8
	payloadEvent = 101 // offered for telephone-event
)

// codec is one of the two variants of G.711.
type codec struct {
	name    string
	payload uint8
	silence byte
	encode  func(int16) byte
	decode  func(byte) int16
}

func codecFor(payload uint8) (codec, bool) {
	switch payload {
	case payloadPCMU:
		return codec{"PCMU", payload, 0xff, audio.EncodeULaw, audio.DecodeULaw}, true
	case payloadPCMA:
		return codec{"PCMA", payload, 0xd5, audio.EncodeALaw, audio.DecodeALaw}, true
	}
	return codec{}, false
}

func (c codec) encodeAll(pcm []int16) []byte { return each(pcm, c.encode) }

func (c codec) decodeAll(b []byte) []int16 { return each(b, c.decode) }

func each[From, To any](in []From, f func(From) To) []To {
	out := make([]To, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}

func recode(b []byte, from, to codec) []byte {
	if from.payload == to.payload {
		return b
	}
	return to.encodeAll(from.decodeAll(b))
}
