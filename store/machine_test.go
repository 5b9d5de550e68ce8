package store

import "testing"

// TestMachine asks twice: it is the same start of the machine, and its uptime does not go back.
func TestMachine(t *testing.T) {
	before, start := Machine()
	after, again := Machine()
	if start == 0 || again != start || before <= 0 || after < before {
		t.Errorf("up for %v since start %x, then for %v since start %x", before, start, after, again)
	}
}
