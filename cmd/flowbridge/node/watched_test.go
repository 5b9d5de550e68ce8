package node

import (
	"slices"
	"testing"
)

// The parts of a node are watched, and have their figures in the documents.
func TestNodeIsWatched(t *testing.T) {
	s := newReloadStage(t)
	var names []string
	for _, p := range s.node.watched() {
		names = append(names, p.Name)
		p.Underway(func(string, uint64) {})
	}
	if want := []string{"call", "sip", "media", "store", "admin", "ladders"}; !slices.Equal(names, want) {
		t.Errorf("watched %q; want %q", names, want)
	}
	s.out.underway(func(string, uint64) { t.Error("a log that nobody writes is written") })
	documented := wantDocumented(t)
	s.node.watchdog.Gauges(documented)
	s.out.gauges(documented)
}
