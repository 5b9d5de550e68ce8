package main

import (
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/batch"
	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/sip"
)

// tick is how often the load checks for datagrams, timers and calls to start.
const tick = 500 * time.Microsecond

// largest is more than the length of any message, in bytes.
const largest = 4096

// load plays the carrier and the agent of all calls, in one thread.
type load struct {
	carrier *carrier
	agent   *agent
	ports   []*batch.Port      // ports of the agent, then those of the carrier
	begun   int64              // start by the monotonic clock, ns
	wall    int64              // start by the wall clock
	timers  map[int64][]func() // by tick
	fired   int64              // the last tick whose timers have been called

	cpu  time.Duration   // CPU time used by the thread
	late []time.Duration // how long requests waited until the agent read them
}

// step is a part of a load: calls at a rate, for a time.
type step struct {
	rate  float64 // calls a second; may be 0
	lasts time.Duration
}

// plan describes a load. Its calls start on schedule, whatever happened to earlier ones.
type plan struct {
	sut   netip.AddrPort
	media []string // the system's addresses for audio
	bare  bool     // the system does not prepare calls
	hold  time.Duration
	long  time.Duration // hold time of the long calls
	share float64       // share of long calls, 0 to 1
	steps []step
	watch func(at time.Duration, c *carrier) (hangUp bool) // called every 100 ms in the load's thread; may be nil
}

// run carries out a plan with a system, and returns when no call is left.
func (b *bench) run(s *system, p plan) (*load, error) {
	l := &load{timers: map[int64][]func(){}}
	defer l.close()
	for _, at := range append([]netip.AddrPort{b.at.agent}, s.carriers...) {
		port, err := batch.Listen(namespace.Here, at, largest)
		if err != nil {
			return nil, err
		}
		l.ports = append(l.ports, port)
	}
	p.sut, p.media, p.bare = s.sut, s.media, s.bare
	l.agent, l.carrier = newAgent(l, l.ports[0], p), newCarrier(l, l.ports[1:], p)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	batch.Punctual()
	before, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid()) // the system call returns 20 minus the nice value
	if err == nil && unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), outside) == nil {
		defer func() { _ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 20-before) }()
	}
	used := batch.Clock(unix.CLOCK_THREAD_CPUTIME_ID)
	l.loop(p)
	l.cpu = time.Duration(batch.Clock(unix.CLOCK_THREAD_CPUTIME_ID) - used)
	return l, nil
}

func (l *load) close() {
	for _, p := range l.ports {
		p.Close()
	}
}

// outside is the nice value of everything outside the measured system, because in production that runs on other
// processors. Flowbridge's threads that relay have −10. Without the right to change the nice value, it stays as it
// is.
const outside = -15

// farewell is how long the agent waits for the last BYE once the carrier has no calls left.
const farewell = 2 * time.Second

// repeats returns how many repeated requests, and how many repeated 200s of INVITEs, were sent or received.
func (l *load) repeats() (requests, answers int) {
	for _, e := range append(l.carrier.ends, l.agent.End) {
		requests, answers = requests+e.Repeats, answers+e.Repeats200
	}
	return requests, answers
}

func (l *load) now() time.Duration { return time.Duration(batch.Clock(unix.CLOCK_MONOTONIC) - l.begun) }

func (l *load) loop(p plan) {
	l.begun, l.wall = batch.Clock(unix.CLOCK_MONOTONIC), batch.Clock(unix.CLOCK_REALTIME)
	c, a := l.carrier, l.agent
	var due schedule
	var seen, last time.Duration // time of the last watch, and when there were last calls
	for next := l.begun; ; next = max(next+tick.Nanoseconds(), batch.Clock(unix.CLOCK_MONOTONIC)) {
		batch.SleepUntil(next)
		for i, e := range c.ends {
			l.ports[i+1].Read(func(b []byte, from netip.AddrPort, came int64) {
				c.came = time.Duration(came - l.wall)
				e.Heard(sip.Message(b), from)
			})
		}
		l.ports[0].Read(func(b []byte, from netip.AddrPort, came int64) {
			a.Heard(sip.Message(b), from)
			l.late = append(l.late, l.now()-time.Duration(came-l.wall))
		})
		now := l.now()
		l.fire(now)
		for range due.upTo(p.steps, now) - len(c.calls) {
			c.begin()
		}
		if c.hangUp {
			c.byeAll()
		}
		for _, p := range l.ports {
			p.Flush()
		}
		if p.watch != nil && now >= seen {
			seen = now + 100*time.Millisecond
			c.hangUp = p.watch(now, c) || c.hangUp
		}
		if c.open > 0 || !due.over(p.steps, now) {
			last = now
		} else if a.open == 0 || now > last+farewell {
			return
		}
	}
}

// schedule counts the calls that are due.
type schedule struct {
	before  int           // calls of the finished steps
	began   time.Duration // start of the current step
	current int
}

// upTo returns how many calls should have started by now.
func (s *schedule) upTo(steps []step, now time.Duration) int {
	for s.current < len(steps) {
		this := steps[s.current]
		if now < s.began+this.lasts {
			return s.before + int(this.rate*(now-s.began).Seconds())
		}
		s.before += int(this.rate * this.lasts.Seconds())
		s.began += this.lasts
		s.current++
	}
	return s.before
}

func (s *schedule) over(steps []step, now time.Duration) bool {
	s.upTo(steps, now)
	return s.current == len(steps)
}

// after calls f in the load's thread, in the first tick after d.
func (l *load) after(d time.Duration, f func()) {
	at := max(int64((l.now()+d)/tick), l.fired) + 1
	l.timers[at] = append(l.timers[at], f)
}

// fire calls the due timers.
func (l *load) fire(now time.Duration) {
	for l.fired < int64(now/tick) {
		l.fired++
		for _, f := range l.timers[l.fired] {
			f()
		}
		delete(l.timers, l.fired)
	}
}
