package sdp

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"flowbridge/b2bua/message"
	"flowbridge/media/ice"
)

// ICE in session descriptions (RFC 8839), only for streams with DTLS-SRTP: without authentic packets an address could
// be taken over by a repeated check.

// PeerICE is what a peer's description says about its connectivity checks. It never changes.
type PeerICE struct {
	ice.Credentials `cbor:"1,keyasint"`

	Mid    string `cbor:"2,keyasint,omitempty"` // a=mid (RFC 5888)
	Bundle bool   `cbor:"3,keyasint,omitempty"` // in a group with the semantics BUNDLE (RFC 9143)
	Lite   bool   `cbor:"4,keyasint,omitempty"` // a=ice-lite: the peer makes no checks

	// Candidates are the addresses of the stream's component over UDP, those with the highest priority first.
	Candidates []netip.AddrPort `cbor:"5,keyasint,omitempty"`
}

// readICE reads the ICE of the audio stream. It returns nil if there is none that can be used: RTCP must share the port
// of RTP, so that there is one component, and the address in c= must be one of the candidates, or a middlebox has
// changed it (RFC 8839 §4.2.5: mismatch).
func readICE(session, stream string) (p *PeerICE, mismatch bool) {
	p = &PeerICE{Credentials: ice.Credentials{
		Ufrag: attributeIn(stream, session, "ice-ufrag"), Password: attributeIn(stream, session, "ice-pwd"),
	}}
	_, muxes := attributeOf(stream, "rtcp-mux")
	if !muxes || !areICECharacters(p.Ufrag, 4) || !areICECharacters(p.Password, 22) {
		return nil, false
	}
	if mismatches(session, stream) {
		return nil, true
	}
	_, p.Lite = attributeOf(session, "ice-lite")
	p.Candidates = candidatesIn(stream)
	if mid, ok := attributeOf(stream, "mid"); ok {
		p.Mid = strings.TrimSpace(mid)
	}
	for line, rest := cutLine(session); line != ""; line, rest = cutLine(rest) {
		if group, ok := strings.CutPrefix(line, "a=group:BUNDLE "); ok && p.Mid != "" {
			for mid := range strings.FieldsSeq(group) {
				p.Bundle = p.Bundle || mid == p.Mid
			}
		}
	}
	return p, false
}

// mismatches reports whether the address in c= is none of the candidates. A candidate with a name, as browsers use to
// hide an address, may be any.
func mismatches(session, stream string) bool {
	c, ok := connectionOf(stream)
	if !ok {
		c, _ = connectionOf(session)
	}
	at, listed := connAddr(c[strings.LastIndexByte(c, ' ')+1:], 9), false
	for line, rest := cutLine(stream); line != "" && at.IsValid(); line, rest = cutLine(rest) {
		if value, ok := strings.CutPrefix(line, "a=candidate:"); ok {
			f := strings.Fields(value)
			if listed = true; len(f) < 6 {
				continue
			}
			if a, err := netip.ParseAddr(f[4]); err != nil || a.Unmap() == at.Addr() {
				return false
			}
		}
	}
	return listed
}

// candidatesMost bounds the candidates that are kept: those of both address families.
const candidatesMost = 8

// candidatesIn returns the addresses of a stream's candidates for RTP over UDP (RFC 8839 §5.1). A name, as browsers use
// to hide an address, is left out.
func candidatesIn(stream string) (all []netip.AddrPort) {
	type candidate struct {
		at       netip.AddrPort
		priority uint64
	}
	var found []candidate
	for line, rest := cutLine(stream); line != ""; line, rest = cutLine(rest) {
		value, ok := strings.CutPrefix(line, "a=candidate:")
		f := strings.Fields(value)
		if !ok || len(f) < 8 || f[1] != "1" || !strings.EqualFold(f[2], "udp") {
			continue
		}
		priority, _ := strconv.ParseUint(f[3], 10, 32)
		port, _ := message.Decimal(f[5], 65535)
		if at := connAddr(f[4], port); at.IsValid() && len(found) < 64 {
			found = append(found, candidate{at, priority})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(b.priority, a.priority) })
	for _, c := range found[:min(len(found), candidatesMost)] {
		all = append(all, c.at)
	}
	return all
}

