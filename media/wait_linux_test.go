package media

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A worker whose thread waits in the kernel does not keep the runtime from
// stopping it, and does not cost other goroutines a processor.
func TestWaitingWorkerIsNoBurden(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	e := openEngine(t, func(c *Config) { c.Workers = 2 })
	if got := runtime.GOMAXPROCS(0); got != before+2 {
		t.Errorf("%d processors with two workers; want %d", got, before+2)
	}
	s := newSession(t, e, SessionConfig{})
	done := make(chan struct{})
	go func() {
		for range 5 {
			runtime.GC()
		}
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Error("a garbage collection waits for a worker that waits")
	}
	s.Close()
	must(t, e.Close())
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("%d processors afterwards; want %d", got, before)
	}
}

// A worker that has closed its last session and rests takes the next one.
func TestWorkerRestsBetweenSessions(t *testing.T) {
	e := openEngine(t, nil)
	a, b := newClient(t, "127.0.0.1:0"), newClient(t, "127.0.0.1:0")
	for seq := range uint16(3) {
		s := newSession(t, e, SessionConfig{})
		s.SetPeer(SideA, Peer{RTP: a.addr})
		s.SetPeer(SideB, Peer{RTP: b.addr})
		s.Start()
		pkt := rtpPacket(t, 0, seq, "x")
		a.send(s.Local(SideA), pkt)
		b.expect(s.Local(SideB), pkt)
		s.Close()
	}
}

// If the runtime must not interrupt a worker, the waiting worker releases its
// processor.
func TestWorkerThatIsNotInterrupted(t *testing.T) {
	t.Setenv("GODEBUG", "asyncpreemptoff=1")
	before := runtime.GOMAXPROCS(0)
	br := newBridge(t, openEngine(t, nil))
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("%d processors; want %d", got, before)
	}
	for seq := range uint16(20) {
		br.carries(rtpPacket(t, 0, seq, "x"))
	}
}

// A worker's thread gets a higher priority than the others, as far as the
// process is allowed to set one. When the worker ends, the thread ends, too.
func TestWorkerGoesFirst(t *testing.T) {
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NICE, &limit))
	allowed := unix.Geteuid() == 0 || limit.Cur >= 20-workerNice
	before := first(t) // threads of earlier tests, which may still be ending
	e := openEngine(t, nil)
	if err := newSession(t, e, SessionConfig{}).worker.do(command{op: opSync}); err != nil { // the worker runs
		t.Fatal(err)
	}
	own := added(before, first(t))
	if allowed && len(own) != 1 {
		t.Errorf("threads %v go first; want the worker's", own)
	}
	must(t, e.Close())
	main := strconv.Itoa(os.Getpid())
	await(t, "the worker's thread ends", func() bool {
		for _, id := range added(before, first(t)) {
			if id != main { // the runtime parks the main thread for good instead of ending it
				return false
			}
		}
		return true
	})
}

// first returns the threads of the process that have a worker's nice value.
func first(t *testing.T) (ids []string) {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	must(t, err)
	for _, task := range tasks {
		stat, err := os.ReadFile("/proc/self/task/" + task.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		_, fields, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(fields); len(f) > 16 && f[16] == strconv.Itoa(workerNice) {
			ids = append(ids, task.Name())
		}
	}
	return ids
}

// added returns the threads of now that are not in before.
func added(before, now []string) []string {
	return slices.DeleteFunc(now, func(id string) bool { return slices.Contains(before, id) })
}
