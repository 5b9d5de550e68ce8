package sdp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pion/sdp/v3"

	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// The errors of session descriptions. Their texts go out in Warning.
var (
	ErrNoAudio   = errors.New("no audio stream over RTP/AVP")
	ErrNoCodec   = errors.New("no codec in common")
	ErrMalformed = errors.New("not a session description")
	ErrNoAddress = errors.New("no c= line with an address for the audio")
	ErrRejected  = errors.New("audio was rejected")
	ErrTooLong   = errors.New("longer than sip.limits.sdp")
)

// Description is a peer's session description with its audio stream. Of the other
// streams it keeps the m= lines, to decline them.
type Description struct {
	sdp     *sdp.SessionDescription // session level and audio stream
	Streams []string                // the values of all m= lines
	Audio   int                     // index into Streams

	securing  *securing       // nil: plain RTP
	transport StreamTransport // of the descriptions that are made of it
}

// Parse reads an offer or answer of plain RTP.
func Parse(body []byte) (*Description, error) {
	return Read(body, Accept{})
}

// Read reads an offer or answer. Of several audio streams with a port it takes the
// first of those that accept ranks highest. Only that stream is parsed, because the
// SDP library refuses a description for any stream or line that it does not know.
func Read(body []byte, accept Accept) (*Description, error) {
	sections, err := splitDescription(string(body))
	if err != nil {
		return nil, err
	}
	d := &Description{sdp: &sdp.SessionDescription{}, Audio: -1}
	audio := audioStreams{accept: accept}
	for i, section := range sections[1:] {
		fields := strings.Fields(section[0][2:])
		if len(fields) < 4 {
			return nil, fmt.Errorf("%w: %q", ErrMalformed, section[0])
		}
		d.Streams = append(d.Streams, section[0][2:])
		if fields[0] != "audio" || !knownProto(fields[2]) {
			continue
		}
		if taken, line := audio.add(fields[1], fields[2], section); taken {
			d.Audio, d.securing = i, nil
			if line != nil {
				d.securing = &securing{tag: line.tag, peer: &line.keys}
			}
		}
	}
	if d.Audio < 0 {
		return nil, audio.missing()
	}
	if err := d.sdp.UnmarshalString(plainDescription(sections[0], sections[1+d.Audio])); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if d.Connection() == "" { // RFC 8866 section 5.7
		return nil, ErrNoAddress
	}
	if port := d.Port(); port <= 0 || port > 65535 {
		return nil, fmt.Errorf("%w: port %d", ErrMalformed, port)
	}
	if err := d.keepPayloadTypes(); err != nil {
		return nil, err
	}
	d.keepPacketTimes()
	return d, nil
}

// audioStreams are the audio streams of a description, of which one is taken.
type audioStreams struct {
	accept   Accept
	best     int  // rank
	rejected bool // one has the port 0
	plain    bool // one is RTP
	secure   bool // one is SRTP
	spoilt   bool // one has an acceptable suite with an unusable key or parameter
}

// add considers a stream. It is taken if it ranks higher than those before it; line
// is then its crypto line, if it has one that counts.
func (a *audioStreams) add(port, proto string, section []string) (taken bool, line *cryptoLine) {
	if strings.Trim(port, "0") == "" {
		a.rejected = a.rejected || proto == protoAVP || a.accept.ours != nil
		return false, nil
	}
	a.plain, a.secure = a.plain || proto == protoAVP, a.secure || proto != protoAVP
	a.spoilt = a.spoilt || a.accept.spoils(proto, section)
	rank, line := a.accept.rank(proto, section)
	if rank <= a.best {
		return false, nil
	}
	a.best = rank
	return true, line
}

// missing returns why no stream was taken.
func (a *audioStreams) missing() error {
	mode := a.accept.mode
	secured := mode != config.SRTPOff && mode != ""
	switch {
	case a.rejected:
		return ErrRejected
	case a.accept.ours != nil && (a.plain || a.secure):
		return ErrNotSecured
	case a.spoilt && secured:
		return ErrNoKey
	case a.secure && secured:
		return ErrNoSuite
	case a.plain && mode == config.SRTPRequired:
		return ErrNeedsSRTP
	}
	return ErrNoAudio
}

func (d *Description) media() *sdp.MediaDescription { return d.sdp.MediaDescriptions[0] }

// Port returns the port of the audio stream.
func (d *Description) Port() int { return d.media().MediaName.Port.Value }

// proto returns the transport of the audio stream.
func (d *Description) proto() string { return strings.Join(d.media().MediaName.Protos, "/") }

// splitDescription splits SDP into sections of lines: the session's, then one for each
// stream, which begins with its m= line (RFC 8866 section 5).
func splitDescription(body string) ([][]string, error) {
	sections := [][]string{nil}
	for line := range strings.Lines(body) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		// The other side might read a lone CR or a NUL as a line end.
		if len(line) < 2 || line[1] != '=' || strings.ContainsAny(line, "\r\x00") {
			if key := message.AfterKeyMark([]byte(line)); key >= 0 { // an error shows no key
				line = line[:key]
			}
			return nil, fmt.Errorf("%w: line %q", ErrMalformed, line)
		}
		if line[0] == 'm' {
			sections = append(sections, nil)
		}
		last := len(sections) - 1
		sections[last] = append(sections[last], line)
	}
	if len(sections[0]) == 0 || sections[0][0] != "v=0" {
		return nil, fmt.Errorf("%w: it does not begin with v=0", ErrMalformed)
	}
	return sections, nil
}

