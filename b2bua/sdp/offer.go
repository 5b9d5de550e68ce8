package sdp

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// unstamped is the beginning of a description whose o= line is still to be set.
const unstamped = "v=0\r\no=- 0 0 "

// ForTarget returns an offer of the described session: only its audio stream, with these
// formats, at the relay's address and over this transport. The leg sets the o= line.
func (d *Description) ForTarget(at netip.AddrPort, over StreamTransport, formats []Format, way Direction) []byte {
	return d.Answering(nil, at, over, formats, way)
}

// Answering returns the answer to an offer. It is made from d, the other side's real or
// expected answer: its audio stream at the relay's address, with the offer's other
// streams declined in their order (RFC 3264 section 6).
func (d *Description) Answering(offer *Description, at netip.AddrPort, over StreamTransport, formats []Format,
	way Direction,
) []byte {
	b := make([]byte, 0, d.room(offer, over))
	b = d.appendSession(b, at.Addr(), way)
	if over.association != nil {
		b = over.association.ice.appendSession(b)
	}
	for i := range max(1, offer.Streams()) {
		if offer != nil && i != offer.audio {
			b = appendDeclined(b, offer.streams[i])
			continue
		}
		b = d.appendStream(b, at.Port(), over, formats)
		muxes := offer.Muxes() || over.muxes
		b = d.appendAttributes(b, at.Port(), numbersOf(formats), way, muxes)
		for _, l := range over.lines {
			b = append(l.appendTo(append(b, "a=crypto:"...)), "\r\n"...)
		}
		if over.association != nil {
			b = appendAssociation(b, over.association.fingerprint, over.setup, over.id)
			b = over.association.ice.appendStream(b, at)
		}
		if way != AsIs && way != SendRecv { // sendrecv needs no attribute
			b = append(append(append(b, "a="...), way...), "\r\n"...)
		}
		if muxes {
			b = append(b, "a=rtcp-mux\r\n"...)
		}
	}
	return b
}

// Ours returns the part of an offer that an answer of our own may repeat: formats and packet times. The offer's other
// attributes say what its sender does, or wants. An answer with a=rtcp-fb would promise feedback (RFC 4585 section
// 4.2), and one with a=content or a=label would describe our stream as the sender's.
func (d *Description) Ours() *Description {
	out := *d
	out.session, out.stream = oursOf(d.session), oursOf(d.stream)
	return &out
}

// oursOf returns the lines of a section that an answer of ours repeats.
func oursOf(section string) string {
	b := make([]byte, 0, len(section))
	for line := ""; section != ""; {
		line, section = cutLine(section)
		key, _ := cutAttribute(line[2:])
		if line[0] == 'a' && directionOf(key) == AsIs {
			switch strings.ToLower(key) {
			case "rtpmap", "fmtp", "ptime", "maxptime", "rtcp":
			default:
				continue
			}
		}
		b = append(append(b, line...), "\r\n"...)
	}
	return string(b)
}

// room returns an estimate of the length of the written description, in bytes. If it is
// too low, the text is only copied once more.
func (d *Description) room(offer *Description, over StreamTransport) int {
	n := 208 + len(d.session) + len(d.stream) + 24*len(d.formats) + 128*len(over.lines)
	if over.association != nil {
		n += 512
	}
	if offer != nil {
		for _, s := range offer.streams {
			n += len(s) + 4
		}
	}
	return n
}

// appendSession appends the session level: the relay's address, a session name of its
// own, and the peer's bandwidth and harmless attributes.
func (d *Description) appendSession(b []byte, at netip.Addr, way Direction) []byte {
	b = appendAddress(append(b, unstamped...), at)
	b = appendAddress(append(b, "s=-\r\nc="...), at)
	b = appendLines(b, d.session, 'b', way)
	b = append(b, "t=0 0\r\n"...)
	return appendLines(b, d.session, 'a', way)
}

// appendLines appends the lines of a type. It leaves out the direction if way replaces
// it.
func appendLines(b []byte, section string, kind byte, way Direction) []byte {
	for line := ""; section != ""; {
		line, section = cutLine(section)
		if key, _ := cutAttribute(line[2:]); line[0] == kind && (way == AsIs || !isDirection(line)) && (kind != 'a' ||
			!isKeying(key)) {
			b = append(append(b, line...), "\r\n"...)
		}
	}
	return b
}

