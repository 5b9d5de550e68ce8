//go:build e2e

package e2e

import (
	"testing"
	"time"

	"flowbridge/store/fleet"
)

// theFleet has a node in each state.
var theFleet = &fleet.Overview{
	NumbersDiffer: true, SecretsDiffer: []string{"east"},
	Nodes: []fleet.NodeSeen{
		{Node: "node-1", Version: "v1.4.0", SeenMS: 1240, State: fleet.NodeLive, Live: true, Seat: "east", Part: 1, Of: 1, Numbers: "0f343b0931126a20"},
		{Node: "node-2", Version: "v1.4.0", SeenMS: 300, State: fleet.NodeStandby, Live: true, Seat: "east", Numbers: "none", API: "http://203.0.113.6:8080"},
		{Node: "node-3", Version: "v1.3.9", SeenMS: 90000, State: fleet.NodeVanished, API: "javascript:alert(1)"},
	},
	Seats: []fleet.SeatSeen{
		{Seat: "east", Node: "node-1", Epoch: 3, Since: time.Date(2026, 11, 21, 2, 13, 0, 0, time.UTC), Lease: fleet.LeaseHeld, RenewedMS: 210, Protected: 12, Unprotected: 2},
		{Seat: "west", Node: "node-3", Epoch: 1, Since: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC), Lease: fleet.LeaseLapsed, RenewedMS: 90000, Protected: 4},
	},
}

// TestPageFleet: if there is a fleet, the page shows its nodes and seats, and asks for them only while it shows them.
// If the database is away, the page says so, and the last known state stays.
func TestPageFleet(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.fill()
	n.fleet = theFleet
	asked := func() int { n.mu.Lock(); defer n.mu.Unlock(); return n.asked }
	page := newTab(t)
	page.open(n.url + "/")
	page.shows(`!document.querySelector('nav a[data-view=fleet]').hidden`)
	if got := asked(); got != 0 {
		t.Errorf("asked %d times before anybody looks", got)
	}
	page.click(`nav a[data-view=fleet]`)
	for _, text := range []string{
		"this node", "standby", "vanished", "1/1, no. 1", "0f343b0931126a20", "2026-11-21 02:13:00", "lapsed renewed 1:30 ago",
		"Vanished nodes: 1.", "Seats that no node has: 1.", "Calls that would end with their machine: 2.", "different tables of numbers",
		"Nodes of a seat have different secrets: east.",
	} {
		page.reads(text)
	}
	if links := value[string](page, `[...document.querySelectorAll('main a')].map((a) => a.href).join(' ')`); links != "http://203.0.113.6:8080/" {
		t.Errorf("links to %s", links)
	}
	n.mu.Lock()
	n.fleet = nil
	n.mu.Unlock()
	page.reads("the fleet's database is not reached") // at the next look
	page.reads("node-2")
	page.click(`nav a[data-view=targets]`)
	page.reads("Figures of the last 5 minutes")
	before := asked()
	time.Sleep(6 * time.Second) // longer than the page waits between two requests
	if got := asked(); got != before {
		t.Errorf("asked %d times more while nobody looks", got-before)
	}
}
