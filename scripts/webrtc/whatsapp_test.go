package webrtc

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"flowbridge/scripts/internal/sip"
)

// The stand-in for WhatsApp is judged by pion as the business: a full agent, which has to control a lite one and to
// begin the DTLS handshake. It echoes the user's words, which the user must hear.
func TestStandInForWhatsApp(t *testing.T) {
	pair, ca := certificate(t, "business.test")
	listener, err := tls.Listen("tcp4", "127.0.8.2:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	must(t, err)
	defer listener.Close()
	b := &business{t: t}
	go b.serve(listener)
	cmd := exec.Command(binary, "simulate", "whatsapp", "--server", "business.test", "--send-to", listener.Addr().String(),
		"--listen", "127.0.9.2:0", "--ca", ca, "--called", "+15075785607", "--seconds", "8", "--json")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var got struct {
		OK        bool
		WordsBack float64 `json:"words_back"`
		Checks    struct{ Nominated string }
		RTP       struct{ Received, Lost uint64 }
	}
	if json.Unmarshal(out, &got) != nil || err != nil || !got.OK || got.WordsBack < 0.5 ||
		!strings.HasPrefix(got.Checks.Nominated, "127.") || got.RTP.Received == 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// certificate returns a self-signed certificate for a name, and a file with it.
func certificate(t *testing.T, name string) (tls.Certificate, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	of := x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, &of, &of, &key.PublicKey, key)
	must(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// business is a SIP server over TLS that takes one call, and echoes its audio.
type business struct{ t *testing.T }

func (b *business) serve(l net.Listener) {
	conn, err := l.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	for in := bufio.NewReader(conn); ; {
		m, err := readMessage(in)
		if err != nil {
			return
		}
		answer := ""
		switch m.Method() {
		case "INVITE":
			answer = m.Answer("200 OK", "business",
				fmt.Sprintf("Contact: <sip:%s;transport=tls>\r\n%s", l.Addr(), sip.WithBody(b.takes(m.Body()))))
		case "BYE":
			answer = m.Answer("200 OK", "business", sip.WithBody(""))
		default:
			continue
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}

// readMessage reads a message of a stream (RFC 3261 section 18.3).
func readMessage(in *bufio.Reader) (sip.Message, error) {
	var text strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", err
		}
		if text.WriteString(line); line == "\r\n" {
			break
		}
	}
	var length int
	_, _ = fmt.Sscan(sip.Message(text.String()).Header("Content-Length"), &length)
	body := make([]byte, length)
	_, err := io.ReadFull(in, body)
	return sip.Message(text.String() + string(body)), err
}

// takes answers an offer with Opus whose packets go back as they come.
func (b *business) takes(offer string) (answer string) {
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	if err := s.SetAnsweringDTLSRole(webrtc.DTLSRoleClient); err != nil { // pion is the server of a lite agent otherwise
		b.t.Error(err)
	}
	m := &webrtc.MediaEngine{}
	opus := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
	check := func(err error) {
		if err != nil {
			b.t.Error(err)
		}
	}
	check(m.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: opus, PayloadType: 111}, webrtc.RTPCodecTypeAudio))
	api := webrtc.NewAPI(webrtc.WithSettingEngine(s), webrtc.WithMediaEngine(m))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	check(err)
	b.t.Cleanup(func() { _ = pc.Close() })
	back, err := webrtc.NewTrackLocalStaticRTP(opus, "audio", "business")
	check(err)
	_, err = pc.AddTrack(back)
	check(err)
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			_ = back.WriteRTP(p)
		}
	})
	check(pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}))
	a, err := pc.CreateAnswer(nil)
	check(err)
	check(pc.SetLocalDescription(a))
	<-webrtc.GatheringCompletePromise(pc)
	return pc.LocalDescription().SDP
}
