//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// party is a SIP peer with one socket and many calls, which does what no SIP stack does. It counts what it really sends
// and hears, so that the figures of the B2BUA can be judged by it.
type party struct {
	*stage
	conn  *net.UDPConn
	takes func(c *partyCall) // plays an incoming call
	codec string             // what its descriptions offer: PCMU, PCMA or opus

	// hears gets each RTP packet that a call gets at an address of its own; nil if only their number counts.
	hears func(c *partyCall, at netip.AddrPort, pkt []byte)

	mu    sync.Mutex
	calls map[string]*partyCall // by Call-ID
}

// partyCall is a call of a party.
type partyCall struct {
	by     *party
	id     string
	invite message // the first INVITE, received or sent
	answer message // the final answer to it, of either side
	early  message // the last provisional answer with a description, if the party placed the call
	silent bool    // sends no ACK to an answer of 2xx

	elder  *partyCall // an earlier call with the same Call-ID; nil if there is none
	tag    string     // of the party, if there is an elder
	rtp    *net.UDPConn
	seq    int
	packet uint16 // the next RTP packet

	status      chan string   // final answers to requests of its own
	acked, over chan struct{} // closed

	since time.Time // of the first packet of what is being said

	mu          sync.Mutex
	heard, sent int // packets
}

// party opens a party's socket and answers what comes.
func (s *stage) party(at netip.AddrPort, codec string, takes func(c *partyCall)) *party {
	s.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	must(s, err)
	s.Cleanup(func() { conn.Close() })
	p := &party{stage: s, conn: conn, takes: takes, codec: codec, calls: map[string]*partyCall{}}
	_ = conn.SetReadBuffer(1 << 22)
	go p.listen()
	return p
}

func (p *party) listen() {
	for buf := make([]byte, 65536); ; {
		n, from, err := p.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		m := message{received: true, raw: string(buf[:n])}
		p.mu.Lock()
		c := p.calls[m.header("Call-ID")]
		fresh := c == nil && strings.HasPrefix(m.raw, "INVITE ")
		if fresh {
			c = p.newCall(m.header("Call-ID"))
			c.invite = m
		}
		p.mu.Unlock()
		switch {
		case strings.HasPrefix(m.raw, "OPTIONS "):
			p.send(from, reply(m, "200 OK", ""))
		case c == nil:
		case fresh:
			go p.takes(c)
		default:
			c.gets(m, from)
		}
	}
}

func (p *party) send(to netip.AddrPort, text string) {
	_, _ = p.conn.WriteToUDPAddrPort([]byte(text), to)
}

// newCall opens a call's socket for RTP. p.mu must be held.
func (p *party) newCall(id string) *partyCall {
	c := &partyCall{
		by: p, id: id, rtp: p.newSocket(local(p.conn).Addr()), seq: 1,
		status: make(chan string, 100), acked: make(chan struct{}), over: make(chan struct{}),
	}
	p.calls[id] = c
	go c.listen(c.rtp)
	return c
}

// newSocket opens a socket.
func (p *party) newSocket(at netip.Addr) *net.UDPConn {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 0)))
	must(p, err)
	p.Cleanup(func() { conn.Close() })
	return conn
}

func (c *partyCall) listen(conn *net.UDPConn) {
	for buf := make([]byte, 2048); ; {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		if n < 12 || buf[1]&0x7f >= 64 && buf[1]&0x7f < 96 {
			continue // RTCP
		}
		c.mu.Lock()
		c.heard++
		c.mu.Unlock()
		if c.by.hears != nil {
			c.by.hears(c, local(conn), buf[:n])
		}
	}
}

