package rest

import (
	"net"
	"sync/atomic"
	"testing"
)

// A connection is read only after data has arrived, because an earlier read would find
// nothing.
func TestNothingIsReadTooEarly(t *testing.T) {
	var sent, said, early atomic.Int32
	b := serveBytes(t, func(p *peer) {
		for p.request() {
			said.Add(1)
			p.say(fine)
		}
	})
	for n := range int32(20) {
		if sent.Add(1); n == 1 {
			s := b.idle[0].socket
			s.Conn = &watched{Conn: s.Conn, onRead: func() {
				if said.Load() < sent.Load() {
					early.Add(1)
				}
			}}
		}
		if got, err := b.ask(t.Context()); err != nil || got != "200 ok" || said.Load() != n+1 {
			t.Fatalf("got %q, %v after %d answers", got, err, said.Load())
		}
	}
	if early.Load() != 0 || b.opened.Load() != 1 {
		t.Errorf("%d reads before an answer, on %d connections", early.Load(), b.opened.Load())
	}
}

// watched is a connection that calls onRead at each read.
type watched struct {
	net.Conn
	onRead func()
}

func (w *watched) Read(p []byte) (int, error) {
	w.onRead()
	return w.Conn.Read(p)
}
