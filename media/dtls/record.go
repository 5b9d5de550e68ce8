package dtls

import "encoding/binary"

// Records of DTLS 1.2 and 1.0 (RFC 6347 §4.1), as far as is needed to recognise garbage.
const (
	recordLen    = 13
	handshakeLen = 12 // length of a message header (RFC 6347 §4.2.2)

	changeCipherSpec = 20
	handshakeRecord  = 22
	dataRecord       = 23

	// latest is the highest record number that is accepted before encryption; a handshake uses far fewer. After a high
	// number, the library takes all lower ones for repeated.
	latest = 1 << 10
)

// plausible reports whether the records of a datagram may be the peer's. The library aborts a handshake for some
// records that can't be the peer's. RFC 6347 §4.1.2.7 wants these dropped, because anybody can send them.
func plausible(datagram []byte) bool {
	if len(datagram) == 0 {
		return false
	}
	for len(datagram) > 0 {
		if len(datagram) < recordLen || datagram[1] != 0xfe || (datagram[2] != 0xff && datagram[2] != 0xfd) {
			return false
		}
		n := recordLen + int(binary.BigEndian.Uint16(datagram[11:]))
		if n > len(datagram) || !isRecord(datagram[:n]) {
			return false
		}
		datagram = datagram[n:]
	}
	return true
}

// isRecord reports whether a record of the right length may be the peer's. It rejects an unencrypted alert, for
// which the library would end the handshake. RFC 6347 §4.1.2.7 warns against that, because anybody can send such an
// alert.
func isRecord(record []byte) bool {
	epoch, number, body := binary.BigEndian.Uint16(record[3:]), binary.BigEndian.Uint64(record[3:])&(1<<48-1),
		record[recordLen:]
	if epoch > 0 {
		return record[0] >= changeCipherSpec && record[0] <= dataRecord // whether it decrypts, the library decides
	}
	if number >= latest {
		return false
	}
	switch record[0] {
	case changeCipherSpec:
		return len(body) == 1 && body[0] == 1
	case handshakeRecord:
		return isHandshake(body)
	}
	return false
}

// isHandshake reports whether a record contains only complete messages or complete fragments of messages.
func isHandshake(body []byte) bool {
	for len(body) > 0 {
		if len(body) < handshakeLen {
			return false
		}
		length, from, part := uint24(body[1:]), uint24(body[6:]), uint24(body[9:])
		if from+part > length || handshakeLen+part > len(body) {
			return false
		}
		body = body[handshakeLen+part:]
	}
	return true
}

func uint24(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }
