//go:build e2e

package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"flowbridge/media/opus"
	"flowbridge/sim"
)

// rawAgent takes every call with one session, and answers BYE.
type rawAgent struct {
	conn    *net.UDPConn
	invites chan message
}

func (s *stage) newRawAgent(session string) *rawAgent {
	s.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(s.agent))
	must(s, err)
	s.Cleanup(func() { conn.Close() })
	a := &rawAgent{conn, make(chan message, 16)}
	go a.serve(session)
	return a
}

func (a *rawAgent) serve(session string) {
	buf := make([]byte, 8192)
	for {
		n, from, err := a.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		m := message{raw: string(buf[:n])}
		method, _, _ := strings.Cut(m.raw, " ")
		if method != "INVITE" && method != "BYE" && method != "OPTIONS" {
			continue
		}
		to, body := m.header("To"), ""
		if !strings.Contains(to, ";tag=") {
			to += ";tag=agent"
		}
		if method == "INVITE" {
			body = session
			a.invites <- m
		}
		via := ""
		for line := range strings.SplitSeq(m.raw, "\r\n") {
			if strings.HasPrefix(line, "Via:") {
				via += line + "\r\n"
			}
		}
		_, _ = a.conn.WriteToUDPAddrPort(fmt.Appendf(nil, "SIP/2.0 200 OK\r\n%sFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\n"+
			"Contact: <sip:agent@%s>\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s",
			via, m.header("From"), to, m.header("Call-ID"), m.header("CSeq"), a.conn.LocalAddr(), len(body), body), from)
	}
}

// session describes a phone with these formats.
func (p *phone) session(formats string, lines ...string) string {
	at := local(p.rtp)
	return fmt.Sprintf("v=0\r\no=- 1 %[3]d IN IP4 %[1]v\r\ns=-\r\nc=IN IP4 %[1]v\r\nt=0 0\r\nm=audio %[2]d RTP/AVP %[4]s\r\n%[5]s\r\n",
		at.Addr(), at.Port(), len(formats), formats, strings.Join(lines, "\r\n"))
}

const (
	opusLine   = "a=rtpmap:111 opus/48000/2"
	opusKeys   = "a=rtpmap:110 telephone-event/48000"
	narrowKeys = "a=rtpmap:101 telephone-event/8000"
)

// offers sends an INVITE or re-INVITE, acknowledges the 200, and returns it.
func (c *rawCarrier) offers(callID string, seq int, before, session string) (ok string) {
	c.Helper()
	uri, to := c.to(), "<"+c.to()+">"
	if before != "" {
		m := message{raw: before}
		uri, to = strings.Trim(m.header("Contact"), "<>"), m.header("To")
	}
	text := c.write("INVITE", uri, to, callID, seq, session)
	c.send(strings.Replace(text, "branch=z9hG4bK", fmt.Sprintf("branch=z9hG4bK%d", seq), 1))
	ok = c.await("SIP/2.0 200", fmt.Sprintf("CSeq: %d INVITE", seq))
	c.send(c.within("ACK", seq, ok))
	return ok
}

// opusSpeech returns 20 ms of speech in each packet, from this number on.
func opusSpeech(t *testing.T, from, packets int) (all [][]byte) {
	t.Helper()
	e, err := opus.NewEncoder(opus.Settings{})
	must(t, err)
	words := sim.Words(7)
	for i := range packets {
		room := make([]byte, 1275)
		n, err := e.Encode(words[i*frame:][:frame], room)
		must(t, err)
		all = append(all, append(rtpPacket(111, i == 0, uint16(from+i), uint32(from+i)*960, 0x0b05), room[:n]...))
	}
	return all
}

