package batch

import (
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/namespace"
)

func TestSendAndReceive(t *testing.T) {
	any := netip.MustParseAddrPort("127.0.0.1:0")
	out, err := Listen(namespace.Here, any, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := Listen(namespace.Here, any, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	got := ""
	var before int64
	take := func(b []byte, sender netip.AddrPort, came int64) {
		if got += string(b) + " "; sender != out.At || came < before || came > Clock(unix.CLOCK_REALTIME) {
			t.Errorf("%q is from %v and came at %d, after %d", b, sender, came, before)
		}
	}
	for round := range 3 { // the same room again, in both directions
		before = Clock(unix.CLOCK_REALTIME)
		in.Read(take)
		if got != "" {
			t.Errorf("%q before any was sent", got)
		}
		n := 2 * (Size - round)
		want := ""
		for i := range n {
			text := fmt.Sprint("packet", i)
			out.Put(i%Size, []byte(text), in.At)
			want += text + " "
			if (i+1)%Size == 0 || i == n-1 {
				if sent, errno := out.Send(i%Size + 1); sent != i%Size+1 || errno != 0 {
					t.Fatalf("sent %d: %v", sent, errno)
				}
			}
		}
		if in.Read(take); got != want {
			t.Errorf("received %q; want %q", got, want)
		}
		got = ""
		out, in = in, out
	}
}
