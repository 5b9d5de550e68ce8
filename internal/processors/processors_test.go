package processors

import (
	"runtime"
	"sync"
	"testing"
)

// TestLend: there is one processor more than are at work with files.
func TestLend(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	own := 1
	is := func(when string, want int) {
		t.Helper()
		if got := runtime.GOMAXPROCS(0); got != want || Count() != own {
			t.Errorf("%s: %d processors, %d of them the process's own; want %d and %d", when, got, Count(), want, own)
		}
	}
	Add(1)
	is("one, and one that is kept", 2)
	first := Lend()
	is("one is at work", 3)
	second := Lend()
	is("two are at work", 4)
	Add(1)
	is("another one is kept", 5)
	first()
	is("the first gave it back", 4)
	Add(-2)
	is("none is kept", 2)
	second()
	is("nobody is at work", 1)

	runtime.GOMAXPROCS(2)
	own = 2
	first = Lend()
	is("one of two is at work", 2)
	second = Lend()
	is("two of two are at work", 3)
	first()
	second()
	is("nobody is at work", 2)
}

// TestLendAtOnce: many that lend and keep at once leave the number as it was.
func TestLendAtOnce(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				back := Lend()
				Add(1)
				back()
				Add(-1)
			}
		})
	}
	all.Wait()
	if got := runtime.GOMAXPROCS(0); got != 1 || users != 0 || lent != 0 || kept != 0 {
		t.Errorf("%d processors, %d kept, %d lent to %d", got, kept, lent, users)
	}
}
