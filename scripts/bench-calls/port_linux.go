package main

import (
	"cmp"
	"net/netip"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/batch"
)

const (
	largest   = 4096 // bytes of a datagram
	batchSize = 64   // datagrams that are sent or read at a time
)

// port is a UDP socket that waits for nobody: what is sent is kept until flush.
type port struct {
	fd  int
	at  netip.AddrPort
	out []datagram

	messages [batchSize]batch.Message // for both directions
	vectors  [batchSize]unix.Iovec
	peers    [batchSize]unix.RawSockaddrInet4
	packets  [batchSize][largest]byte
	control  [batchSize]batch.Control
}

type datagram struct {
	b  []byte
	to netip.AddrPort
}

func openPort(at netip.AddrPort) (*port, error) {
	fd, at, err := batch.Open(at)
	if err != nil {
		return nil, err
	}
	return &port{fd: fd, at: at}, nil
}

func (p *port) close() { _ = unix.Close(p.fd) }

// send has b sent to an address by the next flush. b must not change until then.
func (p *port) send(b []byte, to netip.AddrPort) { p.out = append(p.out, datagram{b, to}) }

// flush sends what waits. What the system has no room for stays for the next time.
func (p *port) flush() {
	for len(p.out) > 0 {
		n := min(len(p.out), batchSize)
		for i, d := range p.out[:n] {
			p.peers[i] = batch.Sockaddr(d.to)
			p.vectors[i].Base = &d.b[0]
			p.vectors[i].SetLen(len(d.b))
			p.messages[i].Prepare(&p.vectors[i], &p.peers[i], nil)
		}
		sent, errno := batch.Send(p.fd, p.messages[:n])
		full := errno == unix.EAGAIN || errno == unix.ENOBUFS
		if errno != 0 && !full { // what cannot be sent is lost, as on a network
			sent++
		}
		p.out = append(p.out[:0], p.out[sent:]...)
		if full {
			return
		}
	}
}

// read hands on all datagrams that wait, with their sender and the time of the wall clock at
// which the kernel took them, in nanoseconds.
func (p *port) read(take func(b []byte, from netip.AddrPort, came int64)) {
	for n := batchSize; n == batchSize; {
		for i := range p.messages {
			p.vectors[i].Base = &p.packets[i][0]
			p.vectors[i].SetLen(largest)
			p.messages[i].Prepare(&p.vectors[i], &p.peers[i], &p.control[i])
		}
		n = batch.Receive(p.fd, p.messages[:])
		for i := range n {
			m := &p.messages[i]
			take(p.packets[i][:min(int(m.Length), largest)], batch.AddrPort(&p.peers[i]), cmp.Or(m.Came(&p.control[i]), batch.Clock(unix.CLOCK_REALTIME)))
		}
	}
}
