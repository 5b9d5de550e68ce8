package hooks

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"testing"
)

// arrivals is a listener whose connections come from addresses that a test chooses.
type arrivals chan net.Conn

func (a arrivals) Accept() (net.Conn, error) {
	if c, ok := <-a; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (a arrivals) Close() error   { return nil }
func (a arrivals) Addr() net.Addr { return &net.TCPAddr{} }

// comingFrom is a connection that reports another remote address.
type comingFrom struct {
	net.Conn

	source string
}

func (c comingFrom) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(c.source), Port: 4000} }

// A source with many connections leaves room for other sources. When its connections are closed, it may open new ones.
// A listener on loopback does not share its room with other listeners.
func TestShares(t *testing.T) {
	came := make(arrivals)
	s, err := serve(t.Context(), came, saying("served"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	served := func(source string) (net.Conn, bool) {
		t.Helper()
		ours, theirs := net.Pipe()
		t.Cleanup(func() { _ = ours.Close() })
		came <- comingFrom{theirs, source}
		if _, err := fmt.Fprint(ours, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			return nil, false
		}
		resp, err := http.ReadResponse(bufio.NewReader(ours), nil)
		if err != nil {
			return nil, false
		}
		return ours, resp.Body.Close() == nil
	}
	var last net.Conn
	for i := range maxShare {
		conn, ok := served("192.0.2.1")
		if !ok {
			t.Fatalf("connection %d is not served", i)
		}
		last = conn
	}
	if _, ok := served("192.0.2.1"); ok {
		t.Error("one has more than its share")
	}
	if _, ok := served("::ffff:192.0.2.1"); ok {
		t.Error("one has another share as IPv6")
	}
	if _, ok := served("192.0.2.2"); !ok {
		t.Error("another has no share")
	}
	_ = last.Close()
	for again := false; !again; { // until the server notices that the connection is closed
		_, again = served("192.0.2.1")
	}
	for i := range maxShare {
		if _, ok := served(fmt.Sprintf("2001:db8::%x", i)); !ok {
			t.Fatalf("IPv6: connection %d is not served", i)
		}
	}
	if _, ok := served("2001:db8::ffff:1"); ok {
		t.Error("a /64 has more than its share")
	}
	for i := range 2 * maxShare {
		if _, ok := served("127.0.0.1"); !ok {
			t.Fatalf("loopback: connection %d is not served", i)
		}
	}
	if got := s.server.IdleTimeout; got <= 0 || got > 10e9 {
		t.Errorf("a connection may wait for %v", got)
	}
	close(came)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// The connection of a refused request is closed, so that clients can't keep connections open with such requests. Other
// connections stay open.
func TestRefusedConnectionsEnd(t *testing.T) {
	s, err := Start(t.Context(), Options{Listen: anywhere, Endpoints: []Endpoint{{Name: "a", Path: "/a", Handler: saying("a")}}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for path, closes := range map[string]bool{"/a": false, "/b": true} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _ = resp.Body.Close(); resp.Close != closes {
			t.Errorf("%s: closes is %v", path, resp.Close)
		}
		_ = conn.Close()
	}
}
