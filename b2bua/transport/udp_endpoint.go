package transport

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/transaction"
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
	// ReadTimed is ReadFromUDPAddrPort with that time, or zero if not known.
	ReadTimed(b []byte) (n int, from netip.AddrPort, came time.Time, err error)
}

// udpEndpoint is a UDP socket: it passes on the messages that the screen admits, and shows them to the tap.
type udpEndpoint struct {
	Socket
	*screen
	local       netip.AddrPort
	name        string  // name in a hand-over
	reader      *reader // runs turns that messages start
	startReader func()  // starts its reader
	ended       func(why error)
	steps       atomic.Uint64 // counts the reader's steps; odd while it handles a message

	// handle is called with each admitted message, and must not keep it.
	handle func(text []byte, from netip.AddrPort)
	load   *load
	reads  *readFreeze

	// owned by the reader
	out   []byte      // the refusal being written
	in    [65536]byte // has room for a datagram above maxMessage
	names names
	wait  time.Duration // how long the last message was in the socket
}

// newUDPEndpoint returns the endpoint of a socket that the stack receives on.
func newUDPEndpoint(s *Stack, socket Socket, tap Tap, name string) *udpEndpoint {
	g := &udpEndpoint{
		Socket: socket, screen: s.newScreen(config.TransportUDP, tap),
		local: message.ParseSource(socket.LocalAddr().String()),
		name:  name, load: &s.load, reads: &s.reads,
	}
	g.reader = s.turns.newReader(g.serve)
	g.startReader = func() {
		s.readers.Add(1)
		s.turns.Go(g.serve)
	}
	g.ended = func(err error) {
		if !errors.Is(err, errFrozen) && s.ctx.Err() == nil {
			s.log.Error().Stringer("listen", g.local).Msg("listener ended")
		}
		s.readers.Done()
	}
	s.reads.addPaused(g.startReader)
	g.handle = func(text []byte, from netip.AddrPort) {
		s.receive(text, arrival{transport: message.ViaTransport(g.transport), source: from, name: g.names.of(from), over: g})
	}
	return g
}

// readPause is the pause after a read that failed.
const readPause = 10 * time.Millisecond

// serve reads until the socket is closed, the stack is frozen, or another goroutine takes over reading. It runs the
// turns that messages begin.
func (g *udpEndpoint) serve() {
	runtime.Gosched() // run goroutines that wait for a processor before reading the next datagram
	for {
		err := g.next()
		switch {
		case err == nil:
			if !g.reader.run(g.wait) {
				return
			}
		case !errors.Is(err, errFrozen):
			g.reads.readerStopped()
			g.ended(err)
			return
		case g.reads.pause(g.startReader):
			g.ended(err)
			return
		}
	}
}

// next handles one datagram. It returns net.ErrClosed if the socket is closed, and errFrozen if the stack is frozen. A
// panic costs only that datagram, not the process.
func (g *udpEndpoint) next() (over error) {
	handles := false
	defer func() {
		if handles {
			g.steps.Add(1)
		}
		if v := recover(); v != nil {
			g.server.Panicked("datagram", v)
			over = nil
		}
	}()
	n, from, came, err := g.receive(g.in[:])
	switch {
	case errors.Is(err, net.ErrClosed):
		return net.ErrClosed
	case err != nil && isTimeout(err):
		return errFrozen
	case err != nil: // a temporary error
		if g.budget.Allow() {
			g.log.Error().Err(err).Msg("sip not received")
		}
		time.Sleep(readPause)
		return nil
	}
	handles = true
	g.steps.Add(1)
	read := time.Now()
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	text := bytes.TrimLeft(g.in[:n], "\r\n") // line ends before a start line (RFC 3261 section 7.5)
	v := g.admit(text, from)
	g.wait = waitOf(came, read)
	g.load.waited(read, g.wait)
	if !v.admitted {
		return nil
	}
	g.passed.received.note(text)
	if g.tap != nil {
		g.tap.Message(v.received(text, read, g.transport, g.local, from))
	}
	g.reader.startMessage()
	g.handle(text, from)
	return nil
}

// receive reads one datagram, with its time of arrival if known.
func (g *udpEndpoint) receive(b []byte) (n int, from netip.AddrPort, came time.Time, err error) {
	if timed, ok := g.Socket.(timedSocket); ok {
		return timed.ReadTimed(b)
	}
	n, from, err = g.ReadFromUDPAddrPort(b)
	return n, from, came, err
}

// waitOf returns how long a datagram was in its socket. The result is never negative,
// even if the clock is set in between.
func waitOf(came, read time.Time) time.Duration {
	if came.IsZero() {
		return 0
	}
	return max(0, read.Sub(came))
}

// admit decides whether to parse a datagram, and answers a refused one.
func (g *udpEndpoint) admit(datagram []byte, from netip.AddrPort) (v verdict) {
	if len(datagram) <= 4 { // a keep-alive (RFC 5626 section 4.4.1), perhaps without some line ends
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
		g.countChallenge(v)
		_ = g.Send(g.out, to)
	}
	return v
}

// wayTo returns the transaction's way over the socket to an address.
func (g *udpEndpoint) wayTo(to netip.AddrPort) transaction.Way {
	return transaction.Way{Over: g, To: to}
}

// Send sends a message. A message that the kernel does not take counts as lost on the
// way: its timer, its request or its 200 sends it again, while an error would end its
// transaction. So no BYE is lost if a link is down for some seconds. An INVITE that
// begins a call fails at once, because another target may take the call, unless the
// kernel has no room at the moment.
func (g *udpEndpoint) Send(b []byte, to netip.AddrPort) error {
	g.passed.sent.note(b)
	if g.tap != nil {
		g.tap.Message(TapMessage{At: time.Now(), Transport: g.transport, Local: g.local, Remote: to, Data: b})
	}
	_, err := g.WriteToUDPAddrPort(b, to)
	if err != nil && (noRoom(err) || !beginsCall(b)) {
		g.log.Debug().Err(err).Stringer("to", to).Msg("sip not sent")
		return nil
	}
	return err
}

// Reading yields the UDP sockets whose reader is handling a message. step changes with each message.
func (s *Stack) Reading(yield func(socket string, step uint64)) {
	for _, g := range s.sockets {
		if step := g.steps.Load(); step%2 == 1 || g.reader.busy() {
			yield(g.transport+"://"+g.local.String(), step)
		}
	}
}

// beginsCall reports whether a message of ours is an INVITE outside of a dialog.
func beginsCall(b []byte) bool {
	if !bytes.HasPrefix(b, []byte("INVITE ")) {
		return false
	}
	s, _ := message.Scan(b)
	return len(s.ToTag) == 0
}
