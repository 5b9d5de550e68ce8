package gateway

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"flowbridge/media/audio"
)

// session is what the B2BUA's session description says.
type session struct {
	addr  netip.AddrPort
	mode  string // sendrecv, sendonly, recvonly or inactive: what the B2BUA does
	law   uint8  // payload type of the audio: pcmu or pcma
	event uint8  // payload type of DTMF events; 0 if none
}

// The static payload types of G.711. The bots' is PCMU.
const (
	pcmu = 0
	pcma = 8
)

var errNoG711 = errors.New("no audio in PCMU or PCMA")

// parseSession reads a session description.
func parseSession(body []byte) (s session, err error) {
	var d sdp.SessionDescription
	if err = d.Unmarshal(body); err != nil {
		return s, err
	}
	for _, m := range d.MediaDescriptions {
		at := cmp.Or(m.ConnectionInformation, d.ConnectionInformation)
		if m.MediaName.Media != "audio" || m.MediaName.Port.Value == 0 || at == nil || at.Address == nil {
			continue
		}
		law := uint8(pcmu)
		if !slices.Contains(m.MediaName.Formats, "0") {
			law = pcma
		}
		if law == pcma && !slices.Contains(m.MediaName.Formats, "8") {
			return s, errNoG711
		}
		ip, err := netip.ParseAddr(at.Address.Address)
		if err != nil {
			return s, err
		}
		s = session{addr: netip.AddrPortFrom(ip, uint16(m.MediaName.Port.Value)), mode: "sendrecv", law: law}
		for _, a := range slices.Concat(d.Attributes, m.Attributes) {
			pt, name, _ := strings.Cut(a.Value, " ")
			switch n, err := strconv.ParseUint(pt, 10, 7); {
			case isMode(a.Key):
				s.mode = a.Key
			case a.Key == "rtpmap" && err == nil && strings.EqualFold(name, "telephone-event/8000"):
				s.event = uint8(n)
			}
		}
		return s, nil
	}
	return s, errNoG711
}

func isMode(key string) bool {
	return slices.Contains([]string{"sendrecv", "sendonly", "recvonly", "inactive"}, key)
}

// answerTo returns our mode in answer to an offer's.
func answerTo(mode string) string {
	switch mode {
	case "sendonly":
		return "recvonly"
	case "recvonly":
		return "sendonly"
	case "inactive":
		return mode
	}
	return "sendrecv"
}

// describe returns the description of our end.
func describe(at netip.AddrPort, version uint64, mode string, law, event uint8) ([]byte, error) {
	m := &sdp.MediaDescription{MediaName: sdp.MediaName{
		Media: "audio", Port: sdp.RangedPort{Value: int(at.Port())}, Protos: []string{"RTP", "AVP"},
		Formats: []string{strconv.Itoa(int(law))},
	}}
	m.WithValueAttribute("rtpmap", map[uint8]string{pcmu: "0 PCMU/8000", pcma: "8 PCMA/8000"}[law])
	if event != 0 {
		pt := strconv.Itoa(int(event))
		m.MediaName.Formats = append(m.MediaName.Formats, pt)
		m.WithValueAttribute("rtpmap", pt+" telephone-event/8000").WithValueAttribute("fmtp", pt+" 0-15")
	}
	m.WithValueAttribute("ptime", "20").WithPropertyAttribute(mode)
	ip := at.Addr().String()
	d := sdp.SessionDescription{
		Origin: sdp.Origin{
			Username: "-", SessionID: uint64(at.Port()), SessionVersion: version, NetworkType: "IN", AddressType: "IP4",
			UnicastAddress: ip,
		},
		SessionName: "-",
		ConnectionInformation: &sdp.ConnectionInformation{
			NetworkType: "IN", AddressType: "IP4", Address: &sdp.Address{Address: ip},
		},
		TimeDescriptions:  []sdp.TimeDescription{{}},
		MediaDescriptions: []*sdp.MediaDescription{m},
	}
	return d.Marshal()
}

// The conversions of G.711: each byte stands for one of the same sound, or the nearest.
var muOfA, aOfMu = laws() //nolint:gochecknoglobals // tables

func laws() (muOfA, aOfMu [256]byte) {
	for i := range 256 {
		muOfA[i] = audio.EncodeULaw(audio.DecodeALaw(byte(i)))
		aOfMu[i] = audio.EncodeALaw(audio.DecodeULaw(byte(i)))
	}
	return muOfA, aOfMu
}

// convert changes audio in place.
func convert(sound []byte, table *[256]byte) {
	for i, b := range sound {
		sound[i] = table[b]
	}
}
