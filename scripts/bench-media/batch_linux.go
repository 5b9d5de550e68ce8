package main

import (
	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/batch"
)

const batchSize = 64 // packets that are sent or read at a time

// outgoing is room for a batch of packets, which all calls share: what each call had of its own would not stay in the
// processor's cache, and what is in between would be charged for the rest.
type outgoing struct {
	messages [batchSize]batch.Message
	packet   [batchSize][packetSize]byte
	peer     [batchSize]unix.RawSockaddrInet4
}

func newOutgoing() *outgoing {
	out := &outgoing{}
	for i := range out.messages {
		iov := &unix.Iovec{Base: &out.packet[i][0]}
		iov.SetLen(packetSize)
		out.messages[i].Prepare(iov, &out.peer[i], nil)
	}
	return out
}

// incoming is room for a batch of packets.
type incoming struct {
	messages [batchSize]batch.Message
	packet   [batchSize][packetSize + 4]byte // longer than any of ours
	control  [batchSize]batch.Control
}

func newIncoming() *incoming {
	in := &incoming{}
	for i := range in.messages {
		iov := &unix.Iovec{Base: &in.packet[i][0]}
		iov.SetLen(len(in.packet[i]))
		in.messages[i].Prepare(iov, nil, &in.control[i])
	}
	return in
}

// read reads what waits, at most a batch, and returns how many packets came.
func (in *incoming) read(fd int) int {
	for i := range in.messages {
		in.messages[i].Header.SetControllen(len(in.control[i]))
	}
	return batch.Receive(fd, in.messages[:])
}

// at returns a packet and when it came, in nanoseconds of the wall clock; 0: the
// kernel did not say.
func (in *incoming) at(i int) (packet []byte, came int64) {
	m := &in.messages[i]
	return in.packet[i][:min(int(m.Length), len(in.packet[i]))], m.Came(&in.control[i])
}
