package calltest

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/snapshot"
	"flowbridge/b2bua/transport"
	"flowbridge/media"
	"flowbridge/store/record"
)

// Some tests wait for the timers of a restarted server.
const (
	flushDelay = 2 * time.Second // how long the checkpoint after an ACK waits for later changes
	askAfter   = 2 * time.Second // for how long a side may be silent before it gets a request; at most twice as long
)

// An upgrade may be refused for one of these reasons.
const (
	waitsForAnswer   = "the caller hears the target already"
	waitsForExchange = "a change of its media is under way"
	waitsForRequest  = "a request has no answer yet"
)

// isStopped reports whether err is an upgrade's refusal for this reason.
func isStopped(err error, why string) bool { return err != nil && strings.Contains(err.Error(), why) }

// minter returns the source of tags and branches with the server's key.
func (w *world) minter() *message.Minter { return message.NewMinter(w.options.Key) }

// life stands for one process. After the process is killed, nothing that it does has an effect any more.
type life struct {
	w    *world
	dead atomic.Bool

	mu    sync.Mutex
	conns []net.Conn
}

// begin starts a server that restores the calls of a killed one.
func (w *world) begin(left []record.Saved) { w.beginWith(left, nil) }

// beginWith is begin with the state that another server has handed over, or nil if there is none.
func (w *world) beginWith(left []record.Saved, before snapshot.Predecessor) {
	w.t.Helper()
	l := &life{w: w}
	o := w.options
	o.Admission = func(a *peers.Admission) { w.admission = a }
	o.Left, o.Before, o.Sink, o.Relay = left, before, lifeSink{o.Sink, l}, lifeRelay{o.Relay, l}
	listen, listenStream, dial := o.Network.Listen, o.Network.ListenStream, o.Network.Dial
	if listen != nil {
		o.Network.Listen = func(a netip.AddrPort) (transport.Socket, error) {
			s, err := listen(a)
			return lifeSocket{s, l}, err
		}
	}
	if listenStream != nil {
		o.Network.ListenStream = func(a netip.AddrPort) (net.Listener, error) {
			s, err := listenStream(a)
			return lifeListener{s, l}, err
		}
	}
	if dial != nil {
		o.Network.Dial = func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
			if l.dead.Load() {
				return nil, net.ErrClosed
			}
			c, err := dial(ctx, from, to)
			return l.keep(c), err
		}
	}
	var err error
	if w.server, err = b2bua.NewServer(o); err != nil {
		w.t.Fatal(err)
	}
	w.life = l
}

// die kills the server, and returns the calls that the next server has to restore.
func (w *world) die() []record.Saved {
	w.t.Helper()
	synctest.Wait() // until the state is written
	w.life.dead.Store(true)
	left := w.sink.left()
	w.life.mu.Lock()
	for _, c := range w.life.conns {
		_ = c.Close()
	}
	w.life.mu.Unlock()
	if err := w.server.Close(); err != nil {
		w.t.Error(err)
	}
	return left
}

// handed is the state that a server hands over in an upgrade. It has no sockets: the new server opens its own.
type handed struct {
	stack   transport.State
	calls   []record.Saved
	sockets map[string]*media.Sockets
}

func (h *handed) Take(string) (int, bool)          { return 0, false }
func (h *handed) Calls() []record.Saved            { return h.calls }
func (h *handed) Restore(s *transport.Stack) error { s.Restore(&h.stack); return nil }

func (h *handed) Sockets(call string) *media.Sockets { return h.sockets[call] }

// handOver freezes the server, takes over its state, and ends it. If it returns an error, the server continues.
func (w *world) handOver() (*handed, error) {
	w.t.Helper()
	s := w.server
	err := s.Settled(context.Background(), true)
	if err == nil {
		err = s.Freeze(context.Background(), nil)
	}
	if err != nil {
		return nil, err
	}
	h := &handed{sockets: map[string]*media.Sockets{}}
	invites, err := s.HandOver(func(c record.Saved, sockets *media.Sockets) error {
		text, err := json.Marshal(&c.Record) // as JSON, which is also how the new process gets it
		if err == nil {
			c.Record = record.Record{}
			err = json.Unmarshal(text, &c.Record)
		}
		h.calls, h.sockets[c.Record.ID] = append(h.calls, c), sockets
		return err
	})
	h.stack = s.Stack().State()
	h.stack.Held = append(invites, h.stack.Held...)
	if err != nil {
		s.Thaw()
		return nil, err
	}
	w.life.dead.Store(true)
	s.Thaw() // so that the server can end
	if err := s.Close(); err != nil {
		w.t.Error(err)
	}
	return h, nil
}

// upgrade replaces the server by another one. If it returns an error, the old server continues.
func (w *world) upgrade() error {
	w.t.Helper()
	h, err := w.handOver()
	if err != nil {
		return err
	}
	w.beginWith(nil, h)
	w.serves()
	return nil
}

// serves makes a server serve after it has taken over.
func (w *world) serves() {
	w.server.Stack().Serve()
	w.server.Begun()
}

// restart kills the server and starts another one.
func (w *world) restart() { w.begin(w.die()) }

func (l *life) keep(c net.Conn) net.Conn {
	if c == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, c)
	return lifeConn{c, l}
}

type lifeSocket struct {
	transport.Socket
	*life
}

func (s lifeSocket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if s.dead.Load() {
		return len(b), nil
	}
	return s.Socket.WriteToUDPAddrPort(b, to)
}

// ReadTimed also returns the arrival time of the datagram, if the socket knows it.
func (s lifeSocket) ReadTimed(b []byte) (n int, from netip.AddrPort, came time.Time, err error) {
	if timed, ok := s.Socket.(interface {
		ReadTimed(b []byte) (int, netip.AddrPort, time.Time, error)
	}); ok {
		return timed.ReadTimed(b)
	}
	n, from, err = s.ReadFromUDPAddrPort(b)
	return n, from, came, err
}

type lifeListener struct {
	net.Listener
	*life
}

func (s lifeListener) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	return s.keep(c), err
}

type lifeConn struct {
	net.Conn
	*life
}

func (c lifeConn) Write(b []byte) (int, error) {
	if c.dead.Load() {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}

type lifeSink struct {
	snapshot.Sink
	*life
}

func (s lifeSink) Journal(r record.Record, state []byte) {
	if !s.dead.Load() {
		s.Sink.Journal(r, state)
	}
}

func (s lifeSink) Owe(id string, state []byte) {
	if !s.dead.Load() {
		s.Sink.Owe(id, state)
	}
}

func (s lifeSink) Keep(ctx context.Context, r *record.Record, owes []byte, done func(error)) {
	if s.dead.Load() {
		done(nil)
		return
	}
	s.Sink.Keep(ctx, r, owes, done)
}

func (s lifeSink) Put(ctx context.Context, r record.Record) error {
	if s.dead.Load() {
		return nil
	}
	return s.Sink.Put(ctx, r)
}

// lifeRelay opens sessions that ignore all calls once their process is dead, because the next process owns their ports.
type lifeRelay struct {
	bridge.Relay
	*life
}

func (r lifeRelay) Open(c media.SessionConfig) (bridge.RelaySession, error) { return r.Relay.Open(c) }
