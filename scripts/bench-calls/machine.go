package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// machine describes where the figures were measured.
type machine struct {
	Processor  string `json:"processor"`
	Processors int    `json:"processors"`
	Kernel     string `json:"kernel"`
	Date       string `json:"date"`
	System     string `json:"system_processor"` // the system's only processor; empty if it shares all with the load
}

// thisMachine describes the machine. system is the processor of the system under test, if it has a separate one.
func thisMachine(system string) machine {
	m := machine{Processors: runtime.NumCPU(), Date: time.Now().UTC().Format(time.RFC3339), System: system}
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

// openFiles returns how many files a process may open.
func openFiles() uint64 {
	var now syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now) != nil {
		return 1024
	}
	return now.Max
}

// moreFiles raises the limit of open files, which child processes inherit. Only root may do this.
func moreFiles() {
	const wanted = 1 << 20
	var now syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now) == nil && now.Max < wanted {
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: wanted, Max: wanted})
	}
}

// setCPUs parses the flag -cpus.
func (b *bench) setCPUs(value string) error {
	b.apart = value == "apart"
	if !b.apart && value != "shared" {
		return errors.New("it is shared or apart")
	}
	return nil
}

// setApart leaves the last processor to the system under test. This process, and all children started from now on, get
// the others: startSystem runs the system on its processor with taskset(1).
func (b *bench) setApart() error {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	if all.Count() < 2 {
		return errors.New("-cpus apart needs two processors: one for the system, another one for the load")
	}
	last := 0
	for i := range len(all) * 64 {
		if all.IsSet(i) {
			last = i
		}
	}
	all.Clear(last)
	threads, err := filepath.Glob("/proc/self/task/*") // a new thread inherits the processors of its creator
	for _, name := range threads {
		id, _ := strconv.Atoi(filepath.Base(name))
		if e := unix.SchedSetaffinity(id, &all); e != nil && !errors.Is(e, unix.ESRCH) {
			err = fmt.Errorf("sched_setaffinity of thread %d: %w", id, e)
		}
	}
	b.processor = strconv.Itoa(last)
	return err
}

// alone returns the command that runs line on the system's processor, if it has a separate one.
func (b *bench) alone(line ...string) []string {
	if b.processor == "" {
		return line
	}
	return append([]string{"taskset", "-c", b.processor}, line...)
}

// placement says which processors the system and the load use.
func (b *bench) placement() string {
	if b.processor == "" {
		return "processors: the system and the load share all"
	}
	return "processors: the system has only processor " + b.processor + ", the load has the others"
}
