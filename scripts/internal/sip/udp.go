package sip

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"flowbridge/scripts/internal/namespace"
)

// UDP is an end with a socket. Its lock also guards its dialogs.
type UDP struct {
	End
	sync.Mutex
	Twice atomic.Bool // send everything twice
	conn  *net.UDPConn
}

// Listen opens an end in a namespace.
func (u *UDP) Listen(name string, in namespace.Namespace, at, peer netip.AddrPort) (err error) {
	u.End = End{
		Name: name, Addr: at, Peer: peer, Via: ";rport", Send: u.send,
		After: func(d time.Duration, f func()) { u.Later(d, f) },
	}
	u.conn, err = in.ListenUDP(at)
	return err
}

// Close closes the end's socket.
func (u *UDP) Close() { _ = u.conn.Close() }

// Run handles incoming messages until the end is closed.
func (u *UDP) Run() {
	b := make([]byte, 65536)
	for {
		n, from, err := u.conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			u.Lock()
			u.Heard(Message(b[:n]), from)
			u.Unlock()
		}
	}
}

func (u *UDP) send(text string, to netip.AddrPort) {
	for n := 0; n == 0 || n == 1 && u.Twice.Load(); n++ {
		_, _ = u.conn.WriteToUDPAddrPort([]byte(text), to)
	}
}

// Later calls f later, with the lock held.
func (u *UDP) Later(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, func() {
		u.Lock()
		defer u.Unlock()
		f()
	})
}
