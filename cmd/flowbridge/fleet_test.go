package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"flowbridge/store/fleet"
)

// The live nodes have their parts in the order of their names. A node that has vanished has none, and a clock that was
// set back by some seconds is nothing to show.
func TestFleetNodes(t *testing.T) {
	members := []fleet.Member{
		{Name: "edge-1", Version: "1.2.3", Age: 1240 * time.Millisecond},
		{Name: "edge-2", Version: "1.2.2", Age: 90 * time.Second},
		{Name: "edge-3", Version: "1.2.3", Age: -2 * time.Second},
	}
	show := func(caps bool) (lines []string) {
		var out strings.Builder
		must(t, printNodes(&out, nodesOf(members, caps)))
		for line := range strings.Lines(out.String()) {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
		return lines
	}
	want := []string{
		"NODE VERSION SEEN STATE CAPS", "edge-1 1.2.3 1.2s ago live 1/2, no. 1", "edge-2 1.2.2 1m30s ago vanished -",
		"edge-3 1.2.3 0s ago live 1/2, no. 2",
	}
	if got := show(true); !slices.Equal(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
	if got := show(false); got[1] != "edge-1 1.2.3 1.2s ago live -" {
		t.Errorf("without caps: %q", got)
	}
}
