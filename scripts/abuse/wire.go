package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// tally counts what attackers send and get.
type tally struct {
	requests, bytesIn, answers, bytesOut atomic.Int64
}

// message is a SIP message as text.
type message string

func (m message) start() string {
	line, _, _ := strings.Cut(string(m), "\r\n")
	return line
}

// header gives the value of a header's first line.
func (m message) header(name string) string {
	for line := range strings.SplitSeq(string(m), "\r\n") {
		n, v, ok := strings.Cut(line, ":")
		if ok && strings.EqualFold(n, name) {
			return strings.TrimSpace(v)
		}
		if line == "" {
			break
		}
	}
	return ""
}

// lines gives all lines of some headers, in their order.
func (m message) lines(names ...string) string {
	var all strings.Builder
	for line := range strings.SplitSeq(string(m), "\r\n") {
		n, _, _ := strings.Cut(line, ":")
		for _, name := range names {
			if strings.EqualFold(n, name) {
				all.WriteString(line + "\r\n")
			}
		}
		if line == "" {
			break
		}
	}
	return all.String()
}

func (m message) body() string {
	_, body, _ := strings.Cut(string(m), "\r\n\r\n")
	return body
}

func (m message) tag(header string) string {
	_, tag, _ := strings.Cut(m.header(header), ";tag=")
	tag, _, _ = strings.Cut(tag, ";")
	return tag
}

func (m message) branch() string {
	_, branch, _ := strings.Cut(m.header("Via"), "branch=")
	branch, _, _ = strings.Cut(branch, ";")
	return branch
}

// mediaPort is the port of the first m= line; 0: there is none.
func (m message) mediaPort() uint16 {
	_, rest, _ := strings.Cut(m.body(), "m=audio ")
	text, _, _ := strings.Cut(rest, " ")
	port, _ := strconv.ParseUint(text, 10, 16)
	return uint16(port)
}

// is says whether a message is a response with this status, or a request of this method.
func (m message) is(what string) bool {
	return strings.HasPrefix(string(m), what+" ") || strings.HasPrefix(string(m), "SIP/2.0 "+what)
}

// peer is a UDP socket of one address, an attacker's if it has a tally.
type peer struct {
	conn  *net.UDPConn
	addr  netip.AddrPort
	count *tally
	in    chan message
	media atomic.Int64 // bytes of packets that are not SIP
}

// newPeer opens a socket. Port 0 lets the system choose. What comes goes to take; nil: to
// the inbox.
func newPeer(addr netip.Addr, port uint16, count *tally, take func(*peer, message)) (*peer, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, port)))
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(4 << 20)
	local, _ := netip.ParseAddrPort(conn.LocalAddr().String())
	p := &peer{conn: conn, addr: local, count: count, in: make(chan message, 1024)}
	go p.read(take)
	return p, nil
}

func (p *peer) read(take func(*peer, message)) {
	b := make([]byte, 65536)
	for {
		n, _, err := p.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if n > 0 && b[0]&0xC0 == 0x80 {
			p.media.Add(int64(n))
			continue
		}
		if p.count != nil {
			p.count.answers.Add(1)
			p.count.bytesOut.Add(int64(n))
		}
		m := message(bytes.Clone(b[:n]))
		if take != nil {
			take(p, m)
			continue
		}
		select {
		case p.in <- m:
		default:
		}
	}
}

func (p *peer) close() { _ = p.conn.Close() }

func (p *peer) send(text string) {
	if p.count != nil {
		p.count.requests.Add(1)
		p.count.bytesIn.Add(int64(len(text)))
	}
	_, _ = p.conn.WriteToUDPAddrPort([]byte(text), sutSIP)
}

// await gives the next message that fits, "" after the time.
func (p *peer) await(within time.Duration, fits func(message) bool) message {
	limit := time.After(within)
	for {
		select {
		case m := <-p.in:
			if fits(m) {
				return m
			}
		case <-limit:
			return ""
		}
	}
}

// collect gives all that comes within a time.
func (p *peer) collect(within time.Duration) []message {
	var all []message
	limit := time.After(within)
	for {
		select {
		case m := <-p.in:
			all = append(all, m)
		case <-limit:
			return all
		}
	}
}

func sdpAt(a netip.AddrPort) string {
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %v\r\ns=-\r\nc=IN IP4 %v\r\nt=0 0\r\nm=audio %d RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n", a.Addr(), a.Addr(), a.Port())
}

// withBody ends a message's headers.
func withBody(sdp string) string {
	if sdp == "" {
		return "Content-Length: 0\r\n\r\n"
	}
	return fmt.Sprintf("Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len(sdp), sdp)
}

// ids are what makes a request belong to a dialog.
type ids struct {
	number, callID, fromTag, toTag, branch, via string
	cseq                                        int
}

// request writes a request with these ids, as one who sends from an address.
func (i ids) request(method string, from netip.AddrPort, more, sdp string) string {
	to := ""
	if i.toTag != "" {
		to = ";tag=" + i.toTag
	}
	via := i.via
	if via == "" {
		via = from.String()
	}
	return fmt.Sprintf("%s sip:%s@%v SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=%s;rport\r\nMax-Forwards: 70\r\nFrom: <sip:+15075550100@%v>;tag=%s\r\n"+
		"To: <sip:%s@%v>%s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContact: <sip:%v>\r\n%s%s",
		method, i.number, sutSIP, via, i.branch, from.Addr(), i.fromTag, i.number, sutSIP, to, i.callID, i.cseq, method, from, more, withBody(sdp))
}
