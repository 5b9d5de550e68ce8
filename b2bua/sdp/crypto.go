package sdp

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/media"
)

// SRTP with keys in SDP (RFC 4568): what a=crypto says, and which audio stream
// of a description is taken for it.

// The ways in which a session description does not fit media.srtp.
var (
	ErrNeedsSRTP  = errors.New("no audio stream over RTP/SAVP, and SRTP is required")
	ErrNoSuite    = errors.New("no crypto suite in common")
	ErrNoKey      = errors.New("key or parameters of the crypto line not usable")
	ErrNotSecured = errors.New("not answered with SRTP as it was offered")
)

// The transports of an audio stream that we know.
const (
	ProtoAVP   = "RTP/AVP"
	ProtoSAVP  = "RTP/SAVP"
	protoSAVPF = "RTP/SAVPF" // with a=crypto and without what RFC 4585 adds
)

// CryptoLine is one a=crypto.
type CryptoLine struct {
	Tag  string
	Keys media.Keys
}

// errCrypto means that an a=crypto line can't be used, or not read.
var errCrypto = errors.New("not a crypto attribute that can be used")

// ParseCrypto reads the value of an a=crypto attribute (RFC 4568 section 9.1).
// What would have to be agreed on and we can't do is an error, and so is an
// unknown session parameter that is not marked as one that may be ignored
// (section 6.3.7).
func ParseCrypto(value string) (CryptoLine, error) {
	fields := strings.Fields(value)
	if len(fields) < 3 {
		return CryptoLine{}, errCrypto
	}
	tag, known := fields[0], false
	line := CryptoLine{Tag: tag}
	line.Keys.Suite, known = media.ParseSuite(fields[1])
	if !known || len(tag) > 9 || !message.AllDigits(tag) {
		return CryptoLine{}, errCrypto
	}
	for _, p := range fields[3:] {
		if !ignorable(p) {
			return CryptoLine{}, errCrypto
		}
	}
	// Several keys, told apart by MKI, are for those who change them without SIP.
	method, info, ok := strings.Cut(fields[2], ":")
	if !ok || !strings.EqualFold(method, "inline") || strings.Contains(info, ";") {
		return CryptoLine{}, errCrypto
	}
	return line, line.readInline(info)
}

// ignorable says whether a session parameter changes nothing for us: a hint on
// the replay window, a key derivation rate of none, or an extension that says so.
func ignorable(param string) bool {
	name, value, _ := strings.Cut(strings.ToUpper(param), "=")
	return strings.HasPrefix(param, "-") || name == "WSH" || (name == "KDR" && value == "0")
}

// readInline reads "key||salt|lifetime|MKI:length". How long the peer means to
// use its key is its own affair: it tells us when there is another.
func (l *CryptoLine) readInline(info string) (err error) {
	parts := strings.Split(info, "|")
	l.Keys.Key, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(parts[0], "="))
	if err != nil || len(l.Keys.Key) != l.Keys.Suite.KeyLen() {
		return errCrypto
	}
	parts = parts[1:]
	if len(parts) > 0 && !strings.Contains(parts[0], ":") {
		if !isLifetime(parts[0]) {
			return errCrypto
		}
		parts = parts[1:]
	}
	if len(parts) > 0 {
		l.Keys.MKI = parseMKI(parts[0])
		if l.Keys.MKI == nil || len(parts) > 1 {
			return errCrypto
		}
	}
	return nil
}

