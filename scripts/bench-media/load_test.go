package main

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"

	"flowbridge/scripts/internal/process"
	"flowbridge/scripts/internal/rtp"

	"golang.org/x/sys/unix"
)

// carried loads what connects the two ends of a few calls, and checks that each
// packet came once.
func carried(t *testing.T, s *system) {
	t.Helper()
	relayed, linked, err := s.loads(3, nil)
	if err != nil {
		t.Fatal(err)
	}
	measured(t, relayed)
	measured(t, linked)
}

func measured(t *testing.T, l *load) {
	t.Helper()
	var used usage
	for range 2 { // streams go on
		start, end, err := l.run(2*rtp.Interval, 5*rtp.Interval, func() (usage, error) {
			return usageOf(process.Group{os.Getpid()})
		})
		if err != nil {
			t.Fatal(err)
		}
		used = used.plus(end.since(start))
	}
	if l.sent != 60 || l.received() != 60 || l.side[0].count != 30 {
		t.Errorf("%d of %d packets came, %d of them to side A; want 60 of 60 and 30", l.received(), l.sent, l.side[0].count)
	}
	var f figures
	f.take(l, used)
	if f.Lost != 0 || f.P50US > f.P99US || used.generator <= 0 || used.relay < 0 || used.kernel < 0 {
		t.Errorf("got %+v of %+v", f, used)
	}
}

// inNetwork is a system in a network of its own, without a relay.
func inNetwork(t *testing.T) *system {
	t.Helper()
	n, err := newNetwork()
	if errors.Is(err, unix.EPERM) {
		t.Skipf("needs network namespaces: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &system{network: n, open: crossed}
	s.closers = append(s.closers, n.Close)
	t.Cleanup(s.stop)
	return s
}

func TestLoadForwarded(t *testing.T) {
	s := inNetwork(t)
	if err := s.network.forward(); err != nil {
		t.Fatal(err)
	}
	carried(t, s)
}

// A call that has a packet in every fifth interval has it, and its gap is that long.
func TestLoadSparse(t *testing.T) {
	s := inNetwork(t)
	l, err := newLoad(s.network, directAddrs, 7)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	l.every = 5
	l.connectDirectly()
	if _, _, err := l.run(0, 20*rtp.Interval, func() (usage, error) { return usage{}, nil }); err != nil {
		t.Fatal(err)
	}
	if l.sent != 56 || l.received() != 56 {
		t.Errorf("%d of %d packets came, want 56 of 56", l.received(), l.sent)
	}
	if l.side[0].gaps[0] < int64(4*rtp.Interval) {
		t.Errorf("the longest gap is %d ns", l.side[0].gaps[0])
	}
}

// What is not of the measurement does not count: other packets, packets of the
// warming up, foreign ones.
func TestLoadCountsItsOwn(t *testing.T) {
	l, err := newLoad(inNetwork(t).network, directAddrs, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	l.connect(0, l.side[1].At, l.side[0].At)
	l.first, l.last = 5, 6
	p := make([]byte, rtp.Size)
	for _, number := range []uint32{4, 5, 6} {
		rtp.Write(p, 0, 0, number, 0)
		l.take(l.side[1], p, netip.AddrPort{}, 1_500_000)
	}
	l.take(l.side[1], p[:100], netip.AddrPort{}, 0)
	l.take(l.side[1], make([]byte, rtp.Size), netip.AddrPort{}, 0)
	if l.received() != 1 || l.delay(0.5) != 1500 {
		t.Errorf("%d came, after %v µs; want 1 after 1500", l.received(), l.delay(0.5))
	}
}

func TestMedianAndMarginal(t *testing.T) {
	all := []figures{
		{System: "a", Calls: 10, Round: 1, RelayUS: 5, OursUS: 3, KernelUS: 1, DirectUS: 3, P50US: 50, DirectP50: 10, Sent: 100, Lost: 1},
		{System: "a", Calls: 10, Round: 2, RelayUS: 7, OursUS: 3, DirectUS: 3, Sent: 100},
		{System: "a", Calls: 20, Round: 1, RelayUS: 99},
	}
	for i := range all {
		all[i].deduct()
	}
	if m := median(all, "a", 10); m.MarginalUS != 6.5 || m.Least != 6 || m.Most != 7 || m.RelayUS != 6 || m.AddedP50 != 20 || m.Lost != 1 || m.Sent != 200 {
		t.Errorf("got %+v", m)
	}
}

func TestParseArguments(t *testing.T) {
	for _, args := range []string{"", "x", "run", "run 0", "run many", "run -systems none 5", "run -rounds 0 5", "run -seconds 0 5", "held -rate 0 5"} {
		if err := run(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}
