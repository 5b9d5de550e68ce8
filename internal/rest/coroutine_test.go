package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"time"

	"flowbridge/internal/coroutine"
)

// askAside sends a POST in a coroutine. begun is closed when the coroutine no longer runs on this goroutine.
func (b *bytewise) askAside(ctx context.Context, begun chan struct{}, header ...string) (got string, err error) {
	pool := coroutine.Pool{Go: func(resume func()) { go resume() }}
	pool.Begin(ctx, func(ctx context.Context) { got, err = b.ask(ctx, header...) })
	close(begun)
	pool.Close()
	if err == nil { // what the coroutine ran on gives its connection back then
		for deadline := time.Now().Add(time.Minute); b.kept() == 0 && time.Now().Before(deadline); {
			runtime.Gosched()
		}
	}
	return got, err
}

// A request in a coroutine does not block the goroutine that starts it, neither on a new connection nor on a reused
// one.
func TestCoroutineLeavesItsCaller(t *testing.T) {
	begun := make(chan chan struct{}, 1)
	b := serveBytes(t, func(p *peer) {
		for p.request() {
			<-<-begun
			p.say(fine)
		}
	})
	for n := range 3 {
		left := make(chan struct{})
		begun <- left
		if got, err := b.askAside(t.Context(), left); err != nil || got != "200 ok" || b.opened.Load() != 1 {
			t.Fatalf("%d: got %q, %v on %d connections", n, got, err, b.opened.Load())
		}
	}
}

// Anything that is not a valid answer gives an error in a coroutine as well.
func TestBrokenAnswersToCoroutines(t *testing.T) {
	for name, says := range brokenAnswers {
		for _, before := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s, %d before", name, before), func(t *testing.T) {
				b := serveBytes(t, func(p *peer) {
					for range before {
						if p.request(); p.n == 1 {
							p.say(fine)
						}
					}
					p.request()
					p.say(says)
				})
				for range before {
					if got, err := b.askAside(t.Context(), make(chan struct{})); err != nil || got != "200 ok" {
						t.Fatalf("got %q, %v", got, err)
					}
				}
				if got, err := b.askAside(t.Context(), make(chan struct{})); err == nil {
					t.Errorf("got %q", got)
				}
				// a whole answer that is no gzip leaves the connection to its server, which ends it
				for deadline := time.Now().Add(time.Minute); b.kept() != 0; runtime.Gosched() {
					if time.Now().After(deadline) {
						t.Fatalf("%d kept", b.kept())
					}
				}
			})
		}
	}
}

// If a coroutine pauses before its next request, the next request uses the same connection.
func TestPauseGivesTheConnectionBack(t *testing.T) {
	b := serveBytes(t, func(p *peer) {
		for p.request() {
			p.say(fine)
		}
	})
	pool := coroutine.Pool{Go: func(resume func()) { go resume() }}
	pool.Begin(t.Context(), func(ctx context.Context) {
		for range 3 {
			if got, err := b.ask(ctx); err != nil || got != "200 ok" {
				t.Errorf("got %q, %v", got, err)
			}
			if err := Pause(ctx, time.Millisecond); err != nil {
				t.Error(err)
			}
			for deadline := time.Now().Add(time.Minute); b.kept() == 0 && time.Now().Before(deadline); {
				runtime.Gosched()
			}
		}
	})
	pool.Close()
	if b.opened.Load() != 1 {
		t.Errorf("%d connections", b.opened.Load())
	}
}

// Bytes that arrived before a request was sent are not taken for its answer, even if they have not been read yet.
func TestUnaskedIsNoAnswer(t *testing.T) {
	c := spoken("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", 100, 100)
	c.room = 1
	if !c.come() || c.begin() {
		t.Error("the connection takes a request")
	}
}

// If a coroutine ends in the middle of an answer, for example by a panic, its connection is closed.
func TestLeftWithinAnAnswer(t *testing.T) {
	b := serveBytes(t, func(p *peer) {
		p.request()
		p.say(fine[:len(fine)-1])
		_, _ = p.in.ReadByte() // ends when the client closes
	})
	pool := coroutine.Pool{Go: func(resume func()) { go resume() }}
	pool.Begin(t.Context(), func(ctx context.Context) {
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.listener.Addr().String(), nil)
		if _, err := b.RoundTrip(r); err != nil { // its body is left
			t.Error(err)
		}
	})
	pool.Close()
}

// If the reused connection of a coroutine's request ends, the request is sent again on another one, without its caller.
// If the coroutine is cancelled, it ends.
func TestCoroutineGoesOnWithoutAnswer(t *testing.T) {
	asked, over := make(chan struct{}), make(chan struct{})
	b := serveBytes(t, func(p *peer) {
		for i := 1; p.request(); i++ {
			switch {
			case p.n == 1 && i == 2:
				return
			case p.n == 2 && i == 2:
				close(asked)
				<-over
				return
			}
			p.say(fine)
		}
	})
	defer close(over)
	for range 2 {
		if got, err := b.askAside(t.Context(), make(chan struct{}), "Idempotency-Key", "k"); err != nil || got != "200 ok" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	because := errors.New("the caller has hung up")
	go func() {
		<-asked
		cancel(because)
	}()
	if got, err := b.askAside(ctx, make(chan struct{})); !errors.Is(err, because) || b.kept() != 0 {
		t.Errorf("got %q, %v, %d kept", got, err, b.kept())
	}
}