// appendAddress appends an address with its type, as in o= and c= lines.
func appendAddress(b []byte, a netip.Addr) []byte {
	b = append(append(append(b, "IN "...), AddressType(a)...), ' ')
	return append(a.AppendTo(b), "\r\n"...)
}

// appendStream appends the m= line of the audio stream at the relay's port, and its
// bandwidth.
func (d *Description) appendStream(b []byte, port uint16, over StreamTransport, formats []Format) []byte {
	b = strconv.AppendUint(append(b, "m=audio "...), uint64(port), 10)
	b = append(b, ' ')
	if over.proto == "" {
		over.proto = protoAVP
	}
	b = append(b, over.proto...)
	for _, f := range formats {
		b = strconv.AppendUint(append(b, ' '), uint64(f.shown()), 10)
	}
	return appendLines(append(b, "\r\n"...), d.stream, 'b', AsIs)
}

// appendAttributes appends the attributes of the audio stream that are passed on: those
// of the listed formats, and those that belong to no format. If RTP and RTCP share a
// port, it names no port for RTCP (RFC 5761 section 5.1.1); otherwise it names the next
// one (RFC 3605).
func (d *Description) appendAttributes(b []byte, port uint16, listed numbers, way Direction, muxes bool) []byte {
	for line, rest := cutLine(d.stream); line != ""; line, rest = cutLine(rest) {
		key, _ := cutAttribute(line[2:])
		switch {
		case line[0] != 'a', key == "crypto", isKeying(key), key == "rtcp-mux", key == "rtcp" && muxes, way != AsIs &&
			isDirection(line):
		case key == "rtcp":
			b = strconv.AppendUint(append(b, "a=rtcp:"...), uint64(port)+1, 10)
			b = append(b, "\r\n"...)
		case !namesFormat(line) || !d.grouped && d.concerns(line, listed):
			b = append(append(b, line...), "\r\n"...)
		}
	}
	for i := range d.formats {
		if f := &d.formats[i]; listed.has(f.Number) {
			b = d.appendFormat(b, f)
		}
	}
	return b
}

// concerns reports whether a line of the text is an attribute of one of the listed
// formats.
func (d *Description) concerns(line string, listed numbers) bool {
	n, _, ok := aboutFormat(line)
	if !ok || !listed.has(n) {
		return false
	}
	for i := range d.formats {
		if f := &d.formats[i]; f.Number == n {
			return f.has(line)
		}
	}
	return false
}

// has reports whether a line of the text with the format's number describes the format.
func (f *Format) has(line string) bool {
	return f.lines == linesOfText || f.lines == mappingAndText && !strings.HasPrefix(line, "a=rtpmap:")
}

// appendFormat appends the attributes of a format that can't be taken from the text.
func (d *Description) appendFormat(b []byte, f *Format) []byte {
	if f.lines == linesOfOurs || f.lines == mappingAndText && staticMapping(f.Number) != f.Mapping {
		b = append(append(appendAbout(b, "a=rtpmap:", f.shown()), f.Mapping...), "\r\n"...)
	}
	if wanted := f.wanted(); wanted != "" {
		b = append(append(appendAbout(b, "a=fmtp:", f.shown()), wanted...), "\r\n"...)
	}
	if f.lines == linesOfOurs || !d.grouped {
		return b
	}
	for line, rest := cutLine(d.stream); line != ""; line, rest = cutLine(rest) {
		if n, value, ok := aboutFormat(line); ok && n == f.source && f.has(line) {
			name, _, _ := strings.Cut(line, ":")
			b = appendAbout(append(b, name...), ":", f.Number)
			b = append(append(b, value...), "\r\n"...)
		}
	}
	return b
}

// appendAbout appends the beginning of an attribute about a payload type.
func appendAbout(b []byte, name string, number uint8) []byte {
	b = strconv.AppendUint(append(b, name...), uint64(number), 10)
	return append(b, ' ')
}

// isDirection reports whether a line is an attribute of direction.
func isDirection(line string) bool {
	key, _ := cutAttribute(line[2:])
	return line[0] == 'a' && directionOf(key) != AsIs
}

// appendDeclined appends an m= line with the port 0.
func appendDeclined(b []byte, value string) []byte {
	kind, rest := cutField(value)
	_, rest = cutField(rest)
	b = append(append(append(b, "m="...), kind...), " 0"...)
	for field := ""; rest != ""; {
		field, rest = cutField(rest)
		b = append(append(b, ' '), field...)
	}
	return append(b, "\r\n"...)
}

