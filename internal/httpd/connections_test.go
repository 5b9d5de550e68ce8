package httpd

import (
	"fmt"
	"net"
	"testing"
)

// arrivals is a listener whose connections come from where a test says.
type arrivals chan net.Conn

func (a arrivals) Accept() (net.Conn, error) { return <-a, nil }
func (a arrivals) Close() error              { return nil }
func (a arrivals) Addr() net.Addr            { return &net.TCPAddr{} }

// caller is a connection from somewhere, and whether it was closed.
type caller struct {
	net.Conn

	from   net.Addr
	closed bool
}

func (c *caller) RemoteAddr() net.Addr { return c.from }
func (c *caller) Close() error         { c.closed = true; return nil }

func callerAt(ip string) *caller { return &caller{from: &net.TCPAddr{IP: net.ParseIP(ip), Port: 4000}} }

// accepted is what a listener makes of a connection; nil: it closed it.
func accepted(t *testing.T, l *Connections, c *caller) *connection {
	t.Helper()
	in, _ := l.Listener.(arrivals)
	in <- c
	if c.from.String() != "127.0.0.9:4000" { // one that is always accepted, so that Accept returns
		in <- callerAt("127.0.0.9")
	}
	got, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn, _ := got.(*connection)
	if conn.Conn != net.Conn(c) {
		_ = conn.Close()
		return nil
	}
	if len(in) > 0 {
		<-in
	}
	return conn
}

// A source has its share, an IPv6 /64 has one together, loopback and Unix sockets have no bound.
func TestShareOfASource(t *testing.T) {
	l := &Connections{Listener: make(arrivals, 2), PerSource: 3}
	var held []*connection
	for i := range 4 {
		c := accepted(t, l, callerAt("192.0.2.1"))
		if (c != nil) != (i < 3) {
			t.Errorf("IPv4, connection %d: %v", i, c)
		}
		held = append(held, c)
		if c := accepted(t, l, callerAt(fmt.Sprintf("2001:db8::%d", i))); (c != nil) != (i < 3) {
			t.Errorf("IPv6, connection %d: %v", i, c)
		}
		if accepted(t, l, callerAt("127.0.0.1")) == nil || accepted(t, l, &caller{from: &net.UnixAddr{Net: "unix"}}) == nil {
			t.Errorf("this machine, connection %d is closed", i)
		}
	}
	if accepted(t, l, callerAt("2001:db8:0:1::1")) == nil {
		t.Error("another /64 is closed")
	}
	_ = held[0].Close()
	_ = held[0].Close() // counts once
	if accepted(t, l, callerAt("192.0.2.1")) == nil || accepted(t, l, callerAt("192.0.2.1")) != nil {
		t.Error("a closed connection does not give one place back")
	}
}

// Where all places are taken, the oldest connection whose sender is not known gives way, never one whose sender is.
func TestStrangersGiveWay(t *testing.T) {
	l := &Connections{Listener: make(arrivals, 2), PerSource: 100, All: 5, Unproven: 3}
	known := accepted(t, l, callerAt("192.0.2.1"))
	l.proven(known)
	var strangers []*caller
	for i := range 20 {
		c := callerAt(fmt.Sprintf("198.51.100.%d", i))
		if accepted(t, l, c) == nil {
			t.Fatalf("stranger %d is closed at once", i)
		}
		strangers = append(strangers, c)
	}
	for i, c := range strangers {
		if c.closed != (i < 17) {
			t.Errorf("stranger %d: closed is %v", i, c.closed)
		}
	}
	operator := accepted(t, l, callerAt("192.0.2.2"))
	if operator == nil {
		t.Fatal("an operator finds no place among strangers")
	}
	l.proven(operator)
	for i := range 20 {
		if accepted(t, l, callerAt(fmt.Sprintf("203.0.113.%d", i))) == nil {
			t.Fatalf("stranger %d is closed at once", i)
		}
	}
	for _, c := range []*connection{known, operator} {
		if at, _ := c.Conn.(*caller); at.closed {
			t.Errorf("%v was closed for a stranger", at.from)
		}
	}
	for range 3 { // until everybody is known
		l.proven(accepted(t, l, callerAt("192.0.2.3")))
	}
	if l.open != 5 || l.waiting.Len() != 0 {
		t.Errorf("%d open, %d strangers", l.open, l.waiting.Len())
	}
	late := callerAt("192.0.2.4")
	if c, ok := l.take(&connection{Conn: late, of: l, source: sourceOf(late.from)}); ok || c != nil {
		t.Error("a connection over the bound is taken, or closes a known one")
	}
}

// The source with the most connections of unknown senders gives way first, so that a flood does not close the one
// connection of a monitor.
func TestCrowdGivesWayFirst(t *testing.T) {
	l := &Connections{Listener: make(arrivals, 2), PerSource: 100, Unproven: 5}
	monitor := callerAt("192.0.2.1")
	if accepted(t, l, monitor) == nil {
		t.Fatal("the monitor is closed at once")
	}
	for i := range 100 {
		if accepted(t, l, callerAt(fmt.Sprintf("198.51.100.%d", i%2))) == nil {
			t.Fatalf("connection %d of the crowd is closed at once", i)
		}
	}
	if monitor.closed {
		t.Error("the monitor's connection gave way to a crowd")
	}
}
