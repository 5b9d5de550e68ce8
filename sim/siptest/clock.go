package siptest

import (
	"testing"
	"time"
	"unsafe"
)

// SetBack returns the time that time.Now would return after the machine's clock was set back: an earlier wall time
// with the current monotonic reading, which times in a synctest bubble lack.
func SetBack(tb testing.TB, now time.Time, by time.Duration) time.Time {
	tb.Helper()
	moved := now.Add(-by)
	type fields struct { // of time.Time
		wall uint64
		ext  int64 // the monotonic reading
	}
	(*fields)(unsafe.Pointer(&moved)).ext = (*fields)(unsafe.Pointer(&now)).
		ext //nolint:gosec // no clock can be set in a test
	if moved.Sub(now) != 0 || !moved.Round(0).Equal(now.Round(0).Add(-by)) {
		tb.Fatalf("%v became %v: it has no monotonic reading, or time.Time has other fields", now, moved)
	}
	return moved
}
