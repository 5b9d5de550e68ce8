package main

import (
	"fmt"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/batch"
	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/rtp"
)

const (
	tick     = 500 * time.Microsecond // each call has a fixed tick within an interval
	ticks    = int(rtp.Interval / tick)
	maxCalls = 10_000
)

// side is one end of all calls.
type side struct {
	*batch.Port
	number int              // 0 or 1
	to     []netip.AddrPort // by call
	due    [ticks][]int     // calls, by tick
	count  int64            // packets received during the measurement
	delays [maxDelay]uint32 // number of packets by delay in microseconds; longer delays are in the last entry
	judged int64            // packets in delays
	unsent int64            // packets that the system did not accept
	heard  []int64          // when the last packet of a call came, by the wall clock in nanoseconds; 0 if none has come
	last   []int64          // the same; at the end, the end of the measurement
	gaps   []int64          // the longest time between two packets of a call, in nanoseconds
}

const maxDelay = 200_000 // µs

// load is the generator.
type load struct {
	side  [2]*side
	calls int
	every int // a call sends in one of this many intervals

	speech *speech // nil: packets that say what they are
	secure *secure // nil: plain RTP

	next        uint32        // number of the next run's first packet
	first, last uint32        // numbers of the measured packets, last excluded
	sent        int64         // measured packets, in all runs
	late        time.Duration // time beyond an interval in which no processor was available
}

// newLoad opens the sockets of the two ends, carrier and agent.
func newLoad(n network, ends [2]netip.Addr, calls int) (*load, error) {
	l := &load{calls: calls, every: 1, first: ^uint32(0), last: ^uint32(0)}
	for i, ns := range []namespace.Namespace{n.Carrier, n.Agent} {
		s := &side{
			number: i, to: make([]netip.AddrPort, calls),
			heard: make([]int64, calls), last: make([]int64, calls), gaps: make([]int64, calls),
		}
		var err error
		if s.Port, err = batch.Listen(ns, netip.AddrPortFrom(ends[i], 0), rtp.Room+sealed); err != nil {
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
			s.Close()
		}
	}
}

// connect sets where the packets of a call go, from each side.
func (l *load) connect(call int, toA, toB netip.AddrPort) {
	for i, to := range []netip.AddrPort{toA, toB} {
		s := l.side[i]
		s.to[call] = to
		if l.speech != nil {
			l.speech.calls[i][to] = call
		}
		at := (call + i*ticks/2) % ticks // the two sides of a call alternate
		s.due[at] = append(s.due[at], call)
	}
}

// run warms up, sends for the measured time, and asks for the usage at the start and the end of the measurement. A
// later run continues the same streams, and adds to the counts.
func (l *load) run(warm, measured time.Duration, ask func() (usage, error)) (start, end usage, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	batch.Punctual()
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))

	from := l.next
	first, last := from+uint32(warm/rtp.Interval), from+uint32((warm+measured)/rtp.Interval)
	l.first, l.last, l.next = first, last, last
	lost := l.sent - l.received()
	l.sent += 2 * int64(l.calls) * int64(last-first) / int64(l.every)
	for _, s := range l.side {
		clear(s.last)
	}
	pace := rtp.NewPace(tick)
	for number := from; number < last; number++ {
		if number == first {
			if start, err = ask(); err != nil {
				return start, end, err
			}
		}
		for at := range ticks {
			late := pace.Wait(int64(number-from)*int64(ticks) + int64(at))
			if number >= first {
				l.late += max(late-rtp.Interval, 0)
			}
			for _, s := range l.side {
				s.send(at, number, l.every, l.speech, l.secure)
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
	now := func() int64 { return batch.Clock(unix.CLOCK_MONOTONIC) }
	for until := now() + int64(settled); l.received() < l.sent-lost && now() < until; {
		batch.SleepUntil(now() + int64(tick))
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

// send sends the packets that are due at a tick: those of all calls, or of a part of the calls in turn.
func (s *side) send(at int, number uint32, every int, is *speech, x *secure) {
	turn, n := int(number)%every, len(s.due[at])
	for calls := range slices.Chunk(s.due[at][turn*n/every:(turn+1)*n/every], batch.Size) {
		now := batch.Clock(unix.CLOCK_REALTIME)
		for i, call := range calls {
			p := s.Packet(i)[:rtp.Size]
			rtp.Write(p, uint32(call), s.number, number, now)
			if is != nil {
				p = is.write(p, call, s.number, number, now)
			}
			s.Put(i, x.write(p, s.number), s.to[call])
		}
		sent, _ := s.Send(len(calls))
		s.unsent += int64(len(calls) - sent)
	}
}

// read reads the packets that have arrived at both sides.
func (l *load) read() {
	for _, s := range l.side {
		s.Read(func(p []byte, from netip.AddrPort, came int64) { l.take(s, p, from, came) })
	}
}

// take counts a packet that belongs to the measurement.
func (l *load) take(s *side, p []byte, from netip.AddrPort, came int64) {
	p = l.secure.read(p, from, s.number)
	call, number, written, ours := rtp.Read(p)
	transcoded := l.speech.has(from, s.number)
	if transcoded {
		call, number, written, ours = l.speech.read(p, from, s.number)
	}
	if !ours || number < l.first || number >= l.last {
		return
	}
	s.count++
	if int(call) < len(s.last) {
		s.came(int(call), came)
		s.heard[call] = came
	}
	if transcoded && l.speech.plain > 0 {
		return
	}
	µs := (came - written) / 1000
	s.delays[min(max(µs, 0), maxDelay-1)]++
	s.judged++
}

// came records that a packet of a call came, or that the measurement has ended.
func (s *side) came(call int, at int64) {
	if last := s.last[call]; last != 0 {
		s.gaps[call] = max(s.gaps[call], at-last)
	}
	s.last[call] = at
}

func (l *load) received() int64 { return l.side[0].count + l.side[1].count }

// delay returns the maximum delay of the given part of the packets in microseconds, 0.5 for half of them. Beside plain
// calls, transcoded ones do not count.
func (l *load) delay(part float64) float64 {
	wanted := int64(part * float64(l.side[0].judged+l.side[1].judged))
	var seen int64
	for µs := range maxDelay {
		seen += int64(l.side[0].delays[µs]) + int64(l.side[1].delays[µs])
		if seen > wanted {
			return float64(µs)
		}
	}
	return maxDelay
}
