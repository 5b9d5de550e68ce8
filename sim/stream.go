package sim

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/srtp/v3"
)

const (
	rtpHeader   = 12
	maxHeard    = 20 * SampleRate         // samples kept
	maxMarks    = 1024                    // packets logged in each direction
	echoMargin  = maxHeard / frameSamples // frames queued in addition to the delay
	portRetries = 64
	quietest    = 500 // lowest sample value that counts as speech
)

// PacketMark is the time of a packet. Sum is a checksum of the payload, because a relay may rewrite the header; it is 0
// if all bytes are equal.
type PacketMark struct {
	Sum uint32
	At  int64 // Unix time in nanoseconds
}

// rtpStats holds the counters of one end of one call.
type rtpStats struct {
	Sent       uint64
	Received   uint64 // without duplicates
	Lost       uint64
	OutOfOrder uint64
	Duplicates uint64
	Foreign    uint64        // packets that are not RTP, or of a payload type that was not negotiated
	Jitter     time.Duration // RFC 3550 §6.4.1
	FirstAt    time.Time     // first packet received
	Codec      string
	Local      netip.AddrPort
	Remote     netip.AddrPort // destination
	Source     netip.AddrPort // sender of the last packet
}

// Media is the audio of one end of one call.
type Media struct {
	Heard      []int16 // the first 20 s of received audio, decoded, 8 kHz
	RTP        rtpStats
	SentMarks  []PacketMark // set only for an ended call
	HeardMarks []PacketMark
	Answers    []time.Duration // times from the end of each sentence of Words to the other side's answer; sorted
}

// stream is the audio of one end of one call.
type stream struct {
	// Constant.
	conn    *net.UDPConn
	rtcp    *net.UDPConn // only occupies the port
	local   netip.AddrPort
	readers sync.WaitGroup

	peer atomic.Pointer[remoteMedia] // destination; nil before the first SDP
	sent atomic.Uint64

	// Owned by the clock while it has the stream.
	out       [rtpHeader + frameSamples]byte
	seq       uint16
	ts        uint32
	said      []byte // encoded audio, sent first
	at        int
	loop      bool
	over      *signal // set when all of said has been sent
	sentMarks []PacketMark
	key       pressed

	mu      sync.Mutex // guards the fields below
	rx      reception
	party   Party      // plays this end; may be nil
	echo    *echoQueue // nil if there is no echo
	askedAt time.Time  // end of the last sentence of Words; zero once it is answered
	answers []time.Duration

	lock, unlock *srtp.Context // for sent and for received packets; nil without SRTP
}

// openStream binds a port pair, RTP even and RTCP the odd one above (RFC 3550 §11), and starts listening.
func openStream(ip netip.Addr) (*stream, error) {
	for range portRetries {
		conn, rtcp, err := bindPair(ip)
		if err != nil {
			return nil, err
		}
		if rtcp == nil {
			continue
		}
		s := &stream{
			conn:  conn,
			rtcp:  rtcp,
			local: conn.LocalAddr().(*net.UDPAddr).AddrPort(),
			seq:   uint16(rand.Uint32()),
			ts:    rand.Uint32(),
			over:  newSignal(),
		}
		s.out[0] = 0x80
		binary.BigEndian.PutUint32(s.out[8:], rand.Uint32())
		s.readers.Add(1)
		go s.readRTP()
		return s, nil
	}
	return nil, fmt.Errorf("no free RTP port pair on %s", ip)
}

// bindPair binds a port pair. If the port above the kernel's choice is taken, it returns no sockets and no error.
func bindPair(ip netip.Addr) (rtp, rtcp *net.UDPConn, err error) {
	one, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
	if err != nil {
		return nil, nil, fmt.Errorf("rtp socket: %w", err)
	}
	port := one.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	two, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, port^1)))
	if err != nil {
		_ = one.Close()
		return nil, nil, nil
	}
	if port&1 == 1 {
		one, two = two, one
	}
	return one, two, nil
}

// say sets the audio to send. It must be called before the clock has the stream.
func (s *stream) say(encoded []byte, loop bool) { s.said, s.loop = encoded, loop }

// follow makes the stream send to the address of a new offer. The codec stays.
func (s *stream) follow(offer []byte) error {
	if len(offer) == 0 {
		return nil
	}
	media, err := parseSDP(offer)
	if err != nil {
		return err
	}
	if now := s.peer.Load(); now != nil {
		media.codec = now.codec
	}
	s.peer.Store(&media)
	return nil
}

func (s *stream) repeat(q *echoQueue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.echo = q
}

// send writes the next frame. Only the clock calls it.
func (s *stream) send(now time.Time) {
	peer := s.peer.Load()
	if peer == nil {
		return
	}
	packet := s.out[:]
	s.out[1] = peer.codec.payload
	if s.party == nil {
		s.fill(packet[rtpHeader:], peer.codec.silence, now)
	} else if s.speak(packet[rtpHeader:], peer, now) {
		return
	}
	if s.sent.Load() == 0 {
		s.out[1] |= 0x80 // RFC 3551 §4.1: the start of a talkspurt
	}
	binary.BigEndian.PutUint16(s.out[2:], s.seq)
	binary.BigEndian.PutUint32(s.out[4:], s.ts)
	if len(s.sentMarks) < maxMarks {
		s.sentMarks = append(s.sentMarks, PacketMark{payloadSum(packet[rtpHeader:]), time.Now().UnixNano()})
	}
	s.seq++
	s.ts += frameSamples
	s.mu.Lock()
	if s.at == sentenceSamples {
		s.askedAt = now
	}
	s.mu.Unlock()
	s.transmit(packet, peer)
}

