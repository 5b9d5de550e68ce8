package processors

import (
	"runtime"
	"testing"
)

// TestLend: those that do the work of files share one processor more, and only where there is one.
func TestLend(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	is := func(when string, want int) {
		t.Helper()
		if got := runtime.GOMAXPROCS(0); got != want {
			t.Errorf("%s: %d processors, want %d", when, got, want)
		}
	}
	Add(1)
	is("one and one that is kept", 2)
	first := Lend()
	is("one is lent", 3)
	second := Lend()
	is("two share it", 3)
	first()
	is("one of them is ready", 3)
	second()
	is("both are", 2)
	Add(-1)
	is("none is kept", 1)

	runtime.GOMAXPROCS(2)
	back := Lend()
	is("there are two", 2)
	back()
	is("and stay", 2)
}
