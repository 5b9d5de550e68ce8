package media

import (
	"math/rand/v2"
	"net/netip"
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
	p.release(10006) // no other pair is free, so this one is leased again at once
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

// A particular pair can be claimed while it is free, wherever it is in the queue. The others are leased in the same
// order as before. A plain list is the model.
func TestPortsClaim(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	p := orderedPorts(10001, 10041)
	at := place{addr: netip.MustParseAddr("127.0.0.1")}
	var free, leased, resting []uint16
	for port := uint16(10002); port <= 10040; port += 2 {
		free = append(free, port)
	}
	take := func(from []uint16, port uint16) []uint16 {
		i := slices.Index(from, port)
		return slices.Delete(from, i, i+1)
	}
	for range 20_000 {
		switch port := uint16(9998 + rng.IntN(48)); rng.IntN(6) {
		case 0, 1:
			is := slices.Contains(free, port)
			if got := p.claim(port); got != is {
				t.Fatalf("claimed %d: %v; want %v", port, got, is)
			}
			if is { // the first pair takes the place of the claimed one
				first := free[0]
				free[slices.Index(free, port)] = first
				free, leased = free[1:], append(leased, port)
			}
		case 2:
			got, ok := p.lease()
			if ok != (len(free) > 0) || ok && got != free[0] {
				t.Fatalf("leased %d, %v of %v", got, ok, free)
			}
			if ok {
				free, leased = free[1:], append(leased, got)
			}
		case 3, 4:
			port &^= 1
			is := slices.Contains(leased, port)
			if got := p.release(port); got != is {
				t.Fatalf("released %d: %v; want %v", port, got, is)
			}
			if is {
				leased, free = take(leased, port), append(free, port)
			}
		case 5:
			if slices.Contains(leased, port) {
				p.keep(at, pair{port: port}, 0)
				leased, resting = take(leased, port), append(resting, port)
			} else if got, ok := p.tired(at, 0); ok {
				resting, leased = take(resting, got.port), append(leased, got.port)
			}
		}
	}
}

// A port that a flow of an earlier process uses is not leased until the flow has ended.
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
