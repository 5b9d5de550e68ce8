package sim

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

var errNoCodec = errors.New("no codec in common: want PCMU or PCMA")

// remoteMedia is the audio that the peer's SDP describes.
type remoteMedia struct {
	addr  netip.AddrPort
	codec codec // the first supported codec
	event uint8 // payload type of telephone-event, or 0

	secure bool     // RTP/SAVP
	crypto []string // its crypto attributes
}

// parseSDP parses an offer or an answer without encryption.
func parseSDP(body []byte) (remoteMedia, error) {
	m, err := parseAnySDP(body)
	if err == nil {
		err = m.allows(srtpOff)
	}
	return m, err
}

// parseAnySDP parses an offer.
func parseAnySDP(body []byte) (remoteMedia, error) {
	var d sdp.SessionDescription
	if err := d.Unmarshal(body); err != nil {
		return remoteMedia{}, fmt.Errorf("sdp: %w", err)
	}
	for _, m := range d.MediaDescriptions {
		if m.MediaName.Media != "audio" || m.MediaName.Port.Value == 0 {
			continue
		}
		profile := strings.Join(m.MediaName.Protos, "/")
		if profile != "RTP/AVP" && profile != "RTP/SAVP" {
			continue
		}
		found, err := audioOf(m, cmp.Or(m.ConnectionInformation, d.ConnectionInformation))
		found.secure = profile == "RTP/SAVP"
		return found, err
	}
	return remoteMedia{}, errors.New("sdp: no audio over RTP/AVP")
}

func audioOf(m *sdp.MediaDescription, conn *sdp.ConnectionInformation) (remoteMedia, error) {
	if conn == nil || conn.Address == nil {
		return remoteMedia{}, errors.New("sdp: no connection line")
	}
	ip, err := netip.ParseAddr(conn.Address.Address)
	if err != nil {
		return remoteMedia{}, fmt.Errorf("sdp: connection address: %w", err)
	}
	r := remoteMedia{addr: netip.AddrPortFrom(ip, uint16(m.MediaName.Port.Value))}
	names := map[string]string{"0": "PCMU", "8": "PCMA"}
	for _, a := range m.Attributes {
		if a.Key == "crypto" {
			r.crypto = append(r.crypto, a.Value)
		}
		if pt, name, ok := strings.Cut(a.Value, " "); ok && a.Key == "rtpmap" {
			names[pt] = strings.ToUpper(strings.SplitN(name, "/", 2)[0])
		}
	}
	found := false
	for _, pt := range m.MediaName.Formats {
		n, err := strconv.ParseUint(pt, 10, 7)
		if err != nil {
			continue
		}
		if names[pt] == "TELEPHONE-EVENT" {
			r.event = uint8(n)
		}
		c, known := codecFor(uint8(n))
		if known && !found && names[pt] == c.name {
			r.codec, found = c, true
		}
	}
	if !found {
		return remoteMedia{}, errNoCodec
	}
	return r, nil
}

// writeSDP describes audio at addr with the codecs in their order. Event 0 omits telephone-event.
func writeSDP(addr netip.AddrPort, session uint64, codecs []codec, event uint8) []byte {
	family := "IP4"
	if addr.Addr().Is6() && !addr.Addr().Is4In6() {
		family = "IP6"
	}
	var list, maps strings.Builder
	for _, c := range codecs {
		fmt.Fprintf(&list, " %d", c.payload)
		fmt.Fprintf(&maps, "a=rtpmap:%d %s/8000\r\n", c.payload, c.name)
	}
	if event != 0 {
		fmt.Fprintf(&list, " %d", event)
		fmt.Fprintf(&maps, "a=rtpmap:%d telephone-event/8000\r\na=fmtp:%d 0-16\r\n", event, event)
	}
	ip := addr.Addr().Unmap()
	return fmt.Appendf(nil,
		"v=0\r\no=- %d 1 IN %s %s\r\ns=-\r\nc=IN %s %s\r\nt=0 0\r\nm=audio %d RTP/AVP%s\r\n%sa=ptime:20\r\na=sendrecv\r\n",
		session, family, ip, family, ip, addr.Port(), list.String(), maps.String())
}
