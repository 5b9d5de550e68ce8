//go:build e2e

package e2e

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"flowbridge/media/audio"
)

// phone sends and receives the RTP and RTCP of one side of a call.
type phone struct {
	*stage
	rtp, rtcp *net.UDPConn

	mu      sync.Mutex
	packets []arrival // RTP
	reports []arrival // RTCP

	said []time.Time // when talk sent each packet; must not be read while it runs
}

// arrival is a received datagram.
type arrival struct {
	from netip.AddrPort
	data []byte
	at   time.Time
}

// frame is the number of samples in a packet, and the time between packets.
const (
	frame     = 160
	frameTime = 20 * time.Millisecond
)

// newPhone opens a pair of ports: an even one for RTP, and the odd one above for RTCP.
func (s *stage) newPhone(addr netip.Addr) *phone {
	s.Helper()
	for range 100 {
		rtp := s.freePort(addr)
		if rtp.Port()%2 != 0 {
			continue
		}
		p := &phone{stage: s}
		var err error
		if p.rtp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(rtp)); err != nil {
			continue
		}
		above := netip.AddrPortFrom(addr, rtp.Port()+1)
		if p.rtcp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(above)); err != nil {
			p.rtp.Close()
			continue
		}
		s.Cleanup(func() { p.rtp.Close(); p.rtcp.Close() })
		go p.listen(p.rtp, &p.packets)
		go p.listen(p.rtcp, &p.reports)
		return p
	}
	s.Fatalf("no pair of ports on %v", addr)
	return nil
}

// key returns the option that gives SIPp the phone's port.
func (p *phone) key() []string {
	return []string{"-key", "rtp_port", strconv.Itoa(int(local(p.rtp).Port()))}
}

func (p *phone) listen(conn *net.UDPConn, into *[]arrival) {
	buf := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		*into = append(*into, arrival{from, bytes.Clone(buf[:n]), time.Now()})
		p.mu.Unlock()
	}
}

func (p *phone) heard() []arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]arrival(nil), p.packets...)
}

func (p *phone) heardRTCP() []arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]arrival(nil), p.reports...)
}

// talk sends packets at the rate of speech.
func (p *phone) talk(packets [][]byte, to netip.AddrPort) {
	p.Helper()
	p.talkFrom(p.rtp, packets, to)
}

// talkFrom is like talk, from another socket than the phone's. Each packet has its time. After a
// delay the sender catches up, like a phone whose samples come from a microphone.
func (p *phone) talkFrom(conn *net.UDPConn, packets [][]byte, to netip.AddrPort) {
	p.Helper()
	begin := time.Now()
	for i, packet := range packets {
		p.said = append(p.said, time.Now())
		p.send(conn, packet, to)
		<-time.After(time.Until(begin.Add(time.Duration(i+1) * frameTime)))
	}
}

func (p *phone) send(conn *net.UDPConn, packet []byte, to netip.AddrPort) {
	p.Helper()
	if _, err := conn.WriteToUDPAddrPort(packet, to); err != nil {
		p.Errorf("send to %v: %v", to, err)
	}
}

// speech turns samples into packets of G.711 µ-law.
func speech(samples []int16, ssrc uint32) [][]byte {
	var packets [][]byte
	for i := 0; i+frame <= len(samples); i += frame {
		packet := rtpPacket(0, i == 0, uint16(i/frame+100), uint32(i+4000), ssrc)
		for _, v := range samples[i : i+frame] {
			packet = append(packet, audio.EncodeULaw(v))
		}
		packets = append(packets, packet)
	}
	return packets
}

func rtpPacket(kind byte, marker bool, seq uint16, ts, ssrc uint32) []byte {
	packet := make([]byte, 12, 12+frame)
	packet[0], packet[1] = 0x80, kind
	if marker {
		packet[1] |= 0x80
	}
	binary.BigEndian.PutUint16(packet[2:], seq)
	binary.BigEndian.PutUint32(packet[4:], ts)
	binary.BigEndian.PutUint32(packet[8:], ssrc)
	return packet
}

// keypress returns the packets of one telephone-event (RFC 4733 section 2.5): payload type 101, the
// timestamp of its start in all of them, and the last one repeated twice with the end bit.
func keypress(digit byte, seq uint16, ts, ssrc uint32) [][]byte {
	var packets [][]byte
	for i := range 7 {
		end, duration := byte(0), uint16(min(i+1, 5)*frame)
		if i >= 4 {
			end = 0x80
		}
		packet := rtpPacket(101, i == 0, seq+uint16(i), ts, ssrc)
		packet = append(packet, digit, end|10)
		packets = append(packets, binary.BigEndian.AppendUint16(packet, duration))
	}
	return packets
}

// senderReport returns an RTCP sender report with a source description (RFC 3550 section 6).
func senderReport(ssrc uint32, name string) []byte {
	report := []byte{0x80, 200, 0, 6}
	report = binary.BigEndian.AppendUint32(report, ssrc)
	report = append(report, make([]byte, 20)...)
	item := append([]byte{1, byte(len(name))}, name...)
	for item = append(item, 0); len(item)%4 != 0; {
		item = append(item, 0)
	}
	report = append(report, 0x81, 202, 0, byte(1+len(item)/4))
	report = binary.BigEndian.AppendUint32(report, ssrc)
	return append(report, item...)
}
