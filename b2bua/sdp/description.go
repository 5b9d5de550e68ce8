package sdp

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// The errors in session descriptions. Their texts are sent in Warning.
var (
	ErrNoAudio   = errors.New("no audio stream over RTP/AVP")
	ErrNoCodec   = errors.New("no codec in common")
	ErrMalformed = errors.New("not a session description")
	ErrNoAddress = errors.New("no c= line with an address for the audio")
	ErrNetwork   = errors.New("media has no network of the type in c=")
	ErrFamily    = errors.New("media has no address of the family in c=")
	ErrTCP       = errors.New("all its candidates of ICE are over TCP, and media goes over UDP only")
	ErrRejected  = errors.New("audio was rejected")
	ErrTooLong   = errors.New("longer than a session description may be")
)

// Description is a peer's session description with its audio stream. It keeps the m=
// lines of the other streams, to decline them.
//
// It never changes after it is read, so that both legs, the record and the media may
// share it. The one exception: LegCrypto adds the sending key, once.
type Description struct {
	session string   // the session's lines that are passed on
	stream  string   // the audio stream's lines that count, without m=
	streams []string // the values of all m= lines; nil if there is only one
	audio   int      // index of the audio stream

	formats    []Format
	former     []Format // telephone-events and comfort noise of earlier descriptions, see Following
	grouped    bool     // the formats are not exactly those of the text: some have other numbers, or are missing
	connection string
	rtp, rtcp  netip.AddrPort
	port       uint16
	muxes      bool
	way        Direction
	ptime      time.Duration
	proto      string
	securing   *securing // nil for plain RTP
}

// Parse reads an offer or answer of plain RTP.
func Parse(body []byte) (*Description, error) {
	return Read(body, Accept{})
}

// Read reads an offer or answer. If there are several audio streams with a port, it takes
// the first of those that accept ranks highest. It reads only that stream, so an unknown
// stream or line does no harm.
func Read(body []byte, accept Accept) (*Description, error) {
	text, err := condensed(body)
	if err != nil {
		return nil, err
	}
	var room struct { // a single allocation
		Description
		formats [2]Format // room for a codec and telephone-events
	}
	d := &room.Description
	d.audio, d.formats = -1, room.formats[:0]
	if n := strings.Count(text, "\r\nm="); n > 1 {
		d.streams = make([]string, 0, n)
	}
	audio := audioStreams{accept: accept}
	var section, port, formats string
	d.session, text = cutSection(text)
	for i := 0; text != ""; i++ {
		section, text = cutSection(text)
		line, lines := cutLine(section)
		m, ok := readMedia(line[2:])
		if !ok && m.kind == "audio" {
			return nil, malformed("line %.60q", line)
		}
		if d.streams != nil {
			d.streams = append(d.streams, line[2:])
		}
		if m.kind != "audio" || m.proto == "" {
			continue
		}
		if taken, by := audio.add(m, d.session, lines); taken {
			d.audio, d.stream, d.proto, d.securing = i, lines, m.proto, by
			port, formats = m.port, m.formats
		}
	}
	if d.audio < 0 {
		return nil, audio.missing()
	}
	if err := d.readAddress(port); err != nil {
		return nil, err
	}
	d.readAttributes()
	if err := d.readFormats(formats); err != nil {
		return nil, err
	}
	return d, nil
}

// mediaLine is an m= line (RFC 8866 section 5.14).
type mediaLine struct {
	kind, port string
	proto      string // empty if it can't be relayed
	formats    string
}

// readMedia reads the value of an m= line. It returns false if there are too few fields.
func readMedia(value string) (m mediaLine, ok bool) {
	m.kind, value = cutField(value)
	m.port, value = cutField(value)
	m.proto, m.formats = cutField(value)
	if m.proto = knownProto(m.proto); m.kind != "audio" {
		m.proto = ""
	}
	return m, m.formats != ""
}

