package transport

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// Socket is a UDP socket; *net.UDPConn is one.
type Socket interface {
	net.PacketConn
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error)
}

// timedSocket is a Socket that knows when each datagram came.
type timedSocket interface {
	// ReadTimed is ReadFromUDPAddrPort with that time; zero: not known.
	ReadTimed(b []byte) (n int, from netip.AddrPort, came time.Time, err error)
}

// guard is a UDP socket for the SIP library: it gives the messages that screen admits,
// and taps each one.
type guard struct {
	Socket
	*screen
	local netip.AddrPort

	reading chan struct{} // closed when the library reads: requests can be sent
	// waited takes how long a message was in the socket, and when it was read.
	waited func(waited time.Duration, read time.Time)

	// owned by the reader
	heard bool        // reading is closed
	out   []byte      // the refusal being written
	in    [65536]byte // has room for a datagram that is too large
	renewal
}

// newGuard makes a socket that the stack receives on.
func newGuard(s *Stack, socket Socket, tap Tap) *guard {
	return &guard{
		Socket: socket, screen: s.newScreen(config.TransportUDP, tap), local: message.ParseSource(socket.LocalAddr().String()),
		reading: make(chan struct{}),
		waited:  func(waited time.Duration, read time.Time) { s.load.probe(s.group.Go, waited, read) },
		renewal: renewal{swap: &s.swap, crowded: s.crowded},
	}
}

// renewal restarts the library on a listener that has received from many addresses,
// because the library keeps each of them while it listens. It does so in a quiet
// moment, when no message is on its way through the library and no request can be
// sent. The reader owns it.
type renewal struct {
	swap    *sync.RWMutex // held for reading while a request is sent
	crowded func() bool
	reads   int
	due     bool
	begun   bool
}

// How often the addresses are counted, and how long a quiet moment lasts.
const (
	renewalEvery = 64 // reads
	renewalQuiet = 5 * time.Millisecond
)

// done is called when the library listens again.
func (r *renewal) done() {
	if r.begun {
		r.begun = false
		r.swap.Unlock()
	}
}

// begin takes the listener away from the library.
func (r *renewal) begin() {
	r.swap.Lock()
	r.due, r.begun = false, true
}

// deadline is the deadline of the next read; zero: none.
func (r *renewal) deadline() time.Time {
	if r.reads++; r.reads%renewalEvery == 0 {
		r.due = r.crowded()
	}
	if !r.due {
		return time.Time{}
	}
	return time.Now().Add(renewalQuiet)
}

// readPause is the pause after a read that failed.
const readPause = 10 * time.Millisecond

// ReadFrom gives the next datagram that may be parsed.
func (g *guard) ReadFrom(b []byte) (int, net.Addr, error) {
	// The library starts a goroutine for each message. It runs before the next message
	// is read, so that a burst stays in order: CANCEL after its INVITE.
	runtime.Gosched()
	g.begunReading()
	g.done()
	for {
		if wasDue, by := g.due, g.deadline(); wasDue || g.due {
			_ = g.SetReadDeadline(by)
		}
		n, from, came, err := g.receive(g.in[:])
		if errors.Is(err, net.ErrClosed) {
			return n, nil, err
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			_ = g.SetReadDeadline(time.Time{})
			g.begin()
			return 0, nil, net.ErrClosed
		}
		if err != nil { // a passing error, after which the library would stop listening
			if g.budget.Allow() {
				g.log.Error().Err(err).Msg("sip not received")
			}
			time.Sleep(readPause)
			continue
		}
		read := time.Now()
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		v := g.admit(g.in[:n], from)
		g.waited(waitOf(came, read), read)
		if !v.admitted {
			continue
		}
		g.passed.received.note(g.in[:n])
		if g.tap != nil {
			g.tap.Message(v.received(g.in[:n], read, g.transport, g.local, from))
		}
		return copy(b, g.in[:n]), net.UDPAddrFromAddrPort(from), nil
	}
}

// begunReading closes reading, once: the library reads, or has given up.
func (g *guard) begunReading() {
	if !g.heard {
		g.heard = true
		close(g.reading)
	}
}

// receive reads one datagram, with the time when it came if that is known.
func (g *guard) receive(b []byte) (n int, from netip.AddrPort, came time.Time, err error) {
	if timed, ok := g.Socket.(timedSocket); ok {
		return timed.ReadTimed(b)
	}
	n, from, err = g.ReadFromUDPAddrPort(b)
	return n, from, came, err
}

// waitOf is how long a datagram was in its socket. It is never negative, though the
// clock may be set meanwhile.
func waitOf(came, read time.Time) time.Duration {
	if came.IsZero() {
		return 0
	}
	return max(0, read.Sub(came))
}

// admit says whether the library gets a datagram, and answers a refused one.
func (g *guard) admit(datagram []byte, from netip.AddrPort) (v verdict) {
	if len(datagram) <= 4 { // keep-alive (RFC 5626 section 4.4.1)
		return v
	}
	v = g.judge(datagram, from)
	if v.status != "" {
		g.out = v.appendRefusal(g.out[:0], datagram, from)
		to := from
		if v.port != 0 {
			to = netip.AddrPortFrom(from.Addr(), v.port)
		}
		if len(g.out) == 0 {
			g.rejected(&g.count.TooShort, from, "too_short_for_answer")
			return v
		}
		_, _ = g.send(g.out, to)
	}
	return v
}

// WriteTo sends a message. A response or ACK that the kernel does not take counts as
// lost on the way: it is sent again with its request or 200, whereas an error would
// end its transaction. Any other message counts as lost if the kernel has no room at
// the moment.
func (g *guard) WriteTo(b []byte, addr net.Addr) (int, error) {
	ua, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, net.InvalidAddrError("not a UDP address")
	}
	to := ua.AddrPort()
	return g.send(b, netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
}

func (g *guard) send(b []byte, to netip.AddrPort) (int, error) {
	g.passed.sent.note(b)
	if g.tap != nil {
		g.tap.Message(TapMessage{At: time.Now(), Transport: g.transport, Local: g.local, Remote: to, Data: b})
	}
	n, err := g.WriteToUDPAddrPort(b, to)
	if err != nil && (noRoom(err) || bytes.HasPrefix(b, []byte("SIP/")) || bytes.HasPrefix(b, []byte("ACK "))) {
		g.log.Debug().Err(err).Stringer("to", to).Msg("sip not sent")
		return len(b), nil
	}
	return n, err
}
