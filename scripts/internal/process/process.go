// Package process starts and ends the processes under load, and reads their time and memory.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// hertz is the unit of times in /proc: USER_HZ, which is 100 on all our machines.
const hertz = 100

// Stat is a process's parent, and the CPU time that it has used: user and system.
type Stat struct {
	Parent int
	CPU    time.Duration
}

// StatOf reads a process's stat line, see proc_pid_stat(5).
func StatOf(pid int) (Stat, error) {
	b, err := os.ReadFile(file(pid, "stat"))
	if err != nil {
		return Stat{}, err
	}
	return parseStat(b)
}

func file(pid int, name string) string { return filepath.Join("/proc", strconv.Itoa(pid), name) }

func parseStat(b []byte) (s Stat, err error) {
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // the name may contain anything
	if len(fields) < 13 {
		return s, fmt.Errorf("a stat of %d fields", len(fields))
	}
	parent, err1 := strconv.Atoi(fields[1])
	user, err2 := strconv.ParseInt(fields[11], 10, 64)
	system, err3 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil {
		return s, fmt.Errorf("a stat without numbers: %q", b)
	}
	return Stat{parent, time.Duration(user+system) * time.Second / hertz}, nil
}

// Children returns the running child processes of a process.
func Children(parent int) (pids []int, err error) {
	all, err := filepath.Glob("/proc/[0-9]*")
	for _, name := range all {
		pid, _ := strconv.Atoi(filepath.Base(name))
		if s, err := StatOf(pid); err == nil && s.Parent == parent { // otherwise it has ended since
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// Group is a group of processes that are measured together: those of a system. All figures of an empty group
// are 0.
type Group []int

// CPU returns the time that the processes have used, user and system.
func (g Group) CPU() (sum time.Duration, err error) {
	for _, pid := range g {
		s, err := StatOf(pid)
		if err != nil {
			return 0, err
		}
		sum += s.CPU
	}
	return sum, nil
}

// Memory returns resident memory in bytes: in total, and counting shared memory proportionally (PSS).
func (g Group) Memory() (rss, pss int64, err error) {
	for _, pid := range g {
		b, err := os.ReadFile(file(pid, "smaps_rollup"))
		if err != nil {
			return 0, 0, err
		}
		all, err1 := figure(string(b), "Rss")
		share, err2 := figure(string(b), "Pss")
		if err := errors.Join(err1, err2); err != nil {
			return 0, 0, err
		}
		rss, pss = rss+all*1024, pss+share*1024
	}
	return rss, pss, nil
}

// Resident returns resident memory in MB, counting shared memory for each process. It is faster than Memory.
func (g Group) Resident() (mb float64) {
	for _, pid := range g {
		b, _ := os.ReadFile(file(pid, "statm"))
		if fields := strings.Fields(string(b)); len(fields) > 1 {
			pages, _ := strconv.Atoi(fields[1])
			mb += float64(pages*os.Getpagesize()) / (1 << 20)
		}
	}
	return mb
}

// Switches returns the context switches of all threads, voluntary and forced.
func (g Group) Switches() (n int64) {
	for _, pid := range g {
		threads, _ := filepath.Glob(file(pid, "task/*/status"))
		for _, name := range threads {
			b, _ := os.ReadFile(name) // a thread may have ended since
			for _, name := range []string{"voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"} {
				v, _ := figure(string(b), name)
				n += v
			}
		}
	}
	return n
}

// Descriptors returns how many files the processes have open.
func (g Group) Descriptors() (n int) {
	for _, pid := range g {
		all, _ := os.ReadDir(file(pid, "fd"))
		n += len(all)
	}
	return n
}

// Maps returns the memory of the BPF maps for which the processes have descriptors, in bytes.
func (g Group) Maps() (n int64) {
	seen := make(map[int64]bool)
	for _, pid := range g {
		all, _ := filepath.Glob(file(pid, "fdinfo/*"))
		for _, name := range all {
			b, _ := os.ReadFile(name) // it may have been closed since
			id, err := figure(string(b), "map_id")
			if size, _ := figure(string(b), "memlock"); err == nil && !seen[id] {
				n, seen[id] = n+size, true
			}
		}
	}
	return n
}

// figure returns the number after a name, in lines such as "Rss:   10 kB".
func figure(text, name string) (int64, error) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == name+":" {
			return strconv.ParseInt(f[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("there is no %s", name)
}

// Tail returns the end of a process's output file, for an error.
func Tail(file string) string {
	b, _ := os.ReadFile(file)
	return fmt.Sprintf("%s: %s", filepath.Base(file), b[max(0, len(b)-500):])
}
