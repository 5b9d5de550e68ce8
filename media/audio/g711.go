package audio

import (
	"math"
	"math/bits"
)

// The decoders of ITU-T G.711, one entry per code.
//
//nolint:gochecknoglobals // constant tables, never modified
var (
	uLawTable = buildTable(expandULaw)
	aLawTable = buildTable(expandALaw)

	// The nearest codes of the other law (ITU-T G.711 tables 3 and 4), computed from the linear value.
	uLawToALaw = crossTable(&uLawTable, EncodeALaw)
	aLawToULaw = crossTable(&aLawTable, EncodeULaw)
)

const (
	uLawBias = 132   // lifts the smallest magnitude into the first segment
	uLawClip = 32635 // the largest magnitude that stays in range with the bias
	aLawMask = 0x55  // even bits are inverted on the line
)

// DecodeULaw returns the 16-bit linear sample of a G.711 µ-law (PCMU) code, from -32124 to 32124.
func DecodeULaw(code byte) int16 { return uLawTable[code] }

// DecodeALaw returns the 16-bit linear sample of a G.711 A-law (PCMA) code, from -32256 to 32256. A-law has no zero;
// the smallest magnitude is 8.
func DecodeALaw(code byte) int16 { return aLawTable[code] }

// EncodeULaw returns the G.711 µ-law (PCMU) code of a 16-bit linear sample. Magnitudes above 32635 are clipped.
func EncodeULaw(sample int16) byte {
	m, sign := int(sample), byte(0)
	if m < 0 {
		m, sign = -m, 0x80
	}
	m = min(m, uLawClip) + uLawBias
	segment := bits.Len(uint(m)) - 8
	return ^(sign | byte(segment)<<4 | byte(m>>(segment+3))&0x0f)
}

// EncodeALaw returns the G.711 A-law (PCMA) code of a 16-bit linear sample.
func EncodeALaw(sample int16) byte {
	m, sign := int(sample)>>3, byte(0x80)
	if m < 0 {
		m, sign = -m-1, 0
	}
	segment := max(bits.Len(uint(m))-5, 0)
	code := sign | byte(segment)<<4 | byte(m>>max(segment, 1))&0x0f
	return code ^ aLawMask
}

func expandULaw(code byte) int16 {
	code = ^code
	segment := code >> 4 & 7
	m := (int16(code&0x0f)<<3+uLawBias)<<segment - uLawBias
	if code&0x80 != 0 {
		return -m
	}
	return m
}

func expandALaw(code byte) int16 {
	code ^= aLawMask
	m := int16(code&0x0f)<<4 + 8
	if segment := code >> 4 & 7; segment > 0 {
		m = (m + 256) << (segment - 1)
	}
	if code&0x80 == 0 {
		return -m
	}
	return m
}

// Mix mixes others into codes, in place, over their common length. It clips samples that are too loud.
func (l Law) Mix(codes, others []byte) {
	n := min(len(codes), len(others))
	for i, other := range others[:n] {
		if l == ALaw {
			codes[i] = EncodeALaw(sum(aLawTable[codes[i]], aLawTable[other]))
		} else {
			codes[i] = EncodeULaw(sum(uLawTable[codes[i]], uLawTable[other]))
		}
	}
}

func sum(a, b int16) int16 {
	return int16(min(max(int32(a)+int32(b), math.MinInt16), math.MaxInt16))
}

// ToALaw converts PCMU to PCMA, in place.
func ToALaw(codes []byte) { translate(codes, &uLawToALaw) }

// ToULaw converts PCMA to PCMU, in place.
func ToULaw(codes []byte) { translate(codes, &aLawToULaw) }

func translate(codes []byte, table *[256]byte) {
	for i, code := range codes {
		codes[i] = table[code]
	}
}

func crossTable(from *[256]int16, encode func(int16) byte) (t [256]byte) {
	for code, sample := range from {
		t[code] = encode(sample)
	}
	return t
}

func buildTable(expand func(byte) int16) (t [256]int16) {
	for i := range t {
		t[i] = expand(byte(i))
	}
	return t
}
