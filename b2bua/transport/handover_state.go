package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"
	"golang.org/x/sys/unix"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/transaction"
	"flowbridge/config"
)

// This file hands over the state of a frozen stack, apart from its sockets, to the stack of another process.

// State holds the answered transactions and the held messages of a stack.
type State struct {
	Answered []transaction.AnsweredState `cbor:"1,keyasint,omitempty"`
	Held     []HeldState                 `cbor:"2,keyasint,omitempty"`
}

// HeldState is a message that is held because new calls have to wait.
type HeldState struct {
	Text   []byte `cbor:"1,keyasint,omitempty"`
	Source string `cbor:"2,keyasint,omitempty"`
	Over   string `cbor:"3,keyasint,omitempty"`
}

// StreamState is a connection over TCP.
type StreamState struct {
	Local    string        `cbor:"1,keyasint,omitempty"`
	Remote   string        `cbor:"2,keyasint,omitempty"`
	Dialled  bool          `cbor:"3,keyasint,omitempty"` // we opened it
	Unread   []byte        `cbor:"4,keyasint,omitempty"`
	Stranger bool          `cbor:"5,keyasint,omitempty"`
	First    time.Duration `cbor:"6,keyasint,omitempty"` // time left for a stranger to prove who it is
	ViaHost  string        `cbor:"7,keyasint,omitempty"`
	ViaPort  uint16        `cbor:"8,keyasint,omitempty"`
	ID       uint64        `cbor:"9,keyasint,omitempty"`
}

// nameOf returns the name by which another process finds a socket or connection, or "" if it can't be handed over.
func nameOf(over transaction.Sender) string {
	switch over := over.(type) {
	case *udpEndpoint:
		return "udp " + over.local.String()
	case *Stream:
		if over.transport == config.TransportTCP && !over.isClosed() {
			return "tcp " + over.local.String() + " " + over.remote.String()
		}
	}
	return ""
}

// named returns the socket or connection with a name from another process, or nil if it no longer exists.
func (s *Stack) named(name string) transaction.Sender {
	for _, g := range s.sockets {
		if nameOf(g) == name {
			return g
		}
	}
	for _, c := range s.streams.all() {
		if nameOf(c) == name {
			return c
		}
	}
	return nil
}

// State returns the state of a frozen stack.
func (s *Stack) State() (st State) {
	st.Answered = s.transactions.Answered(nameOf)
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	for _, m := range s.held.messages {
		if over := nameOf(m.from.over); over != "" {
			st.Held = append(st.Held, HeldState{Text: m.text, Source: m.from.source.String(), Over: over})
		}
	}
	return st
}

// HeldInvite returns the unanswered INVITE of the wire's peer in the form of a held message, for another stack. It
// returns false if the connection that the INVITE came over can't be handed over.
func (w *Wire) HeldInvite(invite *sip.Request, source netip.AddrPort) (h HeldState, ok bool) {
	over := w.way()
	if over == nil {
		return h, false
	}
	return HeldState{Text: OriginalText(invite), Source: source.String(), Over: nameOf(over)}, true
}

// OriginalText returns the text of an INVITE as it arrived, without what stamp has added. Only the rport that was
// added for a caller behind NAT stays in it.
func OriginalText(invite *sip.Request) []byte {
	req := invite.Clone()
	req.To().Params.Remove("tag")
	req.Via().Params.Remove("received")
	return slices.Clone(message.Text(req))
}

// CanHandOver reports whether the socket or connection to the wire's peer can be handed over to another process.
func (w *Wire) CanHandOver() bool { return w.way() != nil }

// way returns the socket or connection to the wire's peer, or nil if it can't be handed over.
func (w *Wire) way() transaction.Sender {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flow != nil {
		if nameOf(w.flow) == "" {
			return nil
		}
		return w.flow
	}
	if g := w.stack.socketAt(w.local.Listen); g != nil {
		return g
	}
	return nil
}

// Restore takes over the state of another stack, whose connections must have been added before.
func (s *Stack) Restore(st *State) {
	for i := range st.Answered {
		if over := s.named(st.Answered[i].Over); over != nil {
			s.transactions.Restore(&st.Answered[i], over)
		}
	}
	s.Hold()
	s.holdAll(st.Held)
}

func (s *Stack) holdAll(all []HeldState) {
	for _, h := range all {
		source, err := netip.ParseAddrPort(h.Source)
		over := s.named(h.Over)
		if err != nil || over == nil {
			continue
		}
		from := arrival{transport: "UDP", source: source, name: source.String(), over: over}
		if _, ok := over.(*Stream); ok {
			from.transport = message.ViaTransport(config.TransportTCP)
		}
		s.hold(h.Text, from)
	}
}

// Streams calls each for the TCP connections of a frozen stack. fd is a duplicate of the descriptor, which the
// receiver must close. TLS connections can't be handed over.
func (s *Stack) Streams(each func(st StreamState, fd int) error) error {
	for _, c := range s.streams.all() {
		if c.transport != config.TransportTCP || c.isClosed() {
			continue
		}
		fd, err := CopyOf(c.Conn)
		if err != nil {
			return fmt.Errorf("connection with %v: %w", c.remote, err)
		}
		st := StreamState{
			Local: c.local.String(), Remote: c.remote.String(), Dialled: c.peer != nil, Unread: slices.Clone(c.framing.Unread()),
			Stranger: c.stranger.Load(), First: time.Until(c.firstBy), ID: c.id,
		}
		if by := c.sentBy.Load(); by != nil {
			st.ViaHost, st.ViaPort = by.host, by.port
		}
		if err := each(st, fd); err != nil {
			return err
		}
	}
	return nil
}

var errNoConnection = errors.New("no connection of this server")

// AddStream adds a connection that another process has handed over. It takes over the descriptor, and closes it on
// failure. The connection is read once the stack serves.
func (s *Stack) AddStream(st *StreamState, fd int) error {
	f := os.NewFile(uintptr(fd), "sip")
	conn, err := net.FileConn(f)
	_ = f.Close()
	if err != nil {
		return err
	}
	remote, bad := netip.ParseAddrPort(st.Remote)
	var peer *streamPeer
	if st.Dialled {
		peer = &streamPeer{dialled: true}
	}
	var at *listenerConns
	for _, l := range s.listeners {
		if l.transport == config.TransportTCP && (at == nil || l.local.String() == st.Local) {
			at = l.conns
		}
	}
	if bad != nil || (peer == nil && at == nil) {
		_ = conn.Close()
		return errNoConnection
	}
	c := s.streams.newStream(conn, config.TransportTCP, remote, peer)
	c.framing.Preload(st.Unread)
	c.firstBy, c.id = time.Now().Add(st.First), st.ID
	if st.ViaHost != "" {
		c.sentBy.Store(&sentBy{host: st.ViaHost, port: st.ViaPort})
	}
	switch {
	case peer == nil && !s.streams.reserveAccepted(c, at), peer != nil && !s.streams.reserveDial():
		_ = conn.Close()
		return errTooMany
	}
	if peer == nil && !st.Stranger {
		c.Prove()
	}
	if err := s.streams.admit(c); err != nil {
		c.drop()
		return err
	}
	return nil
}

// Discard closes descriptors that were handed over but are not used.
func Discard(fds ...int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
