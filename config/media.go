package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Media is the section `media`.
type Media struct {
	// The addresses that RTP is bound to. "10.0.0.5=203.0.113.5" binds to the first address and writes the second into
	// SDP. Trunks and targets that name none use the first of their address family.
	Listen []MediaListener `key:"listen" is:"media-listener" default:"0.0.0.0" filled:""`
	// The address in SDP, for the one listen address of its family. Empty: that of the interface that leads to the peer.
	// auto and "stun:HOST:PORT": as in sip.advertise.
	Advertise string `key:"advertise" is:"advertise"`
	// The first and last port for RTP (even) and RTCP (odd). A call takes four. Half of them are kept for the trunks, in
	// equal parts. The default avoids the kernel's own ports.
	PortLow uint16 `key:"ports" is:"ports" default:"10000-32767" later:""`
	// PortHigh is the last port, included.
	PortHigh uint16
	// What carries RTP: kernel (packets without a change never reach the process; needs CAP_BPF and CAP_NET_ADMIN),
	// userspace (the process), auto (kernel where possible).
	Engine string `key:"engine" enum:"auto kernel userspace" default:"auto" knob:""`
	// Whether each conversation is measured by levels of speech: waits for answers, dead air, interruptions. G.711 and
	// Opus. No audio is kept.
	Insight string `key:"insight" enum:"on off" default:"on" knob:""`
	// Whether Opus is made of G.711 and the reverse, where caller and target have no codec in common: auto, off.
	Transcode string `key:"transcode" enum:"auto off" default:"auto" knob:""`
	// How many calls may be transcoded at a time. 0: 40 for each thread that relays, one for every four processors.
	MaxTranscoded int `key:"max_transcoded" default:"0" max:"100000" knob:""`
	// A call ends after this time without RTP from either side: with media_timeout if it had any, else with no_media.
	Timeout time.Duration `key:"timeout" default:"30s" knob:""`
	// The mark of sent RTP and RTCP: ef, cs0 to cs7, af11 to af43, voice-admit, le, or 0 to 63. 0: none.
	DSCP uint8 `key:"dscp" is:"dscp" default:"0" knob:""`
}

func (m *Media) check(s section) {
	ports := one(s, "ports", parsePorts)
	m.PortLow, m.PortHigh = ports.low, ports.high
	s.advertisable(m.Advertise, func(v4 bool) bool {
		return slices.ContainsFunc(m.Listen, func(l MediaListener) bool { return l.Addr.Is4() == v4 })
	})
	s.advertisedOnce(m)
}

// Calls returns how many calls have ports. A call takes two pairs, each of an even port and the one above it.
func (m *Media) Calls() int {
	first := int(m.PortLow) + int(m.PortLow)%2
	return max(0, (int(m.PortHigh)-first+1)/2/2)
}

// FairShare returns what is kept for each of several trunks, of the calls in set-up or of those with ports: half of
// them in equal parts. The other half is for trunks that need more.
func FairShare(all, trunks int) int { return all / 2 / max(1, trunks) }

// The values of media.engine.
const (
	engineAuto      = "auto"
	EngineKernel    = "kernel"
	EngineUserspace = "userspace"
)

// InsightOn is a value of media.insight.
const InsightOn = "on"

// MediaListener is an element of media.listen: "10.0.0.5", or "10.0.0.5=203.0.113.5" if peers reach it by another
// address.
type MediaListener struct {
	// Addr is the address that sockets are bound to.
	Addr netip.Addr
	// Advertise is its address in SDP. If it is zero, media.advertise is used, else the address itself.
	Advertise netip.Addr
}

// parseMediaListener parses an address, or "address=advertised address".
func parseMediaListener(t string) (m MediaListener, c complaint) {
	bind, public, named := strings.Cut(t, "=")
	m.Addr, c = parseAddr(strings.TrimSpace(bind))
	if !c.none() || !named {
		return m, c
	}
	text, c := parseAdvertise(strings.TrimSpace(public))
	if !c.none() {
		c.remedy = `write it like "10.0.0.5=203.0.113.5"`
		return MediaListener{}, c
	}
	m.Advertise, _ = netip.ParseAddr(text) // invalid if it is to be found, like auto
	if !m.Advertise.IsValid() || m.Advertise.Is4() != m.Addr.Is4() {
		return MediaListener{}, refuse("has no advertised address of the same family", `write it like "10.0.0.5=203.0.113.5"`)
	}
	return m, complaint{}
}

// advertisedOnce reports an advertise that would stand for two addresses: behind one public address their ports can't
// be told apart.
func (s section) advertisedOnce(m *Media) {
	addr, err := netip.ParseAddr(m.Advertise)
	found := findsAddress(m.Advertise)
	if err != nil && !found {
		return
	}
	nameless := 0
	for _, l := range m.Listen {
		if !l.Advertise.IsValid() && l.Addr.Is4() == (found || addr.Is4()) {
			nameless++
		}
	}
	if nameless > 1 {
		s.fields["advertise"].fail("would stand for more than one address of listen",
			`write each its own there, like "10.0.0.5=203.0.113.5", and leave advertise empty`)
	}
}

