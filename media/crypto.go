package media

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pion/srtp/v3"
)

// errKeys reports keys of an unknown suite or of the wrong length, or an MKI longer than 128 bytes.
var errKeys = errors.New("not keys of a known SRTP suite")

// maxMKI is the length of the longest master key identifier (RFC 4568 §9.2).
const maxMKI = 128

// Suite is an SRTP crypto suite. The zero value is no suite.
type Suite uint8

// The SRTP suites, with their names in RFC 4568, RFC 6188 and RFC 7714.
const (
	SuiteAESCM128SHA80 Suite = iota + 1 // AES_CM_128_HMAC_SHA1_80
	SuiteAESCM128SHA32                  // AES_CM_128_HMAC_SHA1_32
	suiteAES256CMSHA80                  // AES_256_CM_HMAC_SHA1_80
	SuiteAES256CMSHA32                  // AES_256_CM_HMAC_SHA1_32
	SuiteAEADAES128GCM                  // AEAD_AES_128_GCM
	SuiteAEADAES256GCM                  // AEAD_AES_256_GCM
)

// suiteData holds the parameters of a suite. Lengths are in bytes.
type suiteData struct {
	name      string
	profile   srtp.ProtectionProfile
	key, salt int
	tag       int  // length of the tag of an SRTP packet
	tagRTCP   int  // length of the tag of an SRTCP packet
	aead      bool // the tag is part of the ciphertext
}

// suites is indexed by Suite. The SHA1_32 suites use the short tag for RTP only (RFC 4568 §6.2.2).
var suites = [...]suiteData{
	{name: "none"},
	SuiteAESCM128SHA80: {"AES_CM_128_HMAC_SHA1_80", srtp.ProtectionProfileAes128CmHmacSha1_80, 16, 14, 10, 10, false},
	SuiteAESCM128SHA32: {"AES_CM_128_HMAC_SHA1_32", srtp.ProtectionProfileAes128CmHmacSha1_32, 16, 14, 4, 10, false},
	suiteAES256CMSHA80: {"AES_256_CM_HMAC_SHA1_80", srtp.ProtectionProfileAes256CmHmacSha1_80, 32, 14, 10, 10, false},
	SuiteAES256CMSHA32: {"AES_256_CM_HMAC_SHA1_32", srtp.ProtectionProfileAes256CmHmacSha1_32, 32, 14, 4, 10, false},
	SuiteAEADAES128GCM: {"AEAD_AES_128_GCM", srtp.ProtectionProfileAeadAes128Gcm, 16, 12, 16, 16, true},
	SuiteAEADAES256GCM: {"AEAD_AES_256_GCM", srtp.ProtectionProfileAeadAes256Gcm, 32, 12, 16, 16, true},
}

// ParseSuite returns the suite with this name in a=crypto. Case does not matter (RFC 4568 section 9.2).
func ParseSuite(name string) (Suite, bool) {
	i := slices.IndexFunc(suites[:], func(s suiteData) bool { return strings.EqualFold(s.name, name) })
	return Suite(max(i, 0)), i > 0
}

func (s Suite) data() *suiteData {
	if int(s) >= len(suites) {
		s = 0
	}
	return &suites[s]
}

// String returns the suite's name in a=crypto, or "none".
func (s Suite) String() string { return s.data().name }

// KeyLen returns the length of the suite's master key plus master salt, in bytes. It is 0 for an unknown suite.
func (s Suite) KeyLen() int { return s.data().key + s.data().salt }

// Lengths returns the lengths of the suite's master key and master salt, in bytes.
func (s Suite) Lengths() (key, salt int) { return s.data().key, s.data().salt }

// Keys secure one direction of one side. They must not be modified once they are in use.
type Keys struct {
	Suite Suite  `cbor:"1,keyasint"`
	Key   []byte `json:"-" cbor:"2,keyasint"` // the master key followed by the master salt: Suite.KeyLen bytes
	// MKI is the master key identifier in each packet, 1 to 128 bytes; nil if there is none.
	MKI []byte `json:"-" cbor:"3,keyasint,omitempty"`
}

// Format writes the suite for every verb, and never the key.
func (k Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.Suite.String()+" ***") }

// Same reports whether both keys are equal in every field. Either may be nil.
func (k *Keys) Same(o *Keys) bool {
	if k == nil || o == nil {
		return k == o
	}
	return k.Suite == o.Suite && bytes.Equal(k.Key, o.Key) && bytes.Equal(k.MKI, o.MKI)
}

func (k *Keys) check() error {
	if len(k.Key) == 0 || len(k.Key) != k.Suite.KeyLen() || len(k.MKI) > maxMKI {
		return fmt.Errorf("media: %w", errKeys)
	}
	return nil
}

// context creates the SRTP library's context for one direction. Replays are detected by our own windows, which cover
// more than one context.
func (k *Keys) context() (*srtp.Context, error) {
	s := suites[k.Suite]
	ctx, err := srtp.CreateContext(k.Key[:s.key], k.Key[s.key:], s.profile, srtp.MasterKeyIndicator(k.MKI))
	if err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	return ctx, nil
}

// Crypto says how a side is secured. The zero value is plain RTP.
type Crypto struct {
	Receive *Keys `cbor:"1,keyasint,omitempty"` // keys of the side's packets; nil if it sends plain RTP
	Send    *Keys `cbor:"2,keyasint,omitempty"` // keys of the packets sent to it; nil if it gets plain RTP

	// Awaited says that the keys are still being negotiated. Receive and Send are nil, and only the Datagrams of the
	// negotiation are sent and accepted.
	Awaited bool `cbor:"3,keyasint,omitempty"`
}

// SetCrypto makes a side send and receive SRTP and SRTCP (RFC 3711), or switches it back to plain RTP. A session starts
// with plain RTP on both sides.
//
// Setting the same keys again changes nothing: their packet numbers continue. After new Receive keys are set, packets
// under the former keys are accepted until 2 s after the first packet under the new ones. The side changes its keys
// when it gets our answer, which may be lost once or twice, and packets overtake each other. A nil Receive forgets the
// former keys; this is necessary before another peer's keys are set. A Send key must not be another side's, and must
// not be used again with another suite or MKI: under one key each packet number may be used only once.
//
// A side with Receive keys must send SRTP. Only an authentic packet locks a source.
func (s *Session) SetCrypto(side Side, c Crypto) error {
	change, err := c.change()
	if err != nil {
		return err
	}
	s.set(command{op: opCrypto, side: side, crypto: change, keys: &c})
	if c == (Crypto{}) {
		s.mu.Lock()
		s.endDatagrams(side)
		s.mu.Unlock()
	}
	return nil
}

// change creates the contexts of the keys.
func (c *Crypto) change() (change cryptoChange, err error) {
	if c.Awaited {
		return cryptoChange{in: &opener{}, out: &sealer{}}, nil
	}
	for _, k := range []*Keys{c.Receive, c.Send} {
		if k == nil {
			continue
		}
		if err := k.check(); err != nil {
			return change, err
		}
		ctx, err := k.context()
		if err != nil {
			return change, err
		}
		if k == c.Receive {
			change.in = newOpener(*k, ctx)
			continue
		}
		change.out = newSealer(*k, ctx)
	}
	return change, nil
}
