package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"flowbridge/store/fleet"
)

// The command shows the nodes and the seats. The test includes an empty fleet, nodes with different number tables,
// and names that contain control characters.
func TestFleetIsPrinted(t *testing.T) {
	since := time.Date(2026, 11, 21, 2, 13, 0, 0, time.UTC)
	show := func(all *fleet.Overview) (lines []string) {
		var out strings.Builder
		must(t, printFleet(&out, all))
		for line := range strings.Lines(out.String()) {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
		return lines
	}
	const heads = "NODE VERSION SEEN STATE SEAT CAPS NUMBERS"
	if got := show(&fleet.Overview{}); !slices.Equal(got, []string{heads}) {
		t.Errorf("nobody is there: %q", got)
	}
	all := &fleet.Overview{
		NumbersDiffer: true, SecretsDiffer: []string{"east"},
		Nodes: []fleet.NodeSeen{
			{Node: "edge-1", Version: "1.2.3", SeenMS: 1240, State: fleet.NodeLive, Live: true, Seat: "east", Part: 1, Of: 2, Numbers: "0123456789abcdef"},
			{Node: "edge-2\x1b[1m", Version: "1.2.3", SeenMS: 300, State: fleet.NodeStandby, Seat: "east", Numbers: fleet.NoNumbers},
			{Node: "edge-3", Version: "1.2.2", SeenMS: 90000, State: fleet.NodeVanished},
			{Node: "edge-1", Version: "1.2.3", State: fleet.NodeLive, Live: true},
		},
		Seats: []fleet.SeatSeen{
			{Seat: "east", Node: "edge-1", Epoch: 3, Since: since, Lease: fleet.LeaseHeld, RenewedMS: 250, Protected: 12, Unprotected: 1},
			{Seat: "west", Node: "edge-3", Epoch: 1, Since: since, Lease: fleet.LeaseLapsed, RenewedMS: 90000, Protected: 4},
		},
	}
	got := show(all)
	want := []string{
		heads, "edge-1 1.2.3 1.2s ago live east 1/2, no. 1 0123456789abcdef", "", "edge-3 1.2.2 1m30s ago vanished - - -",
		"edge-1 1.2.3 0s ago live - - -",
		"The nodes have different tables of numbers: give all of them the same file.",
		"2 nodes have the name edge-1: give each a name of its own (fleet.node).",
		"The nodes of the seat east have different secrets, so none can go on with another's calls: " +
			"give all of them the same fleet.takeover.key_file.", "",
		"SEAT NODE EPOCH SINCE LEASE PROTECTED UNPROTECTED", "east edge-1 3 2026-11-21T02:13:00Z held 12 1",
		"west edge-3 1 2026-11-21T02:13:00Z lapsed, renewed 1m30s ago 4 0",
	}
	if strings.Contains(got[2], "\x1b") || !strings.HasSuffix(got[2], "standby east - none") {
		t.Errorf("standby: %q", got[2])
	}
	got[2] = ""
	if !slices.Equal(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
}