// AddressType returns the address type of o= and c= lines.
func AddressType(a netip.Addr) string {
	if a.Is4() {
		return "IP4"
	}
	return "IP6"
}

// payloads has the codecs that we can offer to a caller without an offer, with their
// static payload type (RFC 3551) or one of the dynamic ones.
var payloads = map[string]struct { //nolint:gochecknoglobals // a table
	number  int
	mapping string
}{
	"PCMU": {0, "PCMU/8000"}, "GSM": {3, "GSM/8000"}, "PCMA": {8, "PCMA/8000"}, "G722": {9, "G722/8000"},
	"G729": {18, "G729/8000"}, "OPUS": {96, "opus/48000/2"}, "ILBC": {97, "iLBC/8000"}, "AMR": {98, "AMR/8000"},
	"AMR-WB": {99, "AMR-WB/16000"}, "SPEEX": {100, "speex/8000"},
}

// eventsPayload is the payload type of telephone-events that we offer without knowing
// the other side's (RFC 4733).
const eventsPayload = 101

// Synthetic returns a description that takes the place of the offer of a caller who sent
// none (RFC 3261 section 13.2.1): with these codecs in this order, and telephone-events
// with the clock of each. It has no media address, because the caller's is not known
// yet.
func Synthetic(codecs []string) (*Description, error) {
	var formats, maps, events, eventMaps strings.Builder
	var clocks []uint32
	for _, name := range codecs {
		p, ok := payloads[strings.ToUpper(name)]
		if !ok {
			continue
		}
		number := strconv.Itoa(p.number)
		formats.WriteString(" " + number)
		maps.WriteString("a=rtpmap:" + number + " " + p.mapping + "\r\n")
		clock := codecOf(p.mapping).Clock
		if slices.Contains(clocks, clock) {
			continue
		}
		clocks = append(clocks, clock)
		e := eventsOf(eventsPayload-1+uint8(clock/8000), clock) // 101, 102 or 106
		number = strconv.Itoa(int(e.Number))
		events.WriteString(" " + number)
		eventMaps.WriteString("a=rtpmap:" + number + " " + e.Mapping + "\r\na=fmtp:" + number + " 0-15\r\n")
	}
	if formats.Len() == 0 {
		return nil, ErrNoCodec
	}
	return Parse([]byte("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n" +
		"m=audio 9 RTP/AVP" + formats.String() + events.String() + "\r\n" + maps.String() + eventMaps.String() +
		"a=ptime:20\r\n"))
}

// Origin makes the o= lines of the descriptions that are sent on one leg (RFC 3264
// section 8). The version grows only when the description changes. It is plain data.
type Origin struct {
	id      uint64
	version uint64
	last    []byte // the last description, which is never modified
	begin   int    // offset in last of the text after the version
}

// NewOrigin returns an o= line for a new leg.
func NewOrigin() Origin {
	id := rand.Uint64N(1 << 62)
	return Origin{id: id, version: id}
}

// Restamp sets a current o= line in a description that was sent before, because another description may have been sent
// and refused since.
func (o *Origin) Restamp(sdp []byte) []byte {
	rest, ok := bytes.CutPrefix(sdp, o.prefix(make([]byte, 0, 48)))
	if !ok {
		return sdp
	}
	_, rest, _ = bytes.Cut(rest, []byte(" "))
	return o.stamp(rest)
}

// Stamp gives a description its o= line. A description that has one already is returned
// unchanged. If the description equals the last one, Stamp returns the last one's bytes,
// which must not be modified.
func (o *Origin) Stamp(sdp []byte) []byte {
	rest, ok := bytes.CutPrefix(sdp, []byte(unstamped))
	if !ok {
		return sdp
	}
	return o.stamp(rest)
}

// stamp returns a description that begins with the o= line. rest is the text after the
// version.
func (o *Origin) stamp(rest []byte) []byte {
	switch {
	case o.last == nil:
	case bytes.Equal(o.last[o.begin:], rest):
		return o.last
	default:
		o.version++
	}
	b := o.prefix(make([]byte, 0, 52+len(rest)))
	b = append(strconv.AppendUint(b, o.version, 10), ' ')
	o.last, o.begin = append(b, rest...), len(b)
	return o.last
}

// prefix appends the text that all descriptions of the leg begin with.
func (o *Origin) prefix(b []byte) []byte {
	b = strconv.AppendUint(append(b, "v=0\r\no=- "...), o.id, 10)
	return append(b, ' ')
}
