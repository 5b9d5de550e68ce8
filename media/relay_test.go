package media

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"flowbridge/media/packet"
)

// notes is a path that records the flows that it gets.
type notes struct{ flows []flow }

func (n *notes) Attach(f flow, _ *counters) error {
	n.flows = append(n.flows, f)
	return nil
}

func (n *notes) Detach(flowID) {}

// take returns the flows that were attached since the last call.
func (n *notes) take() []flow {
	f := n.flows
	n.flows = nil
	return f
}

func TestPathGetsResolvedFlows(t *testing.T) {
	var n notes
	local := [2]netip.AddrPort{addr("192.0.2.1:10000"), addr("192.0.2.1:10002")}
	r := newRelay(7, local, [2]sockets{}, nil)
	r.path = &n
	must(t, r.route())
	if got := n.take(); len(got) != 4 {
		t.Errorf("%d flows at first; want 4", len(got))
	}

	set := func(side Side, rtp string) {
		t.Helper()
		must(t, r.setPeer(side, Peer{RTP: addr(rtp)}, 0))
	}
	set(SideB, "198.51.100.2:6000")
	toB := flow{
		ID: flowID{Session: 7, From: SideA, Kind: RTP},
		In: local[SideA], Out: local[SideB], course: course{Dest: addr("198.51.100.2:6000")},
	}
	toBRTCP := flow{
		ID: flowID{Session: 7, From: SideA, Kind: RTCP},
		In: addr("192.0.2.1:10001"), Out: addr("192.0.2.1:10003"), course: course{Dest: addr("198.51.100.2:6001")},
	}
	if got := n.take(); !slices.Equal(got, []flow{toB, toBRTCP}) {
		t.Errorf("got %+v; want the two flows towards b", got)
	}
	set(SideB, "198.51.100.2:6000")
	if got := n.take(); len(got) != 0 {
		t.Errorf("got %+v for the same peer; want nothing", got)
	}

	set(SideA, "203.0.113.1:4000")
	n.take()
	nat := addr("203.0.113.1:61000")
	r.learn(r.heard(SideA), nat, packet.Header{SSRC: 9}, 0)
	toB.Source, toB.SSRC = nat, 9
	toA := flow{
		ID: flowID{Session: 7, From: SideB, Kind: RTP},
		In: local[SideB], Out: local[SideA], course: course{Dest: nat},
	}
	if got := n.take(); !slices.Equal(got, []flow{toB, toA}) {
		t.Errorf("got %+v; want the source and the destination learned", got)
	}
}

// must fails the test at once if there is an error.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// setPeer sets the description of a side, as a session does.
func (r *relay) setPeer(side Side, p Peer, now time.Duration) error {
	return r.describe(side, new(p.normal()), now)
}
