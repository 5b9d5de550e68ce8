package store

import "testing"

// TestUptime calls Uptime twice. The boot must be the same, and the uptime must not decrease.
func TestUptime(t *testing.T) {
	before, boot := Uptime()
	after, again := Uptime()
	if boot == 0 || again != boot || before <= 0 || after < before {
		t.Errorf("up for %v since boot %x, then for %v since boot %x", before, boot, after, again)
	}
}
