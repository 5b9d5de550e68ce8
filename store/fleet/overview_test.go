package fleet

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowbridge/internal/pgtest"
	"flowbridge/internal/testlog"
)

// The live nodes are shown with their parts, in the order of their names. Standby and vanished nodes have no part. A
// clock that was set back by a few seconds is not reported.
func TestOverviewOfNodes(t *testing.T) {
	members := []Member{
		{Name: "edge-1", Age: 1240 * time.Millisecond, Numbers: "a"},
		{Name: "edge-2", Age: 90 * time.Second, Numbers: "b"},
		{Name: "edge-3", Standby: true, Seat: "east"},
		{Name: "edge-4", Age: -2 * time.Second, API: "http://203.0.113.5:8080", Numbers: "a"},
		{Name: "edge-5", Age: 90 * time.Second, Standby: true},
	}
	want := &Overview{Seats: []SeatSeen{}, SecretsDiffer: []string{}, Nodes: []NodeSeen{
		{Node: "edge-1", SeenMS: 1240, State: NodeLive, Live: true, Part: 1, Of: 2, Numbers: "a"},
		{Node: "edge-2", SeenMS: 90000, State: NodeVanished, Numbers: "b"},
		{Node: "edge-3", State: NodeStandby, Live: true, Seat: "east"},
		{Node: "edge-4", State: NodeLive, Live: true, Part: 2, Of: 2, API: "http://203.0.113.5:8080", Numbers: "a"},
		{Node: "edge-5", SeenMS: 90000, State: NodeVanished},
	}}
	if diff := cmp.Diff(want, overviewOf(members, nil, true)); diff != "" {
		t.Error(diff)
	}
	without := overviewOf(members, nil, false)
	if n := without.Nodes[0]; n.Part != 0 || n.Of != 0 {
		t.Errorf("without caps: %+v", n)
	}
	members[2].Numbers = NoNumbers
	if !overviewOf(members, nil, true).NumbersDiffer {
		t.Error("a standby without the table is not told")
	}
	members = append(members, Member{Seat: "west", SeatKey: "a"}, Member{Seat: "east"}, Member{Seat: "east", SeatKey: "b"},
		Member{Seat: "west", SeatKey: "a"})
	if all := overviewOf(members, nil, true); len(all.SecretsDiffer) != 0 {
		t.Errorf("seats with different secrets: %q", all.SecretsDiffer)
	}
	members = append(members, Member{Seat: "east", SeatKey: "c"}, Member{Seat: "west", SeatKey: "b", Age: time.Minute})
	if all := overviewOf(members, nil, true); len(all.SecretsDiffer) != 1 || all.SecretsDiffer[0] != "east" {
		t.Errorf("seats with different secrets: %q", all.SecretsDiffer)
	}
}

// A lease is held, has lapsed or was given up.
func TestOverviewOfSeats(t *testing.T) {
	for _, tt := range []struct {
		unseen time.Duration
		want   string
		ms     int64
	}{
		{-time.Second, LeaseHeld, 0},
		{leaseFor, LeaseHeld, leaseFor.Milliseconds()},
		{leaseFor + time.Millisecond, LeaseLapsed, leaseFor.Milliseconds() + 1},
		{24 * time.Hour, LeaseLapsed, 86400000},
		{56 * leftFor, LeaseLeft, 0},
	} {
		got := seenOf(&Owner{Seat: "east", Node: "edge-1", Epoch: 2, Unseen: tt.unseen, Calls: 3, Unprotected: 1})
		if got.Lease != tt.want || got.RenewedMS != tt.ms || got.Protected != 3 || got.Unprotected != 1 {
			t.Errorf("%v: %+v", tt.unseen, got)
		}
	}
}

// The overview reads the nodes' and seats' information about themselves from the database.
func TestOverviewIsRead(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a, b := seated(t, url, "a"), seated(t, url, "b")
	a.fleet.member.api = "http://203.0.113.5:8080"
	a.take(false)
	a.keep("live", "state")
	b.fleet.Stand()
	eventually(t, "the renewal says how many calls there are", func() bool {
		all, err := b.fleet.Overview(t.Context(), true)
		must(t, err)
		return len(all.Seats) == 1 && all.Seats[0].Protected == 1
	})
	all, err := b.fleet.Overview(t.Context(), true)
	must(t, err)
	for i := range all.Nodes {
		all.Nodes[i].SeenMS = 0
	}
	want := []NodeSeen{
		{
			Node: "a.db", Version: "test", State: NodeLive, Live: true, Seat: "east", Part: 1, Of: 1, Numbers: NoNumbers,
			API: "http://203.0.113.5:8080",
		},
		{Node: "b.db", Version: "test", State: NodeStandby, Live: true, Seat: "east", Numbers: NoNumbers},
	}
	if diff := cmp.Diff(want, all.Nodes); diff != "" {
		t.Error(diff)
	}
	if s := all.Seats[0]; s.Seat != "east" || s.Node != "a.db" || s.Epoch != 1 || s.Since.IsZero() {
		t.Errorf("seat %+v", s)
	}
	pgtest.Exec(t, url, `INSERT INTO flowbridge_seats (seat, owner, node, epoch, since, renewed_at)
		VALUES ('west', 'id', 'c.db', 7, now(), 'epoch')`)
	all, err = b.fleet.Overview(t.Context(), true)
	must(t, err)
	if len(all.Seats) != 2 || all.Seats[1].Lease != LeaseLeft {
		t.Errorf("left: %+v", all.Seats)
	}
}

// A node warns once about another node with a different table of numbers, and again after a change of either table.
func TestOtherNumbersAreTold(t *testing.T) {
	log := &testlog.Log{}
	n := newNode(t, "a")
	o := n.options("postgres://nobody@127.0.0.1:1/none")
	n.log = log
	o.Log = o.Log.Output(log)
	f, err := Open(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	const message = "the table of numbers of another node is another one"
	f.member.numbers = "mine"
	told := 0
	for i, step := range []struct {
		own, other string
		age        time.Duration
		tells      int
	}{
		{"mine", "mine", 0, 0},
		{"mine", "", 0, 0}, // a node of an older version
		{"mine", "other", 0, 1},
		{"mine", "other", 0, 0},
		{"mine", "other", liveFor + 1, 0},
		{"mine", "other", 0, 0},
		{"mine", "third", liveFor + 1, 0},
		{"mine", "third", 0, 1},
		{"third", "third", 0, 0},
		{"fourth", "third", 0, 1},
		{"fourth", NoNumbers, 0, 1},
	} {
		f.member.numbers = step.own
		f.noticeOthers([]Member{
			{ID: f.member.id, Name: "a", Numbers: step.own},
			{ID: "b", Name: "edge-2", Numbers: step.other, Age: step.age},
		})
		if told += step.tells; log.Count(message) != told {
			t.Fatalf("step %d, %+v: told %d times; want %d\n%s", i, step, log.Count(message), told, log)
		}
	}
}
