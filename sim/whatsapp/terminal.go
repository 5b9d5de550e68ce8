package whatsapp

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"flowbridge/media/opus"
	"flowbridge/sim"
)

const (
	maxDatagram = 2048
	frameTime   = 20 * time.Millisecond
	maxBehind   = 10 // frames that the speaker catches up after a stall

	// sentence is how much of sim.Words is said before the pause, in samples.
	sentence = 3 * sim.SampleRate
)

// terminal is the audio of one call, on one socket (RFC 5761, RFC 9143).
type terminal struct {
	// Constant.
	kind        string
	conn        *net.UDPConn
	local       netip.AddrPort
	certificate tls.Certificate // with ICE
	ownKeys     []byte          // with SDES
	ssrc        uint32
	words       []int16
	flow        *flow
	givesUp     chan struct{}
	ctx         context.Context //nolint:containedctx // the terminal's own life: ends with Close
	cancel      context.CancelFunc
	running     sync.WaitGroup

	mu           sync.Mutex // guards the fields below
	ice          lite
	connected    bool
	remote       netip.AddrPort // with SDES: the address of the answer
	lock, unlock *srtp.Context  // nil before there are keys
	heard        reception
	sent         uint64
	askedAt      time.Time // end of the last sentence; zero once it is answered
	failed       error     // why there are no keys
	silent       bool      // the call was given up, because no audio came
}

// newTerminal opens the socket.
func newTerminal(ip netip.Addr, c Call) (*terminal, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
	if err != nil {
		return nil, err
	}
	t := &terminal{
		kind: c.Media, conn: conn, local: conn.LocalAddr().(*net.UDPAddr).AddrPort(), ssrc: mathrand.Uint32(),
		words: sim.Words(c.Seed), givesUp: make(chan struct{}),
		ice: lite{ufrag: rand.Text()[:16], password: rand.Text()},
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.flow = newFlow(t)
	if t.kind == MediaSDES {
		t.ownKeys = make([]byte, suiteKeys)
		_, _ = rand.Read(t.ownKeys) // never fails
	} else if t.certificate, err = newCertificate(); err != nil {
		t.Close()
		return nil, err
	}
	t.running.Add(1)
	go t.read()
	return t, nil
}

// Offer implements sim.Terminal.
func (t *terminal) Offer() []byte { return t.offer() }

// Connect implements sim.Terminal. What the first description says about keys and addresses holds for the call.
func (t *terminal) Connect(body []byte) error {
	a, err := readAnswer(body, t.kind)
	if err != nil {
		return err
	}
	t.mu.Lock()
	before := t.connected
	t.connected, t.ice.peer, t.remote = true, a.ufrag, a.addr
	t.mu.Unlock()
	switch {
	case before:
	case t.kind == MediaICE:
		t.running.Add(1)
		go t.handshake(a.fingerprint)
	default:
		const key = suiteKeys - 14
		own, theirs := t.ownKeys, a.keys
		return t.setKeys(srtp.ProtectionProfileAes128CmHmacSha1_80, own[:key], own[key:], theirs[:key], theirs[key:])
	}
	return nil
}

// setKeys sets the keys for what is sent, and for what is received.
func (t *terminal) setKeys(p srtp.ProtectionProfile, ownKey, ownSalt, key, salt []byte) error {
	lock, err := srtp.CreateContext(ownKey, ownSalt, p)
	if err != nil {
		return err
	}
	unlock, err := srtp.CreateContext(key, salt, p, srtp.SRTPReplayProtection(64))
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lock, t.unlock = lock, unlock
	return nil
}

// fails notes why there are no keys.
func (t *terminal) fails(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = err
}

// Speak implements sim.Terminal.
func (t *terminal) Speak() {
	t.running.Add(1)
	go t.speak()
}

// GivesUp implements sim.Terminal.
func (t *terminal) GivesUp() <-chan struct{} { return t.givesUp }

// Close implements sim.Terminal.
func (t *terminal) Close() {
	t.cancel()
	_ = t.conn.Close()
	t.running.Wait()
}

// transmit sends a datagram to the nominated address, or with SDES to that of the answer.
func (t *terminal) transmit(b []byte) bool {
	t.mu.Lock()
	to := t.remote
	if t.kind == MediaICE {
		to = t.ice.checks.Chosen
	}
	t.mu.Unlock()
	if !to.IsValid() {
		return false
	}
	_, err := t.conn.WriteToUDPAddrPort(b, to)
	return err == nil
}

// read takes what comes, until Close.
func (t *terminal) read() {
	defer t.running.Done()
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := t.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port()); n > 0 {
			t.take(buf[:n], from)
		}
	}
}

