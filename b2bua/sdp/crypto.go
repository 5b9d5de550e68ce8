package sdp

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/media"
)

// SRTP with keys in SDP (RFC 4568): a=crypto, and the choice of an audio stream by its
// keys.

// The errors for descriptions that do not fit media.srtp. Their texts are sent in
// Warning.
var (
	ErrNeedsSRTP  = errors.New("no audio stream over RTP/SAVP, and SRTP is required")
	ErrNoSuite    = errors.New("no crypto suite in common")
	ErrNoKey      = errors.New("key or parameters of the crypto line not usable")
	ErrNotSecured = errors.New("not answered with SRTP as it was offered")
	ErrKeying     = errors.New(
		"the keys of SRTP come another way: the peer offers SDES and media.srtp_keying is dtls, or the reverse; set it as the peer does")
	ErrNoPrint = errors.New("no fingerprint of SHA-2 or no usable setup for DTLS")
)

// The known transports of an audio stream.
const (
	protoAVP   = "RTP/AVP"
	protoSAVP  = "RTP/SAVP"
	protoSAVPF = "RTP/SAVPF" // with a=crypto, without the feedback of RFC 4585
	protoDTLS  = "UDP/TLS/RTP/SAVP"
	protoDTLSF = "UDP/TLS/RTP/SAVPF"
)

// cryptoLine is one a=crypto attribute.
type cryptoLine struct {
	tag  string
	keys media.Keys
}

// errCrypto means that an a=crypto line can't be read or used.
var errCrypto = errors.New("not a crypto attribute that can be used")

// parseCrypto reads the value of an a=crypto attribute (RFC 4568 section 9.1). It returns
// an error if the line requires an unsupported parameter, or has an unknown session
// parameter that is not marked as ignorable (section 6.3.7). Even with an error, line has
// the suite, if known.
func parseCrypto(value string) (line cryptoLine, err error) {
	fields := strings.Fields(value)
	if len(fields) < 2 {
		return line, errCrypto
	}
	known := false
	line.tag = fields[0]
	line.keys.Suite, known = media.ParseSuite(fields[1])
	if !known || len(fields) < 3 || len(line.tag) > 9 || !message.AllDigits(line.tag) {
		return line, errCrypto
	}
	for _, p := range fields[3:] {
		if !ignorable(p) {
			return line, errCrypto
		}
	}
	// Only peers that change keys without SIP need several keys with MKIs.
	method, info, ok := strings.Cut(fields[2], ":")
	if !ok || !strings.EqualFold(method, "inline") || strings.Contains(info, ";") {
		return line, errCrypto
	}
	return line, line.readInline(info)
}

// ignorable reports whether a session parameter can be ignored: a hint about the replay
// window, a key derivation rate of zero, or an extension that is marked as ignorable.
func ignorable(param string) bool {
	name, value, _ := strings.Cut(strings.ToUpper(param), "=")
	return strings.HasPrefix(param, "-") || name == "WSH" || (name == "KDR" && value == "0")
}

// readInline reads "key||salt|lifetime|MKI:length". It ignores the lifetime of the peer's
// key, because the peer will announce a new key in time.
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

