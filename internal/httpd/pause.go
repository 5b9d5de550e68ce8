package httpd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// Pause makes servers take no requests for a while, without closing their listeners. New connections wait in the
// kernel, and requests over open connections wait, too. The zero value takes requests.
type Pause struct {
	mu        sync.Mutex
	over      chan struct{} // closed when the pause ends; nil if there is no pause
	asked     int           // requests in progress
	listeners []interface{ SetDeadline(t time.Time) error }
	stopped   bool // the listeners accept no connections
	left      bool
}

// Stop is like Hold, but also stops accepting connections, because another process may accept them.
func (p *Pause) Stop(ctx context.Context) error {
	p.mu.Lock()
	p.stopped = true
	p.setDeadlines(time.Unix(1, 0))
	p.mu.Unlock()
	return p.Hold(ctx)
}

// Hold takes no more requests. It returns when the requests in progress are answered, or when ctx ends.
func (p *Pause) Hold(ctx context.Context) error {
	p.mu.Lock()
	if p.over == nil {
		p.over = make(chan struct{})
	}
	p.mu.Unlock()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for p.underWay() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (p *Pause) underWay() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// Go ends the pause.
func (p *Pause) Go() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over == nil {
		return
	}
	p.stopped = false
	p.setDeadlines(time.Time{})
	close(p.over)
	p.over = nil
}

// Leave keeps the listeners open when their servers are shut down, because another process has them.
func (p *Pause) Leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = true
}

func (p *Pause) setDeadlines(at time.Time) {
	for _, l := range p.listeners {
		_ = l.SetDeadline(at)
	}
}

// paused returns a channel that is closed at the end of the pause, or nil if there is no pause.
func (p *Pause) paused() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}

// Listener returns a listener that accepts no connections during a pause.
func (p *Pause) Listener(l net.Listener) net.Listener {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d, ok := l.(interface{ SetDeadline(t time.Time) error }); ok {
		p.listeners = append(p.listeners, d)
		if p.stopped {
			_ = d.SetDeadline(time.Unix(1, 0))
		}
	}
	return &pausing{Listener: l, of: p, closed: make(chan struct{})}
}

type pausing struct {
	net.Listener

	of     *Pause
	closed chan struct{}
	once   sync.Once
}

// Accept waits during a pause.
func (l *pausing) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return conn, err
		}
		if over := l.of.paused(); over != nil {
			select {
			case <-over:
			case <-l.closed:
				return nil, net.ErrClosed
			}
		}
	}
}

// SyscallConn returns the listener's descriptor.
func (l *pausing) SyscallConn() (syscall.RawConn, error) { return rawOf(l.Listener) }

// SyscallConn returns the listener's descriptor.
func (l *Connections) SyscallConn() (syscall.RawConn, error) { return rawOf(l.under) }

func rawOf(l net.Listener) (syscall.RawConn, error) {
	if c, ok := l.(syscall.Conn); ok {
		return c.SyscallConn()
	}
	return nil, fmt.Errorf("%T has no descriptor", l)
}

// Close closes the listener, unless another process has it.
func (l *pausing) Close() (err error) {
	l.once.Do(func() {
		close(l.closed)
		l.of.mu.Lock()
		left := l.of.left
		l.of.mu.Unlock()
		if !left {
			err = l.Listener.Close()
		}
	})
	return err
}

// Handler counts the requests that a pause has to wait for, and makes other requests wait during the pause.
// exempt reports which requests a pause ignores; it may be nil.
func (p *Pause) Handler(next http.Handler, exempt func(*http.Request) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if exempt != nil && exempt(r) {
			next.ServeHTTP(w, r)
			return
		}
		if !p.enter(r.Context()) {
			return
		}
		defer p.leave()
		next.ServeHTTP(w, r)
	})
}

// enter counts a request once there is no pause. It returns false if the request's client has gone.
func (p *Pause) enter(ctx context.Context) bool {
	for {
		p.mu.Lock()
		over := p.over
		if over == nil {
			p.asked++
			p.mu.Unlock()
			return true
		}
		p.mu.Unlock()
		select {
		case <-over:
		case <-ctx.Done():
			return false
		}
	}
}

func (p *Pause) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked--
}
