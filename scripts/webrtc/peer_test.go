package webrtc

import (
	"net"
	"net/netip"
	"strconv"
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
	*line

	track *webrtc.TrackLocalStaticRTP
	heard atomic.Int64  // packets
	last  atomic.Value  // payload of the last packet
	first chan struct{} // closed when the first packet has come
}

// line is the SIP of one call.
type line struct {
	t      testing.TB
	conn   *net.UDPConn
	dialog *sip.Dialog
	said   chan sip.Message
	to     string // To of the final answer
}

// newLine returns the line of a caller at an address.
func newLine(t testing.TB, at netip.AddrPort) *line {
	t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	e := &sip.End{Name: "b" + conn.LocalAddr().String(), Addr: conn.LocalAddr().(*net.UDPAddr).AddrPort(), Peer: serverAt}
	l := &line{t: t, conn: conn, dialog: e.Dial("+15075550100", "+15075550199"), said: make(chan sip.Message, 64)}
	go l.listen()
	return l
}

// newPeer returns a peer that speaks PCMU.
func newPeer(t testing.TB, settings func(*webrtc.SettingEngine)) *peer {
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
	api := webrtc.NewAPI(webrtc.WithSettingEngine(s), webrtc.WithMediaEngine(m))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	must(t, err)
	p := &peer{PeerConnection: pc, line: newLine(t, browserAt), first: make(chan struct{})}
	p.last.Store("")
	t.Cleanup(func() { _ = pc.Close() })
	pcmu := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMU, ClockRate: 8000}
	p.track, err = webrtc.NewTrackLocalStaticRTP(pcmu, "audio", "peer")
	must(t, err)
	_, err = pc.AddTrack(p.track)
	must(t, err)
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			pkt, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			if p.heard.Add(1) == 1 {
				close(p.first)
			}
			p.last.Store(string(pkt.Payload))
		}
	})
	return p
}

// listen acknowledges each 200 of an INVITE, and notes all that comes.
func (l *line) listen() {
	b := make([]byte, 65536)
	for {
		n, err := l.conn.Read(b)
		if err != nil {
			return
		}
		m := sip.Message(b[:n])
		if m.Status() == 200 && m.Method() == "INVITE" {
			l.sends("ACK", m.Number(), m.Header("To"), "")
		}
		if m.Method() == "BYE" && m.Status() == 0 {
			_, _ = l.conn.WriteToUDPAddrPort([]byte(m.Answer("200 OK", "", sip.WithBody(""))), serverAt)
		}
		select {
		case l.said <- m:
		default: // no message is awaited
		}
	}
}

func (l *line) sends(method string, cseq int, to, body string) {
	text := l.dialog.Text(method, "z9hG4bK"+method+strconv.FormatInt(time.Now().UnixNano(), 36), cseq, sip.WithBody(body))
	if to != "" {
		text = replaceTo(text, to)
	}
	_, _ = l.conn.WriteToUDPAddrPort([]byte(text), serverAt)
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
func (l *line) final() sip.Message {
	l.t.Helper()
	for {
		select {
		case m := <-l.said:
			if m.Status() >= 200 && m.Method() == "INVITE" {
				l.to = m.Header("To")
				return m
			}
		case <-time.After(patience):
			l.t.Fatal("no final answer")
		}
	}
}

// hangsUp ends an answered call.
func (l *line) hangsUp() { l.sends("BYE", 9, l.to, "") }

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
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := uint16(0); ; n++ {
			select {
			case <-stop:
				return
			case <-tick.C:
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
	t     testing.TB
	sip   *net.UDPConn
	heard atomic.Int64
	last  atomic.Value
}

func newAgent(t testing.TB) *agent {
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
