package hep

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

const (
	maxWaiting  = 8192 // packets; further ones are dropped
	maxKept     = 8 << 10
	dialTimeout = 5 * time.Second
	writeWithin = 2 * time.Second
	redialAfter = 5 * time.Second
	// freshFor is how long a UDP socket is used before the server's name is looked up again.
	freshFor   = 5 * time.Minute
	warnEvery  = time.Minute
	closeAfter = 2 * time.Second // how long Close keeps writing
)

// errAway stands in for the error of the last try.
var errAway = errors.New("not reached some seconds ago")

// Options say where packets are sent.
type Options struct {
	Network   string // udp or tcp
	Address   string // host:port
	CaptureID uint32 // identifies this node
	Log       zerolog.Logger

	dial func(ctx context.Context, network, address string) (net.Conn, error) // if nil, the network is used
}

// Message is one SIP message of a call.
type Message struct {
	Call          string // our id of the call
	At            time.Time
	Received      bool // false if we sent it
	Local, Remote netip.AddrPort
	Stream        bool   // true for TCP or TLS, false for UDP
	Data          []byte // the caller may reuse it afterwards
}

// Mirror sends copies of messages. Any number of goroutines may use it.
type Mirror struct {
	o       Options
	waiting chan *[]byte
	buffers sync.Pool
	closing chan struct{}
	done    chan struct{}
	stopped atomic.Bool

	sent, dropped atomic.Uint64 // packets

	// Owned by run.
	conn     net.Conn
	dialled  time.Time // when a connection was last tried
	warned   time.Time
	reported uint64 // part of dropped that was logged
}

// New starts mirroring. The server need not be running yet.
func New(o Options) *Mirror {
	m := &Mirror{o: o, waiting: make(chan *[]byte, maxWaiting), closing: make(chan struct{}), done: make(chan struct{})}
	m.buffers.New = func() any { b := make([]byte, 0, 2048); return &b }
	if m.o.dial == nil {
		m.o.dial = (&net.Dialer{}).DialContext
	}
	go m.run()
	return m
}

// SIP mirrors a message. It does not block.
func (m *Mirror) SIP(msg Message) {
	p := packet{
		at: msg.At, from: msg.Local, to: msg.Remote, stream: msg.Stream, kind: typeSIP, correlation: msg.Call,
		payload: msg.Data,
	}
	if msg.Received {
		p.from, p.to = p.to, p.from
	}
	m.queue(&p)
}

func (m *Mirror) queue(p *packet) {
	if m.stopped.Load() || len(m.waiting) == cap(m.waiting) {
		m.dropped.Add(1)
		return
	}
	p.captureID = m.o.CaptureID
	b := m.buffers.Get().(*[]byte)
	*b = p.append((*b)[:0])
	select {
	case m.waiting <- b:
	default:
		m.dropped.Add(1)
		m.free(b)
	}
}

// free returns a buffer to the pool, unless a long message has made the buffer large.
func (m *Mirror) free(b *[]byte) {
	if cap(*b) <= maxKept {
		m.buffers.Put(b)
	}
}

// Sent returns how many packets were written.
func (m *Mirror) Sent() uint64 { return m.sent.Load() }

// Dropped returns how many packets were not written because the server was away or too slow.
func (m *Mirror) Dropped() uint64 { return m.dropped.Load() }

// Close writes the waiting packets and stops. It takes at most four seconds: two for the write in progress, and two for
// the rest.
func (m *Mirror) Close() error {
	if !m.stopped.Swap(true) {
		close(m.closing)
	}
	<-m.done
	return nil
}

func (m *Mirror) run() {
	defer close(m.done)
	defer m.hangUp()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-m.closing
		time.AfterFunc(closeAfter, cancel) // this also ends a connection attempt
	}()
	for {
		select {
		case b := <-m.waiting:
			m.write(ctx, b, time.Now().Add(writeWithin))
		case <-m.closing:
			for until := time.Now().Add(closeAfter); ; {
				select {
				case b := <-m.waiting:
					m.write(ctx, b, until)
				default:
					return
				}
			}
		}
	}
}

// write writes one packet, or drops it.
func (m *Mirror) write(ctx context.Context, b *[]byte, until time.Time) {
	defer m.free(b)
	err := m.connect(ctx)
	if err == nil {
		_ = m.conn.SetWriteDeadline(until) // if this fails, so does the write
		if _, err = m.conn.Write(*b); err == nil {
			m.sent.Add(1)
			return
		}
		m.hangUp()
	}
	m.dropped.Add(1)
	m.warn(err)
}

// connect opens a connection if there is none. It waits some seconds between two tries.
func (m *Mirror) connect(ctx context.Context) (err error) {
	now := time.Now()
	if m.conn != nil && m.o.Network == "udp" && now.Sub(m.dialled) > freshFor {
		m.hangUp()
		m.dialled = time.Time{}
	}
	if m.conn != nil {
		return nil
	}
	if !m.dialled.IsZero() && now.Sub(m.dialled) < redialAfter {
		return errAway
	}
	m.dialled = now
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	m.conn, err = m.o.dial(ctx, m.o.Network, m.o.Address)
	return err
}

func (m *Mirror) hangUp() {
	if m.conn != nil {
		_ = m.conn.Close()
		m.conn = nil
	}
}

// warn logs that packets are dropped, at most once a minute.
func (m *Mirror) warn(err error) {
	if !m.warned.IsZero() && time.Since(m.warned) < warnEvery {
		return
	}
	m.warned = time.Now()
	dropped := m.dropped.Load()
	m.o.Log.Warn().Err(err).Uint64("dropped_packets", dropped-m.reported).Str("server", m.o.Address).
		Msg("HEP server does not take packets")
	m.reported = dropped
}
