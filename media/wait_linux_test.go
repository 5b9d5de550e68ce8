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

// A worker that waits with its thread does not keep the runtime from stopping
// it, and does not cost others a processor.
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

// A worker that has let its last session go, and rests, takes the next one.
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

// Where the runtime must not interrupt a worker, that lets go of its processor.
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

// A worker's thread goes before the others, as far as the process may have that,
// and takes that along when it ends.
func TestWorkerGoesFirst(t *testing.T) {
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NICE, &limit))
	allowed := unix.Geteuid() == 0 || limit.Cur >= 20-workerNice
	before := first(t) // of earlier tests, whose threads may be ending
	e := openEngine(t, nil)
	if err := newSession(t, e, SessionConfig{}).worker.do(command{op: opSync}); err != nil { // it runs
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
			if id != main { // the runtime parks the main thread for good where another would end
				return false
			}
		}
		return true
	})
}

// first are the threads of the process that have a worker's nice value.
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

// added are the threads of now that were not there before.
func added(before, now []string) []string {
	return slices.DeleteFunc(now, func(id string) bool { return slices.Contains(before, id) })
}
