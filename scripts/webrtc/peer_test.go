package webrtc

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"flowbridge/scripts/internal/sip"
)

// peer is a browser with its SIP, which a gateway makes for it.
type peer struct {
	*webrtc.PeerConnection

	t     *testing.T
	track *webrtc.TrackLocalStaticRTP
	heard atomic.Int64 // packets
	last  atomic.Value // payload of the last packet

	conn   *net.UDPConn
	dialog *sip.Dialog
	said   chan sip.Message
}

// newPeer returns a peer that speaks PCMU.
func newPeer(t *testing.T, settings func(*webrtc.SettingEngine)) *peer {
	t.Helper()
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetHandleUndeclaredSSRCWithoutAnswer(true) // our SDP has no a=ssrc, and the peer no header extension for a=mid
	s.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	if settings != nil {
		settings(&s)
	}
	m := &webrtc.MediaEngine{}
	must(t, m.RegisterCodec(webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMU, ClockRate: 8000}, PayloadType: 0,
	}, webrtc.RTPCodecTypeAudio))
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(s), webrtc.WithMediaEngine(m)).NewPeerConnection(webrtc.Configuration{})
	must(t, err)
	p := &peer{PeerConnection: pc, t: t, said: make(chan sip.Message, 64)}
	p.last.Store("")
	t.Cleanup(func() { _ = pc.Close() })
	p.track, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMU, ClockRate: 8000}, "audio", "peer")
	must(t, err)
	_, err = pc.AddTrack(p.track)
	must(t, err)
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			pkt, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			p.heard.Add(1)
			p.last.Store(string(pkt.Payload))
		}
	})
	p.conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(browserAt))
	must(t, err)
	t.Cleanup(func() { _ = p.conn.Close() })
	e := &sip.End{Name: "b" + p.conn.LocalAddr().String(), Addr: p.conn.LocalAddr().(*net.UDPAddr).AddrPort(), Peer: serverAt}
	p.dialog = e.Dial("+15075550100", "+15075550199")
	go p.listen()
	return p
}

// listen acknowledges each 200 of an INVITE, and notes all that comes.
func (p *peer) listen() {
	b := make([]byte, 65536)
	for {
		n, err := p.conn.Read(b)
		if err != nil {
			return
		}
		m := sip.Message(b[:n])
		if m.Status() == 200 && m.Method() == "INVITE" {
			p.sends("ACK", m.Number(), m.Header("To"), "")
		}
		if m.Method() == "BYE" && m.Status() == 0 {
			_, _ = p.conn.WriteToUDPAddrPort([]byte(m.Answer("200 OK", "", sip.WithBody(""))), serverAt)
		}
		select {
		case p.said <- m:
		default: // nobody waits
		}
	}
}

func (p *peer) sends(method string, cseq int, to, body string) {
	text := p.dialog.Text(method, "z9hG4bK"+method+time.Now().String()[11:29], cseq, sip.WithBody(body))
	if to != "" {
		text = replaceTo(text, to)
	}
	_, _ = p.conn.WriteToUDPAddrPort([]byte(text), serverAt)
}

// calls sends an offer, and returns the answer.
func (p *peer) calls() sip.Message {
	p.t.Helper()
	p.offers(nil)
	p.sends("INVITE", 1, "", p.LocalDescription().SDP)
	return p.final()
}

// offers makes an offer with all candidates.
func (p *peer) offers(options *webrtc.OfferOptions) {
	p.t.Helper()
	offer, err := p.CreateOffer(options)
	must(p.t, err)
	done := webrtc.GatheringCompletePromise(p.PeerConnection)
	must(p.t, p.SetLocalDescription(offer))
	<-done
}

// final returns the final answer to an INVITE.
func (p *peer) final() sip.Message {
	p.t.Helper()
	for {
		select {
		case m := <-p.said:
			if m.Status() >= 200 && m.Method() == "INVITE" {
				return m
			}
		case <-time.After(patience):
			p.t.Fatal("no final answer")
		}
	}
}

// connects applies an answer.
func (p *peer) connects(answer sip.Message) {
	p.t.Helper()
	if answer.Status() != 200 {
		p.t.Fatalf("refused:\n%s", answer)
	}
	must(p.t, p.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer.Body()}))
}

// speaks sends a packet each 20 ms until the test ends. Its payload is text.
func (p *peer) speaks(text string) {
	stop := make(chan struct{})
	p.t.Cleanup(func() { close(stop) })
	go func() {
		for n := uint16(0); ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				_ = p.track.WriteRTP(&rtp.Packet{
					Header:  rtp.Header{Version: 2, SequenceNumber: n, Timestamp: uint32(n) * 160, SSRC: 7},
					Payload: []byte(text),
				})
			}
		}
	}()
}

// hears waits until the peer gets further packets with this payload.
func (p *peer) hears(text string) {
	p.t.Helper()
	before := p.heard.Load()
	await(p.t, "audio of the agent", func() bool { return p.heard.Load() >= before+20 && p.last.Load() == text })
}

// agent is the other end of the call: it echoes plain RTP.
type agent struct {
	t     *testing.T
	sip   *net.UDPConn
	heard atomic.Int64
	last  atomic.Value
}

func newAgent(t *testing.T) *agent {
	t.Helper()
	a := &agent{t: t}
	a.last.Store("")
	var err error
	a.sip, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(agentAt))
	must(t, err)
	rtpConn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(agentAt.Addr(), 30000)))
	must(t, err)
	t.Cleanup(func() { _, _ = a.sip.Close(), rtpConn.Close() })
	go a.takes()
	go a.echoes(rtpConn)
	return a
}

func (a *agent) takes() {
	b := make([]byte, 65536)
	for {
		n, from, err := a.sip.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		switch m := sip.Message(b[:n]); m.Method() {
		case "INVITE":
			more := "Contact: <sip:" + agentAt.String() + ">\r\n" +
				sip.WithBody(sip.Description(netip.AddrPortFrom(agentAt.Addr(), 30000)))
			_, _ = a.sip.WriteToUDPAddrPort([]byte(m.Answer("200 OK", "agent", more)), from)
		case "OPTIONS", "BYE":
			_, _ = a.sip.WriteToUDPAddrPort([]byte(m.Answer("200 OK", "agent", sip.WithBody(""))), from)
		}
	}
}

func (a *agent) echoes(conn *net.UDPConn) {
	b := make([]byte, 2000)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if pkt := (&rtp.Packet{}); pkt.Unmarshal(b[:n]) == nil {
			a.heard.Add(1)
			a.last.Store(string(pkt.Payload))
			_, _ = conn.WriteToUDPAddrPort(b[:n], from)
		}
	}
}
