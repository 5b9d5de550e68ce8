package parallel

import (
	"errors"
	"sync/atomic"
	"testing"
)

// Each item is handled exactly once. After an error no further item is started.
func TestDo(t *testing.T) {
	errNine := errors.New("nine")
	for _, n := range []int{0, 1, 2, 9, 10, 100_000} {
		times := make([]atomic.Int32, n)
		err := Do(n, func(i int) error {
			times[i].Add(1)
			if i == 9 {
				return errNine
			}
			return nil
		})
		if want := n > 9; (want && !errors.Is(err, errNine)) || (!want && err != nil) {
			t.Errorf("%d: %v", n, err)
		}
		done := 0
		for i := range times {
			got := times[i].Load()
			if got > 1 || got < 1 && err == nil {
				t.Errorf("%d of %d was done %d times", i, n, got)
			}
			done += int(got)
		}
		if done == 100_000 {
			t.Error("all were done in spite of an error")
		}
	}
}
