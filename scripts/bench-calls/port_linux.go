package main

import (
	"cmp"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/batch"
)

const largest = 4096 // bytes of a datagram

// port is a UDP socket that never waits: what is sent is kept until flush.
type port struct {
	fd   int
	at   netip.AddrPort
	out  []datagram
	room *batch.Room
}

type datagram struct {
	text string
	to   netip.AddrPort
}

func openPort(at netip.AddrPort) (*port, error) {
	fd, at, err := batch.Open(at)
	if err != nil {
		return nil, err
	}
	return &port{fd: fd, at: at, room: batch.NewRoom(largest)}, nil
}

func (p *port) close() { _ = unix.Close(p.fd) }

// send has a text sent to an address by the next flush.
func (p *port) send(text string, to netip.AddrPort) { p.out = append(p.out, datagram{text, to}) }

// flush sends what waits. What the system has no room for stays for the next time.
func (p *port) flush() {
	for len(p.out) > 0 {
		n := min(len(p.out), batch.Size)
		for i, d := range p.out[:n] {
			p.room.Put(i, unsafe.Slice(unsafe.StringData(d.text), len(d.text)), d.to)
		}
		sent, errno := p.room.Send(p.fd, n)
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
	p.room.Read(p.fd, func(b []byte, from netip.AddrPort, came int64) {
		take(b, from, cmp.Or(came, batch.Clock(unix.CLOCK_REALTIME)))
	})
}
