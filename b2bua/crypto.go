package b2bua

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"flowbridge/config"
	"flowbridge/media"
)

// SRTP with keys in SDP (RFC 4568): what a=crypto says, and which audio stream
// of a description is taken for it.

// The ways in which a session description does not fit media.srtp.
var (
	errNeedsSRTP  = errors.New("no audio stream over RTP/SAVP, and SRTP is required")
	errNoSuite    = errors.New("no crypto suite in common")
	errNoKey      = errors.New("key or parameters of the crypto line not usable")
	errNotSecured = errors.New("not answered with SRTP as it was offered")
)

// The transports of an audio stream that we know.
const (
	protoAVP   = "RTP/AVP"
	protoSAVP  = "RTP/SAVP"
	protoSAVPF = "RTP/SAVPF" // with a=crypto and without what RFC 4585 adds
)

// cryptoLine is one a=crypto.
type cryptoLine struct {
	tag  string
	keys media.Keys
}

// errCrypto means that an a=crypto line can't be used, or not read.
var errCrypto = errors.New("not a crypto attribute that can be used")

// parseCrypto reads the value of an a=crypto attribute (RFC 4568 section 9.1).
// What would have to be agreed on and we can't do is an error, and so is an
// unknown session parameter that is not marked as one that may be ignored
// (section 6.3.7).
func parseCrypto(value string) (cryptoLine, error) {
	fields := strings.Fields(value)
	if len(fields) < 3 {
		return cryptoLine{}, errCrypto
	}
	tag, known := fields[0], false
	line := cryptoLine{tag: tag}
	line.keys.Suite, known = media.ParseSuite(fields[1])
	if !known || len(tag) > 9 || !allDigits(tag) {
		return cryptoLine{}, errCrypto
	}
	for _, p := range fields[3:] {
		if !ignorable(p) {
			return cryptoLine{}, errCrypto
		}
	}
	// Several keys, told apart by MKI, are for those who change them without SIP.
	method, info, ok := strings.Cut(fields[2], ":")
	if !ok || !strings.EqualFold(method, "inline") || strings.Contains(info, ";") {
		return cryptoLine{}, errCrypto
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
func (l *cryptoLine) readInline(info string) (err error) {
	parts := strings.Split(info, "|")
	l.keys.Key, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(parts[0], "="))
	if err != nil || len(l.keys.Key) != l.keys.Suite.KeyLen() {
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
		l.keys.MKI = parseMKI(parts[0])
		if l.keys.MKI == nil || len(parts) > 1 {
			return errCrypto
		}
	}
	return nil
}

// isLifetime says whether s is a number of packets, 2^48 at most (RFC 4568
// section 6.1).
func isLifetime(s string) bool {
	if power, ok := strings.CutPrefix(s, "2^"); ok {
		n, valid := decimal(power, 48)
		return valid && n > 0
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return err == nil && allDigits(s) && n > 0 && n <= 1<<48
}

// parseMKI reads "value:length" of a master key identifier, the length in bytes;
// nil: it is none.
func parseMKI(s string) []byte {
	value, length, _ := strings.Cut(s, ":")
	size, ok := decimal(length, 128)
	if !ok || size == 0 || len(value) > 310 || !allDigits(value) { // 128 bytes have 309 digits
		return nil
	}
	n, ok := new(big.Int).SetString(value, 10)
	if !ok || n.BitLen() > 8*size {
		return nil
	}
	return n.FillBytes(make([]byte, size))
}

// attribute is the line as we write it.
func (l cryptoLine) attribute() string {
	s := l.tag + " " + l.keys.Suite.String() + " inline:" + base64.StdEncoding.EncodeToString(l.keys.Key)
	if l.keys.MKI != nil { // who uses an MKI often wants the lifetime as well
		s += fmt.Sprintf("|2^31|%s:%d", new(big.Int).SetBytes(l.keys.MKI), len(l.keys.MKI))
	}
	return s
}

// cryptoLines are those of a stream that can be used, in their order.
func cryptoLines(stream []string) (lines []cryptoLine) {
	for _, text := range stream {
		value, ok := strings.CutPrefix(text, "a=crypto:")
		if !ok {
			continue
		}
		if l, err := parseCrypto(value); err == nil {
			lines = append(lines, l)
		}
	}
	return lines
}

// cryptoAccept is which audio streams may be taken.
type cryptoAccept struct {
	mode   config.SRTPMode // empty is off
	suites []media.Suite
	now    media.Suite  // that is in force: it is taken again before others
	ours   []cryptoLine // that were offered, where an answer is read
	any    bool         // whatever there is, as in a description of our own
}

// rank says how welcome an audio stream is, 0: not at all. With it comes what
// of its a=crypto is taken, if anything.
func (p cryptoAccept) rank(proto string, stream []string) (rank int, chosen *cryptoLine) {
	if p.any {
		return 1, nil
	}
	plain, secure := proto == protoAVP, proto == protoSAVP || proto == protoSAVPF
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
func (p cryptoAccept) choose(lines []cryptoLine) *cryptoLine {
	if i := slices.IndexFunc(lines, func(l cryptoLine) bool { return l.keys.Suite == p.now }); i >= 0 && p.ours == nil {
		return &lines[i]
	}
	for i := range lines {
		l := &lines[i]
		if p.ours == nil && slices.Contains(p.suites, l.keys.Suite) {
			return l
		}
		for _, o := range p.ours {
			if o.tag == l.tag && o.keys.Suite == l.keys.Suite && !bytes.Equal(o.keys.Key, l.keys.Key) {
				return l
			}
		}
	}
	return nil
}

// spoils says whether a stream over RTP/SAVP has a line of a suite that may be
// taken which can't be used for what else it says.
func (p cryptoAccept) spoils(proto string, stream []string) bool {
	return proto != protoAVP && slices.ContainsFunc(stream, func(text string) bool {
		value, ok := strings.CutPrefix(text, "a=crypto:")
		if !ok {
			return false
		}
		fields := strings.Fields(value)
		if len(fields) < 2 {
			return false
		}
		suite, known := media.ParseSuite(fields[1])
		_, err := parseCrypto(value)
		return known && err != nil && slices.Contains(p.suites, suite)
	})
}

// missing is the error of a description without a stream that may be taken.
// Spoilt: one had a line of a suite that we have, but for its key or parameters.
func (p cryptoAccept) missing(plain, secure, spoilt bool) error {
	switch {
	case p.ours != nil && (plain || secure):
		return errNotSecured
	case spoilt && p.mode != config.SRTPOff && p.mode != "":
		return errNoKey
	case secure && p.mode != config.SRTPOff && p.mode != "":
		return errNoSuite
	case plain && p.mode == config.SRTPRequired:
		return errNeedsSRTP
	}
	return errNoAudio
}

// knownProto says whether an audio stream over this transport may be one for us.
func knownProto(proto string) bool {
	return proto == protoAVP || proto == protoSAVP || proto == protoSAVPF
}

// securing is what a description came to with regard to SRTP: the keys of both
// directions. Of a plain stream it is nil.
type securing struct {
	tag  string      // of the a=crypto lines
	peer *media.Keys // theirs
	own  *media.Keys // ours; nil: not decided yet
}

// crypto is what the media makes of it.
func (s *securing) crypto() media.Crypto {
	if s == nil {
		return media.Crypto{}
	}
	return media.Crypto{Receive: s.peer, Send: s.own}
}

// streamTransport is how a description of ours presents the audio stream.
type streamTransport struct {
	proto string // empty: RTP/AVP
	lines []cryptoLine
}

func (s streamTransport) protos() []string {
	if s.proto == "" {
		return strings.Split(protoAVP, "/")
	}
	return strings.Split(s.proto, "/")
}

// withTransport is the description that a side gets whose stream is presented so.
func (d *description) withTransport(s streamTransport) *description {
	out := *d
	out.transport = s
	return &out
}

// keyMark is what precedes a key in a=crypto, in any case (RFC 5234 section 2.3).
var keyMark = []byte("inline:")

// afterKeyMark is where a text goes on behind its first keyMark; -1: it has none.
func afterKeyMark(text []byte) int {
	for from := 0; ; {
		colon := bytes.IndexByte(text[from:], ':')
		if colon < 0 {
			return -1
		}
		from += colon + 1
		if begin := from - len(keyMark); begin >= 0 && bytes.EqualFold(text[begin:from], keyMark) {
			return from
		}
	}
}

// MaskKeys gives a SIP message, or text with one, without the SRTP keys in it:
// "inline:***". A text without keys is given back as it is.
func MaskKeys(text []byte) []byte {
	key := afterKeyMark(text)
	if key < 0 {
		return text
	}
	var out []byte
	for ; ; key = afterKeyMark(text) {
		if key < 0 {
			return append(out, text...)
		}
		out = append(append(out, text[:key]...), "***"...)
		rest := text[key:]
		end := bytes.IndexFunc(rest, func(r rune) bool { return !isKeyText(r) })
		if end < 0 {
			return out
		}
		text = rest[end:]
	}
}

// isKeyText says whether a character may be part of a key: base64, its URL form
// too.
func isKeyText(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("+/=-_", r)
}
