package httpd

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
)

// Connections is a listener that bounds the connections it accepts, so that strangers can't keep others out.
type Connections struct {
	net.Listener

	// PerSource bounds the connections of one source: an IPv4 address, or an IPv6 /64. Further ones are closed. Loopback and
	// Unix sockets have no such bound, because a proxy there carries the connections of all sources.
	PerSource int
	// All bounds all connections, and Unproven those of them on which Prove was not called yet. At either bound a new
	// connection takes the place of an unproven one: of the source with the most of them, that which came first. It is closed
	// where there is none. 0: no bound.
	All, Unproven int

	mu      sync.Mutex
	open    int
	waiting list.List // of *connection: the unproven ones, the oldest first
	taken   map[netip.Prefix]int
}

// connection counts until it is closed.
type connection struct {
	net.Conn

	of     *Connections
	source netip.Prefix
	place  *list.Element // in waiting; nil: it is proven, or closed
	once   sync.Once
}

// Accept gives the next connection within the bounds.
func (l *Connections) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &connection{Conn: conn, of: l, source: sourceOf(conn.RemoteAddr())}
		gone, ok := l.take(c)
		if gone != nil {
			_ = gone.Close()
		}
		if ok {
			return c, nil
		}
		_ = conn.Close()
	}
}

// take counts a connection, if it may be there, and says which other one must go for it.
func (l *Connections) take(c *connection) (gone *connection, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken == nil {
		l.taken = map[netip.Prefix]int{}
	}
	if l.taken[c.source] >= l.PerSource && c.source.IsValid() && !c.source.Addr().IsLoopback() {
		return nil, false
	}
	if l.All > 0 && l.open >= l.All || l.Unproven > 0 && l.waiting.Len() >= l.Unproven {
		if gone = l.least(); gone == nil {
			return nil, false
		}
		l.waiting.Remove(gone.place)
		gone.place = nil
	}
	l.open++
	l.taken[c.source]++
	c.place = l.waiting.PushBack(c)
	return gone, true
}

// least is the unproven connection that gives way first; nil: there is none.
func (l *Connections) least() (least *connection) {
	count, most := map[netip.Prefix]int{}, 0
	for e := l.waiting.Back(); e != nil; e = e.Prev() {
		c, ok := e.Value.(*connection)
		if !ok {
			continue // not possible: the list has nothing else
		}
		if count[c.source]++; count[c.source] >= most { // then it is the oldest so far of its source
			most, least = count[c.source], c
		}
	}
	return least
}

// proven keeps a connection from giving way to others.
func (l *Connections) proven(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.place != nil {
		l.waiting.Remove(c.place)
		c.place = nil
	}
}

func (l *Connections) free(c *connection) {
	l.proven(c)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.taken[c.source]--; l.taken[c.source] == 0 {
		delete(l.taken, c.source)
	}
}

// Close closes the connection.
func (c *connection) Close() error {
	c.once.Do(func() { c.of.free(c) })
	return c.Conn.Close()
}

// sourceOf is the source at an address: with IPv6 its /64, which belongs to one host (RFC 4291 section 2.5.4). It is
// invalid for other addresses than TCP's.
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

// connKey is the key of a request's connection in its context.
type connKey struct{}

// ConnContext is for http.Server.ConnContext: Prove and ConnOf need it.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// ConnOf is the connection of a request as the system gave it; nil without ConnContext.
func ConnOf(ctx context.Context) net.Conn {
	if c := boundOf(ctx); c != nil {
		return c.Conn
	}
	return nil
}

// Prove says that the sender of a request is known, so that its connection does not give way to those of strangers.
func Prove(ctx context.Context) {
	if c := boundOf(ctx); c != nil {
		c.of.proven(c)
	}
}

func boundOf(ctx context.Context) *connection {
	conn, _ := ctx.Value(connKey{}).(net.Conn)
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	c, _ := conn.(*connection)
	return c
}
