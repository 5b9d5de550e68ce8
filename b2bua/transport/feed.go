package transport

import (
	"net"
	"sync"
)

// feed hands connections to the SIP library, as if the library had accepted them.
type feed struct {
	addr  net.Addr
	conns chan *Stream
	ready chan struct{} // the connection before is in the library's pool
	done  chan struct{}
	once  sync.Once
	mu    sync.Mutex // one connection at a time
}

func newFeed() *feed {
	return &feed{
		addr: &net.TCPAddr{IP: net.IPv4zero}, conns: make(chan *Stream),
		ready: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// Accept gives the next connection.
func (f *feed) Accept() (net.Conn, error) {
	select {
	case f.ready <- struct{}{}:
	default:
	}
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (f *feed) Close() error {
	f.once.Do(func() { close(f.done) })
	return nil
}

// Addr stands for a listener's address; the real listeners are ours.
func (f *feed) Addr() net.Addr { return f.addr }

// register has the library read a connection, and returns when requests can
// be sent over it.
func (f *feed) register(c *Stream) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.ready: // the library waits in Accept
	case <-f.done:
		return net.ErrClosed
	}
	select {
	case f.conns <- c:
	case <-f.done:
		return net.ErrClosed
	}
	select {
	case <-f.ready: // it came back, with the connection in the pool
		f.ready <- struct{}{}
		return nil
	case <-f.done:
		return net.ErrClosed
	}
}