// gets handles a message of a call that is known.
func (c *partyCall) gets(m message, from netip.AddrPort) {
	if c.elder != nil && !strings.Contains(m.header("From")+m.header("To"), c.tag) {
		c.elder.gets(m, from)
		return
	}
	switch method, _, _ := strings.Cut(m.raw, " "); method {
	case "ACK":
		c.closes(c.acked)
	case "BYE", "CANCEL":
		c.by.send(from, reply(m, "200 OK", ""))
		if method == "CANCEL" {
			c.answers("487 Request Terminated", "")
		}
		c.closes(c.over)
	case "INVITE":
		if c.caller() || m.header("CSeq") != c.invite.header("CSeq") {
			c.by.send(from, reply(m, "200 OK", c.sdp()))
		}
	case "SIP/2.0":
		status := strings.Fields(m.raw)[1]
		if status[0] == '1' {
			c.mu.Lock()
			if m.body() != "" {
				c.early = m
			}
			c.mu.Unlock()
			return
		}
		if strings.HasSuffix(m.header("CSeq"), " INVITE") {
			if c.answer.raw == "" || status[0] == '2' && m.header("CSeq") == c.invite.header("CSeq") {
				c.answer = m
			}
			if !c.silent || status[0] != '2' {
				c.acks(m, status)
			}
		}
		c.status <- status
	}
}

func (c *partyCall) closes(done chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-done:
	default:
		close(done)
	}
}

// reply returns an answer to a request.
func reply(m message, status, body string) string {
	to := m.header("To")
	if !strings.Contains(to, ";tag=") {
		to += ";tag=party"
	}
	uri := strings.Fields(m.raw)[1]
	text := "SIP/2.0 " + status + "\r\nVia: " + m.header("Via") + "\r\nFrom: " + m.header("From") + "\r\nTo: " + to +
		"\r\nCall-ID: " + m.header("Call-ID") + "\r\nCSeq: " + m.header("CSeq") + "\r\nContact: <" + uri + ">\r\n"
	return text + bodyOf(body)
}

