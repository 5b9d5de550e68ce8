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
)

// The ways in which a session description can't be used.
var (
	ErrNoAudio   = errors.New("no audio stream over RTP/AVP")
	ErrNoCodec   = errors.New("no codec in common")
	ErrMalformed = errors.New("not a session description")
	ErrRejected  = errors.New("audio was rejected")
	ErrTooLong   = errors.New("longer than sip.limits.sdp")
)

// Description is a peer's session description with its one audio stream
// found. Of the other streams it keeps the m= lines, to decline them.
type Description struct {
	sdp     *sdp.SessionDescription // session level and the audio stream alone
	Streams []string                // the values of all m= lines
	Audio   int                     // index into streams

	Securing  *securing       // nil: its stream is plain RTP
	transport StreamTransport // how a description that is made of it presents the stream
}

// Parse reads an offer or answer of plain RTP.
func Parse(body []byte) (*Description, error) {
	return Read(body, Accept{})
}

// Read reads an offer or answer. The audio stream is the most welcome
// one with a port, the first of several. What we would drop anyway is not even
// parsed: the SDP library refuses a description for a stream, or a line, that it
// does not know.
func Read(body []byte, accept Accept) (*Description, error) {
	sections, err := splitDescription(string(body))
	if err != nil {
		return nil, err
	}
	d := &Description{sdp: &sdp.SessionDescription{}, Audio: -1}
	rejected, plain, secure, spoilt := false, false, false, false
	best := 0
	for i, section := range sections[1:] {
		fields := strings.Fields(section[0][2:])
		if len(fields) < 4 {
			return nil, fmt.Errorf("%w: %q", ErrMalformed, section[0])
		}
		d.Streams = append(d.Streams, section[0][2:])
		if fields[0] != "audio" || !knownProto(fields[2]) {
			continue
		}
		if strings.Trim(fields[1], "0") == "" {
			rejected = rejected || fields[2] == ProtoAVP || accept.ours != nil
			continue
		}
		plain, secure = plain || fields[2] == ProtoAVP, secure || fields[2] != ProtoAVP
		spoilt = spoilt || accept.spoils(fields[2], section)
		rank, line := accept.rank(fields[2], section)
		if rank <= best {
			continue
		}
		best, d.Audio, d.Securing = rank, i, nil
		if line != nil {
			d.Securing = &securing{tag: line.Tag, peer: &line.Keys}
		}
	}
	switch {
	case d.Audio < 0 && rejected:
		return nil, ErrRejected
	case d.Audio < 0:
		return nil, accept.missing(plain, secure, spoilt)
	}
	if err := d.sdp.UnmarshalString(plainDescription(sections[0], sections[1+d.Audio])); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if port := d.Media().MediaName.Port.Value; port <= 0 || port > 65535 {
		return nil, fmt.Errorf("%w: port %d", ErrMalformed, port)
	}
	if err := d.keepPayloadTypes(); err != nil {
		return nil, err
	}
	d.keepPacketTimes()
	return d, nil
}

func (d *Description) Media() *sdp.MediaDescription { return d.sdp.MediaDescriptions[0] }

// proto is the transport of the audio stream.
func (d *Description) proto() string { return strings.Join(d.Media().MediaName.Protos, "/") }

