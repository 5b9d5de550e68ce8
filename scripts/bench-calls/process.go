package main

import (
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"flowbridge/scripts/internal/process"
)

// cpu is the time that the processes of a system have had, user and system.
func (s *system) cpu() (sum time.Duration, err error) {
	for _, pid := range s.pids {
		p, err := process.StatOf(pid)
		if err != nil {
			return 0, err
		}
		sum += p.CPU
	}
	return sum, nil
}

// switches are the context switches of all threads.
func (s *system) switches() (n int64) {
	for _, pid := range s.pids {
		n += process.Switches(pid)
	}
	return n
}

// memory is resident memory of the processes in bytes: all of it, and with what
// they share counted once (PSS).
func (s *system) memory() (rss, pss int64, err error) {
	for _, pid := range s.pids {
		r, p, err := process.Memory(pid)
		if err != nil {
			return 0, 0, err
		}
		rss, pss = rss+r, pss+p
	}
	return rss, pss, nil
}

// resident is the memory of the processes in MB, what they share for each of them.
func (s *system) resident() float64 {
	sum := int64(0)
	for _, pid := range s.pids {
		sum += process.Resident(pid)
	}
	return float64(sum) / (1 << 20)
}

// descriptors are the files that the processes have open.
func (s *system) descriptors() (n int) {
	for _, pid := range s.pids {
		n += process.Descriptors(pid)
	}
	return n
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
