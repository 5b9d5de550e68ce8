package main

import (
	"crypto/md5" //nolint:gosec // RFC 2617
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"flowbridge/scripts/internal/sip"
)

// What the last digit of a number makes the agent do.
const (
	answered = 0
	ringing  = 1
)

var numbers atomic.Int64

// newNumber gives a number that nobody has called before.
func newNumber(digit int) string { return fmt.Sprintf("+1507%06d%d", numbers.Add(1)%1_000_000, digit) }

// agent is the target: it answers and rings, and sends RTP in every call that it answers.
type agent struct {
	*peer
	rtp     *net.UDPConn
	mu      sync.Mutex
	invites map[string]sip.Message // by Call-ID
	calls   map[string]uint16      // answered ones: where their RTP goes
	byes    atomic.Int64
	cancels atomic.Int64
	heard   atomic.Int64 // packets
	stop    chan struct{}
}

func newAgent() (*agent, error) {
	a := &agent{invites: map[string]sip.Message{}, calls: map[string]uint16{}, stop: make(chan struct{})}
	rtp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(agentAddr, 30000)))
	if err != nil {
		return nil, err
	}
	a.rtp = rtp
	if a.peer, err = newPeer(agentAddr, 5070, nil, a.take); err != nil {
		return nil, err
	}
	go a.talk()
	go func() {
		b := make([]byte, 2048)
		for {
			if _, _, err := rtp.ReadFromUDPAddrPort(b); err != nil {
				return
			}
			a.heard.Add(1)
		}
	}()
	return a, nil
}

func (a *agent) close() {
	close(a.stop)
	a.peer.close()
	_ = a.rtp.Close()
}

func (a *agent) take(_ *peer, m sip.Message) {
	id := m.Header("Call-ID")
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case m.Is("INVITE") && m.Tag("To") == "":
		a.invites[id] = m
		a.respond(m, "180 Ringing", "")
		if user, _, _ := strings.Cut(m.Start(), "@"); !strings.HasSuffix(user, strconv.Itoa(ringing)) {
			a.respond(m, "200 OK", sip.Description(netip.AddrPortFrom(agentAddr, 30000)))
			a.calls[id] = m.MediaPort()
		}
	case m.Is("INVITE"):
		a.respond(m, "200 OK", sip.Description(netip.AddrPortFrom(agentAddr, 30000)))
	case m.Is("BYE"):
		a.byes.Add(1)
		delete(a.calls, id)
		a.respond(m, "200 OK", "")
	case m.Is("CANCEL"):
		a.cancels.Add(1)
		a.respond(m, "200 OK", "")
		if invite, ok := a.invites[id]; ok {
			a.respond(invite, "487 Request Terminated", "")
		}
	}
}

// answer answers a call that rings.
func (a *agent) answer(callID string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.invites[callID]
	a.respond(m, "200 OK", sip.Description(netip.AddrPortFrom(agentAddr, 30000)))
	a.calls[callID] = m.MediaPort()
}

func (a *agent) respond(m sip.Message, status, sdp string) {
	to := m.Header("To")
	if !strings.Contains(to, ";tag=") {
		to += ";tag=agent"
	}
	a.send("SIP/2.0 " + status + "\r\n" + m.Lines("Via", "From", "Call-ID", "CSeq") + "To: " + to + "\r\nContact: <sip:" + a.addr.String() + ">\r\n" + sip.WithBody(sdp))
}

// inviteTo waits for the INVITE to a number.
func (a *agent) inviteTo(number string, within time.Duration) sip.Message {
	for until := time.Now().Add(within); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		a.mu.Lock()
		for _, m := range a.invites {
			if strings.Contains(m.Start(), number) {
				a.mu.Unlock()
				return m
			}
		}
		a.mu.Unlock()
	}
	return ""
}

// talk sends 20 ms of G.711 every 20 ms in each call.
func (a *agent) talk() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	packet := rtpPacket(1)
	for seq := uint16(0); ; seq++ {
		select {
		case <-a.stop:
			return
		case <-tick.C:
		}
		binary.BigEndian.PutUint16(packet[2:], seq)
		binary.BigEndian.PutUint32(packet[4:], uint32(seq)*160)
		a.mu.Lock()
		for _, port := range a.calls {
			_, _ = a.rtp.WriteToUDPAddrPort(packet, netip.AddrPortFrom(sutSIP.Addr(), port))
		}
		a.mu.Unlock()
	}
}

func rtpPacket(ssrc uint32) []byte {
	packet := make([]byte, 172)
	packet[0] = 0x80
	binary.BigEndian.PutUint32(packet[8:], ssrc)
	return packet
}

// credentials of a trunk; the zero value: none are needed.
type credentials struct{ user, password string }

func md5hex(s string) string {
	sum := md5.Sum([]byte(s)) //nolint:gosec // RFC 2617
	return hex.EncodeToString(sum[:])
}

