package batch

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSendAndReceive(t *testing.T) {
	any := netip.MustParseAddrPort("127.0.0.1:0")
	from, fromAt, err := Open(any)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(from)
	to, toAt, err := Open(any)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(to)
	var out, in [3]Message
	var vectors, room [3]unix.Iovec
	var senders [3]unix.RawSockaddrInet4
	var control [3]Control
	var buffers [3][10]byte
	peer := Sockaddr(toAt)
	for i := range out {
		vectors[i].Base = &[]byte{'a' + byte(i), 'x'}[0]
		vectors[i].SetLen(2)
		out[i].Prepare(&vectors[i], &peer, nil)
		room[i].Base = &buffers[i][0]
		room[i].SetLen(len(buffers[i]))
		in[i].Prepare(&room[i], &senders[i], &control[i])
	}
	before := Clock(unix.CLOCK_REALTIME)
	if n := Receive(to, in[:]); n != 0 {
		t.Errorf("%d messages before any was sent", n)
	}
	if n, errno := Send(from, out[:]); n != 3 || errno != 0 {
		t.Fatalf("sent %d: %v", n, errno)
	}
	if n := Receive(to, in[:]); n != 3 {
		t.Fatalf("received %d", n)
	}
	for i := range in {
		if got := string(buffers[i][:in[i].Length]); got != string(rune('a'+i))+"x" || AddrPort(&senders[i]) != fromAt {
			t.Errorf("message %d is %q from %v", i, got, AddrPort(&senders[i]))
		}
		if came := in[i].Came(&control[i]); came < before || came > Clock(unix.CLOCK_REALTIME) {
			t.Errorf("message %d came at %d, after %d", i, came, before)
		}
	}
}
