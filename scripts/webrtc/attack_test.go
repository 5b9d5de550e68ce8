package webrtc

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"flowbridge/scripts/internal/sip"
)

var strangerAt = netip.MustParseAddrPort("127.0.9.9:0")

// stranger sends to the port of a call's media, and counts what it gets.
type stranger struct {
	t    *testing.T
	conn *net.UDPConn
	to   netip.AddrPort
}

func newStranger(t *testing.T, answer sip.Message) *stranger {
	t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(strangerAt))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &stranger{t, conn, sip.Media(answer.Body())}
}

func (s *stranger) sends(pkt []byte) { _, _ = s.conn.WriteToUDPAddrPort(pkt, s.to) }

// gets counts the packets of each first byte that come within a second.
func (s *stranger) gets() (answers, media int) {
	b := make([]byte, 2000)
	_ = s.conn.SetReadDeadline(time.Now().Add(time.Second))
	for {
		n, err := s.conn.Read(b)
		switch {
		case err != nil:
			return answers, media
		case n > 0 && b[0] < 4:
			answers++
		default:
			media++
		}
	}
}

// checkOf returns a check of the peer that nominates. An attacker who has seen one can repeat it.
func checkOf(t *testing.T, p *peer, answer sip.Message, user, password string) []byte {
	t.Helper()
	if user == "" {
		user = ufrag(answer) + ":" + field(p.LocalDescription().SDP, "a=ice-ufrag:")
	}
	if password == "" {
		password = field(answer.Body(), "a=ice-pwd:")
	}
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(user),
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: make([]byte, 8)},
		stun.RawAttribute{Type: stun.AttrUseCandidate},
		stun.RawAttribute{Type: stun.AttrPriority, Value: make([]byte, 4)},
		stun.NewShortTermIntegrity(password), stun.Fingerprint)
	must(t, err)
	return m.Raw
}

func field(sdp, name string) string {
	_, rest, _ := strings.Cut(sdp, name)
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

// An attacker that repeats a check of the peer from elsewhere gets an answer, as the peer would, but no media. An
// attacker without a valid check gets no answer. The call continues.
func TestAttacks(t *testing.T) {
	s := newServer(t)
	p, answer := talks(t, s, nil)
	hello := append([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40}, make([]byte, 40)...)
	closes := append([]byte{21, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 26}, make([]byte, 26)...)
	for _, attack := range []struct {
		name     string
		datagram []byte
		times    int
		answered bool
	}{
		{"a repeated check", checkOf(t, p, answer, "", ""), 20, true},
		{"a wrong password", checkOf(t, p, answer, "", "another-password-another"), 20_000, false},
		{"a wrong ufrag", checkOf(t, p, answer, "zzzz:zzzz", ""), 20_000, false},
		{"a DTLS handshake", hello, 100, false},
		{"the end of DTLS", closes, 100, false},
		{"RTP", append([]byte{0x80, 0}, make([]byte, 180)...), 1000, false},
	} {
		x := newStranger(t, answer)
		for range attack.times {
			x.sends(attack.datagram)
		}
		answers, media := x.gets()
		if media > 0 || (answers > 0) != attack.answered {
			t.Errorf("%s: %d answers, and %d packets of media", attack.name, answers, media)
		}
		p.hears("words")
	}
}

// Checks for one call have no effect in another.
func TestChecksOfAnotherCall(t *testing.T) {
	s := newServer(t)
	p, first := talks(t, s, nil)
	other := newPeer(t, nil)
	second := other.calls()
	other.connects(second)
	x := newStranger(t, second)
	x.sends(checkOf(t, p, first, "", ""))
	if answers, media := x.gets(); answers+media > 0 {
		t.Errorf("%d answers, and %d packets of media", answers, media)
	}
}

// A peer whose certificate is not the one in its SDP gets no media: the call ends.
func TestAnotherFingerprint(t *testing.T) {
	s := newServer(t)
	newAgent(t)
	p := newPeer(t, nil)
	p.offers(nil)
	sdp, of := p.LocalDescription().SDP, field(p.LocalDescription().SDP, "a=fingerprint:sha-256 ")
	p.sends("INVITE", 1, "", strings.ReplaceAll(sdp, of, of[3:]+":00"))
	answer := p.final()
	if answer.Status() == 200 {
		p.connects(answer)
	}
	ends(t, s, "dtls_failed")
	if p.ConnectionState() == webrtc.PeerConnectionStateConnected {
		t.Error("the peer is connected")
	}
}
