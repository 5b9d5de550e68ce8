package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"flowbridge/scripts/internal/process"
)

// supervisor starts Flowbridge, and restarts it as soon as it ends, like systemd with Restart=always. It follows an
// upgrade to the new process.
type supervisor struct {
	w      *world
	cgroup string // directory of its memory cgroup; may be empty
	done   chan struct{}

	mu      sync.Mutex
	pid     int
	since   time.Time
	closing bool
	excused int // greater than 0 while a process may end
	ends    []ending
}

// ending is the end of a process.
type ending struct {
	at, lived time.Duration
	how       string
	excused   bool
}

func newSupervisor(w *world) (*supervisor, error) {
	s := &supervisor{w: w, done: make(chan struct{})}
	dir := "/sys/fs/cgroup/memory/chaos-" + filepath.Base(w.dir)
	if os.Mkdir(dir, 0o755) == nil { //nolint:gosec // as for all cgroups
		s.cgroup = dir
		w.closers = append(w.closers, func() { _ = os.Remove(dir) })
	}
	c, err := s.start()
	if err != nil {
		return nil, err
	}
	go s.run(c)
	return s, nil
}

func (s *supervisor) start() (*exec.Cmd, error) {
	log, err := os.OpenFile(s.w.server.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := s.w.server.Command(s.w.server.Serve...)
	c.Stderr = log
	if err := s.w.net.Relay.Do(c.Start); err != nil {
		return nil, err
	}
	if s.cgroup != "" {
		_ = os.WriteFile(filepath.Join(s.cgroup, "cgroup.procs"), []byte(strconv.Itoa(c.Process.Pid)), 0)
	}
	s.began(c.Process.Pid)
	return c, nil
}

// began records the process that serves from now on.
func (s *supervisor) began(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pid, s.since = pid, time.Now()
}

func (s *supervisor) run(c *exec.Cmd) {
	defer close(s.done)
	for {
		_ = c.Wait()
		s.ended(c.ProcessState.Sys().(syscall.WaitStatus))
		for well := c.ProcessState.Success(); ; {
			next := s.successor(well)
			if next == 0 {
				break
			}
			s.began(next)
			status := await(next)
			s.ended(status)
			well = status.Exited() && status.ExitStatus() == 0
		}
		for {
			s.mu.Lock()
			closing := s.closing
			s.mu.Unlock()
			if closing {
				return
			}
			var err error
			if c, err = s.start(); err == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// await waits for the end of a process that others started.
func await(pid int) (status syscall.WaitStatus) {
	for {
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != syscall.EINTR {
			return status
		}
	}
}

// ended records how the process ended.
func (s *supervisor) ended(status syscall.WaitStatus) {
	s.mu.Lock()
	e := ending{at: time.Since(s.w.begun), lived: time.Since(s.since), excused: s.excused > 0 || s.closing}
	if status.Signaled() {
		e.how = status.Signal().String()
		e.excused = e.excused || status.Signal() == syscall.SIGKILL // by us, or by the kernel for lack of memory
	} else {
		e.how = fmt.Sprintf("exit %d", status.ExitStatus())
	}
	s.ends = append(s.ends, e)
	s.mu.Unlock()
	if status.ExitStatus() > 0 {
		time.Sleep(100 * time.Millisecond) // RestartSec
	}
}

// successor returns the process that an upgrade started, if the old process ended well. Otherwise it returns 0.
func (s *supervisor) successor(well bool) int {
	others := s.processes()
	if well && len(others) > 0 {
		return others[len(others)-1]
	}
	for _, pid := range others { // as systemd ends leftover processes
		_ = syscall.Kill(pid, syscall.SIGKILL)
		_ = await(pid)
	}
	return 0
}

// processes returns the serving processes, by number.
func (s *supervisor) processes() (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	want := []byte(strings.Join(s.w.server.Serve[1:], "\x00") + "\x00")
	for _, file := range all {
		b, _ := os.ReadFile(file)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if p, err := process.StatOf(pid); bytes.Contains(b, want) && err == nil && p.Parent >= 0 {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// current returns the process that serves.
func (s *supervisor) current() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pid
}

func (s *supervisor) signal(sig syscall.Signal) { _ = syscall.Kill(s.current(), sig) }

// excuse says that the process may end, until it is called with −1.
func (s *supervisor) excuse(by int) {
	s.mu.Lock()
	s.excused += by
	s.mu.Unlock()
}

func (s *supervisor) close() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.signal(syscall.SIGTERM)
	again := time.AfterFunc(2*time.Second, func() { s.signal(syscall.SIGTERM) })
	last := time.AfterFunc(10*time.Second, func() { s.signal(syscall.SIGKILL) })
	<-s.done
	again.Stop()
	last.Stop()
}

// kills counts the ends of processes, and lists those without an excuse.
func (s *supervisor) kills() (n int, strange []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.ends {
		if !e.excused {
			strange = append(strange, fmt.Sprintf("after %.1f s, %.1f s after its start: %s",
				e.at.Seconds(), e.lived.Seconds(), e.how))
		}
	}
	return len(s.ends), strange
}

// cgroupFile returns a file of the memory cgroup.
func (s *supervisor) cgroupFile(name string) string { return filepath.Join(s.cgroup, "memory."+name) }

func (s *supervisor) readCgroup(name string) int64 {
	b, _ := os.ReadFile(s.cgroupFile(name))
	n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return n
}

func (s *supervisor) writeCgroup(name string, n int64) error {
	return os.WriteFile(s.cgroupFile(name), []byte(strconv.FormatInt(n, 10)), 0)
}
