// Command abuse sends abusive traffic to a server while calls run, for scripts/bench:
//
//	abuse halves TO SECONDS   200 TCP connections that never finish a message, reopened when they are closed
//	abuse junk TO SECONDS     20,000 datagrams a second from 250 addresses, none of them a trunk's
//	abuse flood TO SECONDS N  N INVITEs a second from one of a trunk's addresses, never acknowledged
//	abuse attacks BINARY      attacks by what a peer may say, each on a server of its own; exit code 1 if one works
//
// TO is a loopback address and port. The command prints what it did, and what came back.
package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"flowbridge/scripts/internal/sip"
)

// The loopback networks that it sends from. trunkNet belongs to a trunk.
var (
	trunkNet    = [3]byte{127, 0, 6}
	strangerNet = [3]byte{127, 9, 0}
)

const (
	halfConnections = 200
	junkRate        = 20_000
	junkSources     = 250
)

var errUsage = errors.New("usage: abuse halves|junk|flood ADDRESS SECONDS [RATE], or attacks BINARY")

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "abuse:", err)
		os.Exit(2)
	}
}

func run(args []string) error {
	if len(args) == 2 && args[0] == "attacks" {
		return runAttacks(args[1])
	}
	if len(args) < 3 {
		return errUsage
	}
	to, err := netip.ParseAddrPort(args[1])
	if err != nil || !to.Addr().IsLoopback() {
		return fmt.Errorf("%q is not a loopback address and port", args[1])
	}
	seconds, err := strconv.Atoi(args[2])
	if err != nil || seconds < 1 {
		return errUsage
	}
	until := time.Now().Add(time.Duration(seconds) * time.Second)
	switch args[0] {
	case "halves":
		halves(to, until)
		return nil
	case "junk":
		return junk(to, until)
	case "flood":
		rate, err := strconv.Atoi(strings.Join(args[3:], " "))
		if err != nil || rate < 1 {
			return errUsage
		}
		return flood(to, until, rate)
	}
	return errUsage
}

func at(network [3]byte, host int) netip.Addr {
	return netip.AddrFrom4([4]byte{network[0], network[1], network[2], byte(host)})
}

// halves keeps connections open that send only the start of an INVITE.
func halves(to netip.AddrPort, until time.Time) {
	var opened, closed atomic.Int64
	var group sync.WaitGroup
	for i := range halfConnections {
		group.Go(func() {
			d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(at(trunkNet, 1+i%8), 0)), Deadline: until}
			for time.Now().Before(until) {
				conn, err := d.Dial("tcp", to.String())
				if err != nil {
					time.Sleep(100 * time.Millisecond)
					continue
				}
				opened.Add(1)
				_, _ = fmt.Fprintf(conn, "INVITE sip:+15075785607@%v SIP/2.0\r\n"+
					"Via: SIP/2.0/TCP half;branch=z9hG4bK%d\r\nX-Half: ", to, i)
				_ = conn.SetReadDeadline(until)
				for err == nil { // an occasional byte keeps the connection from being idle
					_ = conn.SetReadDeadline(time.Now().Add(time.Second))
					if _, err = conn.Read(make([]byte, 512)); errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(until) {
						_, err = conn.Write([]byte("x"))
					}
				}
				conn.Close()
				if time.Now().Before(until) {
					closed.Add(1)
				}
			}
		})
	}
	group.Wait()
	fmt.Fprintf(os.Stdout, "%d connections opened, %d of them closed by the server\n", opened.Load(), closed.Load())
}

// newSender opens a socket with one source address, and counts the answers.
func newSender(from netip.Addr, answers *atomic.Int64) (*net.UDPConn, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)))
	if err != nil {
		return nil, err
	}
	go func() {
		b := make([]byte, 65536)
		for {
			if _, _, err := conn.ReadFromUDPAddrPort(b); err != nil {
				return
			}
			answers.Add(1)
		}
	}()
	return conn, nil
}

// pace calls send rate times a second, in steps of a millisecond.
func pace(until time.Time, rate int, send func(n int)) (sent int) {
	begin := time.Now()
	for now := begin; now.Before(until); now = time.Now() {
		for due := int(now.Sub(begin).Seconds() * float64(rate)); sent < due; sent++ {
			send(sent)
		}
		time.Sleep(time.Millisecond)
	}
	return sent
}

// junk sends packets as strangers do: noise, partial messages, whole messages.
func junk(to netip.AddrPort, until time.Time) error {
	var answers atomic.Int64
	senders := make([]*net.UDPConn, junkSources)
	for i := range senders {
		s, err := newSender(at(strangerNet, 1+i), &answers)
		if err != nil {
			return err
		}
		defer s.Close()
		senders[i] = s
	}
	noise := make([]byte, 1200)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	whole := []byte(invite(to, at(strangerNet, 1), 1))
	kinds := [][]byte{
		noise, noise[:40], whole, whole[:len(whole)/2], []byte("OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x\r\n\r\n"),
		[]byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKguessed\r\nCSeq: 1 INVITE\r\n\r\n"),
		[]byte("BYE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x\r\nTo: <sip:x>;tag=0123456789abcdef0123456789ab\r\n\r\n"),
	}
	sent := pace(until, junkRate, func(n int) {
		_, _ = senders[n%junkSources].WriteToUDPAddrPort(kinds[n%len(kinds)], to)
	})
	fmt.Fprintf(os.Stdout, "%d datagrams sent, %d answered\n", sent, answers.Load())
	return nil
}

// flood sends correct INVITEs, and ignores the answers.
func flood(to netip.AddrPort, until time.Time, rate int) error {
	var answers atomic.Int64
	from := at(trunkNet, 200)
	s, err := newSender(from, &answers)
	if err != nil {
		return err
	}
	defer s.Close()
	sent := pace(until, rate, func(n int) {
		_, _ = s.WriteToUDPAddrPort([]byte(invite(to, from, n)), to)
	})
	fmt.Fprintf(os.Stdout, "%d INVITEs sent, %d answers\n", sent, answers.Load())
	return nil
}

func invite(to netip.AddrPort, from netip.Addr, n int) string {
	e := sip.End{Name: fmt.Sprintf("flood%d-", n), Addr: netip.AddrPortFrom(from, 9), Peer: to, Via: ";rport"}
	body := sip.WithBody(sip.Description(netip.AddrPortFrom(from, 30000)))
	return e.Dial("+15075550100", "+15075785607").Text("INVITE", "z9hG4bK"+e.Name, 1, body)
}
