//go:build !race

package media

import (
	"bytes"
	"fmt"
	"testing"
)

// The race detector drops entries of pools at random, also those of the
// library, so this test runs without it (scripts/test.sh).
func TestSecureRelayAllocatesNothing(t *testing.T) {
	pairs := [][2]Suite{{SuiteAESCM128SHA80, SuiteAEADAES256GCM}}
	for _, s := range allSuites {
		pairs = append(pairs, [2]Suite{s, 0}, [2]Suite{0, s})
	}
	for _, p := range pairs {
		t.Run(fmt.Sprintf("%v and %v", p[0], p[1]), func(t *testing.T) {
			b := newBench(t, 8)
			seals := b.secure(p[0], p[1])
			plain := bytes.Clone(b.packet)
			const runs = 100
			var packets [][]byte
			for seq := range uint16(5 + allocationCounts*(runs+1)) { // encrypted in advance, because that allocates
				b.fresh(seq, seals, bytes.Clone(plain))
				packets = append(packets, b.packet)
			}
			next := 0
			relay := func() {
				b.packet = packets[next]
				next++
				b.offer(b.from)
				b.carry()
				b.drain()
			}
			for range 5 {
				relay() // locking a source allocates, and so does its state
			}
			if n := allocations(runs, relay); n != 0 {
				t.Errorf("%v allocations for 8 packets; want 0", n)
			}
		})
	}
}