// plainDescription returns a description with the used lines of a session and one
// stream: connection, bandwidth and attributes.
func plainDescription(session, stream []string) string {
	var b strings.Builder
	b.WriteString("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\n")
	writeLines(&b, session, 'c', 'b')
	b.WriteString("t=0 0\r\n")
	writeLines(&b, session, 'a')
	b.WriteString(stream[0] + "\r\n")
	writeLines(&b, stream, 'c', 'b', 'a')
	return b.String()
}

// writeLines writes the lines of these types in the order of RFC 8866 section 5: the
// first c=, bandwidth of the known kinds, attributes.
func writeLines(b *strings.Builder, lines []string, types ...byte) {
	for _, kind := range types {
		for _, line := range lines {
			if line[0] != kind || (kind == 'b' && !knownBandwidth(line)) {
				continue
			}
			b.WriteString(line + "\r\n")
			if kind == 'c' {
				break
			}
		}
	}
}

func knownBandwidth(line string) bool {
	kind, value, _ := strings.Cut(line[2:], ":")
	return slices.Contains([]string{"CT", "AS", "TIAS", "RS", "RR"}, kind) && message.AllDigits(value)
}

// RTP returns the address where the peer wants its media. It is invalid if it is not
// an IP address or means hold (0.0.0.0, RFC 3264 section 8.4): then nothing is sent
// until the peer's own packets show an address.
func (d *Description) RTP() netip.AddrPort {
	return connAddr(d.Connection(), d.Port())
}

// RTCP returns the address where the peer wants its RTCP, invalid as for RTP.
func (d *Description) RTCP() netip.AddrPort {
	rtp := d.RTP()
	value, ok := d.media().Attribute("rtcp") // RFC 3605
	if !ok {
		if !rtp.IsValid() || rtp.Port() == 65535 {
			return netip.AddrPort{}
		}
		return netip.AddrPortFrom(rtp.Addr(), rtp.Port()+1)
	}
	fields := strings.Fields(value)
	if len(fields) == 0 {
		return netip.AddrPort{}
	}
	port, err := strconv.Atoi(fields[0])
	if err != nil {
		return netip.AddrPort{}
	}
	if len(fields) >= 4 {
		return connAddr(fields[3], port)
	}
	if !rtp.IsValid() || port <= 0 || port > 65535 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(rtp.Addr(), uint16(port))
}

// Connection returns the address in the c= line of the stream, else of the session.
func (d *Description) Connection() string {
	c := d.media().ConnectionInformation
	if c == nil {
		c = d.sdp.ConnectionInformation
	}
	if c == nil || c.Address == nil {
		return ""
	}
	return c.Address.Address
}

// broadcast is the limited broadcast address (RFC 919), which gets no media.
var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

func connAddr(host string, port int) netip.AddrPort {
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.IsUnspecified() || addr.IsMulticast() || addr == broadcast || port <= 0 || port > 65535 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr.Unmap().WithZone(""), uint16(port))
}

// keepPayloadTypes removes the formats that no RTP packet can have, and repeated
// ones, because neither side could use them. ErrNoCodec means that none is left.
func (d *Description) keepPayloadTypes() error {
	muxes := d.Muxes()
	var kept []string
	for _, f := range d.media().MediaName.Formats {
		if isPayloadType(f, muxes) && !slices.Contains(kept, f) {
			kept = append(kept, f)
		}
	}
	if kept == nil {
		return ErrNoCodec
	}
	d.media().MediaName.Formats = kept
	return nil
}

// isPayloadType reports whether a format is a usable payload type: 7 bits (RFC 3550
// section 5.1), and not one that could be taken for RTCP, which are 72 to 76 (RFC 3551
// section 6), or 64 to 95 if both use one port (RFC 5761 section 4).
func isPayloadType(format string, muxes bool) bool {
	n, err := strconv.ParseUint(format, 10, 7)
	if err != nil || strconv.FormatUint(n, 10) != format {
		return false
	}
	if muxes {
		return n < 64 || n > 95
	}
	return n < 72 || n > 76
}

// maxPacketTime is the longest packet that a description may ask for, in
// milliseconds. Every receiver accepts it (RFC 3551 section 4.2).
const maxPacketTime = 200

// keepPacketTimes removes a ptime or maxptime that no packet can have, so that the
// other side need not make sense of it.
func (d *Description) keepPacketTimes() {
	d.sdp.Attributes = slices.DeleteFunc(d.sdp.Attributes, badPacketTime)
	d.media().Attributes = slices.DeleteFunc(d.media().Attributes, badPacketTime)
}

// badPacketTime reports whether an attribute is a ptime or maxptime (RFC 8866 section
// 6.4) other than 1 to 200 milliseconds. Fractions are allowed.
func badPacketTime(a sdp.Attribute) bool {
	if key := strings.ToLower(a.Key); key != "ptime" && key != "maxptime" {
		return false
	}
	value := strings.TrimSpace(a.Value)
	if strings.Trim(value, "0123456789.") != "" { // a sign, an exponent, a word
		return true
	}
	ms, err := strconv.ParseFloat(value, 64)
	return err != nil || ms < 1 || ms > maxPacketTime
}

// Ptime returns the packet time that the peer wants (RFC 8866 section 6.4); 0: it
// names none, or one that is not usual.
func (d *Description) Ptime() time.Duration {
	value, _ := d.media().Attribute("ptime")
	ms, ok := message.Decimal(strings.TrimSpace(value), 60)
	if !ok || ms < 10 || ms%10 != 0 {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// Muxes reports whether the peer offers RTP and RTCP on one port (RFC 5761) for its
// audio. Such an offer is always accepted, and no other peer gets one.
func (d *Description) Muxes() bool {
	if d == nil || d.sdp == nil {
		return false
	}
	_, ok := d.media().Attribute("rtcp-mux")
	return ok
}