// take takes a datagram, whose first byte says what it is (RFC 7983).
func (t *terminal) take(b []byte, from netip.AddrPort) {
	switch first := b[0]; {
	case first < 4:
		if t.kind == MediaSDES {
			return
		}
		t.mu.Lock()
		answer := t.ice.answer(b, from)
		t.mu.Unlock()
		if answer != nil {
			_, _ = t.conn.WriteToUDPAddrPort(answer, from)
		}
	case first >= 20 && first < 64:
		t.flow.push(b)
	case first >= 128 && first < 192 && len(b) > 1 && (b[1] < 192 || b[1] > 223): // the others are RTCP (RFC 5761)
		t.hear(b, from)
	}
}

// hear takes a packet of SRTP.
func (t *terminal) hear(b []byte, from netip.AddrPort) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.unlock == nil {
		t.heard.foreign++
		return
	}
	var p rtp.Packet
	plain, err := t.unlock.DecryptRTP(nil, b, nil)
	if err != nil || p.Unmarshal(plain) != nil {
		t.heard.foreign++
		return
	}
	t.heard.source = from
	if t.heard.take(&p, now) && !t.askedAt.IsZero() {
		t.heard.answers, t.askedAt = append(t.heard.answers, now.Sub(t.askedAt)), time.Time{}
	}
}

// speak says the words over and over, beginning with their pause, until Close. It gives up if it hears nothing.
func (t *terminal) speak() {
	defer t.running.Done()
	coder, err := opus.NewEncoder(opus.Settings{Bitrate: 20000, FEC: true})
	if err != nil {
		t.fails(err)
		return
	}
	ticker := time.NewTicker(frameTime)
	defer ticker.Stop()
	s := speaker{terminal: t, coder: coder, at: sentence, seq: uint16(mathrand.Uint32()), ts: mathrand.Uint32()}
	began, done := time.Now(), 0
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		due := int(now.Sub(began) / frameTime)
		for done = max(done, due-maxBehind); done < due; done++ {
			s.say(now)
		}
		if t.waitsInVain(began, now) {
			close(t.givesUp)
			return
		}
	}
}

// waitsInVain reports whether no audio has come for so long that WhatsApp ends the call.
func (t *terminal) waitsInVain(began, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	limit := patience
	if last := t.heard.last; !last.IsZero() {
		began, limit = last, laterPatience
	}
	t.silent = now.Sub(began) >= limit
	return t.silent
}

// speaker is the sending part of a terminal.
type speaker struct {
	*terminal
	coder *opus.Encoder
	at    int // position in the words
	seq   uint16
	ts    uint32
	begun bool
}

// say says the next 20 ms, once there are keys and an address.
func (s *speaker) say(now time.Time) {
	s.mu.Lock()
	lock := s.lock
	s.mu.Unlock()
	if lock == nil {
		return
	}
	packet := rtp.Packet{Header: rtp.Header{
		Version: 2, Marker: !s.begun, PayloadType: payloadOpus, SequenceNumber: s.seq, Timestamp: s.ts, SSRC: s.ssrc,
	}}
	var room [opus.MaxPacket]byte
	n, err := s.coder.Encode(s.words[s.at:s.at+opus.Frame], room[:])
	if err != nil || n == 0 {
		return
	}
	packet.Payload = room[:n]
	plain, err := packet.Marshal()
	if err != nil {
		return
	}
	b, err := lock.EncryptRTP(nil, plain, nil)
	if err != nil {
		return
	}
	if !s.transmit(b) && !s.begun {
		return // there is no address yet; the words wait
	}
	s.begun = true
	s.seq++
	s.ts += opus.Frame * opus.Scale
	s.at = (s.at + opus.Frame) % len(s.words)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent++; s.at == sentence {
		s.askedAt = now
	}
}
