package sdp

import (
	"slices"
	"strings"

	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/dtls"
)

// SRTP with keys from DTLS (RFC 5763): a=fingerprint (RFC 8122), a=setup (RFC 4145) and a=tls-id (RFC 8842) of an audio
// stream, and the handshake that follows from them.

// The values of a=setup (RFC 4145 section 4). A side with holdconn wants no handshake, and therefore no media.
const (
	setupActive  = "active"  // this side begins the handshake
	setupPassive = "passive" // the other side begins it
	setupActPass = "actpass" // in an offer: the answer decides
)

// maxFingerprints bounds the fingerprints of a stream. One for each hash would be enough.
const maxFingerprints = 8

// association is what a description says about its DTLS association. It never changes.
type association struct {
	fingerprints []string // each a hash and its digits, in capitals; sorted
	setup        string
	id           string // a=tls-id; empty if none

	ice      *PeerICE // nil if none
	mismatch bool     // there is one that can't be used (RFC 8839 §4.2.5)
	answer   bool     // it is in an answer
}

// readAssociation reads the attributes of the audio stream, or of the session if the stream has none (RFC 5763 section
// 5). It returns nil if there is no usable association.
func readAssociation(session, stream string, answer bool) *association {
	a := &association{fingerprints: fingerprintsIn(stream), answer: answer}
	if a.fingerprints == nil {
		a.fingerprints = fingerprintsIn(session)
	}
	a.setup = strings.TrimSpace(attributeIn(stream, session, "setup"))
	if a.setup == "" { // RFC 4145 section 4.1
		a.setup = setupActive
		if answer {
			a.setup = setupPassive
		}
	}
	if id := strings.TrimSpace(attributeIn(stream, session, "tls-id")); isTLSID(id) {
		a.id = id
	}
	a.ice, a.mismatch = readICE(session, stream)
	known := a.setup == setupActive || a.setup == setupPassive || a.setup == setupActPass && !answer
	if !known || len(a.fingerprints) == 0 {
		return nil
	}
	return a
}

func attributeIn(stream, session, name string) string {
	if value, ok := attributeOf(stream, name); ok {
		return value
	}
	value, _ := attributeOf(session, name)
	return value
}

