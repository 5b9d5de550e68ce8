package sdp

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/ice"
)

// The state of descriptions and keys, which is saved for the process that continues a call.

// DescriptionState is a Description in the form that is saved.
type DescriptionState struct {
	Session    string           `cbor:"1,keyasint,omitempty"`
	Stream     string           `cbor:"2,keyasint,omitempty"`
	Streams    []string         `cbor:"3,keyasint,omitempty"`
	Audio      int              `cbor:"4,keyasint,omitempty"`
	Formats    FormatStates     `cbor:"5,keyasint,omitempty"`
	Grouped    bool             `cbor:"6,keyasint,omitempty"`
	Connection string           `cbor:"7,keyasint,omitempty"`
	RTP        message.KeptAddr `cbor:"8,keyasint,omitzero"`
	RTCP       message.KeptAddr `cbor:"9,keyasint,omitzero"`
	Port       uint16           `cbor:"10,keyasint,omitempty"`
	Muxes      bool             `cbor:"11,keyasint,omitempty"`
	Way        string           `cbor:"12,keyasint,omitempty"`
	Ptime      time.Duration    `cbor:"13,keyasint,omitempty"`
	Proto      string           `cbor:"14,keyasint,omitempty"`
	Securing   *SecuringState   `cbor:"15,keyasint,omitempty"`
	Former     FormatStates     `cbor:"16,keyasint,omitempty"`
}

// SecuringState is the SRTP of a stream with its keys, in the form that is saved.
type SecuringState struct {
	Tag  string      `cbor:"1,keyasint,omitempty"`
	Peer *media.Keys `cbor:"2,keyasint,omitempty"`
	Own  *media.Keys `cbor:"3,keyasint,omitempty"`

	Association *AssociationState `cbor:"4,keyasint,omitempty"`
}

// AssociationState is an association in the form that is saved.
type AssociationState struct {
	Fingerprints []string `cbor:"1,keyasint,omitempty"`
	Setup        string   `cbor:"2,keyasint,omitempty"`
	ID           string   `cbor:"3,keyasint,omitempty"`
	ICE          *PeerICE `cbor:"4,keyasint,omitempty"`
}

func (a *association) state() *AssociationState {
	if a == nil {
		return nil
	}
	return &AssociationState{Fingerprints: a.fingerprints, Setup: a.setup, ID: a.id, ICE: a.ice}
}

func (s *AssociationState) restore() *association {
	if s == nil {
		return nil
	}
	return &association{fingerprints: s.Fingerprints, setup: s.Setup, id: s.ID, ice: s.ICE}
}

// State returns the description in the form that is saved.
func (d *Description) State() DescriptionState {
	return DescriptionState{
		Session: d.session, Stream: d.stream, Streams: d.streams, Audio: d.audio, Formats: d.formats, Grouped: d.grouped,
		Connection: d.connection, RTP: message.KeptAddr{AddrPort: d.rtp}, RTCP: message.KeptAddr{AddrPort: d.rtcp},
		Port: d.port, Muxes: d.muxes, Way: string(d.way),
		Ptime: d.ptime, Proto: d.proto, Securing: d.securing.state(), Former: d.former,
	}
}

// RestoreDescription returns the description with a saved state.
func RestoreDescription(s *DescriptionState) *Description {
	return &Description{
		session: s.Session, stream: s.Stream, streams: s.Streams, audio: s.Audio, formats: s.Formats, grouped: s.Grouped,
		connection: s.Connection, rtp: s.RTP.AddrPort, rtcp: s.RTCP.AddrPort, port: s.Port, muxes: s.Muxes,
		way:   Direction(s.Way),
		ptime: s.Ptime, proto: knownProto(s.Proto), securing: s.Securing.restore(), former: s.Former,
	}
}

// FormatStates are formats that are saved as one text, which is a tenth as long as a structure. The text has the fields
// of each format, and then formatEnd.
type FormatStates []Format

const (
	fieldEnd  = '\x1f'
	formatEnd = '\x1e'

	wireMark = 0x80 // marks the number on the wire of a stand-in; versions before 1.1 do not read it
)

