package coroutine

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A work begins on its caller's goroutine, goes on where it is told to, and its coroutine is used again.
func TestWorkGoesOnElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apart := 0
		p := &Pool{Apart: func(rest func()) {
			apart++
			go rest()
		}}
		for n := range 100 {
			var steps []string
			var rest func()
			begun := false
			p.Begin(t.Context(), func(ctx context.Context) {
				begun = true
				Apart(ctx)
				steps = append(steps, "apart")
				Park(ctx, func(r func()) { rest = r })
				steps = append(steps, "over")
			})
			if !begun || apart != n+1 {
				t.Fatalf("begun: %v, %d times apart when Begin has returned", begun, apart)
			}
			synctest.Wait()
			if len(steps) != 1 {
				t.Fatalf("%v before it is resumed", steps)
			}
			if rest(); len(steps) != 2 || len(p.idle) != 1 {
				t.Fatalf("%v in the end, %d coroutines are kept", steps, len(p.idle))
			}
		}
		p.Close()
	})
}

// Without a work there is nobody to go on elsewhere.
func TestNoWork(t *testing.T) {
	Apart(t.Context())
	if Park(t.Context(), func(func()) { t.Error("parked") }) {
		t.Error("there is a work")
	}
}

// Close waits for works that are parked, and leaves no goroutine, however many there were.
func TestCloseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	p := &Pool{Apart: func(rest func()) { go rest() }}
	var done sync.WaitGroup
	for range 3 * maxIdle {
		done.Add(1)
		p.Begin(t.Context(), func(ctx context.Context) {
			defer done.Done()
			Park(ctx, func(rest func()) { time.AfterFunc(time.Millisecond, rest) })
		})
	}
	done.Wait()
	for len(p.kept()) < maxIdle {
		runtime.Gosched()
	}
	p.Begin(t.Context(), func(ctx context.Context) {
		Park(ctx, func(rest func()) { time.AfterFunc(time.Millisecond, rest) })
	})
	p.Close()
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines; %d before", runtime.NumGoroutine(), before)
		}
	}
}

func (p *Pool) kept() []*worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.idle
}
