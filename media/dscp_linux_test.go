package media

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// trafficClass reads a packet and returns its TOS or traffic class.
func (c *client) trafficClass() int {
	c.t.Helper()
	must(c.t, c.conn.SetReadDeadline(time.Now().Add(patience)))
	var buf, control [256]byte
	_, n, _, _, err := c.conn.ReadMsgUDPAddrPort(buf[:], control[:])
	must(c.t, err)
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		c.t.Fatalf("%d control messages, %v", len(messages), err)
	}
	m := messages[0]
	if m.Header.Level == unix.IPPROTO_IP { // IPv4 has one byte, IPv6 has an int
		return int(m.Data[0])
	}
	return int(binary.NativeEndian.Uint32(m.Data))
}

func (c *client) askTrafficClass() {
	c.t.Helper()
	raw, err := c.conn.SyscallConn()
	must(c.t, err)
	var set error
	err = raw.Control(func(fd uintptr) {
		if c.addr.Addr().Is6() {
			set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1)
		} else {
			set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
		}
	})
	if err != nil || set != nil {
		c.t.Fatal(err, set)
	}
}

// RTP and RTCP carry the DSCP in the upper six bits of TOS or traffic class
// (RFC 2474 section 3).
func TestPacketsAreMarked(t *testing.T) {
	for _, dscp := range []uint8{0, 46, 24, 63} {
		e := openEngine(t, func(c *Config) { c.DSCP = dscp })
		for _, relay := range []netip.Addr{relayV4, relayV6} {
			s := newSession(t, e, SessionConfig{Addr: [2]netip.Addr{relay, relay}})
			host := "127.0.0.1:0"
			if relay.Is6() {
				host = "[::1]:0"
			}
			a, b, bRTCP := newClient(t, host), newClient(t, host), newClient(t, host)
			b.askTrafficClass()
			bRTCP.askTrafficClass()
			s.SetPeer(SideA, Peer{RTP: a.addr, RTCP: a.addr})
			s.SetPeer(SideB, Peer{RTP: b.addr, RTCP: bRTCP.addr})
			a.send(s.Local(SideA), rtpPacket(t, 0, 1, "x"))
			if got := b.trafficClass(); got != int(dscp)<<2 {
				t.Errorf("RTP over %v has traffic class %d; want %d", relay, got, int(dscp)<<2)
			}
			a.send(portAbove(s.Local(SideA)), []byte{0x80, 201, 0, 1, 0, 0, 0, 7})
			if got := bRTCP.trafficClass(); got != int(dscp)<<2 {
				t.Errorf("RTCP over %v has traffic class %d; want %d", relay, got, int(dscp)<<2)
			}
			s.Close()
		}
		_ = e.Close()
	}
}

func TestDSCPOutOfRange(t *testing.T) {
	if _, err := Open(Config{Listen: []netip.Addr{relayV4}, PortLow: 21000, PortHigh: 21999, DSCP: 64}); err == nil {
		t.Error("64 was taken")
	}
}
