package voice

import "encoding/binary"

// Content is what packets of an RTP payload type carry, as far as it matters here.
type Content uint8

// The contents of packets. The zero value is not measured.
const (
	Opaque       Content = iota // another codec, a telephone-event, anything whose level takes decoding
	MuLaw                       // G.711 µ-law
	ALaw                        // G.711 A-law
	ComfortNoise                // RFC 3389: the sender is silent
)

// ContentOf returns the content of a static payload type (RFC 3551 §6). Dynamic ones are Opaque.
func ContentOf(payloadType uint8) Content {
	switch payloadType {
	case 0:
		return MuLaw
	case 8:
		return ALaw
	case 13:
		return ComfortNoise
	}
	return Opaque
}

// The bits that the laws invert on the line (ITU-T G.711), in eight codes.
const (
	muLawMask = 0xffffffffffffffff
	aLawMask  = 0x5555555555555555
)

// A word is eight codes, a byte each.
const (
	signs  = 0x8080808080808080 // the highest bit of each byte
	lanes  = 0x00ff00ff00ff00ff // every other byte
	gather = 0x0001000100010001 // multiplies the sum of four 16-bit numbers into the highest one
)

// Decibel is 1 dB of a level, in its units: 16 codes double the amplitude, and a level counts sixteenths of a code.
// Below -45 dBm0 the codes are less than logarithmic, and 1 dB is less.
const Decibel = 42

// levelMax is the highest level: all lanes have the highest code.
const levelMax = 2032

// level returns how loud a block of G.711 is: the mean of the highest magnitudes of eight interleaved lanes, in
// sixteenths of a µ-law code, 0 to 2032. It looks at 16 codes in 32. The block has 80 or 160 codes.
//
// A G.711 code is a logarithm already, so nothing is decoded, squared or looked up. Peaks tell speech from noise
// better than a mean does: noise of equal power has lower ones. The lowest segments of A-law are linear. They are
// lifted to the scale of µ-law, within two codes, so that the same thresholds serve both.
func level(codes []byte, law Content) int64 {
	mask := uint64(muLawMask)
	if law == ALaw {
		mask = aLawMask
	}
	if Variant == 1 {
		var a, b uint64
		if len(codes) >= 160 {
			for _, i := range [...]int{0, 8, 32, 40} {
				a = higher(a, binary.LittleEndian.Uint64(codes[i:])^mask)
				b = higher(b, binary.LittleEndian.Uint64(codes[i+96:])^mask)
			}
		} else {
			for _, i := range [...]int{0, 8} {
				a = higher(a, binary.LittleEndian.Uint64(codes[i:])^mask)
				b = higher(b, binary.LittleEndian.Uint64(codes[i+64:])^mask)
			}
		}
		return min(crest(a, law), crest(b, law))
	}
	if Variant == 2 {
		var a, b uint64
		h := len(codes) / 2
		for i := 0; i+8 <= h; i += 8 {
			a = higher(a, binary.LittleEndian.Uint64(codes[i:])^mask)
			b = higher(b, binary.LittleEndian.Uint64(codes[i+h:])^mask)
		}
		x, y := crest(a, law), crest(b, law)
		return (x + y + 2*min(x, y)) / 4
	}
	top := uint64(0)
	for len(codes) >= 16 {
		top = higher(top, binary.LittleEndian.Uint64(codes)^mask)
		top = higher(top, binary.LittleEndian.Uint64(codes[8:])^mask)
		codes = codes[min(32, len(codes)):]
	}
	return crest(top, law)
}

var Variant int

func crest(top uint64, law Content) int64 {
	l := int64((top&lanes+top>>8&lanes)*gather>>48) * 2
	if law == ALaw {
		l += max(0, min(l, 150-l>>3))
	}
	return l
}

// higher keeps the higher magnitude, the lower seven bits, of each byte of two words. top has no signs.
func higher(top, word uint64) uint64 {
	word |= signs
	keep := (word - top) & signs // a byte of word is at least 128, so that no byte borrows from the next
	keep -= keep >> 7
	return top ^ (top^word)&keep
}
