package httpd

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// If a decision is late or panics, the caller gets an error in time. A late decision holds its place until it returns.
func TestDecide(t *testing.T) {
	errLate := errors.New("late")
	synctest.Test(t, func(t *testing.T) {
		p := make(Places, 1)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errLate)
		defer cancel()
		if !p.Take() {
			t.Fatal("no place")
		}
		if _, err := Decide(ctx, p, func() (int, error) { time.Sleep(time.Minute); return 1, nil }); !errors.Is(err, errLate) {
			t.Errorf("late: got %v", err)
		}
		if p.Take() {
			t.Error("the late one has lost its place")
		}
		time.Sleep(time.Hour)
		if !p.Take() {
			t.Fatal("the place was not freed")
		}
		if _, err := Decide(t.Context(), p, func() (int, error) { panic("x") }); !errors.Is(err, ErrPanic) || err.Error() != "panic: x" {
			t.Errorf("panic: got %v", err)
		}
		p <- struct{}{}
		if n, err := Decide(t.Context(), p, func() (int, error) { return 3, nil }); n != 3 || err != nil || len(p) != 0 {
			t.Errorf("got %d, %v; %d places are taken", n, err, len(p))
		}
	})
}
