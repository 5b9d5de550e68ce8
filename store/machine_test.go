package store

import "testing"

// TestUptime asks twice: it is the same boot of the machine, and its uptime does not go back.
func TestUptime(t *testing.T) {
	before, boot := Uptime()
	after, again := Uptime()
	if boot == 0 || again != boot || before <= 0 || after < before {
		t.Errorf("up for %v since boot %x, then for %v since boot %x", before, boot, after, again)
	}
}
