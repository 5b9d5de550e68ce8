package coroutine

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A task starts on its caller's goroutine and may be continued on another one. Its coroutine is then reused.
func TestTaskIsContinuedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apart := 0
		p := &Pool{Go: func(resume func()) {
			apart++
			go resume()
		}}
		for n := range 100 {
			var steps []string
			var resume func()
			begun := false
			p.Begin(t.Context(), func(ctx context.Context) {
				begun = true
				Leave(ctx)
				steps = append(steps, "apart")
				Park(ctx, func(r func()) { resume = r })
				steps = append(steps, "over")
			})
			if !begun || apart != n+1 {
				t.Fatalf("begun: %v, %d times apart when Begin has returned", begun, apart)
			}
			synctest.Wait()
			if len(steps) != 1 {
				t.Fatalf("%v before it is resumed", steps)
			}
			if resume(); len(steps) != 2 || len(p.idle) != 1 {
				t.Fatalf("%v in the end, %d coroutines are kept", steps, len(p.idle))
			}
		}
		p.Close()
	})
}

// Without a task, nothing can be continued on another goroutine.
func TestNoTask(t *testing.T) {
	Leave(t.Context())
	if Park(t.Context(), func(func()) { t.Error("parked") }) {
		t.Error("there is a task")
	}
}

// Close waits for parked tasks, and leaves no goroutine, however many tasks there were.
func TestCloseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	p := &Pool{Go: func(resume func()) { go resume() }}
	var done sync.WaitGroup
	var parked []func() // all at once: else a slow machine gives the coroutine of one to the next
	for range 3 * maxIdle {
		done.Add(1)
		p.Begin(t.Context(), func(ctx context.Context) {
			defer done.Done()
			Park(ctx, func(resume func()) { parked = append(parked, resume) })
		})
	}
	for _, resume := range parked {
		go resume()
	}
	done.Wait()
	for len(p.kept()) < maxIdle {
		time.Sleep(time.Millisecond)
	}
	p.Begin(t.Context(), func(ctx context.Context) {
		Park(ctx, func(resume func()) { time.AfterFunc(time.Millisecond, resume) })
	})
	p.Close()
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines; %d before", runtime.NumGoroutine(), before)
		}
	}
}

func (p *Pool) kept() []*runner {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.idle
}