// splitDescription splits SDP into its lines, by section: the session's, then
// each stream's, which begins with its m= line (RFC 8866 section 5).
func splitDescription(body string) ([][]string, error) {
	sections := [][]string{nil}
	for line := range strings.Lines(body) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		// A lone CR, or a NUL, would go on to the other side and might be read
		// as a line's end there.
		if len(line) < 2 || line[1] != '=' || strings.ContainsAny(line, "\r\x00") {
			if key := message.AfterKeyMark([]byte(line)); key >= 0 { // no key in an error, however it is broken
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

// plainDescription is a description with what we use of a session and one
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

// writeLines writes the lines of these types, in the order that RFC 8866
// section 5 wants: the first c=, bandwidth of the known kinds, attributes.
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

// RTP and rtcp are where the peer wants its media. An address that is no IP
// address, or says hold (0.0.0.0, RFC 3264 section 8.4), is invalid: media
// goes nowhere until the peer is heard.
func (d *Description) RTP() netip.AddrPort {
	return connAddr(d.Connection(), d.Media().MediaName.Port.Value)
}

func (d *Description) RTCP() netip.AddrPort {
	rtp := d.RTP()
	value, ok := d.Media().Attribute("rtcp") // RFC 3605
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

func (d *Description) Connection() string {
	c := d.Media().ConnectionInformation
	if c == nil {
		c = d.sdp.ConnectionInformation
	}
	if c == nil || c.Address == nil {
		return ""
	}
	return c.Address.Address
}

// broadcast is the limited broadcast address (RFC 919), which no media goes to.
var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

func connAddr(host string, port int) netip.AddrPort {
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.IsUnspecified() || addr.IsMulticast() || addr == broadcast || port <= 0 || port > 65535 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr.Unmap().WithZone(""), uint16(port))
}

// codec is the encoding name of a payload type, from a=rtpmap or RFC 3551.
func (d *Description) codec(format string) string {
	if name, _, _ := strings.Cut(d.rtpmap(format), "/"); name != "" {
		return name
	}
	switch format {
	case "0":
		return "PCMU"
	case "3":
		return "GSM"
	case "8":
		return "PCMA"
	case "9":
		return "G722"
	case "13":
		return "CN"
	case "18":
		return "G729"
	default:
		return ""
	}
}

func IsEvents(codec string) bool { return strings.EqualFold(codec, "telephone-event") }

// Usable are the offer's formats that the codec list allows, in the offer's
// order, telephone-events and comfort noise (RFC 3389) always among them.
func (d *Description) Usable(codecs []string) ([]string, error) {
	var formats []string
	audio := false
	for _, f := range d.Media().MediaName.Formats {
		name := d.codec(f)
		allow := slices.ContainsFunc(codecs, func(c string) bool { return strings.EqualFold(c, name) })
		audio = audio || allow
		if allow || IsEvents(name) || strings.EqualFold(name, "CN") {
			formats = append(formats, f)
		}
	}
	if !audio {
		return nil, ErrNoCodec
	}
	return formats, nil
}

// Chosen is the name of the first format that carries speech: in an answer,
// the codec of the call.
func (d *Description) Chosen() string {
	name, _ := d.Speech()
	return name
}

// Speech is the codec of the first format that carries speech and the clock
// rate of its RTP, in Hz.
func (d *Description) Speech() (codec string, clock uint32) {
	for _, f := range d.Media().MediaName.Formats {
		if name := d.codec(f); name != "" && !IsEvents(name) && !strings.EqualFold(name, "CN") {
			return name, d.clock(f)
		}
	}
	return "", 0
}

// clock is the RTP clock rate of a payload type, in Hz: 8000 for all that RFC
// 3551 gives a number and telephones use.
func (d *Description) clock(format string) uint32 {
	_, rate, _ := strings.Cut(d.rtpmap(format), "/")
	rate, _, _ = strings.Cut(rate, "/")
	hz, err := strconv.ParseUint(rate, 10, 32)
	if err != nil || hz == 0 {
		return 8000
	}
	return uint32(hz)
}

// rtpmap is what a=rtpmap says of a payload type: "opus/48000/2".
func (d *Description) rtpmap(format string) string {
	for _, a := range d.Media().Attributes {
		if pt, encoding, _ := strings.Cut(a.Value, " "); a.Key == "rtpmap" && pt == format {
			return strings.TrimSpace(encoding)
		}
	}
	return ""
}

// dropped says whether an attribute stays on its own side. What speaks of
// formats, timing and direction goes on; any other may name the other side's
// address, host or software, or a way to carry media that we do not take part
// in.
func dropped(a sdp.Attribute) bool {
	switch strings.ToLower(a.Key) {
	case "rtpmap", "fmtp", "rtcp-fb", "ptime", "maxptime", "maxprate", "extmap", "silencesupp", "ecan", "gpmd",
		"sendrecv", "sendonly", "recvonly", "inactive", "lang", "sdplang", "charset", "content", "label":
		return false
	default:
		return true
	}
}

// ForTarget makes an offer of what is described: the audio stream alone, with
// these formats, at our address. The leg gives it its o= line.
func (d *Description) ForTarget(at netip.AddrPort, formats []string, way Direction) ([]byte, error) {
	out := d.skeleton(at)
	stream := d.anchored(at, formats)
	if way != AsIs {
		stream.Attributes = append(slices.DeleteFunc(stream.Attributes, isDirection), way.attributes()...)
		out.Attributes = slices.DeleteFunc(out.Attributes, isDirection)
	}
	out.MediaDescriptions = []*sdp.MediaDescription{stream}
	return marshal(out)
}

// Answering makes the answer to an offer from the description that the other
// side answered with, or would: its audio at our address, every other stream of
// the offer declined, in order (RFC 3264 section 6).
func (d *Description) Answering(offer *Description, at netip.AddrPort, formats []string, way Direction) ([]byte, error) {
	audio, err := d.ForTarget(at, formats, way)
	if err != nil {
		return nil, err
	}
	session, stream, _ := strings.Cut(string(audio), "\r\nm=")
	if offer.Muxes() {
		stream = muxed(stream)
	}
	var b strings.Builder
	b.WriteString(session + "\r\n")
	for i, line := range offer.Streams {
		if i == offer.Audio {
			b.WriteString("m=" + stream)
			continue
		}
		fields := strings.Fields(line)
		fields[1] = "0"
		b.WriteString("m=" + strings.Join(fields, " ") + "\r\n")
	}
	return []byte(b.String()), nil
}

// skeleton is the session level: our own address and name, the peer's
// bandwidth, timing and harmless attributes.
func (d *Description) skeleton(at netip.AddrPort) *sdp.SessionDescription {
	network := AddressType(at.Addr())
	out := &sdp.SessionDescription{
		Origin: sdp.Origin{
			Username: "-", NetworkType: "IN", AddressType: network, UnicastAddress: at.Addr().String(),
		},
		SessionName: "-",
		ConnectionInformation: &sdp.ConnectionInformation{
			NetworkType: "IN", AddressType: network, Address: &sdp.Address{Address: at.Addr().String()},
		},
		Bandwidth:        d.sdp.Bandwidth,
		TimeDescriptions: []sdp.TimeDescription{{}},
	}
	for _, a := range d.sdp.Attributes {
		if !dropped(a) {
			out.Attributes = append(out.Attributes, a)
		}
	}
	return out
}

// anchored is the audio stream at our address with these formats.
func (d *Description) anchored(at netip.AddrPort, formats []string) *sdp.MediaDescription {
	m := d.Media()
	out := &sdp.MediaDescription{
		MediaName: sdp.MediaName{
			Media: m.MediaName.Media, Port: sdp.RangedPort{Value: int(at.Port())},
			Protos: d.transport.protos(), Formats: formats,
		},
		Bandwidth: m.Bandwidth,
	}
	for _, a := range m.Attributes {
		switch {
		case a.Key == "rtcp":
			a.Value = strconv.Itoa(int(at.Port()) + 1)
			out.Attributes = append(out.Attributes, a)
		case !dropped(a) && aboutFormats(a, formats):
			out.Attributes = append(out.Attributes, a)
		}
	}
	for _, l := range d.transport.lines {
		out.Attributes = append(out.Attributes, sdp.Attribute{Key: "crypto", Value: l.Attribute()})
	}
	return out
}

// aboutFormats says whether an attribute that names a payload type names one
// of these.
func aboutFormats(a sdp.Attribute, formats []string) bool {
	switch a.Key {
	case "rtpmap", "fmtp", "rtcp-fb":
		pt, _, _ := strings.Cut(a.Value, " ")
		return pt == "*" || slices.Contains(formats, pt)
	default:
		return true
	}
}

func AddressType(a netip.Addr) string {
	if a.Is4() {
		return "IP4"
	}
	return "IP6"
}

func marshal(d *sdp.SessionDescription) ([]byte, error) {
	b, err := d.Marshal()
	if err != nil {
		return nil, fmt.Errorf("write the session description: %w", err)
	}
	return b, nil
}

// Decided are the formats of an answer without all codecs but the first: those
// that an offer made of it may have.
func (d *Description) Decided() []string {
	chosen := false
	return slices.DeleteFunc(slices.Clone(d.Media().MediaName.Formats), func(f string) bool {
		name := d.codec(f)
		if IsEvents(name) || strings.EqualFold(name, "CN") {
			return false
		}
		again := chosen
		chosen = true
		return again
	})
}

// with is a description that has one more format.
func (d *Description) with(format, mapping, parameters string) *Description {
	out, stream, session := *d, *d.Media(), *d.sdp
	stream.MediaName.Formats = append(slices.Clip(stream.MediaName.Formats), format)
	stream.Attributes = append(slices.Clip(stream.Attributes),
		sdp.Attribute{Key: "rtpmap", Value: format + " " + mapping}, sdp.Attribute{Key: "fmtp", Value: format + " " + parameters})
	session.MediaDescriptions = []*sdp.MediaDescription{&stream}
	out.sdp = &session
	return &out
}

// Ptime is how long the packets are to be that the peer wants (RFC 8866 section
// 6.4), where it wants what is usual; 0: it does not say, or something else.
func (d *Description) Ptime() time.Duration {
	value, _ := d.Media().Attribute("ptime")
	ms, ok := message.Decimal(strings.TrimSpace(value), 60)
	if !ok || ms < 10 || ms%10 != 0 {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// WithEvents is a description that has telephone-events besides: those of
// another one, or of our own choosing.
func (d *Description) WithEvents(other *Description) *Description {
	for _, f := range d.Media().MediaName.Formats {
		if IsEvents(d.codec(f)) {
			return d
		}
	}
	number, mapping := strconv.Itoa(eventsPayload), "telephone-event/8000"
	if other != nil {
		i := slices.IndexFunc(other.Media().MediaName.Formats, func(f string) bool { return IsEvents(other.codec(f)) })
		if i < 0 {
			return d
		}
		number = other.Media().MediaName.Formats[i]
		mapping = other.rtpmap(number)
	}
	if slices.Contains(d.Media().MediaName.Formats, number) {
		return d
	}
	return d.with(number, mapping, "0-15")
}
