package recording

import (
	"encoding/binary"
	"time"
)

// The blocks of a pcapng capture (draft-ietf-opsawg-pcapng, section 4). No library is used, because it would bring
// tables of 5 MB, which the garbage collector would scan in every cycle.
const (
	sectionHeader  = 0x0a0d0d0a
	interfaceBlock = 1
	packetBlock    = 6
	blockFrame     = 12 // the type, and the length at both ends

	linkTypeRaw = 101 // an IP packet without a link-layer header
)

// AppendCaptureHead appends the start of a capture: a section, and an interface whose packets are IP packets with
// times in nanoseconds.
func AppendCaptureHead(b []byte) []byte {
	from := len(b)
	b = beginBlock(b, sectionHeader)
	b = binary.LittleEndian.AppendUint32(b, 0x1a2b3c4d) // byte-order magic
	b = binary.LittleEndian.AppendUint32(b, 1)          // version 1.0
	b = binary.LittleEndian.AppendUint64(b, ^uint64(0)) // section length unspecified
	b = appendOption(b, 4, "Flowbridge")                // shb_userappl
	b = endBlock(appendOption(b, 0, ""), from)          // opt_endofopt
	from = len(b)
	b = beginBlock(b, interfaceBlock)
	b = binary.LittleEndian.AppendUint32(b, linkTypeRaw)
	b = binary.LittleEndian.AppendUint32(b, 0)              // no limit on packet length
	b = appendOption(appendOption(b, 2, "call"), 9, "\x09") // if_name, if_tsresol
	return endBlock(appendOption(b, 0, ""), from)
}

// AppendPacket appends a packet to a capture.
func AppendPacket(b []byte, at time.Time, packet []byte) []byte {
	from := len(b)
	nanoseconds := uint64(at.UnixNano()) //nolint:forbidigo // the format's timestamp; it is not compared
	b = beginBlock(b, packetBlock)
	b = binary.LittleEndian.AppendUint32(b, 0) // the interface
	b = binary.LittleEndian.AppendUint32(b, uint32(nanoseconds>>32))
	b = binary.LittleEndian.AppendUint32(b, uint32(nanoseconds))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(packet)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(packet))) // original length: not truncated
	return endBlock(append(b, packet...), from)
}

func beginBlock(b []byte, kind uint32) []byte {
	return append(binary.LittleEndian.AppendUint32(b, kind), 0, 0, 0, 0)
}

// endBlock pads a block to four bytes, and writes its length.
func endBlock(b []byte, from int) []byte {
	b = pad(b, from)
	size := uint32(len(b) - from + 4)
	binary.LittleEndian.PutUint32(b[from+4:], size)
	return binary.LittleEndian.AppendUint32(b, size)
}

func appendOption(b []byte, code uint16, value string) []byte {
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	from := len(b)
	return pad(append(b, value...), from)
}

// pad pads to a multiple of four bytes.
func pad(b []byte, from int) []byte { return append(b, "\x00\x00\x00"[:-(len(b)-from)&3]...) }
