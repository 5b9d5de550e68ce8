package main

import (
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/batch"
	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/rtp"
)

const (
	tick  = time.Millisecond // each call has a fixed tick within an interval
	ticks = int(rtp.Interval / tick)
)

// audio sends and counts the RTP of the held calls, from one socket on each side: 0 is the carrier's, 1 the targets'.
type audio struct {
	port [2]*batch.Port
	stop chan struct{}
	done chan struct{}

	mu    sync.Mutex
	talks map[uint32]*talk
	due   [ticks][]*talk
	all   []*talk
	worst time.Duration // the longest gap of a call since the last query
	late  time.Duration // the longest delay on our own side since then
}

// talk is the RTP of one call, in both directions.
type talk struct {
	call    uint32
	on      bool
	started bool // both sides know where to send
	halves  [2]half
}

// half is one direction of a talk: the packets that one side sends and the packets that have come to it.
type half struct {
	to   netip.AddrPort
	sent uint32
	came uint32
	last int64         // when the last packet came, by the monotonic clock; 0 if none has come
	gap  time.Duration // the longest gap since the last query
}

// newAudio opens the socket of each side, in its namespace and at its address.
func newAudio(in [2]namespace.Namespace, at [2]netip.Addr) (*audio, error) {
	a := &audio{talks: map[uint32]*talk{}, stop: make(chan struct{}), done: make(chan struct{})}
	for i, ns := range in {
		var err error
		if a.port[i], err = batch.Listen(ns, netip.AddrPortFrom(at[i], 0), rtp.Room); err != nil {
			return nil, err
		}
	}
	go a.run()
	return a, nil
}

func (a *audio) close() {
	close(a.stop)
	<-a.done
	a.port[0].Close()
	a.port[1].Close()
}

// stream is a leg's side of a talk.
type stream struct {
	a    *audio
	t    *talk
	side int
}

// stream returns the audio of a call's leg.
func (a *audio) stream(call uint32, side int) *stream {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.talks[call]
	if t == nil {
		t = &talk{call: call}
		a.talks[call] = t
		a.all = append(a.all, t)
		a.due[call%uint32(ticks)] = append(a.due[call%uint32(ticks)], t)
	}
	t.halves[side] = half{}
	return &stream{a, t, side}
}

// aim sets where the packets of a side go.
func (s *stream) aim(to netip.AddrPort) {
	s.a.mu.Lock()
	defer s.a.mu.Unlock()
	s.t.halves[s.side].to = to
	if s.t.halves[0].to.IsValid() && s.t.halves[1].to.IsValid() && !s.t.started {
		s.t.on, s.t.started = true, true
	}
}

// stop ends the audio of the call.
func (s *stream) stop() {
	s.a.mu.Lock()
	defer s.a.mu.Unlock()
	if !s.t.on {
		return
	}
	s.t.on = false
	now := batch.Clock(unix.CLOCK_MONOTONIC)
	for i := range s.t.halves {
		s.a.came(&s.t.halves[i], now)
	}
	at := s.t.call % uint32(ticks)
	s.a.due[at] = slices.DeleteFunc(s.a.due[at], func(t *talk) bool { return t == s.t })
}

// came records that a packet came, or that the audio has ended.
func (a *audio) came(h *half, now int64) {
	if h.last != 0 {
		gap := time.Duration(now - h.last)
		h.gap, a.worst = max(h.gap, gap), max(a.worst, gap)
	}
	h.last = now
}

// gaps returns the longest gap of each active call, in either direction, since the last query, in ms.
func (a *audio) gaps() (ms []float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := batch.Clock(unix.CLOCK_MONOTONIC)
	for _, t := range a.all {
		longest := time.Duration(0)
		for i := range t.halves {
			h := &t.halves[i]
			longest = max(longest, h.gap)
			if h.last != 0 {
				longest = max(longest, time.Duration(now-h.last))
			}
			h.gap = 0
		}
		if t.on {
			ms = append(ms, float64(longest.Milliseconds()))
		}
	}
	slices.Sort(ms)
	return ms
}

// lull returns the longest gap since the last query, whether finished or not, and how late our own packets were.
func (a *audio) lull() (gap, late time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := batch.Clock(unix.CLOCK_MONOTONIC)
	for _, t := range a.all {
		for _, h := range t.halves {
			if t.on && h.last != 0 {
				a.worst = max(a.worst, time.Duration(now-h.last))
			}
		}
	}
	gap, late, a.worst, a.late = a.worst, a.late, 0, 0
	return gap, late
}

func (a *audio) run() {
	defer close(a.done)
	runtime.LockOSThread()
	batch.Punctual()
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -15) // in production, the ends have other processors
	pace := rtp.NewPace(tick)
	for n := int64(0); ; n++ {
		select {
		case <-a.stop:
			return
		default:
		}
		late := pace.Wait(n)
		a.mu.Lock()
		if late > rtp.Interval {
			a.late = max(a.late, late)
		}
		for side := range a.port {
			a.send(side, a.due[n%int64(ticks)])
			a.read(side)
		}
		a.mu.Unlock()
	}
}

// send sends a packet of each active talk.
func (a *audio) send(side int, due []*talk) {
	for talks := range slices.Chunk(due, batch.Size) {
		n := 0
		for _, t := range talks {
			if h := &t.halves[side]; t.on && h.to.IsValid() {
				p := a.port[side].Packet(n)[:rtp.Size]
				rtp.Write(p, t.call, side, h.sent, 0)
				a.port[side].Put(n, p, h.to)
				h.sent++
				n++
			}
		}
		a.port[side].Send(n)
	}
}

func (a *audio) read(side int) {
	a.port[side].Read(func(p []byte, _ netip.AddrPort, _ int64) {
		call, _, _, ours := rtp.Read(p)
		if t := a.talks[call]; ours && t != nil && t.on {
			t.halves[side].came++
			a.came(&t.halves[side], batch.Clock(unix.CLOCK_MONOTONIC))
		}
	})
}

// lost returns how many packets were sent and never came, and how many were sent.
func (a *audio) lost() (lost, sent int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.all {
		if t.started {
			for side := range t.halves {
				sent += int64(t.halves[side].sent)
				lost += int64(t.halves[side].sent) - int64(t.halves[1-side].came)
			}
		}
	}
	return lost, sent
}

// deaf returns the active calls with a side that has received no packets since the start of listening. It waits for
// as long as that may take on a busy machine.
func (a *audio) deaf(listen time.Duration) (calls []uint32) {
	begun := batch.Clock(unix.CLOCK_MONOTONIC)
	for end := time.Now().Add(listen); ; time.Sleep(50 * time.Millisecond) {
		calls = a.silentSince(begun)
		if len(calls) == 0 || time.Now().After(end) {
			return calls
		}
	}
}

func (a *audio) silentSince(moment int64) (calls []uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.all {
		if t.on && (t.halves[0].last < moment || t.halves[1].last < moment) {
			calls = append(calls, t.call)
		}
	}
	return calls
}
