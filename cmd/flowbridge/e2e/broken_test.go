//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// TestCarrierConnectionBreaks makes the carrier's connection end like that of a host that has crashed,
// while a call rings and in mid-call. Messages for the carrier must then go to the address in its Via
// or Contact.
func TestCarrierConnectionBreaks(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serveStreams("tcp", setup{route: ", ringing: on-target"})
	agents := s.streamAgent(nil)
	carrier := s.connect(s.carrier, nil)
	home, err := net.Listen("tcp", carrier.conn.LocalAddr().String())
	if err == nil {
		home.Close()
		t.Fatal("a port is used twice")
	}
	carrier.send(carrier.request("INVITE", "broken", 1, message{}))
	agent := agents.mustAccept()
	invite := agent.await("INVITE ")
	agent.respond(invite, "180 Ringing")
	carrier.await("SIP/2.0 180")
	at := carrier.conn.LocalAddr().String()
	carrier.reset()
	// A program that another test is starting has a copy of the connection for a moment. The port is free
	// after that.
	eventually(t, "the carrier's port is free", func() bool { home, err = net.Listen("tcp", at); return err == nil })
	defer home.Close()
	b.targets = append(b.targets, uint16(home.Addr().(*net.TCPAddr).Port))
	callers := &streamAgent{stage: s, Listener: home}
	agent.respond(invite, "200 OK")
	agent.await("ACK ")
	again := callers.mustAccept()
	ok := again.await("SIP/2.0 200")
	again.send(carrier.request("ACK", "broken", 1, ok))
	eventually(t, "the call is up", func() bool { live := b.calls(); return len(live) == 1 && live[0].Phase == "bridged" })
	again.reset()
	bye := fmt.Sprintf("BYE %s SIP/2.0\r\nVia: SIP/2.0/TCP %v;branch=z9hG4bKbye\r\nMax-Forwards: 70\r\nFrom: %s;tag=agent\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
		"sip:x@"+agent.conn.RemoteAddr().String(), agent.conn.LocalAddr(), invite.header("To"), invite.header("From"), invite.header("Call-ID"))
	agent.send(bye)
	agent.await("SIP/2.0 200")
	again = callers.mustAccept()
	again.respond(again.await("BYE "), "200 OK")
	again.conn.Close()
	agent.conn.Close()
	b.finish(hungUpByAgent)
}

// TestConnectionsComeAndGo opens 10,000 connections and ends each in one of several ways, while a call
// is up. No connection must be left, and the process must not have grown during the second half.
func TestConnectionsComeAndGo(t *testing.T) {
	s := newPreparedStage(t)
	ca := s.authority("ca")
	o := ca.secured(setup{})
	o.listen = append(o.listen, s.listener("tcp", s.b2bua))
	// With little garbage, the size of the process is about what it uses.
	b := startServer(t, t.TempDir(), s.config(o), "GOGC=20")
	s.server, b.targets = b, []uint16{s.agent.Port()}
	agent := s.sippAgent("caller_hangup")
	caller := s.connect(s.carrier, nil)
	ok := caller.setUp("long")
	options := caller.request("OPTIONS", "short", 1, message{})
	before := b.memory()
	for half := range 2 {
		var all sync.WaitGroup
		for worker := range 8 {
			all.Go(func() {
				for i := range 5000 / 8 {
					s.comeAndGo(worker+i, caller.conn, options)
				}
			})
		}
		all.Wait()
		eventually(t, "only the call's connection is left", func() bool { return b.sockets().sip == 1 })
		if half == 0 {
			before = max(before, b.memory())
		}
	}
	if after := b.memory(); after > before+before/4 {
		t.Errorf("the process grew from %d to %d KB", before, after)
	}
	caller.hangUp("long", ok)
	agent.finish()
	caller.conn.Close()
	b.finish(hungUpByCaller)
}

// comeAndGo opens a connection and ends it in one of these ways: at once, after half a message, by a
// reset after a whole message, before the answer, or during a TLS handshake.
func (s *stage) comeAndGo(i int, caller net.Conn, options string) {
	from, transport := s.carrier, "tcp"
	if i%8 == 0 {
		from = s.stranger
	}
	if i%5 == 4 {
		transport = "tls"
	}
	dialer := net.Dialer{Timeout: patience, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	conn, err := dialer.Dial("tcp", s.server.at(transport, from).String())
	if err != nil {
		s.Errorf("connection %d: %v", i, err)
		return
	}
	defer conn.Close()
	// If its connection is gone, an answer is sent to the address in Via. That must not be the caller, who
	// reads only its own answers.
	options = strings.ReplaceAll(options, caller.LocalAddr().String(), conn.LocalAddr().String())
	switch i % 5 {
	case 1:
		_, _ = conn.Write([]byte(options[:len(options)/2]))
	case 2:
		_, _ = conn.Write([]byte(options))
		_ = conn.(*net.TCPConn).SetLinger(0)
	case 3:
		_, _ = conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	case 4:
		_, _ = conn.Write([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"))
	}
}
