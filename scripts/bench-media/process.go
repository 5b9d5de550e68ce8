package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// hertz is the unit of times in /proc: USER_HZ, which is 100 on all machines of
// ours.
const hertz = 100

// usage is CPU time that was used so far.
type usage struct{ relay, generator, kernel time.Duration }

func (u usage) since(before usage) usage {
	return usage{u.relay - before.relay, u.generator - before.generator, u.kernel - before.kernel}
}

// usageOf reads the CPU time of a relay (pid 0: none), of ourselves and of the
// kernel's threads. What the kernel does for packets on loopback is counted as
// that of who sends them.
func usageOf(pid int) (u usage, err error) {
	var own syscall.Rusage
	if err = syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return u, os.NewSyscallError("getrusage", err)
	}
	u.generator = time.Duration(own.Utime.Nano() + own.Stime.Nano())
	if pid != 0 {
		s, err := statOf(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil {
			return u, err
		}
		u.relay = s.cpu
	}
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return u, err
	}
	for _, file := range all {
		if s, err := statOf(file); err == nil && s.parent == kthreadd { // else it has ended meanwhile
			u.kernel += s.cpu
		}
	}
	return u, nil
}

const kthreadd = 2 // the parent of the kernel's threads

type stat struct {
	parent int
	cpu    time.Duration
}

// statOf reads a process's line, see proc_pid_stat(5).
func statOf(file string) (stat, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return stat{}, err
	}
	return parseStat(b)
}

func parseStat(b []byte) (s stat, err error) {
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // the name may have anything in it
	if len(fields) < 13 {
		return s, fmt.Errorf("a stat of %d fields", len(fields))
	}
	parent, err1 := strconv.Atoi(fields[1])
	user, err2 := strconv.ParseInt(fields[11], 10, 64)
	system, err3 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil {
		return s, fmt.Errorf("a stat without numbers: %q", b)
	}
	return stat{parent, time.Duration(user+system) * time.Second / hertz}, nil
}

// memoryOf is the memory that a process has for itself, and its share of what it
// has together with others (PSS), in bytes; 0 for pid 0.
func memoryOf(pid int) (int64, error) {
	if pid == 0 {
		return 0, nil
	}
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "Pss:" {
			kb, err := strconv.ParseInt(fields[1], 10, 64)
			return kb * 1024, err
		}
	}
	return 0, fmt.Errorf("no Pss of process %d", pid)
}