// audioStreams selects one of the audio streams of a description.
type audioStreams struct {
	accept   Accept
	best     int  // rank of the selected stream
	rejected bool // there is one with port 0
	plain    bool // there is one with RTP
	secure   bool // there is one with SRTP
	other    bool // there is one with SRTP whose keys come another way
	spoilt   bool // there is one with an acceptable suite, but an unusable key or parameter

	away error // why our media can't reach an otherwise acceptable stream
}

// add considers a stream. taken reports whether it ranks higher than all streams before. by is then its SRTP, if any.
func (a *audioStreams) add(m mediaLine, session, lines string) (taken bool, by *securing) {
	if strings.Trim(m.port, "0") == "" {
		a.rejected = a.rejected || m.proto == protoAVP || a.accept.answer
		return false, nil
	}
	switch {
	case m.proto == protoAVP:
		a.plain = true
	case isDTLS(m.proto) == a.accept.dtls:
		a.secure = true
	default:
		a.other = true
	}
	rank, by, spoilt := a.accept.rank(m.proto, session, lines)
	a.spoilt = a.spoilt || spoilt
	if rank <= a.best {
		return false, nil
	}
	err := a.accept.reaches(session, lines)
	if err == nil && by != nil && by.association != nil && by.association.ice != nil && areOverTCP(lines) {
		err = ErrTCP
	}
	if err != nil {
		a.away = err
		return false, nil
	}
	a.best = rank
	return true, by
}

// missing returns the reason that no stream was selected.
func (a *audioStreams) missing() error {
	mode := a.accept.mode
	secured := mode != config.SRTPOff && mode != ""
	switch {
	case a.away != nil:
		return a.away
	case a.rejected:
		return ErrRejected
	case a.spoilt && a.accept.dtls:
		return ErrNoPrint
	case a.accept.answer && (a.plain || a.secure || a.other):
		return ErrNotSecured
	case a.spoilt && secured:
		return ErrNoKey
	case a.secure && secured:
		return ErrNoSuite
	case a.other && secured:
		return ErrKeying
	case a.plain && mode == config.SRTPRequired:
		return ErrNeedsSRTP
	}
	return ErrNoAudio
}

// readAddress reads the media address of the stream.
func (d *Description) readAddress(port string) error {
	session, _, err := readConnection(d.session)
	if err != nil {
		return err
	}
	own, has, err := readConnection(d.stream)
	if err != nil {
		return err
	}
	if d.connection = session; has {
		d.connection = own
	}
	if d.connection == "" { // RFC 8866 section 5.7
		return ErrNoAddress
	}
	number, count, ranged := strings.Cut(port, "/")
	n, ok := message.Decimal(number, 65535)
	if !ok || n == 0 || ranged && !message.AllDigits(count) {
		return malformed("port %.60q", port)
	}
	d.port = uint16(n) // at most 65535
	d.rtp = connAddr(d.connection, n)
	return nil
}

// reaches returns ErrNetwork or ErrFamily if our media can't go to the address of a stream (RFC 8866 section 5.7). It
// accepts host names, and addresses that mean hold: there the peer's RTP shows where to send.
func (p Accept) reaches(session, stream string) error {
	value, own := connectionOf(stream)
	if !own {
		value, _ = connectionOf(session)
	}
	network, rest := cutField(value)
	kind, address := cutField(rest)
	rtp := connAddr(address, 1)
	switch {
	case network != "IN" && network != "":
		return ErrNetwork
	case kind != "IP4" && kind != "IP6" && kind != "", rtp.IsValid() && (p.NoIP4 && rtp.Addr().Is4() ||
		p.NoIP6 && rtp.Addr().Is6()):
		return ErrFamily
	}
	return nil
}

