package ice

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the integrity of STUN (RFC 8489 §14.5)
	"encoding/binary"
	"hash"
	"hash/crc32"
	"net/netip"
)

const (
	headerLen      = 20
	cookie         = 0x2112a442 // RFC 8489 §5
	idLen          = 12
	integrityLen   = 4 + sha1.Size
	fingerprintLen = 4 + 4
	printMask      = 0x5354554e // RFC 8489 §14.7
)

// kind is a method with its class (RFC 8489 §5). ICE has only one method.
type kind uint16

const (
	request    kind = 0x0001
	indication kind = 0x0011
	success    kind = 0x0101
	failure    kind = 0x0111
)

// The attributes that ICE uses (RFC 8489 §18.3, RFC 8445 §16.1).
const (
	attrUsername     = 0x0006
	attrIntegrity    = 0x0008
	attrErrorCode    = 0x0009
	attrMapped       = 0x0020 // XOR-MAPPED-ADDRESS
	attrPriority     = 0x0024
	attrUseCandidate = 0x0025
	attrOptional     = 0x8000 // attributes from here on may be ignored
	attrFingerprint  = 0x8028
	attrControlled   = 0x8029
	attrControlling  = 0x802a
)

// message is a STUN message. Its slices are parts of the datagram.
type message struct {
	raw         []byte
	kind        kind
	username    []byte
	integrity   int // offset of MESSAGE-INTEGRITY; 0 if there is none
	fingerprint int // offset of FINGERPRINT; 0 if there is none
	code        int // of an error

	use, controlled, controlling bool
	unknown                      bool // an attribute that must be understood is not known
}

// IsMessage reports whether a datagram on an RTP port is meant for STUN (RFC 7983 §7).
func IsMessage(datagram []byte) bool { return len(datagram) > 0 && datagram[0] < 4 }

// read reads a message. Attributes behind MESSAGE-INTEGRITY are not protected by it, and ignored (RFC 8489 §14.5).
func read(raw []byte) (m message, ok bool) {
	if !IsMessage(raw) || len(raw) < headerLen || len(raw)%4 != 0 ||
		len(raw)-headerLen != int(binary.BigEndian.Uint16(raw[2:])) || binary.BigEndian.Uint32(raw[4:]) != cookie {
		return m, false
	}
	m.raw, m.kind = raw, kind(binary.BigEndian.Uint16(raw))
	for at := headerLen; at < len(raw); {
		name, n := binary.BigEndian.Uint16(raw[at:]), int(binary.BigEndian.Uint16(raw[at+2:]))
		if n > len(raw)-at-4 || m.fingerprint > 0 { // FINGERPRINT comes last (RFC 8489 §14.7)
			return m, false
		}
		if !m.addAttribute(name, raw[at+4:at+4+n], at) {
			return m, false
		}
		at += 4 + (n+3)&^3
	}
	return m, true
}

// addAttribute stores an attribute that ICE uses. It returns false if the attribute has a wrong form.
func (m *message) addAttribute(name uint16, value []byte, at int) bool {
	switch {
	case name == attrFingerprint:
		m.fingerprint = at
		return len(value) == 4
	case m.integrity > 0:
		return true
	}
	switch name {
	case attrIntegrity:
		m.integrity = at
		return len(value) == sha1.Size
	case attrUsername:
		if m.username == nil { // only the first one counts (RFC 8489 §14)
			m.username = value
		}
	case attrErrorCode:
		if len(value) < 4 {
			return false
		}
		m.code = int(value[2]&7)*100 + int(value[3])
	case attrUseCandidate:
		m.use = true
	case attrControlled:
		m.controlled = true
		return len(value) == 8
	case attrControlling:
		m.controlling = true
		return len(value) == 8
	case attrMapped, attrPriority:
	default:
		m.unknown = m.unknown || name < attrOptional
	}
	return true
}

func (m *message) id() []byte { return m.raw[8:headerLen] }

// isPrinted reports whether FINGERPRINT is there and right.
func (m *message) isPrinted() bool {
	return m.fingerprint > 0 &&
		binary.BigEndian.Uint32(m.raw[m.fingerprint+4:]) == crc32.ChecksumIEEE(m.raw[:m.fingerprint])^printMask
}

// isSignedBy reports whether MESSAGE-INTEGRITY is there and right. Its length counts to its own end.
func (m *message) isSignedBy(k *key) bool {
	if m.integrity == 0 {
		return false
	}
	length := binary.BigEndian.Uint16(m.raw[2:])
	setLength(m.raw, m.integrity+integrityLen)
	ok := hmac.Equal(k.sign(m.raw[:m.integrity]), m.raw[m.integrity+4:m.integrity+integrityLen])
	binary.BigEndian.PutUint16(m.raw[2:], length)
	return ok
}

// key is the key of a password, which is used for each check.
type key struct {
	mac hash.Hash
	sum [sha1.Size]byte
}

func newKey(password string) *key { return &key{mac: hmac.New(sha1.New, []byte(password))} }

func (k *key) sign(text []byte) []byte {
	k.mac.Reset()
	_, _ = k.mac.Write(text) // never fails (hash.Hash)
	return k.mac.Sum(k.sum[:0])
}

// begin begins a message in room.
func begin(room []byte, of kind, id []byte) []byte {
	b := binary.BigEndian.AppendUint16(room[:0], uint16(of))
	b = binary.BigEndian.AppendUint32(append(b, 0, 0), cookie)
	return append(b, id...)
}

func appendAttribute[T []byte | string](b []byte, name uint16, value T) []byte {
	b = binary.BigEndian.AppendUint16(b, name)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	b = append(b, value...)
	return append(b, 0, 0, 0)[:(len(b)+3)&^3]
}

// appendMapped appends XOR-MAPPED-ADDRESS (RFC 8489 §14.2) to a message that has its header.
func appendMapped(b []byte, a netip.AddrPort) []byte {
	length, family := uint16(8), byte(1)
	if a.Addr().Is6() {
		length, family = 20, 2
	}
	b = binary.BigEndian.AppendUint16(b, attrMapped)
	b = append(binary.BigEndian.AppendUint16(b, length), 0, family)
	b = binary.BigEndian.AppendUint16(b, a.Port()^cookie>>16)
	begin := len(b)
	if a.Addr().Is4() {
		ip := a.Addr().As4()
		b = append(b, ip[:]...)
	} else {
		ip := a.Addr().As16()
		b = append(b, ip[:]...)
	}
	for i := range b[begin:] {
		b[begin+i] ^= b[4+i] // the cookie, and then the identifier
	}
	return b
}

// finish signs a message and appends its fingerprint.
func finish(b []byte, k *key) []byte {
	setLength(b, len(b)+integrityLen)
	b = appendAttribute(b, attrIntegrity, k.sign(b))
	setLength(b, len(b)+fingerprintLen)
	b = append(b, attrFingerprint>>8, attrFingerprint&0xff, 0, 4)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[:len(b)-4])^printMask)
}

// setLength sets the length of a message that ends at the offset end.
func setLength(b []byte, end int) { binary.BigEndian.PutUint16(b[2:], uint16(end-headerLen)) }
