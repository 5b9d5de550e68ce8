package main

import (
	"bytes"
	"encoding/binary"

	"flowbridge/scripts/internal/rtp"
)

const (
	headerSize = 12 // of RTP
	frameSize  = rtp.Size
	silence    = 0xff // in PCMU
	magic      = 0x466c6f77
)

// codeOf returns what a frame of the statement consists of. 0x7f, which is silence, too, would come as silence.
func codeOf(frame int) byte {
	if frame >= 0x7f {
		frame++
	}
	return byte(frame)
}

// toldIn returns the frame of the statement in a packet, or -1.
func toldIn(p []byte) int {
	const codes = frameSize - headerSize
	if len(p) != frameSize || p[headerSize] == silence || bytes.Count(p[headerSize:], p[headerSize:][:1]) < codes {
		return -1
	}
	frame := int(p[headerSize])
	if frame > 0x7f {
		frame--
	}
	return frame
}

// write writes a packet of a call. A word is loud and says its number and when it was sent, in the lower halves of its
// codes: a whole stamp would change how loud it is. The frames of a word differ in level as those of speech do, or
// they would count as noise.
func write(p []byte, call, number int, now int64, loud bool) {
	rtp.Write(p, uint32(call), 0, uint32(number), now)
	payload := p[headerSize:]
	for i := range payload {
		payload[i] = silence
	}
	if !loud {
		return
	}
	stamp := binary.BigEndian.AppendUint32(nil, magic)
	stamp = binary.BigEndian.AppendUint32(stamp, uint32(number))
	stamp = binary.BigEndian.AppendUint64(stamp, uint64(now))
	for i := range payload {
		half := stamp[i/2%len(stamp)] >> (4 * (i % 2)) & 0xf
		payload[i] = byte(i%2<<7|number%3<<4) | half
	}
}

// read returns the number of a word, and when it was sent. ok is false if the packet has no word.
func read(p []byte) (number int, sent int64, ok bool) {
	if len(p) != frameSize {
		return 0, 0, false
	}
	var stamp [16]byte
	for i, code := range p[headerSize : headerSize+2*len(stamp)] {
		stamp[i/2] |= code & 0xf << (4 * (i % 2))
	}
	number = int(binary.BigEndian.Uint32(stamp[4:]))
	return number, int64(binary.BigEndian.Uint64(stamp[8:])), binary.BigEndian.Uint32(stamp[:]) == magic
}
