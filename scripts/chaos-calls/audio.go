package main

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/batch"
	"flowbridge/scripts/internal/namespace"
)

const (
	packetSize = 172 // RTP of 20 ms of G.711
	interval   = 20 * time.Millisecond
	tick       = time.Millisecond // each call has its tick in an interval
	ticks      = int(interval / tick)
	batchSize  = 64

	atMagic  = 12 // where the payload has what
	atCall   = atMagic + 8
	atNumber = atCall + 4
	magic    = 0x466c6f776368616f
)

// audio sends and counts the RTP of the held calls, from one socket on each side: 0 the carrier's, 1 the targets'.
type audio struct {
	fd   [2]int
	addr [2]netip.AddrPort
	in   [2]*incoming
	stop chan struct{}
	done chan struct{}

	mu    sync.Mutex
	talks map[uint32]*talk
	due   [ticks][]*talk
	all   []*talk
	worst time.Duration // the longest gap of a call since somebody asked
	late  time.Duration // the longest time that we were late ourselves since then
}

// talk is the RTP of one call, in both directions.
type talk struct {
	call    uint32
	on      bool
	started bool // both sides know where to send
	halves  [2]half
}

// half is what one side sends, and what has come to it.
type half struct {
	packet []byte
	to     netip.AddrPort
	sent   uint32
	came   uint32
	last   int64 // when, by the monotonic clock; 0: nothing has come
	gap    time.Duration
}

func newAudio(spaces [2]namespace.Namespace, at [2]netip.Addr) (*audio, error) {
	a := &audio{talks: map[uint32]*talk{}, stop: make(chan struct{}), done: make(chan struct{})}
	for i, ns := range spaces {
		a.in[i] = newIncoming()
		if err := ns.Do(func() (err error) {
			a.fd[i], a.addr[i], err = batch.Open(netip.AddrPortFrom(at[i], 0))
			return err
		}); err != nil {
			return nil, err
		}
	}
	go a.run()
	return a, nil
}

func (a *audio) close() {
	close(a.stop)
	<-a.done
	_, _ = unix.Close(a.fd[0]), unix.Close(a.fd[1])
}

// stream is the side of a talk that a leg has.
type stream struct {
	a    *audio
	t    *talk
	side int
}

// stream gives a leg of a call its audio.
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
	p := make([]byte, packetSize)
	p[0] = 2 << 6 // RFC 3550 §5.1: version 2, payload type 0
	binary.BigEndian.PutUint32(p[8:], 2*call+uint32(side)+1)
	binary.BigEndian.PutUint64(p[atMagic:], magic)
	binary.BigEndian.PutUint32(p[atCall:], call)
	t.halves[side] = half{packet: p}
	return &stream{a, t, side}
}

// aim says where the packets of a side go.
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
	for i, t := range s.a.due[at] {
		if t == s.t {
			s.a.due[at] = append(s.a.due[at][:i:i], s.a.due[at][i+1:]...)
			break
		}
	}
}

// came notes that a packet came, or that the audio is over.
func (a *audio) came(h *half, now int64) {
	if h.last != 0 {
		h.gap = max(h.gap, time.Duration(now-h.last))
		a.worst = max(a.worst, time.Duration(now-h.last))
	}
	h.last = now
}

// lull is the longest gap since it was last asked, of those that are over and of those that are not, and how late we
// were ourselves.
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
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -15) // in life the ends have processors of their own
	begin := batch.Clock(unix.CLOCK_MONOTONIC)
	var messages [2][]batch.Message
	for n := int64(0); ; n++ {
		select {
		case <-a.stop:
			return
		default:
		}
		due := begin + n*int64(tick)
		if late := batch.Clock(unix.CLOCK_MONOTONIC) - due; late < 0 {
			batch.SleepUntil(due)
		} else if late > int64(interval) { // calls never send faster than that
			begin += late
			a.mu.Lock()
			a.late = max(a.late, time.Duration(late))
			a.mu.Unlock()
		}
		a.mu.Lock()
		messages[0], messages[1] = messages[0][:0], messages[1][:0]
		for _, t := range a.due[n%int64(ticks)] {
			for side := range t.halves {
				if t.on {
					messages[side] = append(messages[side], t.halves[side].next())
				}
			}
		}
		for side, m := range messages {
			if len(m) > 0 {
				batch.Send(a.fd[side], m)
			}
			a.read(side)
		}
		a.mu.Unlock()
	}
}

// next is the next packet of a side.
func (h *half) next() batch.Message {
	binary.BigEndian.PutUint16(h.packet[2:], uint16(h.sent))
	binary.BigEndian.PutUint32(h.packet[4:], h.sent*160)
	binary.BigEndian.PutUint32(h.packet[atNumber:], h.sent)
	h.sent++
	return batch.Outgoing(h.packet, h.to)
}

func (a *audio) read(side int) {
	in := a.in[side]
	for n := batchSize; n == batchSize; {
		n = in.read(a.fd[side])
		now := batch.Clock(unix.CLOCK_MONOTONIC)
		for i := range n {
			p := in.packet[i][:min(int(in.messages[i].Length), packetSize)]
			if len(p) != packetSize || binary.BigEndian.Uint64(p[atMagic:]) != magic {
				continue
			}
			if t := a.talks[binary.BigEndian.Uint32(p[atCall:])]; t != nil && t.on {
				t.halves[side].came++
				a.came(&t.halves[side], now)
			}
		}
	}
}

// lost counts the packets that were sent and never came, and all.
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

// deaf are the calls that are on and to a side of which nothing has come since somebody began to listen, for as long as that may
// take on a machine with much to do.
func (a *audio) deaf(listen time.Duration) (calls []uint32) {
	begun := batch.Clock(unix.CLOCK_MONOTONIC)
	for end := time.Now().Add(listen); ; time.Sleep(50 * time.Millisecond) {
		if calls = a.silentSince(begun); len(calls) == 0 || time.Now().After(end) {
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

// incoming is room for a batch of packets.
type incoming struct {
	messages [batchSize]batch.Message
	packet   [batchSize][packetSize + 4]byte // longer than any of ours
}

func newIncoming() *incoming {
	in := &incoming{}
	for i := range in.messages {
		iov := &unix.Iovec{Base: &in.packet[i][0]}
		iov.SetLen(len(in.packet[i]))
		in.messages[i].Prepare(iov, nil, nil)
	}
	return in
}

func (in *incoming) read(fd int) int { return batch.Receive(fd, in.messages[:]) }
