package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// hertz is the unit of times in /proc: USER_HZ, which is 100 on all machines of
// ours.
const hertz = 100

// cpu is the time that the processes of a system have had, user and system.
func (s *system) cpu() (sum time.Duration, err error) {
	for _, pid := range s.pids {
		f, err := statOf(pid)
		if err != nil {
			return 0, err
		}
		user, err1 := strconv.ParseInt(f[11], 10, 64)
		system, err2 := strconv.ParseInt(f[12], 10, 64)
		if err1 != nil || err2 != nil {
			return 0, fmt.Errorf("a stat without numbers: %q", f)
		}
		sum += time.Duration(user+system) * time.Second / hertz
	}
	return sum, nil
}

// statOf are the fields of a process after its name, see proc_pid_stat(5).
func statOf(pid int) ([]string, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return nil, err
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // the name may have anything in it
	if len(f) < 13 {
		return nil, fmt.Errorf("a stat of %d fields", len(f))
	}
	return f, nil
}

// withChildren are a process and those that it has started.
func withChildren(pid int) ([]int, error) {
	all := []int{pid}
	names, err := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		child, _ := strconv.Atoi(filepath.Base(name))
		if f, err := statOf(child); err == nil && f[1] == strconv.Itoa(pid) { // else it has ended meanwhile
			all = append(all, child)
		}
	}
	return all, err
}

// switches are the context switches of all threads, by themselves and forced.
func (s *system) switches() (n int64) {
	for _, pid := range s.pids {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		for _, file := range threads {
			b, _ := os.ReadFile(file) // a thread may have ended meanwhile
			for line := range strings.Lines(string(b)) {
				if name, value, _ := strings.Cut(line, ":"); strings.HasSuffix(name, "voluntary_ctxt_switches") {
					v, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
					n += v
				}
			}
		}
	}
	return n
}

// memory is resident memory of the processes in KB: all of it, and with what
// they share counted once (PSS).
func (s *system) memory() (rss, pss int64, err error) {
	for _, pid := range s.pids {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"))
		if err != nil {
			return 0, 0, err
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) == 3 && (f[0] == "Rss:" || f[0] == "Pss:") {
				kb, err := strconv.ParseInt(f[1], 10, 64)
				if err != nil {
					return 0, 0, err
				}
				if f[0] == "Rss:" {
					rss += kb
				} else {
					pss += kb
				}
			}
		}
	}
	return rss, pss, nil
}

// descriptors are the files that the processes have open.
func (s *system) descriptors() (n int) {
	for _, pid := range s.pids {
		all, _ := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
		n += len(all)
	}
	return n
}

// resident is the memory of the processes in MB, what they share for each of them.
func (s *system) resident() float64 {
	pages := int64(0)
	for _, pid := range s.pids {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if f := strings.Fields(string(b)); len(f) > 1 {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			pages += n
		}
	}
	return float64(pages) * float64(os.Getpagesize()) / (1 << 20)
}

// machine is what the figures were measured on.
type machine struct {
	Processor  string `json:"processor"`
	Processors int    `json:"processors"`
	Kernel     string `json:"kernel"`
	Date       string `json:"date"`
}

func thisMachine() machine {
	m := machine{Processors: runtime.NumCPU(), Date: time.Now().UTC().Format(time.RFC3339)}
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			m.Processor = strings.TrimSpace(value)
			break
		}
	}
	text, _ = os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = strings.TrimSpace(string(text))
	return m
}

// openFiles is how many files a process may open.
func openFiles() uint64 {
	var now syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now) != nil {
		return 1024
	}
	return now.Max
}

// moreFiles raises the limit of open files, which what is started inherits. Only root may.
func moreFiles() {
	const wanted = 1 << 20
	var now syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now) == nil && now.Max < wanted {
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: wanted, Max: wanted})
	}
}
