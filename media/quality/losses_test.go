package quality

import "testing"

// FuzzLosses compares the window with a complete list of all packets. Each byte is an event: an even byte n raises the
// highest number by n/2+1, and an odd one marks the number n/2 below the highest.
func FuzzLosses(f *testing.F) {
	f.Add([]byte{0, 0, 4, 1, 0, 3, 254, 0})
	f.Add([]byte{254, 254, 0, 255, 2, 2, 5})
	f.Fuzz(func(t *testing.T, events []byte) {
		var l Losses
		l.Begin()
		came, top := map[uint64]bool{}, uint64(0)
		for _, e := range append([]byte{1}, events...) {
			n := uint64(e / 2)
			if e%2 == 0 {
				top += n + 1
				l.Advance(n + 1)
				n = 0
			}
			if n > top {
				continue
			}
			if first := l.Mark(n); first == came[top-n] {
				t.Fatalf("%d, %d below the highest: came first: %v", top-n, n, first)
			}
			came[top-n] = true
		}
		var runs, longest, run uint64
		for i := uint64(0); i <= top; i++ {
			if came[i] {
				run = 0
				continue
			}
			if run++; run == 1 {
				runs++
			}
			longest = max(longest, run)
		}
		if gotRuns, gotLongest := l.Bursts(); gotRuns != runs || gotLongest != longest {
			t.Errorf("%d runs, the longest of %d; want %d, %d", gotRuns, gotLongest, runs, longest)
		}
	})
}
