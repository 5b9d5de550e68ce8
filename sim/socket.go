package sim

import (
	"bytes"
	"net"
	"runtime"
	"strings"
	"sync"
	"time"
)

const (
	receiveBuffer = 4 << 20
	maxRawInvites = 1024
)

// Datagram is a SIP message on the wire.
type Datagram struct {
	At       time.Time
	Received bool   // false if it was sent
	Data     []byte // valid only during the call
}

// socket is the UDP socket under sipgo. It drops messages before they create a transaction. It keeps the bytes of each
// INVITE, because a parser does not keep them.
type socket struct {
	net.PacketConn
	drop  func(datagram []byte) bool // may be nil
	tap   tap                        // set before the first read
	lost  func(error)                // receives ICMP errors; may be nil; set before the first read
	ready chan struct{}              // closed at the first read, after which sipgo can send
	once  sync.Once
	invites
}

// invites keeps the bytes of the latest INVITEs.
type invites struct {
	mu    sync.Mutex
	raw   map[string]string // by Call-ID
	order []string
}

func newSocket(conn *net.UDPConn, drop func([]byte) bool) *socket {
	_ = conn.SetReadBuffer(receiveBuffer) // best effort: the kernel caps it silently
	return &socket{PacketConn: conn, drop: drop, ready: make(chan struct{})}
}

// ReadFrom reads the next datagram that is not dropped.
func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	s.once.Do(func() { close(s.ready) })
	for {
		// sipgo starts a goroutine for each message. Without this, a burst would be handled out of order.
		runtime.Gosched()
		n, addr, err := s.PacketConn.ReadFrom(b)
		if err != nil && s.failed(err) {
			continue
		}
		if err != nil {
			return n, addr, err
		}
		if s.drop != nil && s.drop(b[:n]) {
			continue
		}
		s.note(b[:n])
		s.tap.show(true, b[:n])
		return n, addr, nil
	}
}

// WriteTo sends a datagram.
func (s *socket) WriteTo(b []byte, addr net.Addr) (int, error) {
	s.tap.show(false, b)
	n, err := s.PacketConn.WriteTo(b, addr)
	if err != nil && s.failed(err) {
		return len(b), nil // the error was about an earlier message
	}
	return n, err
}

// tap receives every SIP message. It may be nil.
type tap func(Datagram)

func (t tap) show(received bool, b []byte) {
	if t != nil {
		t(Datagram{At: time.Now(), Received: received, Data: b})
	}
}

func (s *invites) note(b []byte) {
	if !bytes.HasPrefix(b, []byte("INVITE ")) {
		return
	}
	message := string(b)
	callID := headerOf(message, "call-id", "i")
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, again := s.raw[callID]; !again {
		s.order = append(s.order, callID)
	}
	if s.raw == nil {
		s.raw = map[string]string{}
	}
	s.raw[callID] = message
	if len(s.order) > maxRawInvites {
		delete(s.raw, s.order[0])
		s.order = s.order[1:]
	}
}

// invite returns the bytes of the last INVITE with this Call-ID.
func (s *invites) invite(callID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raw[callID]
}

// headerOf returns the value of a message's header with a name or its compact form, or "".
func headerOf(message, name, compact string) string {
	for _, line := range headerLines(message) {
		n, value, _ := strings.Cut(line, ":")
		n = strings.ToLower(strings.TrimSpace(n))
		if n == name || n == compact {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func headerLines(message string) []string {
	head, _, _ := strings.Cut(message, "\r\n\r\n")
	return strings.Split(head, "\r\n")[1:]
}

// extensionLines returns the header lines whose name starts with X- or x-.
func extensionLines(message string) []string {
	var out []string
	for _, line := range headerLines(message) {
		if len(line) > 2 && (line[0] == 'X' || line[0] == 'x') && line[1] == '-' {
			out = append(out, line)
		}
	}
	return out
}
