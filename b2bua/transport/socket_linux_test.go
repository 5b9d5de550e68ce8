package transport

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// The kernel reports the arrival time of a datagram. Reading it must not allocate.
func TestReadTimed(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			s, err := listenUDP(netip.AddrPortFrom(netip.MustParseAddr(host), 0), zerolog.Nop())
			if err != nil && host == "::1" {
				t.Skipf("needs IPv6 on loopback: %v", err)
			}
			must(t, err)
			defer s.Close()
			to := s.LocalAddr().(*net.UDPAddr).AddrPort()
			b := make([]byte, 2000)
			hello := []byte("hello")
			before := time.Now()
			if _, err := s.WriteToUDPAddrPort(hello, to); err != nil {
				t.Fatal(err)
			}
			n, from, came, err := s.(timedSocket).ReadTimed(b)
			if err != nil || string(b[:n]) != "hello" || from != to {
				t.Fatalf("%q from %v, %v", b[:n], from, err)
			}
			if after := time.Now(); came.Before(before.Add(-time.Millisecond)) || came.After(after) {
				t.Errorf("came at %v; want between %v and %v", came, before, after)
			}
			allocs := testing.AllocsPerRun(100, func() {
				_, _ = s.WriteToUDPAddrPort(hello, to)
				_, _, came, err = s.(timedSocket).ReadTimed(b)
			})
			if allocs != 0 || err != nil || came.IsZero() {
				t.Errorf("%v allocations, came at %v, %v", allocs, came, err)
			}
		})
	}
	if at := timeOfArrival([]byte("no control message at all ........")); !at.IsZero() {
		t.Errorf("garbage says %v", at)
	}
}
