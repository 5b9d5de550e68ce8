package ladder

import "testing"

// Free pages are reused. Pages that are not needed any more are freed.
func TestSpares(t *testing.T) {
	var s spares
	var all []*[pageSize]byte
	for range 10 {
		all = append(all, s.take())
	}
	for _, p := range all {
		s.give(p)
	}
	s.trim() // all pages were needed
	if len(s.free) != 10 {
		t.Fatalf("%d free pages; want 10", len(s.free))
	}
	for range 4 {
		s.take()
	}
	s.trim() // six pages were not needed
	if len(s.free) != 5 {
		t.Errorf("%d free pages; want 5", len(s.free))
	}
	for range 5 {
		s.trim()
	}
	if len(s.free) != 0 {
		t.Errorf("%d free pages; want 0", len(s.free))
	}
	for range sparesMax + 1 {
		s.give(new([pageSize]byte))
	}
	if len(s.free) != sparesMax {
		t.Errorf("%d free pages; want %d", len(s.free), sparesMax)
	}
}

// isIdle reports whether all claimed calls have been dropped.
func (s *Collector) isIdle() bool {
	for _, l := range s.legs {
		for ; l != nil; l = l.next {
			if l.call.id != "" {
				return false
			}
		}
	}
	return len(s.calls) == 0
}
