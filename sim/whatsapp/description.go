package whatsapp

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/pion/sdp/v3"
)

// The payload types of the offer.
const (
	payloadOpus  = 111
	payloadEvent = 126
)

// suite is the only one that is offered with keys in SDP (RFC 4568 section 6.2.1); the length of its key and salt.
const (
	suite     = "AES_CM_128_HMAC_SHA1_80"
	suiteKeys = 16 + 14
)

// offer returns the description as Meta writes it.
func (t *terminal) offer() []byte {
	family := "IP4"
	if t.local.Addr().Is6() {
		family = "IP6"
	}
	stream, ip, port := uuid.NewString(), t.local.Addr(), t.local.Port()
	session, profile, keys := "", "RTP/SAVP", fmt.Sprintf("a=crypto:1 %s inline:%s\r\n", suite,
		base64.StdEncoding.EncodeToString(t.ownKeys))
	feedback := ""
	if t.kind == MediaICE {
		session, profile, feedback = "a=ice-lite\r\n", "UDP/TLS/RTP/SAVPF", "a=rtcp-fb:111 transport-cc\r\n"
		keys = fmt.Sprintf("a=candidate:1775469887 1 udp 2122260223 %s %d typ host generation 0 network-cost 50\r\n"+
			"a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=fingerprint:%s\r\na=setup:actpass\r\n",
			ip, port, t.ice.ufrag, t.ice.password, fingerprint(t.certificate.Certificate[0]))
	}
	return fmt.Appendf(nil, "v=0\r\no=- %d 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE audio\r\n"+
		"a=msid-semantic: WMS %s\r\n%sm=audio %d %s 111 126\r\nc=IN %s %s\r\na=rtcp:9 IN IP4 0.0.0.0\r\n%s"+
		"a=mid:audio\r\na=sendrecv\r\na=msid:%s WhatsAppTrack1\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n%s"+
		"a=fmtp:111 maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1\r\n"+
		"a=rtpmap:126 telephone-event/8000\r\na=maxptime:20\r\na=ptime:20\r\na=ssrc:%d cname:WhatsAppAudioStream1\r\n",
		time.Now().UnixMilli(), stream, session, port, profile, family, ip, keys, stream, feedback, t.ssrc)
}

// fingerprint returns the value of a=fingerprint for a certificate (RFC 8122).
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	pairs := make([]string, 0, len(sum))
	for _, b := range sum {
		pairs = append(pairs, strings.ToUpper(hex.EncodeToString([]byte{b})))
	}
	return "sha-256 " + strings.Join(pairs, ":")
}

// answer is what the business's description says.
type answer struct {
	addr        netip.AddrPort
	ufrag       string
	fingerprint string // value of a=fingerprint, for SHA-256
	keys        []byte // of SDES
}

// readAnswer reads the answer to an offer, and says what a caller of WhatsApp can't use about it.
func readAnswer(body []byte, kind string) (a answer, err error) {
	var d sdp.SessionDescription
	if err := d.Unmarshal(body); err != nil {
		return a, fmt.Errorf("answer: %w", err)
	}
	if len(d.MediaDescriptions) != 1 || d.MediaDescriptions[0].MediaName.Port.Value == 0 {
		return a, errors.New("answer: it does not take the one stream of audio")
	}
	m := d.MediaDescriptions[0]
	of := func(name string) (string, bool) {
		if value, ok := m.Attribute(name); ok {
			return value, true
		}
		return d.Attribute(name)
	}
	profile, want := strings.Join(m.MediaName.Protos, "/"), "RTP/SAVP"
	if kind == MediaICE {
		want = "UDP/TLS/RTP/SAVPF"
	}
	switch {
	case profile != want:
		return a, fmt.Errorf("answer: m= has %s; want %s", profile, want)
	case !slices.Contains(m.MediaName.Formats, strconv.Itoa(payloadOpus)):
		return a, fmt.Errorf("answer: m= has %v without Opus (%d)", m.MediaName.Formats, payloadOpus)
	}
	if kind == MediaICE {
		return a, a.readICE(of)
	}
	return a, a.readSDES(m, d.ConnectionInformation)
}

// readICE reads what ICE and DTLS need.
func (a *answer) readICE(of func(name string) (string, bool)) error {
	a.ufrag, _ = of("ice-ufrag")
	password, _ := of("ice-pwd")
	_, isLite := of("ice-lite")
	_, muxes := of("rtcp-mux")
	setup, _ := of("setup")
	a.fingerprint, _ = of("fingerprint")
	hash, digits, _ := strings.Cut(a.fingerprint, " ")
	switch {
	case a.ufrag == "" || len(password) < 22:
		return errors.New("answer: no a=ice-ufrag and a=ice-pwd: WhatsApp sends nothing without ICE")
	case isLite:
		return errors.New("answer: a=ice-lite: WhatsApp is lite itself, so neither side would check")
	case !muxes:
		return errors.New("answer: no a=rtcp-mux")
	case setup != "active":
		return fmt.Errorf("answer: a=setup:%s; the business has to be the client of DTLS, so want active", setup)
	case !strings.EqualFold(hash, "sha-256"):
		return fmt.Errorf("answer: a=fingerprint:%s; want sha-256", a.fingerprint)
	}
	a.fingerprint = "sha-256 " + strings.ToUpper(digits)
	return nil
}

// readSDES reads the keys and the address.
func (a *answer) readSDES(m *sdp.MediaDescription, conn *sdp.ConnectionInformation) error {
	if m.ConnectionInformation != nil {
		conn = m.ConnectionInformation
	}
	if conn == nil || conn.Address == nil {
		return errors.New("answer: no c= line")
	}
	ip, err := netip.ParseAddr(conn.Address.Address)
	if err != nil {
		return fmt.Errorf("answer: c=: %w", err)
	}
	a.addr = netip.AddrPortFrom(ip, uint16(m.MediaName.Port.Value))
	line, _ := m.Attribute("crypto")
	fields := strings.Fields(line)
	if len(fields) < 3 || fields[0] != "1" || fields[1] != suite {
		taken := strings.Join(fields[:min(len(fields), 2)], " ")
		return fmt.Errorf("answer: a=crypto:%s does not take the one that was offered", taken)
	}
	inline, _, _ := strings.Cut(strings.TrimPrefix(fields[2], "inline:"), "|")
	a.keys, err = base64.StdEncoding.DecodeString(inline)
	if err != nil || len(a.keys) != suiteKeys {
		return errors.New("answer: the keys of a=crypto are not well-formed")
	}
	return nil
}