// isLifetime says whether s is a number of packets, 2^48 at most (RFC 4568
// section 6.1).
func isLifetime(s string) bool {
	if power, ok := strings.CutPrefix(s, "2^"); ok {
		n, valid := message.Decimal(power, 48)
		return valid && n > 0
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return err == nil && message.AllDigits(s) && n > 0 && n <= 1<<48
}

// parseMKI reads "value:length" of a master key identifier, the length in bytes;
// nil: it is none.
func parseMKI(s string) []byte {
	value, length, _ := strings.Cut(s, ":")
	size, ok := message.Decimal(length, 128)
	if !ok || size == 0 || len(value) > 310 || !message.AllDigits(value) { // 128 bytes have 309 digits
		return nil
	}
	n, ok := new(big.Int).SetString(value, 10)
	if !ok || n.BitLen() > 8*size {
		return nil
	}
	return n.FillBytes(make([]byte, size))
}

// Attribute is the line as we write it.
func (l CryptoLine) Attribute() string {
	s := l.Tag + " " + l.Keys.Suite.String() + " inline:" + base64.StdEncoding.EncodeToString(l.Keys.Key)
	if l.Keys.MKI != nil { // who uses an MKI often wants the lifetime as well
		s += fmt.Sprintf("|2^31|%s:%d", new(big.Int).SetBytes(l.Keys.MKI), len(l.Keys.MKI))
	}
	return s
}

// cryptoLines are those of a stream that can be used, in their order.
func cryptoLines(stream []string) (lines []CryptoLine) {
	for _, text := range stream {
		value, ok := strings.CutPrefix(text, "a=crypto:")
		if !ok {
			continue
		}
		if l, err := ParseCrypto(value); err == nil {
			lines = append(lines, l)
		}
	}
	return lines
}

// Accept is which audio streams may be taken.
type Accept struct {
	mode   config.SRTPMode // empty is off
	suites []media.Suite
	now    media.Suite  // that is in force: it is taken again before others
	ours   []CryptoLine // that were offered, where an answer is read
	Any    bool         // whatever there is, as in a description of our own
}

// rank says how welcome an audio stream is, 0: not at all. With it comes what
// of its a=crypto is taken, if anything.
func (p Accept) rank(proto string, stream []string) (rank int, chosen *CryptoLine) {
	if p.Any {
		return 1, nil
	}
	plain, secure := proto == ProtoAVP, proto == ProtoSAVP || proto == protoSAVPF
	if p.mode == config.SRTPOptional || (secure && p.mode == config.SRTPRequired) {
		chosen = p.choose(cryptoLines(stream))
	}
	switch {
	case secure && chosen != nil:
		return 3, chosen
	case plain && chosen != nil && p.ours == nil: // as some offer it who would have RTP, too
		return 2, chosen
	case plain && p.mode != config.SRTPRequired:
		return 1, nil
	}
	return 0, nil
}

// choose is the first line that can be taken, the one that the peer likes best,
// unless there is another of the suite that is in force.
// In an answer it is that of a line that was offered (RFC 4568 section 5.1.3).
// The key must not be one of ours: two streams would be encrypted alike.
func (p Accept) choose(lines []CryptoLine) *CryptoLine {
	if i := slices.IndexFunc(lines, func(l CryptoLine) bool { return l.Keys.Suite == p.now }); i >= 0 && p.ours == nil {
		return &lines[i]
	}
	for i := range lines {
		l := &lines[i]
		if p.ours == nil && slices.Contains(p.suites, l.Keys.Suite) {
			return l
		}
		for _, o := range p.ours {
			if o.Tag == l.Tag && o.Keys.Suite == l.Keys.Suite && !bytes.Equal(o.Keys.Key, l.Keys.Key) {
				return l
			}
		}
	}
	return nil
}

// spoils says whether a stream over RTP/SAVP has a line of a suite that may be
// taken which can't be used for what else it says.
func (p Accept) spoils(proto string, stream []string) bool {
	return proto != ProtoAVP && slices.ContainsFunc(stream, func(text string) bool {
		value, ok := strings.CutPrefix(text, "a=crypto:")
		if !ok {
			return false
		}
		fields := strings.Fields(value)
		if len(fields) < 2 {
			return false
		}
		suite, known := media.ParseSuite(fields[1])
		_, err := ParseCrypto(value)
		return known && err != nil && slices.Contains(p.suites, suite)
	})
}

// missing is the error of a description without a stream that may be taken.
// Spoilt: one had a line of a suite that we have, but for its key or parameters.
func (p Accept) missing(plain, secure, spoilt bool) error {
	switch {
	case p.ours != nil && (plain || secure):
		return ErrNotSecured
	case spoilt && p.mode != config.SRTPOff && p.mode != "":
		return ErrNoKey
	case secure && p.mode != config.SRTPOff && p.mode != "":
		return ErrNoSuite
	case plain && p.mode == config.SRTPRequired:
		return ErrNeedsSRTP
	}
	return ErrNoAudio
}

// knownProto says whether an audio stream over this transport may be one for us.
func knownProto(proto string) bool {
	return proto == ProtoAVP || proto == ProtoSAVP || proto == protoSAVPF
}

// securing is what a description came to with regard to SRTP: the keys of both
// directions. Of a plain stream it is nil.
type securing struct {
	tag  string      // of the a=crypto lines
	peer *media.Keys // theirs
	own  *media.Keys // ours; nil: not decided yet
}

// Crypto is what the media makes of it.
func (s *securing) Crypto() media.Crypto {
	if s == nil {
		return media.Crypto{}
	}
	return media.Crypto{Receive: s.peer, Send: s.own}
}

// StreamTransport is how a description of ours presents the audio stream.
type StreamTransport struct {
	proto string // empty: RTP/AVP
	lines []CryptoLine
}

func (s StreamTransport) protos() []string {
	if s.proto == "" {
		return strings.Split(ProtoAVP, "/")
	}
	return strings.Split(s.proto, "/")
}

// WithTransport is the description that a side gets whose stream is presented so.
func (d *Description) WithTransport(s StreamTransport) *Description {
	out := *d
	out.transport = s
	return &out
}