// header answers a challenge.
func (c credentials) header(challenge sip.Message, method, uri string) string {
	for line := range strings.SplitSeq(challenge.Lines("WWW-Authenticate"), "\r\n") {
		if !strings.Contains(line, "MD5") {
			continue
		}
		_, nonce, _ := strings.Cut(line, `nonce="`)
		nonce, _, _ = strings.Cut(nonce, `"`)
		response := md5hex(md5hex(c.user+":flowbridge:"+c.password) + ":" + nonce + ":00000001:c:auth:" + md5hex(method+":"+uri))
		return fmt.Sprintf("Authorization: Digest username=\"%s\", realm=\"flowbridge\", nonce=\"%s\", uri=\"%s\", response=\"%s\", algorithm=MD5, cnonce=\"c\", qop=auth, nc=00000001\r\n",
			c.user, nonce, uri, response)
	}
	return ""
}

// call is a call of a trunk.
type call struct {
	ids
	from *peer
	rtp  *peer
	port uint16 // where Flowbridge takes the caller's RTP
	last sip.Message
}

var calls atomic.Int64

func newIDs(number string) ids {
	n := calls.Add(1)
	return ids{
		number: number, callID: fmt.Sprintf("%d-%08x", n, rand.Uint32()), fromTag: fmt.Sprintf("f%08x", rand.Uint32()),
		branch: fmt.Sprintf("z9hG4bK%d%08x", n, rand.Uint32()), cseq: 1,
	}
}

// dial sends an INVITE and waits for a final answer, or with ring for 180.
func dial(from *peer, number string, c credentials, ring bool, within time.Duration) (*call, error) {
	return dialAs(from, newIDs(number), c, ring, within)
}

// dialAs is dial with ids that are known before.
func dialAs(from *peer, own ids, c credentials, ring bool, within time.Duration) (*call, error) {
	rtp, err := newPeer(from.addr.Addr(), 0, nil, nil)
	if err != nil {
		return nil, err
	}
	d := &call{ids: own, from: from, rtp: rtp}
	more := ""
	for range 2 {
		from.send(d.request("INVITE", from.addr, more, sip.Description(rtp.addr)))
		d.last = from.await(within, func(m sip.Message) bool {
			return m.Header("Call-ID") == d.callID && strings.HasPrefix(string(m), "SIP/2.0") && (!m.Is("1") || ring && m.Is("18"))
		})
		if !m401(d.last) || c == (credentials{}) || more != "" {
			break
		}
		d.ackRefusal()
		more = c.header(d.last, "INVITE", "sip:"+own.number+"@"+sutSIP.String())
		d.cseq, d.branch = 2, d.branch+"b"
	}
	switch {
	case d.last == "":
		d.close()
		return nil, fmt.Errorf("no answer within %v", within)
	case d.last.Is("18") && ring:
		return d, nil
	case !d.last.Is("200"):
		d.ackRefusal()
		d.close()
		return nil, fmt.Errorf("%s", d.last.Start())
	}
	d.toTag, d.port = d.last.Tag("To"), d.last.MediaPort()
	d.ack()
	return d, nil
}

func m401(m sip.Message) bool { return m.Is("401") }

func (d *call) ackRefusal() {
	ack := d.ids
	ack.toTag = d.last.Tag("To")
	d.from.send(ack.request("ACK", d.from.addr, "", ""))
}

func (d *call) ack() {
	ack := d.ids
	ack.branch += "ack"
	d.from.send(ack.request("ACK", d.from.addr, "", ""))
}

// isHeard says whether audio passes in both directions now.
func (d *call) isHeard(a *agent) bool {
	packet := rtpPacket(7)
	heard, got := a.heard.Load(), d.rtp.media.Load()
	for i := range 50 {
		binary.BigEndian.PutUint16(packet[2:], uint16(i))
		binary.BigEndian.PutUint32(packet[4:], uint32(i)*160)
		_, _ = d.rtp.conn.WriteToUDPAddrPort(packet, netip.AddrPortFrom(sutSIP.Addr(), d.port))
		time.Sleep(20 * time.Millisecond)
		if i > 5 && a.heard.Load() > heard && d.rtp.media.Load() > got {
			return true
		}
	}
	return false
}

// bye hangs up. False: the call was not there any more.
func (d *call) bye() bool {
	defer d.close()
	bye := d.ids
	bye.branch, bye.cseq = bye.branch+"bye", bye.cseq+1
	for range 3 {
		d.from.send(bye.request("BYE", d.from.addr, "", ""))
		m := d.from.await(2*time.Second, func(m sip.Message) bool {
			return m.Header("Call-ID") == d.callID && strings.HasPrefix(string(m), "SIP/2.0") && strings.HasSuffix(m.Header("CSeq"), "BYE")
		})
		if m != "" {
			return m.Is("200")
		}
	}
	return false
}

func (d *call) close() { d.rtp.close() }
