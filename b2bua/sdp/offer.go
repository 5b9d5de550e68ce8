package sdp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// dropped reports whether an attribute stays on its own side. Attributes of formats,
// timing and direction are passed on. Any other may name the other side's address,
// host or software, or a media transport that the relay does not speak.
func dropped(a sdp.Attribute) bool {
	switch strings.ToLower(a.Key) {
	case "rtpmap", "fmtp", "rtcp-fb", "ptime", "maxptime", "maxprate", "extmap", "silencesupp", "ecan", "gpmd",
		"sendrecv", "sendonly", "recvonly", "inactive", "lang", "sdplang", "charset", "content", "label":
		return false
	default:
		return true
	}
}

// ForTarget makes an offer of the described session: its audio stream alone, with
// these formats, at the relay's address. The leg adds its o= line.
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

// Answering makes the answer to an offer from the other side's answer, real or
// expected: its audio at the relay's address, with the offer's other streams declined
// in their order (RFC 3264 section 6).
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

// skeleton returns the session level: the relay's address, a name of its own, and the
// peer's bandwidth and harmless attributes.
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

// anchored returns the audio stream at the relay's address with these formats.
func (d *Description) anchored(at netip.AddrPort, formats []string) *sdp.MediaDescription {
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

// aboutFormats reports whether an attribute is about no payload type, or one of these.
func aboutFormats(a sdp.Attribute, formats []string) bool {
	switch a.Key {
	case "rtpmap", "fmtp", "rtcp-fb":
		pt, _, _ := strings.Cut(a.Value, " ")
		return pt == "*" || slices.Contains(formats, pt)
	default:
		return true
	}
}

// AddressType returns the address type of o= and c= lines.
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

// muxed adds a=rtcp-mux to a stream, given from behind its m= (RFC 5761 section
// 5.1.1). It removes a=rtcp, which names RTCP's port without mux (RFC 3605): that is
// the next port, as always.
func muxed(stream string) string {
	var b strings.Builder
	for line := range strings.Lines(stream) {
		if !strings.HasPrefix(line, "a=rtcp:") {
			b.WriteString(line)
		}
	}
	b.WriteString("a=rtcp-mux\r\n")
	return b.String()
}

// payloads are the codecs that can be offered without a caller's offer, with their
// static payload type (RFC 3551) or the first of the dynamic ones.
var payloads = map[string]struct { //nolint:gochecknoglobals // a table
	number  int
	mapping string
}{
	"PCMU": {0, "PCMU/8000"}, "GSM": {3, "GSM/8000"}, "PCMA": {8, "PCMA/8000"}, "G722": {9, "G722/8000"},
	"G729": {18, "G729/8000"}, "OPUS": {96, "opus/48000/2"}, "ILBC": {97, "iLBC/8000"}, "AMR": {98, "AMR/8000"},
	"AMR-WB": {99, "AMR-WB/16000"}, "SPEEX": {100, "speex/8000"},
}

// eventsPayload is the payload type of telephone-events that are offered without the
// other side's (RFC 4733).
const eventsPayload = 101

// Synthetic stands for the offer of a caller who sent none (RFC 3261 section 13.2.1):
// these codecs in this order, and telephone-events. The caller's media address is not
// known yet.
func Synthetic(codecs []string) (*Description, error) {
	var formats, maps strings.Builder
	for _, name := range codecs {
		if p, ok := payloads[strings.ToUpper(name)]; ok {
			number := strconv.Itoa(p.number)
			formats.WriteString(" " + number)
			maps.WriteString("a=rtpmap:" + number + " " + p.mapping + "\r\n")
		}
	}
	if formats.Len() == 0 {
		return nil, ErrNoCodec
	}
	events := strconv.Itoa(eventsPayload)
	return Parse([]byte("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n" +
		"m=audio 9 RTP/AVP" + formats.String() + " " + events + "\r\n" + maps.String() +
		"a=rtpmap:" + events + " telephone-event/8000\r\na=fmtp:" + events + " 0-15\r\na=ptime:20\r\n"))
}

// Origin is the o= line of the descriptions that are sent on one leg (RFC 3264 section
// 8): the version grows with each change, and only then. Data only.
type Origin struct {
	id      uint64
	version uint64
	last    string // the last description without its o= line
}

// NewOrigin returns an o= line for a new leg.
func NewOrigin() Origin {
	id := rand.Uint64N(1 << 62)
	return Origin{id: id, version: id}
}

// unstamped is the beginning of a description that has no o= line of a leg yet.
const unstamped = "v=0\r\no=- 0 0 "

// Again stamps a description that was sent before: another one may have been sent and
// refused since.
func (o *Origin) Again(sdp []byte) []byte {
	rest, ok := strings.CutPrefix(string(sdp), "v=0\r\no=- "+strconv.FormatUint(o.id, 10)+" ")
	if !ok {
		return sdp
	}
	_, rest, _ = strings.Cut(rest, " ")
	return o.Stamp([]byte(unstamped + rest))
}

// Stamp gives a description its o= line. A description that has one keeps it.
func (o *Origin) Stamp(sdp []byte) []byte {
	rest, ok := strings.CutPrefix(string(sdp), unstamped)
	if !ok {
		return sdp
	}
	if o.last != "" && o.last != rest {
		o.version++
	}
	o.last = rest
	return []byte("v=0\r\no=- " + strconv.FormatUint(o.id, 10) + " " + strconv.FormatUint(o.version, 10) + " " + rest)
}
