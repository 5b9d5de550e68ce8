package cli

import "testing"

// What a caller sends does not reach the operator's terminal as it is.
func TestShown(t *testing.T) {
	for in, want := range map[string]string{"+15075550100": "+15075550100", "a\x1b[2Jb": "a?[2Jb", "\x9b31m": "?31m", "x\u202ey": "x?y", "Zoë": "Zoë"} {
		if got := Shown(in); got != want {
			t.Errorf("%q: %q; want %q", in, got, want)
		}
	}
}