func bindable(all []MediaListener, a netip.Addr) bool {
	return slices.ContainsFunc(all, func(l MediaListener) bool { return l.Addr == a })
}

func listened(all []MediaListener) string {
	var names []string
	for _, l := range all {
		names = append(names, l.Addr.String())
	}
	return strings.Join(names, ", ")
}

// PeerMedia is the section `media` of a trunk or target.
type PeerMedia struct {
	// The one of media.listen that its RTP is bound to. Empty: the first of its address family.
	Address netip.Addr `key:"address" is:"media-address"`
	// How the source of its RTP is found: strict (only the address in SDP), auto (learned, then kept), off (every address
	// that auto believes, at any time).
	Latch LatchMode `key:"latch" enum:"strict auto off" default:"auto" knob:""`
	// Encrypted RTP: off, optional (SRTP is offered first, RTP if that is refused), required.
	SRTP SRTPMode `key:"srtp" enum:"off optional required" default:"off"`
	// Where the SRTP keys come from: sdes (they are in the SDP), dtls (a handshake on the ports of RTP).
	Keying srtpKeying `key:"srtp_keying" enum:"sdes dtls" default:"sdes"`
	// The crypto suites that are offered, in this order, and accepted. Empty: three are offered, and all are accepted.
	SRTPSuites []string `key:"srtp_suites" is:"suite" knob:""`
}

func (m *PeerMedia) check(s section) {
	const remedy = "write srtp: optional or srtp: required, or remove it"
	if m.SRTP == SRTPOff && len(m.SRTPSuites) > 0 {
		s.fields["srtp_suites"].fail("has no effect without srtp", remedy)
	}
	if m.Keying != KeyingDTLS {
		return
	}
	if m.SRTP == SRTPOff {
		s.fields["srtp_keying"].fail("has no effect without srtp", remedy)
	}
	if slices.ContainsFunc(m.SRTPSuites, func(name string) bool { return !slices.Contains(dtlsSuites(), name) }) {
		s.fields["srtp_suites"].fail("has a suite that DTLS can't agree on",
			"take those of "+strings.Join(dtlsSuites(), ", "))
	}
}

// srtpKeying says where the SRTP keys come from.
type srtpKeying string

// The values of media.srtp_keying of a trunk or target.
const (
	keyingSDES srtpKeying = "sdes" // RFC 4568
	KeyingDTLS srtpKeying = "dtls" // RFC 5763
)

// LatchMode says how the source of a side's RTP is found.
type LatchMode string

// The values of media.latch of a trunk or target.
const (
	LatchStrict LatchMode = "strict"
	LatchAuto   LatchMode = "auto"
	LatchOff    LatchMode = "off"
)

// SRTPMode says whether a side's RTP is encrypted.
type SRTPMode string

// The values of media.srtp of a trunk or target.
const (
	SRTPOff      SRTPMode = "off"
	SRTPOptional SRTPMode = "optional"
	SRTPRequired SRTPMode = "required"
)

// SRTPSuites returns the names of all crypto suites, the best one first (RFC 4568, RFC 6188, RFC 7714).
func SRTPSuites() []string {
	return append(DefaultSRTPSuites(), "AES_256_CM_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_32", "AES_CM_128_HMAC_SHA1_32")
}

// DefaultSRTPSuites returns the suites offered if none are configured: few, because each is a line of 90 bytes in an
// INVITE.
func DefaultSRTPSuites() []string {
	return []string{"AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80"}
}

// dtlsSuites returns the suites that DTLS can negotiate, the best one first (RFC 5764, RFC 7714).
func dtlsSuites() []string { return append(DefaultSRTPSuites(), "AES_CM_128_HMAC_SHA1_32") }

// transcodeOff is a value of media.transcode.
const transcodeOff = "off"

// RelayThreads returns the number of threads that relay RTP, for a number of processors. A thread can carry about 1,500
// calls; idle threads cost wake-ups.
func RelayThreads(processors int) int { return max(processors/4, 1) }

// transcodedEach is the default of media.max_transcoded for each thread that relays: a call costs 1.1 % of a processor,
// so that many take 44 % of the thread.
const transcodedEach = 40

// Transcoded returns how many calls may be transcoded at a time, with this number of processors.
func (m *Media) Transcoded(processors int) int {
	switch {
	case m.Transcode == transcodeOff:
		return 0
	case m.MaxTranscoded > 0:
		return m.MaxTranscoded
	}
	return transcodedEach * RelayThreads(processors)
}
