package media

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkBegin measures what the sockets of a call cost if they are opened, if pairs have rested, and if the call's
// ports are steered from the start. It also measures what a packet that a session sends costs with and without a socket
// of the session. doc.go describes what follows from this.
func BenchmarkBegin(b *testing.B) {
	relay, err := openKernel()
	if err != nil {
		b.Skip("needs the kernel path: ", err)
	}
	defer relay.Close()
	e := openEngine(b, func(c *Config) { c.Kernel = relay })
	at := place{relayV4, e.workers[0]}
	cpu := func() (ns int64) {
		var u unix.Rusage
		must(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
		return u.Utime.Nano() + u.Stime.Nano()
	}
	run := func(name string, do func() error) {
		b.Run(name, func(b *testing.B) {
			began := cpu()
			for b.Loop() {
				must(b, do())
			}
			b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op")
		})
	}
	pairs := make([]pair, 2)
	run("new pairs", func() (err error) {
		for i := range pairs {
			if pairs[i], err = e.newPair(at); err != nil {
				return err
			}
		}
		e.discard(at, pairs)
		return nil
	})
	e.ports.mayRest = 2 // if that many rest, a pair is used again at once
	run("rested pairs", func() (err error) {
		for i := range pairs {
			if pairs[i], err = e.bindPair(at); err != nil {
				return err
			}
		}
		drain([2]sockets{pairs[SideA].fd, pairs[SideB].fd})
		for _, p := range pairs {
			e.ports.keep(at, p, e.now())
		}
		return nil
	})
	s := steering{netip.AddrPortFrom(relayV4, 30000), netip.AddrPortFrom(relayV4, 30002)}
	run("steered", func() (failed error) {
		s.each(func(_ Side, kind Kind, at netip.AddrPort) {
			if failed == nil {
				failed = relay.Steer(at, 0, steeredMost[kind])
			}
		})
		s.each(func(_ Side, _ Kind, at netip.AddrPort) { relay.Unsteer(at) })
		return failed
	})
	send := newBench(b, 1)
	send.w.offloader = e.workers[0].offloader
	from, to := &send.relays[0].endpoint[SideB][RTP], &send.relays[0].endpoint[SideA][RTP].dest
	packet := func() error {
		if errno := send.w.transmit(from, send.packet, to); errno != 0 {
			return errno
		}
		return nil
	}
	run("packet with a socket", packet)
	from.relay.local[SideB], from.fd = s[SideB], sharedSocket
	run("packet without", packet)
}
