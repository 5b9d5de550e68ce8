package b2bua

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// The ways in which a session description can't be used.
var (
	errNoAudio  = errors.New("no audio stream over RTP/AVP")
	errNoCodec  = errors.New("no codec in common")
	errBadSDP   = errors.New("not a session description")
	errRejected = errors.New("audio was rejected")
	errLongSDP  = errors.New("longer than sip.limits.sdp")
)

// sdpType is the one kind of body that we take and send.
const sdpType = "application/sdp"

// description is a peer's session description with its one audio stream
// found. Of the other streams it keeps the m= lines, to decline them.
type description struct {
	sdp     *sdp.SessionDescription // session level and the audio stream alone
	streams []string                // the values of all m= lines
	audio   int                     // index into streams

	securing  *securing       // nil: its stream is plain RTP
	transport streamTransport // how a description that is made of it presents the stream
}

// parseDescription reads an offer or answer of plain RTP.
func parseDescription(body []byte) (*description, error) {
	return readDescription(body, cryptoAccept{})
}

// readDescription reads an offer or answer. The audio stream is the most welcome
// one with a port, the first of several. What we would drop anyway is not even
// parsed: the SDP library refuses a description for a stream, or a line, that it
// does not know.
func readDescription(body []byte, accept cryptoAccept) (*description, error) {
	sections, err := splitDescription(string(body))
	if err != nil {
		return nil, err
	}
	d := &description{sdp: &sdp.SessionDescription{}, audio: -1}
	rejected, plain, secure, spoilt := false, false, false, false
	best := 0
	for i, section := range sections[1:] {
		fields := strings.Fields(section[0][2:])
		if len(fields) < 4 {
			return nil, fmt.Errorf("%w: %q", errBadSDP, section[0])
		}
		d.streams = append(d.streams, section[0][2:])
		if fields[0] != "audio" || !knownProto(fields[2]) {
			continue
		}
		if strings.Trim(fields[1], "0") == "" {
			rejected = rejected || fields[2] == protoAVP || accept.ours != nil
			continue
		}
		plain, secure = plain || fields[2] == protoAVP, secure || fields[2] != protoAVP
		spoilt = spoilt || accept.spoils(fields[2], section)
		rank, line := accept.rank(fields[2], section)
		if rank <= best {
			continue
		}
		best, d.audio, d.securing = rank, i, nil
		if line != nil {
			d.securing = &securing{tag: line.tag, peer: &line.keys}
		}
	}
	switch {
	case d.audio < 0 && rejected:
		return nil, errRejected
	case d.audio < 0:
		return nil, accept.missing(plain, secure, spoilt)
	}
	if err := d.sdp.UnmarshalString(plainDescription(sections[0], sections[1+d.audio])); err != nil {
		return nil, fmt.Errorf("%w: %w", errBadSDP, err)
	}
	if port := d.media().MediaName.Port.Value; port <= 0 || port > 65535 {
		return nil, fmt.Errorf("%w: port %d", errBadSDP, port)
	}
	if err := d.keepPayloadTypes(); err != nil {
		return nil, err
	}
	d.keepPacketTimes()
	return d, nil
}

func (d *description) media() *sdp.MediaDescription { return d.sdp.MediaDescriptions[0] }

// proto is the transport of the audio stream.
func (d *description) proto() string { return strings.Join(d.media().MediaName.Protos, "/") }

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
			if key := afterKeyMark([]byte(line)); key >= 0 { // no key in an error, however it is broken
				line = line[:key]
			}
			return nil, fmt.Errorf("%w: line %q", errBadSDP, line)
		}
		if line[0] == 'm' {
			sections = append(sections, nil)
		}
		last := len(sections) - 1
		sections[last] = append(sections[last], line)
	}
	if len(sections[0]) == 0 || sections[0][0] != "v=0" {
		return nil, fmt.Errorf("%w: it does not begin with v=0", errBadSDP)
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
	return slices.Contains([]string{"CT", "AS", "TIAS", "RS", "RR"}, kind) && allDigits(value)
}

// rtp and rtcp are where the peer wants its media. An address that is no IP
// address, or says hold (0.0.0.0, RFC 3264 section 8.4), is invalid: media
// goes nowhere until the peer is heard.
func (d *description) rtp() netip.AddrPort {
	return connAddr(d.connection(), d.media().MediaName.Port.Value)
}

