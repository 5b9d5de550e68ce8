package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"flowbridge/scripts/internal/sip"
)

// tally counts what attackers send and get.
type tally struct {
	requests, bytesIn, answers, bytesOut atomic.Int64
}

// peer is a UDP socket of one address, an attacker's if it has a tally.
type peer struct {
	conn  *net.UDPConn
	addr  netip.AddrPort
	count *tally
	in    chan sip.Message
	media atomic.Int64 // bytes of packets that are not SIP
}

// newPeer opens a socket. Port 0 lets the system choose. What comes goes to take; nil: to
// the inbox.
func newPeer(addr netip.Addr, port uint16, count *tally, take func(*peer, sip.Message)) (*peer, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, port)))
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(4 << 20)
	local, _ := netip.ParseAddrPort(conn.LocalAddr().String())
	p := &peer{conn: conn, addr: local, count: count, in: make(chan sip.Message, 1024)}
	go p.read(take)
	return p, nil
}

func (p *peer) read(take func(*peer, sip.Message)) {
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
		m := sip.Message(bytes.Clone(b[:n]))
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
func (p *peer) await(within time.Duration, fits func(sip.Message) bool) sip.Message {
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
func (p *peer) collect(within time.Duration) []sip.Message {
	var all []sip.Message
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
		method, i.number, sutSIP, via, i.branch, from.Addr(), i.fromTag, i.number, sutSIP, to, i.callID, i.cseq, method, from, more, sip.WithBody(sdp))
}
