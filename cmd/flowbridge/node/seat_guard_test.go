package node

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/rs/zerolog"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A packet that was sent while the link was down does not leave when the link is up again, because another node may have
// the seat by then.
func TestNothingOldLeavesByANewLink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a network namespace")
	}
	t.Run("in a network", func(t *testing.T) { // in a goroutine of its own, whose thread ends with it
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Skipf("needs network namespaces: %v", err)
		}
		own, peer := netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("10.77.0.2")
		near := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "near"}, PeerName: "far"}
		must(t, netlink.LinkAdd(near))
		must(t, netlink.AddrAdd(near, &netlink.Addr{IPNet: &net.IPNet{IP: own.AsSlice(), Mask: net.CIDRMask(24, 32)}}))
		must(t, netlink.LinkSetUp(near))
		far, err := netlink.LinkByName("far")
		must(t, err)
		wire := listenOn(t, far)
		from, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(own, 0)))
		must(t, err)
		defer from.Close()
		send := func(text string) {
			_, err := from.WriteToUDPAddrPort([]byte(text), netip.AddrPortFrom(peer, 5060))
			must(t, err)
		}

		send("while the link is down")
		(&seat{addresses: []netip.Addr{own}, log: zerolog.Nop()}).dropQueued()
		must(t, netlink.LinkSetUp(far))
		must(t, netlink.NeighSet(&netlink.Neigh{
			LinkIndex: near.Attrs().Index, State: netlink.NUD_PERMANENT, IP: peer.AsSlice(), HardwareAddr: far.Attrs().HardwareAddr,
		}))
		waitFor(t, "packets leave", func() bool {
			send("since it is up")
			for b := make([]byte, 1500); ; {
				n, _, err := unix.Recvfrom(wire, b, 0)
				if err != nil { // nothing came, because the link is not up yet
					return false
				}
				if bytes.HasSuffix(b[:n], []byte("while the link is down")) {
					t.Fatal("a packet of before has left")
				}
				if bytes.HasSuffix(b[:n], []byte("since it is up")) {
					return true
				}
			}
		})
	})
}

// listenOn returns a socket that gets all packets that arrive at a link. It waits 100 ms for a packet.
func listenOn(t *testing.T, at netlink.Link) int {
	t.Helper()
	all := uint16(unix.ETH_P_IP&0xff<<8 | unix.ETH_P_IP>>8) // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all))
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}))
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: at.Attrs().Index}))
	return fd
}