// TestOpusOnTheWire: an agent with G.711 that takes 10 ms of a caller with Opus gets packets of 10 ms, and one key for a
// press of two seconds, though that is longer than the duration of a telephone-event at 48 kHz (RFC 4733 section 2.5.1.3).
func TestOpusOnTheWire(t *testing.T) {
	s := newPreparedStage(t)
	two := s.newPhone(s.platform)
	s.newRawAgent(two.session("0 101", narrowKeys, "a=maxptime:10"))
	b := s.serve(setup{trunk: fromLoopback, target: fromLoopback})
	one, c := s.newPhone(s.carrier), s.newRawCarrier(s.carrier)
	ok := c.offers("wire", 1, "", one.session("111 110", opusLine, opusKeys))
	to, err := message{raw: ok}.rtp()
	must(t, err)

	one.talk(opusSpeech(t, 1, 50), to)
	eventually(t, "the agent hears the caller", func() bool { return len(two.heard()) > 40 })
	for _, a := range two.heard() {
		if a.data[1]&0x7f != 0 || len(a.data) != 12+frame/2 {
			t.Fatalf("a packet of type %d with %d bytes; want 10 ms of PCMU", a.data[1]&0x7f, len(a.data)-12)
		}
	}
	const press = 100 // packets of 20 ms
	begin, seq, segment := uint32(60*960), 60, uint32(0)
	var keys [][]byte
	for i := 1; i <= press+2; i++ {
		duration, end := uint32(min(i, press))*960-segment, byte(0)
		if duration > 0xffff { // the segment is full, and the next one begins where it ends
			segment, duration = 0xffff, duration-0xffff
		}
		if i >= press {
			end = 0x80
		}
		p := rtpPacket(110, i == 1, uint16(seq+i), begin+segment, 0x0b05)
		keys = append(keys, binary.BigEndian.AppendUint16(append(p, 5, end|10), uint16(duration)))
	}
	one.talk(keys, to)
	events := func() (all []arrival) {
		for _, a := range two.heard() {
			if a.data[1]&0x7f == 101 {
				all = append(all, a)
			}
		}
		return all
	}
	eventually(t, "the agent hears the key's end", func() bool {
		all := events()
		return len(all) > 0 && all[len(all)-1].data[13]&0x80 != 0
	})
	last := uint16(0)
	for i, a := range events() {
		duration := binary.BigEndian.Uint16(a.data[14:])
		if a.data[12] != 5 || timestamp(a.data) != timestamp(events()[0].data) || duration < last {
			t.Errorf("packet %d of the key: %x after %x", i, a.data, events()[0].data)
		}
		last = duration
	}
	if last != press*frame {
		t.Errorf("the key lasts %d; want %d", last, press*frame)
	}
	c.send(c.within("BYE", 2, ok))
	c.await("SIP/2.0 200", "CSeq: 2 BYE")
	b.finish(hungUpByCaller)
}

// TestOpusFollowsOn: a caller and an agent speak Opus; the caller's PBX goes to PCMU and back. The agent hears one
// stream: its timestamps follow on where transcoding begins and ends (RFC 3550 section 5.1).
func TestOpusFollowsOn(t *testing.T) {
	s := newPreparedStage(t)
	two := s.newPhone(s.platform)
	agent := s.newRawAgent(two.session("111 110", opusLine, opusKeys))
	b := s.serve(setup{trunk: fromLoopback, target: fromLoopback + ", codecs: [opus]"})
	one, c := s.newPhone(s.carrier), s.newRawCarrier(s.carrier)
	wide, narrow := one.session("111 110", opusLine, opusKeys), one.session("0 101", narrowKeys)
	ok := c.offers("follows", 1, "", wide)
	to, err := message{raw: ok}.rtp()
	must(t, err)
	hears := func(packets [][]byte) {
		t.Helper()
		before := len(two.heard())
		one.talk(packets, to)
		eventually(t, "the agent hears the caller", func() bool { return len(two.heard()) > before+len(packets)/2 })
	}
	hears(opusSpeech(t, 300_000, 25))
	c.offers("follows", 2, ok, narrow)
	hears(speech(sim.Words(8)[:25*frame], 0x0711))
	c.offers("follows", 3, ok, wide+"a=ptime:20\r\n")
	hears(opusSpeech(t, 300_050, 25))

	heard := two.heard()
	for i, a := range heard[1:] {
		was := heard[i]
		ahead := time.Duration(int32(timestamp(a.data)-timestamp(was.data))) * time.Second / 48000
		if a.data[1]&0x7f != 111 || !follows(a.data, was.data) || ahead > a.at.Sub(was.at)+time.Second {
			t.Errorf("packet %d, %v later: %x…, %v ahead of %x…", i+1, a.at.Sub(was.at), a.data[:12], ahead, was.data[:12])
		}
	}
	if n := len(agent.invites); n != 1 {
		t.Errorf("the agent got %d INVITEs", n)
	}
	c.send(c.within("BYE", 4, ok))
	c.await("SIP/2.0 200", "CSeq: 4 BYE")
	b.finish(hungUpByCaller)
	if !bytes.Equal(heard[0].data[8:12], heard[len(heard)-1].data[8:12]) {
		t.Error("another stream")
	}
}
