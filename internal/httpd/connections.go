package httpd

import (
	"net"
	"net/netip"
	"sync"

	"golang.org/x/net/netutil"
)

// Connections is a listener that bounds the connections it accepts.
type Connections struct {
	net.Listener // the listener that limits all connections

	under     net.Listener
	perSource int

	mu    sync.Mutex
	taken map[netip.Prefix]int
}

// Bound limits the connections of a listener. If there are already all connections, new ones wait. It also limits the
// connections of one source, an IPv4 address or an IPv6 /64: if the source has perSource connections, new ones are
// closed. Loopback and Unix sockets have no limit per source, because a proxy there carries the connections of many
// sources.
func Bound(l net.Listener, all, perSource int) *Connections {
	return &Connections{
		Listener: netutil.LimitListener(l, all), under: l, perSource: perSource,
		taken: map[netip.Prefix]int{},
	}
}

// connection counts until it is closed.
type connection struct {
	net.Conn

	free func()
}

// Accept returns the next connection within the limits.
func (l *Connections) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := sourceOf(conn.RemoteAddr())
		if !source.IsValid() || source.Addr().IsLoopback() {
			return conn, nil
		}
		if l.take(source) {
			return &connection{conn, sync.OnceFunc(func() { l.free(source) })}, nil
		}
		_ = conn.Close()
	}
}

// take counts a connection of a source, and reports whether the limit allows it.
func (l *Connections) take(source netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken[source] >= l.perSource {
		return false
	}
	l.taken[source]++
	return true
}

func (l *Connections) free(source netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken[source]--; l.taken[source] == 0 {
		delete(l.taken, source)
	}
}

// Close closes the connection.
func (c *connection) Close() error {
	c.free()
	return c.Conn.Close()
}

// sourceOf returns the source of an address. For IPv6 that is the /64, which belongs to one host (RFC 4291 section
// 2.5.4). It is invalid for an address that is not TCP.
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
