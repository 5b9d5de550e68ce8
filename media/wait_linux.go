package media

import (
	"os"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A worker with sessions waits in the kernel, at its epoll instance, and keeps one of the runtime's processors. The
// alternatives cost more. If the runtime's poller watches the epoll instance, each packet passes through two instances
// and each wake-up through the scheduler, which costs a tenth of the time for a packet. If the runtime knows that the
// thread blocks, its monitor checks every 20 µs whether to take the processor away.
//
// The process gets one more processor for each worker. The runtime interrupts the wait by a signal when the goroutine
// must stop, for example for a garbage collection, and also every 10 ms. A worker without sessions waits for commands
// like any goroutine. If the runtime must not interrupt (GODEBUG=asyncpreemptoff=1), the worker tells it that the
// thread blocks.
//
// This also makes calls cheaper if the kernel relays their packets. While a processor is kept, the runtime's monitor
// does not fall into its deep sleep, from which each SIP message would wake it. A call then takes 45 system calls and 7
// context switches instead of 59 and 20.
//
// The price: once the number of processors is set, the runtime no longer follows changes of a container's CPU limit.

// wait returns when there are events, when an alarm is due, or when it is time to check for silence.
func (w *worker) wait() {
	if len(w.relays) == 0 {
		w.rest()
		return
	}
	// w.now is from the previous batch. Either the time since then is too short to matter, or there are events.
	left := max(min(w.nextTick, w.alarm)-w.now, 0)
	w.asleep.Store(true)
	if w.pending.Load() { // the command came before asleep was set, so it woke no one
		left = 0
	}
	w.take((left + time.Millisecond - 1) / time.Millisecond)
	w.asleep.Store(false)
}

// rest runs the next command. The wake-up sent with it is consumed when the worker next has a session.
func (w *worker) rest() {
	w.taken = 0
	w.fell.Store(false)
	w.rests.Store(true)
	c := <-w.commands
	w.rests.Store(false)
	w.now = time.Since(w.epoch)
	w.carryOut(c)
}

// interrupts reports whether the runtime may interrupt a goroutine by a signal.
func interrupts() bool { return !strings.Contains(os.Getenv("GODEBUG"), "asyncpreemptoff=1") }

// take waits for events for at most ms milliseconds.
func (w *worker) take(ms time.Duration) {
	if !w.holds {
		n, err := unix.EpollWait(w.epfd, w.events[:], int(ms))
		w.taken = n
		if err != nil {
			w.taken = 0
		}
		return
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(w.epfd), uintptr(unsafe.Pointer(&w.events[0])), batch,
		uintptr(ms), 0, 0)
	w.taken = int(n)
	if errno != 0 { // EINTR; no other error is possible
		w.taken = 0
	}
}

// workerNice is the nice value of a worker's thread. When processors are short, call set-up can wait for a moment, but
// speech can't.
const workerNice = -10

// raisePriority gives the worker its own thread, with a higher scheduling priority than the process's other threads if
// that is allowed (CAP_SYS_NICE, or RLIMIT_NICE).
func raisePriority() {
	runtime.LockOSThread() // never unlocked, so that no other goroutine gets a thread with this priority
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), workerNice)
}
