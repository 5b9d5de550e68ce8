package webrtc

import (
	"crypto/rand"
	"encoding/base64"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"flowbridge/scripts/internal/process"
	"flowbridge/scripts/internal/sip"
)

// party is one caller of the figures: a peer with ICE and DTLS, or a phone with its keys in SDP.
type party interface {
	// begins calls, and speaks as soon as it can. It returns when the first packet has come back.
	begins()
	packets() int64 // that came back
	ends()
}

func (p *peer) begins() {
	p.connects(p.calls())
	p.speaks("words of the figures, as long as 20 ms of PCMU: " + strings.Repeat("x", 112))
	<-p.first
}

func (p *peer) packets() int64 { return p.heard.Load() }

func (p *peer) ends() {
	p.hangsUp()
	_ = p.Close()
}

// suite is the one that pion agrees on by DTLS.
const (
	suite   = "AEAD_AES_256_GCM"
	profile = srtp.ProtectionProfileAeadAes256Gcm
	keyLen  = 32
	saltLen = 12
)

// phone is a caller with its SRTP key in SDP (RFC 4568).
type phone struct {
	*line

	rtp   *net.UDPConn
	out   *srtp.Context
	key   []byte
	heard atomic.Int64
	first chan struct{}
}

func newPhone(t testing.TB) *phone {
	t.Helper()
	p := &phone{line: newLine(t, phoneAt), key: make([]byte, keyLen+saltLen), first: make(chan struct{})}
	_, _ = rand.Read(p.key)
	var err error
	p.rtp, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(phoneAt))
	must(t, err)
	t.Cleanup(func() { _ = p.rtp.Close() })
	p.out, err = srtp.CreateContext(p.key[:keyLen], p.key[keyLen:], profile)
	must(t, err)
	return p
}

func (p *phone) begins() {
	at := p.rtp.LocalAddr().(*net.UDPAddr).AddrPort()
	offer := strings.Replace(sip.Description(at), "RTP/AVP", "RTP/SAVP", 1) + "a=crypto:1 " + suite + " inline:" +
		base64.StdEncoding.EncodeToString(p.key) + "\r\n"
	p.sends("INVITE", 1, "", offer)
	answer := p.final()
	theirs, err := base64.StdEncoding.DecodeString(field(answer.Body(), "a=crypto:1 "+suite+" inline:"))
	if err != nil || len(theirs) != len(p.key) {
		p.t.Errorf("answered with %s", answer)
		return
	}
	in, err := srtp.CreateContext(theirs[:keyLen], theirs[keyLen:], profile)
	if err != nil {
		p.t.Error(err)
		return
	}
	go p.hears(in)
	go p.speaks(sip.Media(answer.Body()))
	<-p.first
}

func (p *phone) speaks(to netip.AddrPort) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := uint16(0); ; n++ {
		pkt := rtp.Packet{
			Header:  rtp.Header{Version: 2, SequenceNumber: n, Timestamp: uint32(n) * 160, SSRC: 7},
			Payload: make([]byte, 160),
		}
		b, err := pkt.Marshal()
		if err == nil {
			b, err = p.out.EncryptRTP(nil, b, nil)
		}
		if err == nil {
			_, err = p.rtp.WriteToUDPAddrPort(b, to)
		}
		if err != nil {
			return // it is closed
		}
		<-tick.C
	}
}

func (p *phone) hears(in *srtp.Context) {
	b := make([]byte, 2000)
	for {
		n, err := p.rtp.Read(b)
		if err != nil {
			return
		}
		if _, err := in.DecryptRTP(nil, b[:n], nil); err != nil {
			continue
		}
		if p.heard.Add(1) == 1 {
			close(p.first)
		}
	}
}

func (p *phone) packets() int64 { return p.heard.Load() }

func (p *phone) ends() {
	p.hangsUp()
	_ = p.rtp.Close()
}

// BenchmarkCalls has 100 callers call one after another, and then 100 at once, which stay up for ten seconds: how long
// it takes from the INVITE to the first packet of the agent, and what a relayed packet costs the server. The agent has
// plain RTP. Callers have ICE and DTLS, or, beside them, their keys in SDP with the same suite.
//
//	go -C scripts test -run '^$' -bench Calls -benchtime 1x -count 3 ./webrtc
func BenchmarkCalls(b *testing.B) {
	for name, caller := range map[string]func(b *testing.B) party{
		"ICE and DTLS": func(b *testing.B) party { return newPeer(b, nil) },
		"SDES":         func(b *testing.B) party { return newPhone(b) },
	} {
		b.Run(name, func(b *testing.B) {
			const calls, lasts = 100, 10 * time.Second
			for range b.N {
				b.Run("in turns", func(b *testing.B) {
					newServer(b)
					newAgent(b)
					took := make([]time.Duration, calls)
					for i := range took {
						p := caller(b)
						begun := time.Now()
						p.begins()
						took[i] = time.Since(begun)
						p.ends()
					}
					told(b, took)
				})
				b.Run("at once", func(b *testing.B) {
					s := newServer(b)
					newAgent(b)
					all, took := make([]party, calls), make([]time.Duration, calls)
					for i := range all {
						all[i] = caller(b)
					}
					var setUp sync.WaitGroup
					for i, p := range all {
						setUp.Go(func() {
							begun := time.Now()
							p.begins()
							took[i] = time.Since(begun)
						})
					}
					setUp.Wait()
					told(b, took)
					sum := func() (n int64) {
						for _, p := range all {
							n += p.packets()
						}
						return n
					}
					server := process.Group{s.PID}
					before, err := server.CPU()
					must(b, err)
					packets := sum()
					time.Sleep(lasts) // a figure is measured for a fixed time; no test passes or fails by it
					after, err := server.CPU()
					must(b, err)
					packets = 2 * (sum() - packets) // one to the agent for each that came back
					b.ReportMetric(float64((after-before).Microseconds())/float64(packets), "µs/packet")
					b.ReportMetric(float64(packets)/lasts.Seconds()/calls, "packets/s/call")
				})
			}
		})
	}
}

// told reports how long set-ups took.
func told(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(took[len(took)/2]), "ms-p50")
	b.ReportMetric(ms(took[len(took)*95/100]), "ms-p95")
	b.ReportMetric(0, "ns/op")
}