// HasStandIn reports whether one of the formats is a stand-in.
func (s FormatStates) HasStandIn() bool {
	return slices.ContainsFunc(s, func(f Format) bool { return f.IsStandIn() })
}

// AppendText appends the formats as text. It never fails.
func (s FormatStates) AppendText(b []byte) ([]byte, error) {
	for i := range s {
		f := &s[i]
		b = f.appendTo(b)
		b = append(append(b, f.Mapping...), fieldEnd)
		b = append(b, f.Number, f.source, byte(f.lines))
		if f.wire > 0 {
			b = append(b, wireMark|f.wire)
		}
		b = append(b, formatEnd)
	}
	return b, nil
}

func (k Codec) appendTo(b []byte) []byte {
	b = append(append(b, k.Name...), fieldEnd)
	b = append(strconv.AppendUint(b, uint64(k.Clock), 10), fieldEnd)
	return append(append(b, k.channels...), fieldEnd)
}

// UnmarshalText reads formats. It skips malformed ones.
func (s *FormatStates) UnmarshalText(text []byte) error {
	*s = nil
	rest := string(text)
	for rest != "" {
		k, behind, ok := readCodec(rest)
		mapping, behind, found := strings.Cut(behind, string(rune(fieldEnd)))
		if !ok || !found || len(behind) < 4 {
			return nil
		}
		var wire byte
		if behind[3]&wireMark != 0 {
			wire, behind = behind[3]&^wireMark, behind[:3]+behind[4:]
		}
		if len(behind) < 4 || behind[3] != formatEnd {
			return nil
		}
		if f := (Format{
			Codec: k, Mapping: mapping, Number: behind[0], source: behind[1],
			lines: formatLines(behind[2]), wire: wire,
		}); f.Number < 128 && f.source < 128 {
			*s = append(*s, f)
		}
		rest = behind[4:]
	}
	return nil
}

func readCodec(text string) (k Codec, rest string, ok bool) {
	name, rest, _ := strings.Cut(text, string(rune(fieldEnd)))
	clock, rest, _ := strings.Cut(rest, string(rune(fieldEnd)))
	channels, rest, ok := strings.Cut(rest, string(rune(fieldEnd)))
	hz, _ := strconv.ParseUint(clock, 10, 32)
	return Codec{Name: name, Clock: uint32(hz), channels: channels}, rest, ok
}

// CodecState is a codec that is saved as text.
type CodecState Codec

// AppendText appends the codec as text. It never fails.
func (s CodecState) AppendText(b []byte) ([]byte, error) { return Codec(s).appendTo(b), nil }

// UnmarshalText reads a codec.
func (s *CodecState) UnmarshalText(text []byte) error {
	k, _, _ := readCodec(string(text))
	*s = CodecState(k)
	return nil
}

func (s *securing) state() *SecuringState {
	if s == nil {
		return nil
	}
	return &SecuringState{Tag: s.tag, Peer: s.peer, Own: s.own, Association: s.association.state()}
}

// restore returns the SRTP with a saved state. It returns nil if there is none, or if the keys fit no suite.
func (s *SecuringState) restore() *securing {
	if s != nil && s.Association != nil {
		return &securing{association: s.Association.restore()}
	}
	if s == nil || !usable(s.Peer) || s.Own != nil && !usable(s.Own) {
		return nil
	}
	return &securing{tag: s.Tag, peer: s.Peer, own: s.Own}
}

// maxMKI bounds a master key identifier (RFC 4568 section 6.1).
const maxMKI = 128

func usable(k *media.Keys) bool {
	if k == nil {
		return false
	}
	_, known := media.ParseSuite(k.Suite.String())
	return known && len(k.Key) == k.Suite.KeyLen() && len(k.MKI) <= maxMKI
}

// CryptoState is a LegCrypto in the form that is saved.
type CryptoState struct {
	Offers  bool            `cbor:"1,keyasint,omitempty"`
	Current *SecuringState  `cbor:"2,keyasint,omitempty"`
	Proto   string          `cbor:"3,keyasint,omitempty"`
	Last    []SecuringState `cbor:"4,keyasint,omitempty"` // only Tag and Own of each line

	DTLS *LegAssociationState `cbor:"5,keyasint,omitempty"`
}

