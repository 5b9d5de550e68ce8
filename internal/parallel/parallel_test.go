package parallel

import (
	"errors"
	"sync/atomic"
	"testing"
)

// Each is done once, and the error is that of the lowest number.
func TestDo(t *testing.T) {
	errOdd, errNine := errors.New("odd"), errors.New("nine")
	for _, n := range []int{0, 1, 2, 9, 1000} {
		times := make([]atomic.Int32, n)
		err := Do(n, func(i int) error {
			times[i].Add(1)
			switch {
			case i == 9:
				return errNine
			case i > 9 && i%2 == 1:
				return errOdd
			}
			return nil
		})
		if want := n > 9; (want && !errors.Is(err, errNine)) || (!want && err != nil) {
			t.Errorf("%d: %v", n, err)
		}
		for i := range times {
			if got := times[i].Load(); got != 1 {
				t.Errorf("%d of %d was done %d times", i, n, got)
			}
		}
	}
}
