package hooks

import (
	"net"
	"net/netip"
	"sync"
)

// maxShare bounds the connections of one source, so one source can't take a whole listener.
const maxShare = 100

// shares is a listener that closes new connections of a source with too many. Loopback has no such bound, because a proxy
// there carries the connections of all sources.
type shares struct {
	net.Listener

	mu    sync.Mutex
	taken map[netip.Prefix]int
}

// Accept gives the next connection within its source's share.
func (s *shares) Accept() (net.Conn, error) {
	for {
		conn, err := s.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := sourceOf(conn.RemoteAddr())
		if s.take(source) {
			return &share{Conn: conn, free: sync.OnceFunc(func() { s.free(source) })}, nil
		}
		_ = conn.Close() // its source has too many
	}
}

// sourceOf is the source at an address: with IPv6 its /64, which belongs to one host (RFC 4291 section 2.5.4).
func sourceOf(addr net.Addr) netip.Prefix {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap()
	bits := 64
	if ip.Is4() || ip.IsLoopback() {
		bits = ip.BitLen()
	}
	source, _ := ip.WithZone("").Prefix(bits)
	return source
}

func (s *shares) take(source netip.Prefix) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[source] >= maxShare && !source.Addr().IsLoopback() {
		return false
	}
	s.taken[source]++
	return true
}

func (s *shares) free(source netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[source]--; s.taken[source] == 0 {
		delete(s.taken, source)
	}
}

// share is a connection that counts until it is closed.
type share struct {
	net.Conn

	free func()
}

// Close closes the connection.
func (c *share) Close() error {
	defer c.free()
	return c.Conn.Close()
}
