package main

import (
	"net"
	"sync/atomic"

	"flowbridge/scripts/internal/namespace"
)

// names is a DNS server that knows the targets' name.
type names struct {
	conn *net.UDPConn
	away atomic.Bool // it does not answer any questions
}

func newNames(in namespace.Namespace) (n *names, err error) {
	n = &names{}
	if n.conn, err = in.ListenUDP(resolver); err != nil {
		return nil, err
	}
	go n.run()
	return n, nil
}

func (n *names) close() { _ = n.conn.Close() }

func (n *names) run() {
	b := make([]byte, 1500)
	for {
		length, from, err := n.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if answer := answerName(b[:length]); answer != nil && !n.away.Load() {
			_, _ = n.conn.WriteToUDPAddrPort(answer, from)
		}
	}
}

// answerName answers a question (RFC 1035): the targets' address for A, nothing for other types.
func answerName(query []byte) []byte {
	const header, typeA = 12, 1
	if len(query) < header || query[2]&0x80 != 0 {
		return nil
	}
	end := header
	for end < len(query) && query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5
	if end > len(query) { // the root label, type and class
		return nil
	}
	answer := append([]byte{query[0], query[1], 0x85, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[header:end]...)
	if query[end-3] != typeA || query[end-4] != 0 {
		return answer
	}
	answer[7] = 1
	answer = append(answer, 0xc0, header, 0, typeA, 0, 1, 0, 0, 0, 1, 0, 4) // TTL one second
	return append(answer, namespace.AgentAddr.AsSlice()...)
}