// LegAssociationState is the DTLS-SRTP of a leg with its keys, in the form that is saved.
type LegAssociationState struct {
	ID      string            `cbor:"1,keyasint,omitempty"`
	Offered bool              `cbor:"2,keyasint,omitempty"`
	Peer    *AssociationState `cbor:"3,keyasint,omitempty"`
	Client  bool              `cbor:"4,keyasint,omitempty"`
	Keys    media.Crypto      `cbor:"5,keyasint,omitzero"`
	OwnICE  ice.Credentials   `cbor:"6,keyasint,omitzero"`
	PeerICE *PeerICE          `cbor:"7,keyasint,omitempty"`
}

// State returns the SRTP of the leg in the form that is saved.
func (l *LegCrypto) State() CryptoState {
	if l == nil {
		return CryptoState{}
	}
	s := CryptoState{Offers: l.Offers, Current: l.current.state(), Proto: l.proto}
	for i := range l.last {
		s.Last = append(s.Last, SecuringState{Tag: l.last[i].tag, Own: &l.last[i].keys})
	}
	if a := l.dtls; a != nil {
		s.DTLS = &LegAssociationState{ID: a.id, Offered: a.offered, Peer: a.peer.state(), Client: a.client}
		s.DTLS.OwnICE, s.DTLS.PeerICE = a.ice.own, a.ice.peer
		if a.keyed == a.counter {
			s.DTLS.Keys = a.keys
		}
	}
	return s
}

// RestoreLegCrypto returns the SRTP of a leg with these settings and a saved state. A stream that had SRTP keeps it.
func RestoreLegCrypto(m config.PeerMedia, fingerprint string, s *CryptoState) *LegCrypto {
	l := new(*NewLegCrypto(m, fingerprint, false))
	l.dtls = s.DTLS.restore(fingerprint)
	if s.Current != nil && l.suites == nil {
		l.suites = suitesOf(config.SRTPSuites())
	}
	l.Offers, l.current, l.proto = s.Offers, s.Current.restore(), knownProto(s.Proto)
	if l.dtls == nil && l.current != nil && l.current.association != nil {
		l.current = nil // can't happen: a state has both or neither
	}
	for _, line := range s.Last {
		if usable(line.Own) {
			l.last = append(l.last, cryptoLine{tag: line.Tag, keys: *line.Own})
		}
	}
	return l
}

// restore returns the DTLS-SRTP with a saved state. A handshake that was not finished starts over.
func (s *LegAssociationState) restore(fingerprint string) *legAssociation {
	if s == nil {
		return nil
	}
	a := &legAssociation{
		fingerprint: fingerprint, id: s.ID, offered: s.Offered, peer: s.Peer.restore(),
		client: s.Client, counter: 1, ice: legICE{own: s.OwnICE, peer: s.PeerICE},
	}
	if usable(s.Keys.Receive) && usable(s.Keys.Send) {
		a.keys, a.keyed, a.begun = s.Keys, a.counter, true
	}
	return a
}

// OriginState is the o= line of a leg: the session's number, and the version that was sent last.
type OriginState struct {
	ID      uint64 `cbor:"1,keyasint,omitempty"`
	Version uint64 `cbor:"2,keyasint,omitempty"`
	Last    []byte `cbor:"3,keyasint,omitempty"`
	Begin   int    `cbor:"4,keyasint,omitempty"`
}

// State returns the origin in the form that is saved.
func (o *Origin) State() OriginState { return OriginState{o.id, o.version, o.last, o.begin} }

// RestoreOrigin returns the origin with a saved state.
func RestoreOrigin(s *OriginState) Origin {
	o := Origin{id: s.ID, version: s.Version, last: s.Last, begin: s.Begin}
	if o.begin < 0 || o.begin > len(o.last) {
		o.last, o.begin = nil, 0
		o.version++
	}
	return o
}
