package media

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"flowbridge/media/packet"
)

const (
	// lateLeast is the shortest wait for a processor that counts, about the time of a packet. A busy machine that keeps
	// up has many shorter ones, which are not heard.
	lateLeast = 20 * time.Millisecond
	// tooLate is how late a packet may be sent on because of us and still be played (quality.Delays).
	tooLate = 200 * time.Millisecond
	// idleLeast is how long a worker waits for events only if no packet is waiting.
	idleLeast = 500 * time.Microsecond
)

// lateness measures how late the worker is for want of a processor. The kernel says how long the thread could have run
// and did not: because other threads ran, or because the cgroup's quota was used up. A process that was stopped, or a
// machine that was suspended, is not counted: it lacks no processor. But its packets were late here, too.
//
// It costs nothing per packet. Asking for each packet when it arrived (SO_TIMESTAMPNS) would cost about a tenth of its
// sendto and receipt (BenchmarkTimestamps).
type lateness struct {
	fd     int           // schedstat of the worker's thread; -1 if it can't be read
	waited time.Duration // how long the thread has waited for a processor so far
	since  time.Duration // packets read now may have been waiting from then on; 0 if the worker keeps up
	text   [64]byte
}

// open starts to measure the calling thread.
func (l *lateness) open() {
	l.fd = -1
	if fd, err := unix.Open("/proc/thread-self/schedstat", unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
		l.fd = fd
		l.waits()
	}
}

func (l *lateness) close() {
	if l.fd >= 0 {
		closeSocket(l.fd)
	}
}

// waits returns how long the thread has waited for a processor since the last call. It is the second figure of the
// file, in nanoseconds.
func (l *lateness) waits() time.Duration {
	if l.fd < 0 {
		return 0
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(l.fd), uintptr(unsafe.Pointer(&l.text[0])),
		uintptr(len(l.text)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	var total time.Duration
	fields := 0
	for _, c := range l.text[:n] {
		if c == ' ' {
			fields++
		} else if fields == 1 && c >= '0' && c <= '9' {
			total = 10*total + time.Duration(c-'0')
		}
	}
	was := l.waited
	l.waited = total
	return total - was
}

// measure finds out whether the worker was late for the events that it has just taken. began is when it began to wait
// for them; it is only needed while packets may be waiting. missed is the time since the events before.
func (w *worker) measure(began, missed time.Duration) {
	l := &w.late
	if missed <= lateLeast {
		if l.since > 0 && w.now-began > idleLeast {
			l.since = 0
		}
		return
	}
	waited := min(l.waits(), missed)
	switch {
	case waited > lateLeast && 2*waited > missed: // else the network paused, and the thread waited a little now and then
		if l.since == 0 {
			l.since = max(w.now-missed, 1)
		}
		w.stood.Add(int64(waited))
		for _, r := range w.relays {
			if r.offloaded.Load() < 2 { // else the kernel relays both directions
				r.ledger.noCPU.Add(int64(waited))
			}
		}
	case missed > stall: // the process was stopped: what came in that time waited here, but not for a processor
		if l.since == 0 {
			l.since = max(w.now-missed, 1)
		}
	case w.now-began > idleLeast:
		l.since = 0
	}
}

// arrived returns when a packet of the endpoint came, as far as the worker's own lateness can be told from the
// network's: when it was due by its timestamp, but not before it may have waited here.
func (w *worker) arrived(ep *endpoint, h packet.Header) time.Duration {
	if w.late.since == 0 {
		return w.now
	}
	at := w.now
	if due, ok := ep.stream.Due(h); ok {
		at = min(max(due, w.late.since), w.now)
	}
	c, held := ep.count.ofRTP(), w.now-at
	c.Held.Add(int64(held))
	late := held > tooLate
	if late {
		c.LateHere.Add(1)
		if !ep.lateHere {
			c.LateHereBursts.Add(1)
		}
	}
	ep.lateHere = late
	return at
}

// overflows counts the packets that the kernel has dropped since the last call because the socket's buffer was full. It
// asks only after a loss.
func (ep *endpoint) overflows() {
	if ep.rtpState == nil || ep.fd == noSocket {
		return
	}
	lost := ep.stream.Lost()
	if lost <= ep.lostBefore {
		return
	}
	ep.lostBefore = lost
	drops := dropsOf(ep.fd)
	if drops > ep.drops {
		ep.count.ofRTP().LostHere.Add(uint64(drops - ep.drops))
	}
	ep.drops = drops // of another socket, if it is less
}

// dropsOf returns how many packets the kernel has dropped because a socket's buffer was full.
func dropsOf(fd int32) uint32 {
	var info [unix.SK_MEMINFO_VARS]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0
	}
	return info[unix.SK_MEMINFO_DROPS]
}

// NoCPU returns how long the worker that waited longest had packets and no processor, since the engine was opened.
func (e *Engine) NoCPU() (longest time.Duration) {
	for _, w := range e.workers {
		longest = max(longest, time.Duration(w.stood.Load()))
	}
	return longest
}