// isLifetime reports whether s is a number of packets of at most 2^48 (RFC 4568
// section 6.1).
func isLifetime(s string) bool {
	if power, ok := strings.CutPrefix(s, "2^"); ok {
		n, valid := message.Decimal(power, 48)
		return valid && n > 0
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return err == nil && message.AllDigits(s) && n > 0 && n <= 1<<48
}

// parseMKI reads a master key identifier, "value:length" with the length in bytes. It
// returns nil if it is malformed.
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

// appendTo appends the value of the a=crypto line.
func (l cryptoLine) appendTo(b []byte) []byte {
	b = append(append(append(b, l.tag...), ' '), l.keys.Suite.String()...)
	b = base64.StdEncoding.AppendEncode(append(b, " inline:"...), l.keys.Key)
	if l.keys.MKI != nil { // peers with an MKI often need the lifetime, too
		b = new(big.Int).SetBytes(l.keys.MKI).Append(append(b, "|2^31|"...), 10)
		b = strconv.AppendInt(append(b, ':'), int64(len(l.keys.MKI)), 10)
	}
	return b
}

// Accept says which audio streams are acceptable.
type Accept struct {
	mode   config.SRTPMode // empty means off
	suites []media.Suite
	now    media.Suite  // the suite in force, which is preferred
	answer bool         // the description is an answer
	ours   []cryptoLine // the offered lines, if the description is an answer
	dtls   bool         // keys come from DTLS, not from a=crypto
	Any    bool         // accept every stream, for this server's own descriptions

	NoIP4, NoIP6 bool // our media has no address of this family
}

// rank returns the rank of an audio stream, or 0 if it is not acceptable. chosen is the
// SRTP of the stream, if any. spoilt reports that a stream with SRTP would be acceptable
// if its keys were right.
func (p Accept) rank(proto, session, stream string) (rank int, chosen *securing, spoilt bool) {
	if p.Any {
		return 1, nil, false
	}
	plain := proto == protoAVP
	if !plain && isDTLS(proto) != p.dtls {
		return 0, nil, false
	}
	if p.mode == config.SRTPOptional || (!plain && p.mode == config.SRTPRequired) {
		chosen, spoilt = p.secure(plain, session, stream)
	}
	switch {
	case !plain && chosen != nil:
		return 3, chosen, spoilt
	case plain && chosen != nil && !p.answer: // some peers offer SRTP in this way and also accept RTP
		return 2, chosen, spoilt
	case plain && p.mode != config.SRTPRequired:
		return 1, nil, spoilt
	}
	return 0, nil, spoilt
}

// secure returns the SRTP of a stream, or nil if there is none that is acceptable.
func (p Accept) secure(plain bool, session, stream string) (chosen *securing, spoilt bool) {
	if p.dtls {
		if plain { // the transport RTP/AVP can't be distinguished from plain RTP
			return nil, false
		}
		a := readAssociation(session, stream, p.answer)
		if a == nil {
			return nil, true
		}
		return &securing{association: a}, false
	}
	lines, unusable := p.cryptoLines(stream)
	if line := p.choose(lines); line != nil {
		chosen = &securing{tag: line.tag, peer: &line.keys}
	}
	return chosen, unusable && !plain
}

func isDTLS(proto string) bool { return proto == protoDTLS || proto == protoDTLSF }

// cryptoLines returns the usable crypto lines of a stream, in their order. spoilt reports
// that a line with an acceptable suite is unusable.
func (p Accept) cryptoLines(stream string) (lines []cryptoLine, spoilt bool) {
	for text := ""; stream != ""; {
		text, stream = cutLine(stream)
		value, ok := strings.CutPrefix(text, "a=crypto:")
		if !ok {
			continue
		}
		line, err := parseCrypto(value)
		if err == nil {
			lines = append(lines, line)
		}
		spoilt = spoilt || err != nil && slices.Contains(p.suites, line.keys.Suite)
	}
	return lines, spoilt
}

// choose returns the crypto line to use: one with the suite in force, or else the first
// usable line, which the peer prefers. In an answer it must match an offered line (RFC
// 4568 section 5.1.3), but must not have the offered key, because two streams would then
// use the same key.
func (p Accept) choose(lines []cryptoLine) *cryptoLine {
	if i := slices.IndexFunc(lines, func(l cryptoLine) bool { return l.keys.Suite == p.now }); i >= 0 && !p.answer {
		return &lines[i]
	}
	for i := range lines {
		l := &lines[i]
		if !p.answer && slices.Contains(p.suites, l.keys.Suite) {
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

// knownProto returns the transport of an audio stream if it can be relayed, or "".
func knownProto(proto string) string {
	for _, known := range [...]string{protoAVP, protoSAVP, protoSAVPF, protoDTLS, protoDTLSF} {
		if proto == known {
			return known
		}
	}
	return ""
}

// securing is the SRTP of a description's stream: the keys of both directions.
type securing struct {
	tag  string      // tag of the a=crypto lines
	peer *media.Keys // keys of received packets
	own  *media.Keys // keys of sent packets; nil until decided

	association *association // gives the leg its keys; nil if the keys are in the SDP
}

// Secured reports whether the stream is SRTP.
func (d *Description) Secured() bool { return d.securing != nil }

// OverDTLS reports whether the keys of the stream come from DTLS.
func (d *Description) OverDTLS() bool { return d.securing != nil && d.securing.association != nil }

// StreamTransport is the transport of the audio stream in a description that we make:
// RTP, or SRTP with its crypto lines or its DTLS association.
type StreamTransport struct {
	proto string // empty means RTP/AVP
	lines []cryptoLine

	association *legAssociation // nil if no DTLS
	setup, id   string          // our values for association
	muxes       bool            // RTCP on the port of RTP is offered
}