func (d *description) rtcp() netip.AddrPort {
	rtp := d.rtp()
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

func (d *description) connection() string {
	c := d.media().ConnectionInformation
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
func (d *description) codec(format string) string {
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

func isEvents(codec string) bool { return strings.EqualFold(codec, "telephone-event") }

// usable are the offer's formats that the codec list allows, in the offer's
// order, telephone-events and comfort noise (RFC 3389) always among them.
func (d *description) usable(codecs []string) ([]string, error) {
	var formats []string
	audio := false
	for _, f := range d.media().MediaName.Formats {
		name := d.codec(f)
		allow := slices.ContainsFunc(codecs, func(c string) bool { return strings.EqualFold(c, name) })
		audio = audio || allow
		if allow || isEvents(name) || strings.EqualFold(name, "CN") {
			formats = append(formats, f)
		}
	}
	if !audio {
		return nil, errNoCodec
	}
	return formats, nil
}

// chosen is the name of the first format that carries speech: in an answer,
// the codec of the call.
func (d *description) chosen() string {
	name, _ := d.speech()
	return name
}

// speech is the codec of the first format that carries speech and the clock
// rate of its RTP, in Hz.
func (d *description) speech() (codec string, clock uint32) {
	for _, f := range d.media().MediaName.Formats {
		if name := d.codec(f); name != "" && !isEvents(name) && !strings.EqualFold(name, "CN") {
			return name, d.clock(f)
		}
	}
	return "", 0
}

// clock is the RTP clock rate of a payload type, in Hz: 8000 for all that RFC
// 3551 gives a number and telephones use.
func (d *description) clock(format string) uint32 {
	_, rate, _ := strings.Cut(d.rtpmap(format), "/")
	rate, _, _ = strings.Cut(rate, "/")
	hz, err := strconv.ParseUint(rate, 10, 32)
	if err != nil || hz == 0 {
		return 8000
	}
	return uint32(hz)
}

// rtpmap is what a=rtpmap says of a payload type: "opus/48000/2".
func (d *description) rtpmap(format string) string {
	for _, a := range d.media().Attributes {
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

// forTarget makes an offer of what is described: the audio stream alone, with
// these formats, at our address. The leg gives it its o= line.
func (d *description) forTarget(at netip.AddrPort, formats []string, way direction) ([]byte, error) {
	out := d.skeleton(at)
	stream := d.anchored(at, formats)
	if way != dirAsIs {
		stream.Attributes = append(slices.DeleteFunc(stream.Attributes, isDirection), way.attributes()...)
		out.Attributes = slices.DeleteFunc(out.Attributes, isDirection)
	}
	out.MediaDescriptions = []*sdp.MediaDescription{stream}
	return marshal(out)
}

// answering makes the answer to an offer from the description that the other
// side answered with, or would: its audio at our address, every other stream of
// the offer declined, in order (RFC 3264 section 6).
func (d *description) answering(offer *description, at netip.AddrPort, formats []string, way direction) ([]byte, error) {
	audio, err := d.forTarget(at, formats, way)
	if err != nil {
		return nil, err
	}
	session, stream, _ := strings.Cut(string(audio), "\r\nm=")
	if offer.muxes() {
		stream = muxed(stream)
	}
	var b strings.Builder
	b.WriteString(session + "\r\n")
	for i, line := range offer.streams {
		if i == offer.audio {
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
func (d *description) skeleton(at netip.AddrPort) *sdp.SessionDescription {
	network := addressType(at.Addr())
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
func (d *description) anchored(at netip.AddrPort, formats []string) *sdp.MediaDescription {
	m := d.media()
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
		out.Attributes = append(out.Attributes, sdp.Attribute{Key: "crypto", Value: l.attribute()})
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

func addressType(a netip.Addr) string {
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

// decided are the formats of an answer without all codecs but the first: those
// that an offer made of it may have.
func (d *description) decided() []string {
	chosen := false
	return slices.DeleteFunc(slices.Clone(d.media().MediaName.Formats), func(f string) bool {
		name := d.codec(f)
		if isEvents(name) || strings.EqualFold(name, "CN") {
			return false
		}
		again := chosen
		chosen = true
		return again
	})
}

// with is a description that has one more format.
func (d *description) with(format, mapping, parameters string) *description {
	out, stream, session := *d, *d.media(), *d.sdp
	stream.MediaName.Formats = append(slices.Clip(stream.MediaName.Formats), format)
	stream.Attributes = append(slices.Clip(stream.Attributes),
		sdp.Attribute{Key: "rtpmap", Value: format + " " + mapping}, sdp.Attribute{Key: "fmtp", Value: format + " " + parameters})
	session.MediaDescriptions = []*sdp.MediaDescription{&stream}
	out.sdp = &session
	return &out
}
