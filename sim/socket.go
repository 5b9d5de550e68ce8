package sim

import (
	"bytes"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"time"
)

const (
	receiveBuffer = 4 << 20
	maxRawInvites = 1024
)

// Datagram is a SIP message as it went over the socket.
type Datagram struct {
	At       time.Time
	Received bool // else sent
	Remote   netip.AddrPort
	Data     []byte // not to be kept
}

// socket is the UDP socket under sipgo. It is where messages are dropped
// before there is a transaction, and where the bytes of X- headers are taken
// down before a parser has touched them.
type socket struct {
	net.PacketConn
	drop  func(datagram []byte) bool // nil: nothing
	tap   func(Datagram)             // nil: nobody listens; set before anything is read
	ready chan struct{}              // closed when sipgo reads, which is when it can send
	once  sync.Once

	mu    sync.Mutex
	raw   map[string]string // INVITEs by Call-ID
	order []string
}

func newSocket(conn *net.UDPConn, drop func([]byte) bool) *socket {
	_ = conn.SetReadBuffer(receiveBuffer) // the kernel caps it silently; smaller is no failure
	return &socket{PacketConn: conn, drop: drop, ready: make(chan struct{}), raw: map[string]string{}}
}

// ReadFrom returns the next datagram that is not dropped.
func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	s.once.Do(func() { close(s.ready) })
	for {
		// sipgo starts a goroutine per message: let it run before the next
		// one is read, or a burst is handled out of order.
		runtime.Gosched()
		n, addr, err := s.PacketConn.ReadFrom(b)
		if err != nil {
			return n, addr, err
		}
		if s.drop != nil && s.drop(b[:n]) {
			continue
		}
		s.note(b[:n])
		s.tapped(true, addr, b[:n])
		return n, addr, nil
	}
}

// WriteTo sends a datagram.
func (s *socket) WriteTo(b []byte, addr net.Addr) (int, error) {
	s.tapped(false, addr, b)
	return s.PacketConn.WriteTo(b, addr)
}

func (s *socket) tapped(received bool, addr net.Addr, b []byte) {
	if at, ok := addr.(*net.UDPAddr); ok && s.tap != nil {
		s.tap(Datagram{At: time.Now(), Received: received, Remote: unmapped(at.AddrPort()), Data: b})
	}
}

func (s *socket) note(b []byte) {
	if !bytes.HasPrefix(b, []byte("INVITE ")) {
		return
	}
	message := string(b)
	callID := ""
	for _, line := range headerLines(message) {
		name, value, _ := strings.Cut(line, ":")
		if name = strings.ToLower(strings.TrimSpace(name)); name == "call-id" || name == "i" {
			callID = strings.TrimSpace(value)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, again := s.raw[callID]; !again {
		s.order = append(s.order, callID)
	}
	s.raw[callID] = message
	if len(s.order) > maxRawInvites {
		delete(s.raw, s.order[0])
		s.order = s.order[1:]
	}
}

// invite returns the last INVITE with this Call-ID, byte for byte.
func (s *socket) invite(callID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raw[callID]
}

func headerLines(message string) []string {
	head, _, _ := strings.Cut(message, "\r\n\r\n")
	return strings.Split(head, "\r\n")[1:]
}

// extensionLines are the header lines whose name begins with X- or x-.
func extensionLines(message string) []string {
	var out []string
	for _, line := range headerLines(message) {
		if len(line) > 2 && (line[0] == 'X' || line[0] == 'x') && line[1] == '-' {
			out = append(out, line)
		}
	}
	return out
}
