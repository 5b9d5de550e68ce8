package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/batch"
	"flowbridge/scripts/internal/namespace"
)

const (
	packetSize = 172 // RTP of 20 ms of G.711
	interval   = 20 * time.Millisecond
	tick       = 500 * time.Microsecond // each call has its tick in an interval
	ticks      = int(interval / tick)
	maxCalls   = 10_000

	rtpHeader = 12
	magic     = 0x466c6f77626e6368
)

// Where the payload of a packet has what.
const (
	atMagic  = rtpHeader
	atCall   = atMagic + 8
	atNumber = atCall + 4
	atTime   = atNumber + 4 // wall clock, nanoseconds
)

// side is one end of all calls.
type side struct {
	fd     int
	number int // which one
	addr   netip.AddrPort
	to     []unix.RawSockaddrInet4 // by call
	due    [ticks][]int            // calls, by tick
	count  int64                   // received, of the measurement
	delays [maxDelay]uint32        // packets by microseconds, those over it in the last
	unsent int64                   // that the system did not take
	heard  []int64                 // when the last packet of a call came, wall clock in nanoseconds; 0: none has
	last   []int64                 // that, or at last the end of the measurement
	gaps   []int64                 // the longest time between two packets of a call, in nanoseconds
	in     *incoming
	out    *outgoing
}

const maxDelay = 200_000 // µs

// load is the generator.
type load struct {
	side  [2]*side
	calls int
	every int // a call sends in every so many intervals

	next        uint32 // number of the first packet of the next run
	first, last uint32 // numbers of the packets that are measured; last not among them
	sent        int64  // packets that were measured, of all runs
	late        int64  // ns that the processors were not had for, beyond an interval each time
}

// newLoad opens the sockets of the two ends, carrier and agent.
func newLoad(n *network, ends [2]netip.Addr, calls int) (*load, error) {
	l := &load{calls: calls, every: 1, first: ^uint32(0), last: ^uint32(0)}
	for i, ns := range []namespace.Namespace{n.carrier, n.agent} {
		s := &side{
			number: i, to: make([]unix.RawSockaddrInet4, calls), in: newIncoming(), out: newOutgoing(),
			heard: make([]int64, calls), last: make([]int64, calls), gaps: make([]int64, calls),
		}
		if err := ns.Do(func() (err error) {
			s.fd, s.addr, err = batch.Open(netip.AddrPortFrom(ends[i], 0))
			return err
		}); err != nil {
			l.close()
			return nil, fmt.Errorf("%v: %w", ends[i], err)
		}
		l.side[i] = s
	}
	return l, nil
}

func (l *load) close() {
	for _, s := range l.side {
		if s != nil {
			_ = unix.Close(s.fd)
		}
	}
}

// connect says where the packets of a call go, from each side.
func (l *load) connect(call int, toA, toB netip.AddrPort) {
	for i, to := range []netip.AddrPort{toA, toB} {
		s := l.side[i]
		s.to[call] = batch.Sockaddr(to)
		at := (call + i*ticks/2) % ticks // the two sides of a call in turns
		s.due[at] = append(s.due[at], call)
	}
}

