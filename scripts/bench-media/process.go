package main

import (
	"os"
	"syscall"
	"time"

	"flowbridge/scripts/internal/process"
)

// usage is the CPU time used so far.
type usage struct{ relay, generator, kernel time.Duration }

func (u usage) since(before usage) usage {
	return usage{u.relay - before.relay, u.generator - before.generator, u.kernel - before.kernel}
}

func (u usage) plus(v usage) usage {
	return usage{u.relay + v.relay, u.generator + v.generator, u.kernel + v.kernel}
}

// usageOf reads the CPU time of a relay, of this process and of the kernel's threads. The kernel's work for packets on
// loopback counts as the sender's.
func usageOf(relay process.Group) (u usage, err error) {
	var own syscall.Rusage
	if err = syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return u, os.NewSyscallError("getrusage", err)
	}
	u.generator = time.Duration(own.Utime.Nano() + own.Stime.Nano())
	if u.relay, err = relay.CPU(); err != nil {
		return u, err
	}
	threads, err := process.Children(kthreadd)
	for _, thread := range threads {
		if s, err := process.StatOf(thread); err == nil { // otherwise it has ended since
			u.kernel += s.CPU
		}
	}
	return u, err
}

const kthreadd = 2 // the parent of the kernel's threads