// fingerprintsIn returns the usable fingerprints of a section: SHA-2, which every peer must support (RFC 8122 section
// 5).
func fingerprintsIn(section string) (all []string) {
	for line := ""; section != ""; {
		line, section = cutLine(section)
		value, ok := strings.CutPrefix(line, "a=fingerprint:")
		if !ok || len(all) == maxFingerprints {
			continue
		}
		hash, digits := cutField(strings.TrimSpace(value))
		if hash, digits = strings.ToLower(hash), strings.ToUpper(digits); isFingerprint(hash, digits) {
			all = append(all, hash+" "+digits)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// isFingerprint reports whether the digits are a hash: bytes in hexadecimal with colons between them.
func isFingerprint(hash, digits string) bool {
	n := map[string]int{"sha-256": 32, "sha-384": 48, "sha-512": 64}[hash]
	if n == 0 || len(digits) != 3*n-1 {
		return false
	}
	for i := range len(digits) {
		if digit := strings.IndexByte("0123456789ABCDEF", digits[i]) >= 0; digit == (i%3 == 2) ||
			i%3 == 2 && digits[i] != ':' {
			return false
		}
	}
	return true
}

// isTLSID reports whether a value is 20 to 255 letters, digits and some signs (RFC 8842 section 4).
func isTLSID(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && strings.IndexByte("+/-_", s[i]) < 0 {
			return false
		}
	}
	return len(s) >= 20 && len(s) <= 255
}

// isKeying reports whether an attribute is about the association. Such attributes are read, and never passed on.
func isKeying(key string) bool {
	return key == "fingerprint" || key == "setup" || key == "tls-id" || isICE(key)
}

// same reports whether a and o are the same association (RFC 8842 section 3.1): certificate and id are equal. A peer
// that supports only RFC 5763 has no id.
func (a *association) same(o *association) bool {
	return a != nil && o != nil && slices.Equal(a.fingerprints, o.fingerprints) && (a.id == o.id ||
		a.id == "" || o.id == "")
}

// appendAssociation appends our attributes.
func appendAssociation(b []byte, fingerprint, setup, id string) []byte {
	b = append(append(append(b, "a=fingerprint:"...), fingerprint...), "\r\na=setup:"...)
	b = append(append(b, setup...), "\r\n"...)
	if id != "" {
		b = append(append(append(b, "a=tls-id:"...), id...), "\r\n"...)
	}
	return b
}

// legAssociation is the DTLS-SRTP of one leg. An association, with its keys, lasts through all changes of the session
// as long as both certificates, ids and roles stay the same.
type legAssociation struct {
	fingerprint string // our fingerprint; empty if the leg has no DTLS
	id          string // our a=tls-id
	offered     bool   // our last offer had DTLS-SRTP
	ice         legICE

	peer    *association // the peer's data of the association in force; nil if none
	client  bool         // we begin, or began, the handshake
	keys    media.Crypto // keys of the association; those of the previous one until its handshake is over; may be empty
	keyed   int          // the number of the association that keys belong to
	begun   bool         // the handshake has begun
	counter int          // number of associations so far
}

// newLegAssociation returns the DTLS-SRTP of a leg with the settings of its peer and our fingerprint.
func newLegAssociation(m config.PeerMedia, fingerprint string) *legAssociation {
	if m.Keying != config.KeyingDTLS || m.SRTP == config.SRTPOff || m.SRTP == "" {
		return nil
	}
	return &legAssociation{fingerprint: fingerprint, id: newTLSID()}
}

func newTLSID() string {
	return randomHex(16)
}

// roleWith reports whether we begin the handshake with a peer. If we may choose, we begin it (RFC 5763 section 5),
// unless the roles are fixed already.
func (l *legAssociation) roleWith(peer *association) (client bool) {
	switch peer.setup {
	case setupActive:
		return false
	case setupPassive:
		return true
	}
	if peer.ice != nil && !peer.ice.Lite && !peer.same(l.peer) {
		return false // it begins when its checks have succeeded, and we have no address before
	}
	return l.client || !peer.same(l.peer)
}

// isKeptBy reports whether a description of the peer keeps the association in force, because certificate, id and roles
// are unchanged.
func (l *legAssociation) isKeptBy(peer *association) bool {
	return peer.same(l.peer) && l.roleWith(peer) == l.client
}

// offering returns the transport for an offer of ours, with our DTLS attributes.
func (l *legAssociation) offering(proto string) StreamTransport {
	l.offered, l.ice.mismatch = true, false
	if proto == "" {
		proto = protoDTLS
	}
	return StreamTransport{proto: proto, association: l, setup: setupActPass, id: l.id, muxes: true}
}

// answering returns the transport for our answer to an offer, with our DTLS attributes.
func (l *legAssociation) answering(offer *Description) StreamTransport {
	peer := offer.securing.association
	if l.peer != nil && !l.isKeptBy(peer) {
		l.id = newTLSID() // RFC 8842 section 5.3
	}
	l.ice = l.ice.with(peer.ice)
	l.ice.mismatch = peer.mismatch
	t := StreamTransport{proto: offer.proto, association: l, setup: setupPassive}
	if l.roleWith(peer) {
		t.setup = setupActive
	}
	if peer.id != "" {
		t.id = l.id
	}
	return t
}

// apply puts a peer's description into force. The keys of the old association stay until the new keys are there.
func (l *legAssociation) apply(peer *association) {
	switch {
	case peer.ice == nil:
		l.ice = legICE{mismatch: l.ice.mismatch}
	case !peer.answer:
		l.ice = l.ice.with(peer.ice)
	case l.ice.peer != nil: // our offer had it, with the credentials that count
		l.ice.peer = peer.ice
	}
	if l.isKeptBy(peer) {
		if peer.id != "" {
			l.peer = peer // the id may be new
		}
		return
	}
	l.client = l.roleWith(peer)
	l.peer, l.begun = peer, false
	l.counter++
}

// reset gives up the association, because the peer's description has none. Its keys must not be used again, because the
// media forgets the packet numbers used with them.
func (l *legAssociation) reset() {
	*l = legAssociation{fingerprint: l.fingerprint, id: newTLSID(), offered: l.offered, counter: l.counter + 1}
}

// crypto returns the keys in force, or a value that says that they are awaited.
func (l *legAssociation) crypto() media.Crypto {
	if l.keys.Receive == nil {
		return media.Crypto{Awaited: true}
	}
	return l.keys
}

// Handshake is a handshake that a leg needs.
type Handshake struct {
	With dtls.Peer
	of   int // number of its association
}

// Handshake returns the handshake that the leg needs now. It returns each one only once. needed is false if there is
// none.
func (l *LegCrypto) Handshake() (h Handshake, needed bool) {
	a := l.dtls
	if a == nil || a.peer == nil || a.begun || l.current == nil || l.current.association == nil {
		return h, false
	}
	a.begun = true
	return Handshake{
		With: dtls.Peer{Fingerprints: a.peer.fingerprints, Client: a.client, Suites: dtls.Suites(l.suites)},
		of:   a.counter,
	}, true
}

// IsCurrent reports whether a handshake belongs to the leg's current association.
func (l *LegCrypto) IsCurrent(h Handshake) bool { return l.dtls != nil && l.dtls.counter == h.of }

// Agreed stores the keys that a handshake has agreed on.
func (l *LegCrypto) Agreed(keys media.Crypto) { l.dtls.keys, l.dtls.keyed = keys, l.dtls.counter }

// Agrees reports whether the handshake of the leg's association is still to be finished.
func (l *LegCrypto) Agrees() bool {
	return l != nil && l.current != nil && l.current.association != nil && l.dtls.keyed != l.dtls.counter
}

// Awaits reports whether the leg has no keys yet, because its handshake is not finished.
func (l *LegCrypto) Awaits() bool {
	return l != nil && l.current != nil && l.current.association != nil && l.dtls.keys.Receive == nil
}
