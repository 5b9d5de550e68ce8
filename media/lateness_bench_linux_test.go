package media

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkTimestamps compares the ways to learn how late a packet is read: not at all, as the relay does; the kernel's
// time of each packet, by SO_TIMESTAMPNS; and the worker's own wait for a processor, read once per wake-up at the worst.
// The time is that of a packet's sendto and its receipt.
func BenchmarkTimestamps(b *testing.B) {
	pkt := make([]byte, 172)
	var buf [bufferSize]byte
	var from, to sockaddr
	pair := func(b *testing.B) int32 {
		b.Helper()
		fd, err := openSocket(netip.MustParseAddrPort("127.0.0.1:0"), 0)
		must(b, err)
		b.Cleanup(func() { closeSocket(fd) })
		name, err := unix.Getsockname(fd)
		must(b, err)
		to.set(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(name.(*unix.SockaddrInet4).Port)))
		return int32(fd)
	}
	b.Run("none", func(b *testing.B) {
		fd := pair(b)
		for b.Loop() {
			send(fd, pkt, &to)
			receive(fd, buf[:], &from)
		}
	})
	b.Run("stamps", func(b *testing.B) {
		fd := pair(b)
		must(b, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1))
		var p steeredPacket
		epoch := time.Now()
		var late time.Duration
		for b.Loop() {
			send(fd, pkt, &to)
			p.receive(fd, buf[:], &from)
			late += time.Since(epoch)
		}
	})
	b.Run("waits", func(b *testing.B) {
		fd := pair(b)
		var l lateness
		l.open()
		defer l.close()
		for b.Loop() {
			send(fd, pkt, &to)
			receive(fd, buf[:], &from)
			l.waits()
		}
	})
}
