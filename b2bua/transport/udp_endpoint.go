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

// Socket is a UDP socket, such as a *net.UDPConn.
type Socket interface {
	net.PacketConn
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error)
}

// timedSocket is a Socket that knows when each datagram arrived.
type timedSocket interface {
	// ReadTimed is ReadFromUDPAddrPort with the time of arrival, or the zero time if that is not known.
	ReadTimed(b []byte) (n int, from netip.AddrPort, came time.Time, err error)
}

// udpEndpoint is a UDP socket with its screen: it passes on the messages that the screen admits, and shows them to the
// tap.
type udpEndpoint struct {
	Socket
	*screen
	local       netip.AddrPort
	name        string  // name for a handover
	reader      *reader // runs turns that messages start
	startReader func()  // starts a goroutine that runs serve
	ended       func(why error)
	steps       atomic.Uint64 // counts the starts and ends of messages; odd while a message is being handled

	// handle is called with each admitted message. It must not keep the message.
	handle func(text []byte, from netip.AddrPort)
	load   *load
	reads  *readFreeze

	// The fields below belong to the reader.
	out   []byte      // memory for a refusal
	in    [65536]byte // room for any datagram, so that one above maxMessage can be recognised
	names names
	wait  time.Duration // how long the last message waited in the socket
}

// newUDPEndpoint returns the endpoint for a socket of the stack.
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

// readPause is how long a reader waits after a read has failed.
const readPause = 10 * time.Millisecond

// serve reads until the socket is closed, the stack is frozen, or another goroutine takes over reading. It runs the
// turns that messages begin.
func (g *udpEndpoint) serve() {
	runtime.Gosched() // lets goroutines that are ready run before the next datagram is read
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
// panic loses only that datagram.
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
	text := bytes.TrimLeft(g.in[:n], "\r\n") // drop line ends before the start line (RFC 3261 section 7.5)
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

// receive reads one datagram, with its time of arrival if the socket knows it.
func (g *udpEndpoint) receive(b []byte) (n int, from netip.AddrPort, came time.Time, err error) {
	if timed, ok := g.Socket.(timedSocket); ok {
		return timed.ReadTimed(b)
	}
	n, from, err = g.ReadFromUDPAddrPort(b)
	return n, from, came, err
}

// waitOf returns how long a datagram waited in its socket. The result is never negative, even if the clock was set
// meanwhile. It is 0 if the time of arrival is not known.
func waitOf(came, read time.Time) time.Duration {
	if came.IsZero() {
		return 0
	}
	return max(0, read.Sub(came))
}

// admit lets the screen judge a datagram, and sends the refusal if there is one.
func (g *udpEndpoint) admit(datagram []byte, from netip.AddrPort) (v verdict) {
	if len(datagram) <= 4 { // a keep-alive (RFC 5626 section 4.4.1), perhaps cut short
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

// wayTo returns the way to an address over this socket, for transactions.
func (g *udpEndpoint) wayTo(to netip.AddrPort) transaction.Way {
	return transaction.Way{Over: g, To: to}
}

// Send sends a message. If the kernel does not accept it, the message counts as lost on the way, because a timer will
// send it again, while an error would end its transaction. So no BYE is lost if a link is down for some seconds. Only
// an INVITE that starts a call fails at once, because another target may take the call, unless the kernel just has no
// room at the moment.
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

// Reading yields the UDP sockets whose reader is handling a message or running a turn. step changes with each message.
func (s *Stack) Reading(yield func(socket string, step uint64)) {
	for _, g := range s.sockets {
		if step := g.steps.Load(); step%2 == 1 || g.reader.busy() {
			yield(g.transport+"://"+g.local.String(), step)
		}
	}
}

// beginsCall reports whether a message is an INVITE outside a dialog.
func beginsCall(b []byte) bool {
	if !bytes.HasPrefix(b, []byte("INVITE ")) {
		return false
	}
	s, _ := message.Scan(b)
	return len(s.ToTag) == 0
}
