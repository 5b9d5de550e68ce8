package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"

	"flowbridge/scripts/internal/namespace"
)

// startGoroutines starts the relay that is written as one would first write it:
// a goroutine reads each socket and sends on what it got. It is this program in
// another process.
func (s *system) startGoroutines() error {
	own, err := os.Executable()
	if err != nil {
		return err
	}
	c := exec.CommandContext(context.Background(), own, "relay", namespace.RelayAddr.String())
	orders, err := c.StdinPipe()
	if err != nil {
		return err
	}
	replies, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.launch(os.DevNull, c); err != nil {
		return err
	}
	from := bufio.NewScanner(replies)
	s.open = func(_ int, a, b netip.AddrPort) (forA, forB netip.AddrPort, err error) {
		if _, err = fmt.Fprintln(orders, a, b); err != nil {
			return forA, forB, err
		}
		if !from.Scan() {
			return forA, forB, fmt.Errorf("%w: the relay has ended: %w", errNoAnswer, from.Err())
		}
		return twoAddrs(from.Text())
	}
	return nil
}

func twoAddrs(line string) (a, b netip.AddrPort, err error) {
	first, second, _ := strings.Cut(line, " ")
	if a, err = netip.ParseAddrPort(first); err == nil {
		b, err = netip.ParseAddrPort(second)
	}
	if err != nil {
		return a, b, fmt.Errorf("%q is not two addresses: %w", line, err)
	}
	return a, b, nil
}

// relayByGoroutines opens a call for each line with the addresses of its two
// ends, and answers with where these have to send, until there are no more.
func relayByGoroutines(at string, in io.Reader, out io.Writer) error {
	addr, err := netip.ParseAddr(at)
	if err != nil {
		return err
	}
	var open []*net.UDPConn
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	for from := bufio.NewScanner(in); from.Scan(); {
		a, b, err := twoAddrs(from.Text())
		if err != nil {
			return err
		}
		var sockets [4]*net.UDPConn // RTP of A and B, RTCP of A and B
		for i := range sockets {
			if sockets[i], err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0))); err != nil {
				return err
			}
			open = append(open, sockets[i])
		}
		go copyPackets(sockets[0], sockets[1], b)
		go copyPackets(sockets[1], sockets[0], a)
		go copyPackets(sockets[2], sockets[3], netip.AddrPortFrom(b.Addr(), b.Port()+1))
		go copyPackets(sockets[3], sockets[2], netip.AddrPortFrom(a.Addr(), a.Port()+1))
		if _, err := fmt.Fprintln(out, sockets[0].LocalAddr(), sockets[1].LocalAddr()); err != nil {
			return err
		}
	}
	return nil
}

// copyPackets sends on what comes, until its socket is closed.
func copyPackets(from, by *net.UDPConn, to netip.AddrPort) {
	b := make([]byte, 1500)
	for {
		n, _, err := from.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		_, _ = by.WriteToUDPAddrPort(b[:n], to) // what can't be sent is lost
	}
}
