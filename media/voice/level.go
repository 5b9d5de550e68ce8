package voice

import (
	"encoding/binary"
	"math"
)

// Content is the kind of content of an RTP packet, as far as this package distinguishes it.
type Content uint8

// The kinds of contents of packets.
const (
	Opaque       Content = iota // another codec, whose level can't be known without decoding
	MuLaw                       // G.711 µ-law
	ALaw                        // G.711 A-law
	ComfortNoise                // RFC 3389: the sender is silent
	Keys                        // telephone-events (RFC 4733)
)

// ContentOf returns the content of a static payload type (RFC 3551 §6). A dynamic payload type is Opaque: only the
// negotiation knows which dynamic types are telephone-events.
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

// The bits that the G.711 laws invert on the line (ITU-T G.711), for eight codes.
const (
	muLawMask = 0xffffffffffffffff
	aLawMask  = 0x5555555555555555
)

// A word is eight codes, one per byte.
const (
	signs  = 0x8080808080808080 // the highest bit of each byte
	lanes  = 0x00ff00ff00ff00ff // every other byte
	gather = 0x0001000100010001 // the highest 16 bits of a product are the sum of four numbers
)

// LevelMax is the highest level: every lane has the highest code.
const LevelMax = 127 * 16

// overload is the level in dBm0 of a sine that reaches the highest code (ITU-T G.711, 3.17), plus 3.01 for its peak.
const overload = 3.17 + 3.01

// Decibels converts a level to dBm0. A level is a mean of peaks. It is 2 dB above the active level of speech at -20
// dBm0, 4 dB above it at -30 dBm0, and 7 dB above it at -40 dBm0. Up to a code of 16, about -45 dBm0, codes are
// linear; above that they are logarithmic.
func Decibels(level float64) float64 {
	segment, step := math.Modf(min(max(level, 1), LevelMax) / (16 * 16))
	magnitude := (132+128*step)*math.Exp2(segment) - 132
	return overload + 20*math.Log10(magnitude/32124)
}

// level returns how loud a block of G.711 is: the mean of the highest magnitudes of eight interleaved lanes, in
// sixteenths of a µ-law code, 0 to 2032. The block has 80 or 160 codes; 16 of every 32 codes are used.
//
// A G.711 code is already logarithmic, so there is nothing to decode, square or look up. Peaks distinguish speech
// from noise better than a mean does: noise of equal power has lower peaks. The lowest segments of A-law are linear.
// They are converted to the scale of µ-law, within two codes, so that one set of thresholds serves both laws.
func level(codes []byte, law Content) int64 {
	mask := uint64(muLawMask)
	if law == ALaw {
		mask = aLawMask
	}
	top := uint64(0)
	for len(codes) >= 16 {
		top = higher(top, binary.LittleEndian.Uint64(codes)^mask)
		top = higher(top, binary.LittleEndian.Uint64(codes[8:])^mask)
		codes = codes[min(32, len(codes)):]
	}
	l := int64((top&lanes+top>>8&lanes)*gather>>48) * 2
	if law == ALaw {
		l += max(0, min(l, 150-l/8))
	}
	return l
}

// higher keeps, for each byte of two words, the higher magnitude (the lower seven bits). The sign bits of top must be
// 0.
func higher(top, word uint64) uint64 {
	word |= signs
	keep := (word - top) & signs // a byte of word is at least 128, so none borrows from its neighbour
	keep -= keep >> 7
	return top ^ (top^word)&keep
}