func bodyOf(body string) string {
	if body == "" {
		return "Content-Length: 0\r\n\r\n"
	}
	return fmt.Sprintf("Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// sdp describes the call's current socket.
func (c *partyCall) sdp() string { return c.sdpAt(local(c.rtp)) }

func (c *partyCall) sdpAt(at netip.AddrPort) string {
	kind := map[string]string{"PCMU": "0", "PCMA": "8", "opus": "111"}[c.by.codec]
	rate := map[bool]string{false: "/8000", true: "/48000/2"}[kind == "111"]
	return strings.ReplaceAll(fmt.Sprintf("v=0\no=- 1 %[5]d IN IP4 %[1]v\ns=-\nc=IN IP4 %[1]v\nt=0 0\nm=audio %[2]d RTP/AVP %[3]s\na=rtpmap:%[3]s %[4]s\n",
		at.Addr(), at.Port(), kind, c.by.codec+rate, c.seq), "\n", "\r\n")
}

// answers sends a final answer.
func (c *partyCall) answers(status, body string) {
	c.mu.Lock()
	c.answer = message{raw: reply(c.invite, status, body)}
	c.mu.Unlock()
	c.replies(c.answer.raw)
}

// replies sends an answer to the INVITE.
func (c *partyCall) replies(text string) {
	via := c.invite.header("Via")
	at, _, _ := strings.Cut(strings.Fields(via)[1], ";")
	c.by.send(netip.MustParseAddrPort(at), text)
}

// user is the called number.
func (c *partyCall) user() string {
	uri := strings.TrimPrefix(strings.Fields(c.invite.raw)[1], "sip:")
	user, _, _ := strings.Cut(uri, "@")
	return user
}

// caller reports whether the party placed the call.
func (c *partyCall) caller() bool { return !c.invite.received }

// peer is the other side's SIP address and its address for RTP.
func (c *partyCall) peer() (uri string, at, rtp netip.AddrPort) {
	m := c.invite
	if c.caller() {
		m = c.answer
	}
	uri = strings.Trim(m.header("Contact"), "<>")
	uri, _, _ = strings.Cut(uri, ">")
	host := strings.TrimPrefix(uri, "sip:")
	if _, after, ok := strings.Cut(host, "@"); ok {
		host = after
	}
	host, _, _ = strings.Cut(host, ";")
	at, _ = netip.ParseAddrPort(host)
	rtp, _ = m.rtp()
	return uri, at, rtp
}

// asks sends a request within the dialog.
func (c *partyCall) asks(method, body string) {
	uri, at, _ := c.peer()
	c.seq++
	c.by.send(at, c.request(method, uri, c.seq, body, method))
}

func (c *partyCall) request(method, uri string, seq int, body, branch string) string {
	from, to := c.answer.header("From"), c.answer.header("To")
	if c.answer.raw == "" {
		from, to = c.invite.header("From"), c.invite.header("To")
	}
	if !c.caller() {
		from, to = to, from
	}
	me := local(c.by.conn)
	return fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %v;branch=z9hG4bK%s%d%s;rport\r\nMax-Forwards: 70\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContact: <sip:party@%v>\r\n",
		method, uri, me, strings.Trim(c.id, "@."), seq, branch, from, to, c.id, seq, method, me) + bodyOf(body)
}

// acks acknowledges an answer to an INVITE.
func (c *partyCall) acks(m message, status string) {
	seq, _ := strconv.Atoi(strings.Fields(m.header("CSeq"))[0])
	uri, at, _ := c.peer()
	branch := "ACK"
	if status[0] != '2' {
		branch = "INVITE"
		uri = strings.Fields(c.invite.raw)[1]
		at = c.by.server.sip
	}
	c.by.send(at, c.request("ACK", uri, seq, "", branch))
}

// hangUp ends an answered call.
func (c *partyCall) hangUp() { c.asks("BYE", ""); c.closes(c.over) }

// moves sends a re-INVITE with a new port, from which it sends nothing.
func (c *partyCall) moves() {
	c.rtp = c.by.newSocket(local(c.by.conn).Addr())
	go c.listen(c.rtp)
	c.asks("INVITE", c.sdp())
}

// call places a call and waits for its final status.
func (p *party) call(number string, seconds time.Duration) (c *partyCall, status string) {
	p.mu.Lock()
	id := fmt.Sprintf("party%d-%d", len(p.calls), time.Now().UnixNano())
	c = p.newCall(id)
	p.mu.Unlock()
	me := local(p.conn)
	uri := fmt.Sprintf("sip:%s@%v", number, p.server.sip)
	c.invite = message{raw: "INVITE " + uri + " SIP/2.0\r\nFrom: <sip:" + caller + "@" + me.Addr().String() + ">;tag=p" + id + "\r\nTo: <" + uri + ">\r\nCSeq: 1 INVITE\r\n\r\n"}
	p.send(p.server.sip, c.request("INVITE", uri, 1, c.sdp(), "INVITE"))
	select {
	case status = <-c.status:
	case <-time.After(seconds):
	}
	return c, status
}

// speaks sends packets of a payload until the time is over or the call is.
func (c *partyCall) speaks(kind byte, payload func(i int) []byte, d time.Duration) {
	_, _, to := c.peer()
	for i := range int(d / frameTime) {
		c.emit(kind, payload(i), to)
		if c.pauses(i) {
			return
		}
	}
}

// pauses waits until the time of packet i+1 of those that were sent since packet 0. It reports whether the call is over.
func (c *partyCall) pauses(i int) (over bool) {
	if i == 0 {
		c.since = time.Now()
	}
	select {
	case <-c.over:
		return true
	case <-time.After(time.Until(c.since.Add(time.Duration(i+1) * frameTime))):
		return false
	}
}

// emit sends the next packet of the stream.
func (c *partyCall) emit(kind byte, payload []byte, to netip.AddrPort) {
	c.emitAs(c.packet, kind, payload, to)
	c.packet++
}

// emitAs sends a packet with this number, and the time that belongs to it.
func (c *partyCall) emitAs(number uint16, kind byte, payload []byte, to netip.AddrPort) {
	step := uint32(frame)
	if c.by.codec == "opus" {
		step = 960
	}
	c.mu.Lock()
	c.sent++
	c.mu.Unlock()
	_, _ = c.rtp.WriteToUDPAddrPort(append(rtpPacket(kind, number == 0, number, uint32(number)*step, 0x9a), payload...), to)
}

// counts returns how many packets were sent, and heard.
func (c *partyCall) counts() (sent, heard int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent, c.heard
}
