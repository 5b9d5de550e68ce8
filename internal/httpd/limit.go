package httpd

import (
	"context"
	"errors"
	"fmt"
)

// Places limits how many requests run at a time. Its capacity is that number.
type Places chan struct{}

// Take takes a place if one is free, and reports whether it did.
func (p Places) Take() bool {
	select {
	case p <- struct{}{}:
		return true
	default:
		return false
	}
}

// Free frees a place that was taken.
func (p Places) Free() { <-p }

// ErrPanic is wrapped by the error of a function that panicked.
var ErrPanic = errors.New("panic")

// Decide calls f on a new goroutine. It returns when f returns, or when ctx ends. The place that the caller has taken
// is freed when f returns, so a late f keeps it.
func Decide[T any](ctx context.Context, p Places, f func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := Safely(f)
		p.Free() // before the caller can make another request
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		if o.err != nil && ctx.Err() != nil {
			o.err = errors.Join(context.Cause(ctx), o.err)
		}
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// Safely calls f and turns a panic into an ErrPanic.
func Safely[T any](f func() (T, error)) (value T, err error) {
	defer func() {
		if p := recover(); p != nil {
			var none T
			value, err = none, fmt.Errorf("%w: %v", ErrPanic, p)
		}
	}()
	return f()
}