// areOverTCP reports whether a stream has candidates, and none over UDP: no check would ever come, nor arrive.
func areOverTCP(stream string) bool {
	listed := false
	for line, rest := cutLine(stream); line != ""; line, rest = cutLine(rest) {
		if value, ok := strings.CutPrefix(line, "a=candidate:"); ok {
			f := strings.Fields(value)
			if listed = true; len(f) > 2 && strings.EqualFold(f[2], "udp") {
				return false
			}
		}
	}
	return listed
}

// areICECharacters reports whether a value has at least the given number of characters of ICE, and at most 256 (RFC
// 8839 §5.4).
func areICECharacters(s string, least int) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '+' && s[i] != '/' {
			return false
		}
	}
	return len(s) >= least && len(s) <= 256
}

// isICE reports whether an attribute is about ICE, or about the stream's place in a group. Such attributes are read,
// and never passed on.
func isICE(key string) bool {
	switch key {
	case "ice-ufrag", "ice-pwd", "ice-lite", "candidate", "mid", "group":
		return true
	}
	return false
}

// legICE is the ICE of one leg: our credentials, and the peer's description that they belong to. The zero value is no
// ICE.
type legICE struct {
	own      ice.Credentials
	peer     *PeerICE
	mismatch bool // the peer's last offer had ICE that could not be used, because of its address in c=
}

// with returns the ICE toward a peer with this description. Other credentials of the peer are a restart, which we take
// part in with new ones of our own (RFC 8839 §4.4.1.1.1).
func (l legICE) with(peer *PeerICE) legICE {
	switch {
	case peer == nil:
		return legICE{}
	case l.peer == nil || l.peer.Credentials != peer.Credentials:
		l.own = ice.Credentials{Ufrag: randomHex(4), Password: randomHex(16)}
	}
	l.peer = peer
	return l
}

func randomHex(n int) string {
	random := make([]byte, n)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	return hex.EncodeToString(random)
}

// appendSession appends our attributes of the session.
func (l legICE) appendSession(b []byte) []byte {
	if l.peer == nil {
		return b
	}
	if !l.peer.Lite { // of two lite agents neither would make checks
		b = append(b, "a=ice-lite\r\n"...)
	}
	if l.peer.Bundle {
		b = append(append(append(b, "a=group:BUNDLE "...), l.peer.Mid...), "\r\n"...)
	}
	return b
}

// appendStream appends our attributes of the audio stream, whose address is our only candidate. Its priority is the one
// of a host with one address (RFC 8445 §5.1.2.1).
func (l legICE) appendStream(b []byte, at netip.AddrPort) []byte {
	if l.mismatch {
		return append(b, "a=ice-mismatch\r\n"...)
	}
	if l.peer == nil {
		return b
	}
	if l.peer.Mid != "" {
		b = append(append(append(b, "a=mid:"...), l.peer.Mid...), "\r\n"...)
	}
	b = append(append(append(b, "a=ice-ufrag:"...), l.own.Ufrag...), "\r\n"...)
	b = append(append(append(b, "a=ice-pwd:"...), l.own.Password...), "\r\n"...)
	b = append(at.Addr().AppendTo(append(b, "a=candidate:1 1 UDP 2130706431 "...)), ' ')
	return append(strconv.AppendUint(b, uint64(at.Port()), 10), " typ host\r\na=end-of-candidates\r\n"...)
}

// Checks returns the setup of the checks of a side with this description, or nil if it has no ICE.
func (l *LegCrypto) Checks(d *Description) *ice.Setup {
	if !d.isChecked() || l.dtls == nil || l.dtls.ice.peer == nil {
		return nil
	}
	peer := d.securing.association.ice
	return &ice.Setup{Own: l.dtls.ice.own, Peer: peer.Credentials, Lite: peer.Lite, Candidates: peer.Candidates}
}

// isChecked reports whether the peer proves its address by checks, so that the address in its description is
// ignored.
func (d *Description) isChecked() bool { return d.OverDTLS() && d.securing.association.ice != nil }