// run sends for as long as it is told, after warming up, and asks for the usage
// at the start and the end of the measurement. A later run goes on with the same streams, and adds to what was counted.
func (l *load) run(warm, measured time.Duration, ask func() (usage, error)) (start, end usage, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	batch.Punctual()
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))

	from := l.next
	first, last := from+uint32(warm/interval), from+uint32((warm+measured)/interval)
	l.first, l.last, l.next = first, last, last
	lost := l.sent - l.received()
	l.sent += 2 * int64(l.calls) * int64(last-first) / int64(l.every)
	for _, s := range l.side {
		clear(s.last)
	}
	begin := batch.Clock(unix.CLOCK_MONOTONIC)
	for number := from; number < last; number++ {
		if number == first {
			if start, err = ask(); err != nil {
				return start, end, err
			}
		}
		for at := range ticks {
			due := begin + int64(number-from)*int64(interval) + int64(at)*int64(tick)
			late := batch.Clock(unix.CLOCK_MONOTONIC) - due
			if late < 0 {
				batch.SleepUntil(due)
			}
			if late > int64(interval) { // calls never send faster than that
				begin += late
			}
			if number >= first {
				l.late += max(late-int64(interval), 0)
			}
			for _, s := range l.side {
				s.send(at, number, l.every)
			}
			l.read()
		}
	}
	if end, err = ask(); err != nil {
		return start, end, err
	}
	over := batch.Clock(unix.CLOCK_REALTIME)
	if measured == 0 {
		return start, end, nil
	}
	for until := batch.Clock(unix.CLOCK_MONOTONIC) + int64(settled); l.received() < l.sent-lost && batch.Clock(unix.CLOCK_MONOTONIC) < until; {
		batch.SleepUntil(batch.Clock(unix.CLOCK_MONOTONIC) + int64(tick))
		l.read()
	}
	for _, s := range l.side {
		for call, last := range s.last {
			if last < over {
				s.came(call, over)
			}
		}
	}
	return start, end, nil
}

// send sends what is due at a tick: of all calls, or of a part of them, in turns.
func (s *side) send(at int, number uint32, every int) {
	turn, n := int(number)%every, len(s.due[at])
	for calls := range slices.Chunk(s.due[at][turn*n/every:(turn+1)*n/every], batchSize) {
		now := batch.Clock(unix.CLOCK_REALTIME)
		for i, call := range calls {
			s.out.peer[i] = s.to[call]
			s.write(s.out.packet[i][:], call, number, now)
		}
		sent, _ := batch.Send(s.fd, s.out.messages[:len(calls)])
		s.unsent += int64(len(calls) - sent)
	}
}

// write makes a packet of a call.
func (s *side) write(p []byte, call int, number uint32, now int64) {
	p[0] = 2 << 6 // RFC 3550 §5.1: version 2, payload type 0
	binary.BigEndian.PutUint16(p[2:], uint16(number))
	binary.BigEndian.PutUint32(p[4:], number*160)
	binary.BigEndian.PutUint32(p[8:], uint32(2*call+s.number+1)) // SSRC
	binary.BigEndian.PutUint64(p[atMagic:], magic)
	binary.BigEndian.PutUint32(p[atCall:], uint32(call))
	binary.BigEndian.PutUint32(p[atNumber:], number)
	binary.BigEndian.PutUint64(p[atTime:], uint64(now))
}

// read takes what has come to both sides.
func (l *load) read() {
	for _, s := range l.side {
		for n := batchSize; n == batchSize; {
			n = s.in.read(s.fd)
			for i := range n {
				p, came := s.in.at(i)
				l.take(s, p, came)
			}
		}
	}
}

// take counts a packet that belongs to the measurement.
func (l *load) take(s *side, p []byte, came int64) {
	if len(p) != packetSize || binary.BigEndian.Uint64(p[atMagic:]) != magic {
		return
	}
	if number := binary.BigEndian.Uint32(p[atNumber:]); number < l.first || number >= l.last {
		return
	}
	s.count++
	if call := binary.BigEndian.Uint32(p[atCall:]); int(call) < len(s.last) {
		s.came(int(call), came)
		s.heard[call] = came
	}
	µs := (came - int64(binary.BigEndian.Uint64(p[atTime:]))) / 1000
	s.delays[min(max(µs, 0), maxDelay-1)]++
}

// came notes that a packet of a call came, or that the measurement is over.
func (s *side) came(call int, at int64) {
	if last := s.last[call]; last != 0 {
		s.gaps[call] = max(s.gaps[call], at-last)
	}
	s.last[call] = at
}

func (l *load) received() int64 { return l.side[0].count + l.side[1].count }

// delay is how many microseconds a part of the packets took at most, 0.5 for
// half of them.
func (l *load) delay(part float64) float64 {
	wanted := int64(part * float64(l.received()))
	var seen int64
	for µs := range maxDelay {
		seen += int64(l.side[0].delays[µs]) + int64(l.side[1].delays[µs])
		if seen > wanted {
			return float64(µs)
		}
	}
	return maxDelay
}