// transmit encrypts a packet if the peer wants that, and sends it.
func (s *stream) transmit(packet []byte, peer *remoteMedia) {
	s.mu.Lock()
	lock := s.lock
	s.mu.Unlock()
	if lock != nil {
		encrypted, err := lock.EncryptRTP(nil, packet, nil)
		if err != nil {
			return
		}
		packet = encrypted
	}
	if _, err := s.conn.WriteToUDPAddrPort(packet, peer.addr); err == nil {
		s.sent.Add(1)
	}
}

func (s *stream) fill(payload []byte, silence byte, now time.Time) {
	s.mu.Lock()
	echoed := s.echo != nil && s.echo.pop(payload, now)
	s.mu.Unlock()
	if s.loop && s.at+frameSamples > len(s.said) {
		s.at = 0
	}
	switch {
	case s.at+frameSamples <= len(s.said): // replaces the echo without delaying it
		copy(payload, s.said[s.at:])
		s.at += frameSamples
		return
	case !echoed:
		for i := range payload {
			payload[i] = silence
		}
	}
	s.over.set()
}

func (s *stream) readRTP() {
	defer s.readers.Done()
	buf := make([]byte, 2048)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		now := time.Now()
		s.mu.Lock()
		s.rx.source = from
		packet := buf[:n]
		if s.unlock != nil {
			packet, _ = s.unlock.DecryptRTP(nil, packet, nil) // empty if another sender sent it
		}
		peer := s.peer.Load()
		payload := s.rx.take(packet, peer, now)
		if payload != nil && !s.askedAt.IsZero() && peer.codec.loud(payload) {
			s.answers, s.askedAt = append(s.answers, now.Sub(s.askedAt)), time.Time{}
		}
		if payload != nil && s.echo != nil {
			s.echo.push(payload, now)
		}
		s.mu.Unlock()
	}
}

// close ends a stream that the clock does not have any more.
func (s *stream) close() {
	_ = s.conn.Close()
	_ = s.rtcp.Close()
	s.readers.Wait()
}

// media returns the audio so far. ended says that the clock does not have the stream any more.
func (s *stream) media(ended bool) Media {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.rx.stats
	st.Sent, st.Lost = s.sent.Load(), s.rx.lost()
	st.Jitter = time.Duration(s.rx.jitter * float64(time.Second) / SampleRate)
	st.Local, st.Source = s.local, s.rx.source
	if p := s.peer.Load(); p != nil {
		st.Remote, st.Codec = p.addr, p.codec.name
	}
	m := Media{RTP: st, HeardMarks: slices.Clone(s.rx.marks), Answers: slices.Sorted(slices.Values(s.answers))}
	if len(s.rx.heard) > 0 {
		m.Heard = s.rx.law.decodeAll(s.rx.heard)
	}
	if ended {
		m.SentMarks = s.sentMarks
	}
	return m
}

func payloadSum(b []byte) uint32 {
	if len(b) == 0 || strings.Count(string(b), string(b[:1])) == len(b) {
		return 0
	}
	return crc32.ChecksumIEEE(b)
}

// echoQueue delays frames, either for a fixed time or until their speaker has paused for that time.
type echoQueue struct {
	delay  time.Duration
	waits  bool      // waits for a pause
	codec  codec     // used if waits is set
	loudAt time.Time // time of the last frame with speech
	frames []echoFrame
}

type echoFrame struct {
	due   time.Time
	audio [frameSamples]byte
}

func (q *echoQueue) push(payload []byte, now time.Time) {
	if len(payload) != frameSamples {
		return
	}
	switch paused := q.waits && now.Sub(q.loudAt) >= q.delay; {
	case q.waits && q.codec.loud(payload):
		if paused { // drop the rest of an answer
			q.frames = nil
		}
		q.loudAt = now
	case paused:
		return
	}
	if len(q.frames) == int(q.delay/frameTime)+echoMargin {
		q.frames = q.frames[1:]
	}
	q.frames = append(q.frames, echoFrame{now.Add(q.delay), [frameSamples]byte(payload)})
}

// loud reports whether encoded audio contains speech.
func (c codec) loud(b []byte) bool {
	return slices.ContainsFunc(b, func(v byte) bool { return max(c.decode(v), -c.decode(v)) >= quietest })
}

func (q *echoQueue) pop(dst []byte, now time.Time) bool {
	if len(q.frames) == 0 || !q.waits && q.frames[0].due.After(now) || now.Sub(q.loudAt) < q.delay {
		return false
	}
	copy(dst, q.frames[0].audio[:])
	q.frames = q.frames[1:]
	return true
}
