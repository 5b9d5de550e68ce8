package httpd

import (
	"fmt"
	"net"
	"testing"
)

// arrivals is a listener whose connections come from addresses that a test chooses.
type arrivals chan net.Conn

func (a arrivals) Accept() (net.Conn, error) { return <-a, nil }
func (a arrivals) Close() error              { return nil }
func (a arrivals) Addr() net.Addr            { return &net.TCPAddr{} }

// caller is a connection that reports another remote address.
type caller struct {
	net.Conn

	from net.Addr
}

func (c caller) RemoteAddr() net.Addr { return c.from }
func (c caller) Close() error         { return nil }

// Each source may have a share of the connections. An IPv6 /64 counts as one source. Loopback and Unix sockets have no
// limit.
func TestShareOfASource(t *testing.T) {
	in := make(arrivals, 2)
	l := Bound(in, 100, 3)
	// accepted is a connection from an address; nil: the listener closed it, and took the next one, of this machine.
	accepted := func(from net.Addr) net.Conn {
		t.Helper()
		in <- caller{from: from}
		in <- caller{from: &net.UnixAddr{Net: "unix", Name: "next"}}
		got, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got.RemoteAddr() != from {
			return nil
		}
		<-in
		return got
	}
	at := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 4000} }
	var held []net.Conn
	for i := range 4 {
		c := accepted(at("192.0.2.1"))
		if (c != nil) != (i < 3) {
			t.Errorf("IPv4, connection %d: got %v; want it taken %v", i, c, i < 3)
		}
		held = append(held, c)
		if c := accepted(at(fmt.Sprintf("2001:db8::%d", i))); (c != nil) != (i < 3) {
			t.Errorf("IPv6, connection %d: got %v; want it taken %v", i, c, i < 3)
		}
		if accepted(at("127.0.0.1")) == nil || accepted(&net.UnixAddr{Net: "unix"}) == nil {
			t.Errorf("this machine, connection %d is closed; want it taken", i)
		}
	}
	if accepted(at("2001:db8:0:1::1")) == nil {
		t.Error("another /64 is closed; want it taken")
	}
	_ = held[0].Close()
	_ = held[0].Close() // closing it twice counts once
	if accepted(at("192.0.2.1")) == nil || accepted(at("192.0.2.1")) != nil {
		t.Error("a closed connection does not give one place back; want one")
	}
}
