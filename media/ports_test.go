package media

import (
	"slices"
	"sync"
	"testing"
)

func TestPortsRange(t *testing.T) {
	for _, tt := range []struct {
		low, high uint16
		want      []uint16
	}{
		{10000, 10003, []uint16{10000, 10002}},
		{10001, 10004, []uint16{10002}},
		{10000, 10000, nil},
		{10001, 10002, nil},
		{10002, 10001, nil},
		{65532, 65535, []uint16{65532, 65534}},
		{65535, 65535, nil},
	} {
		p := orderedPorts(tt.low, tt.high)
		var got []uint16
		for port, ok := p.lease(); ok; port, ok = p.lease() {
			got = append(got, port)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%d-%d: got %v; want %v", tt.low, tt.high, got, tt.want)
		}
	}
}

func TestPortsLongestRestedFirst(t *testing.T) {
	p := orderedPorts(10000, 10007)
	take := func(want uint16) {
		t.Helper()
		if got, ok := p.lease(); !ok || got != want {
			t.Errorf("got %d, %v; want %d", got, ok, want)
		}
	}
	take(10000)
	take(10002)
	p.release(10002)
	p.release(10000)
	for _, want := range []uint16{10004, 10006, 10002, 10000} {
		take(want)
	}
	if port, ok := p.lease(); ok {
		t.Errorf("got %d from an empty pool", port)
	}
	p.release(10006) // alone: it goes out again at once
	take(10006)
}

func TestPortsReleaseOnce(t *testing.T) {
	p := orderedPorts(10000, 10003)
	port, _ := p.lease()
	if !p.release(port) {
		t.Error("the first release was refused")
	}
	for _, wrong := range []uint16{port, 10002, 9998, 10004, 0, 65534} {
		if p.release(wrong) {
			t.Errorf("%d was released without a lease", wrong)
		}
	}
	if used, total := p.usage(); used != 0 || total != 2 {
		t.Errorf("%d of %d in use; want 0 of 2", used, total)
	}
}

func TestPortsStartShuffledAndComplete(t *testing.T) {
	p := newPorts(10000, 10999)
	var got []uint16
	for port, ok := p.lease(); ok; port, ok = p.lease() {
		got = append(got, port)
	}
	if slices.IsSorted(got) {
		t.Error("500 pairs came in order")
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != 500 || got[0] != 10000 || got[499] != 10998 {
		t.Errorf("got %d pairs from %d to %d", len(got), got[0], got[len(got)-1])
	}
}

func TestPortsNeverLeasedTwice(t *testing.T) {
	p := newPorts(10000, 10019)
	var holders [20]sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				port, ok := p.lease()
				if !ok {
					continue
				}
				if h := &holders[port-10000]; !h.TryLock() {
					t.Errorf("%d is leased twice", port)
				} else {
					h.Unlock()
				}
				p.release(port)
			}
		})
	}
	wg.Wait()
	if used, _ := p.usage(); used != 0 {
		t.Errorf("%d in use; want 0", used)
	}
}

// What a flow of an earlier process uses is not leased, and is once that is over.
func TestTakenPortsAreNotLeased(t *testing.T) {
	p := orderedPorts(10000, 10007)
	over := false
	p.taken = func(port uint16) bool { return !over && (port == 10000 || port == 10004) }
	for _, want := range []uint16{10002, 10006} {
		if got, ok := p.lease(); got != want || !ok {
			t.Errorf("got %d, %v; want %d", got, ok, want)
		}
	}
	if got, ok := p.lease(); ok {
		t.Errorf("got %d; want none", got)
	}
	over = true
	for _, want := range []uint16{10000, 10004} {
		if got, ok := p.lease(); got != want || !ok {
			t.Errorf("got %d, %v; want %d", got, ok, want)
		}
	}
}