// readConnection reads the c= line of a section, if it has one.
func readConnection(section string) (address string, has bool, err error) {
	value, has := connectionOf(section)
	if !has {
		return "", false, nil
	}
	network, rest := cutField(value)
	kind, rest := cutField(rest)
	address, rest = cutField(rest)
	if network != "IN" || (kind != "IP4" && kind != "IP6") || rest != "" {
		return "", true, fmt.Errorf("%w: line %.60q", ErrMalformed, "c="+value)
	}
	return address, true, nil
}

// readAttributes reads the direction, the packet time, and the address and port of RTCP.
func (d *Description) readAttributes() {
	d.way = wayIn(d.stream)
	if d.way == AsIs {
		d.way = wayIn(d.session)
	}
	if d.way == AsIs {
		d.way = SendRecv
	}
	if value, ok := attributeOf(d.stream, "ptime"); ok {
		d.ptime = packetTime(value)
	}
	_, d.muxes = attributeOf(d.stream, "rtcp-mux")
	if value, ok := attributeOf(d.stream, "rtcp"); ok {
		d.rtcp = d.rtcpAddr(value)
	} else if d.rtp.IsValid() && d.rtp.Port() != 65535 {
		d.rtcp = netip.AddrPortFrom(d.rtp.Addr(), d.rtp.Port()+1)
	}
}

// attributeOf returns the value of a section's first attribute with this name.
func attributeOf(section, name string) (value string, ok bool) {
	for line := ""; section != ""; {
		line, section = cutLine(section)
		if key, value := cutAttribute(line[2:]); line[0] == 'a' && key == name {
			return value, true
		}
	}
	return "", false
}

// rtcpAddr reads the value of a=rtcp (RFC 3605).
func (d *Description) rtcpAddr(value string) netip.AddrPort {
	fields := strings.Fields(value)
	if len(fields) == 0 {
		return netip.AddrPort{}
	}
	port, ok := message.Decimal(fields[0], 65535)
	if !ok {
		return netip.AddrPort{}
	}
	if len(fields) >= 4 {
		return connAddr(fields[3], port)
	}
	if !d.rtp.IsValid() || port == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(d.rtp.Addr(), uint16(port))
}

// packetTime reads the value of a=ptime. It returns 0 for an unusual one.
func packetTime(value string) time.Duration {
	ms, ok := message.Decimal(strings.TrimSpace(value), 60)
	if !ok || ms < 10 || ms%10 != 0 {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// Streams returns the number of streams, or 0 if d is nil.
func (d *Description) Streams() int {
	if d == nil {
		return 0
	}
	return max(1, len(d.streams))
}

// Port returns the port of the audio stream.
func (d *Description) Port() int { return int(d.port) }

// RTP returns the address at which the peer wants its media. It is invalid if it is not
// an IP address or means hold (0.0.0.0, RFC 3264 section 8.4). Then we send nothing until
// the peer's packets show an address.
func (d *Description) RTP() netip.AddrPort { return d.rtp }

// RTCP returns the address at which the peer wants its RTCP. It is invalid in the same cases as RTP.
func (d *Description) RTCP() netip.AddrPort { return d.rtcp }

// Connection returns the address in the c= line of the stream, or else of the session.
func (d *Description) Connection() string { return d.connection }

// Ptime returns the packet time that the peer wants (RFC 8866 section 6.4), or 0 if it
// names none, or an unusual one.
func (d *Description) Ptime() time.Duration { return d.ptime }

// Muxes reports whether the peer offers RTP and RTCP on one port (RFC 5761) for its
// audio. Such an offer is always accepted. We offer it only to a peer that has offered
// it, or with DTLS.
func (d *Description) Muxes() bool { return d != nil && d.muxes }

// broadcast is the limited broadcast address (RFC 919), which gets no media.
var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

func connAddr(host string, port int) netip.AddrPort {
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.IsUnspecified() || addr.IsMulticast() || addr == broadcast || port <= 0 || port > 65535 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr.Unmap().WithZone(""), uint16(port))
}
