package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"
)

// settleAfter is how long a fleet has to recover after each fault.
const settleAfter = 8 * time.Second

// fleetFault is something that happens to the owner of the seat. next is a standby node.
type fleetFault struct {
	name string
	do   func(l *lab, owner, next *node)
}

var fleetFaults = []fleetFault{
	{"its machine dies, and is back later", func(l *lab, owner, next *node) {
		owner.server.Kill()
		l.do("link", owner.name, "down")
		l.do("add", next.name)
		l.step(func() error { return next.server.Ready(30 * time.Second) })
		l.do("drop", owner.name)
		l.do("link", owner.name, "up")
		l.step(owner.server.Launch)
	}},
	{"its process is killed", func(l *lab, owner, _ *node) {
		owner.server.Kill()
		l.step(owner.server.Launch)
	}},
	{"it is cut off", func(l *lab, owner, next *node) {
		l.do("link", owner.name, "down")
		l.do("add", next.name)
		l.step(func() error { return next.server.Ready(30 * time.Second) })
		l.do("link", owner.name, "up")
	}},
	{"its link flaps", func(l *lab, owner, _ *node) {
		l.do("link", owner.name, "down")
		l.wait(300 * time.Millisecond)
		l.do("link", owner.name, "up")
	}},
	{"its seat is moved", func(l *lab, owner, next *node) {
		l.do("move", owner.name, next.name, l.binary, owner.server.Config())
	}},
	{"its process stands still", func(l *lab, owner, _ *node) {
		l.step(func() error { return syscall.Kill(owner.server.PID, syscall.SIGSTOP) })
		l.wait(time.Second)
		l.step(func() error { return syscall.Kill(owner.server.PID, syscall.SIGCONT) })
	}},
	{"it stands still, and is cut off meanwhile", func(l *lab, owner, next *node) { // as an overloaded machine is
		l.step(func() error { return syscall.Kill(owner.server.PID, syscall.SIGSTOP) })
		l.wait(300 * time.Millisecond)
		l.do("link", owner.name, "down")
		l.step(func() error { return syscall.Kill(owner.server.PID, syscall.SIGCONT) }) // it answers INVITEs, in vain
		l.do("add", next.name)
		l.step(func() error { return next.server.Ready(30 * time.Second) })
		l.wait(2500 * time.Millisecond) // the callers repeat them
		l.do("link", owner.name, "up")
	}},
	{"the database is away", func(l *lab, _, _ *node) {
		l.do("db", "stop", "db")
		l.wait(5 * time.Second)
		l.do("db", "start", "db")
	}},
}

var errNoOwner = errors.New("no node serves")

// owner returns the node that serves, and another one.
func (l *lab) owner() (owner, next *node) {
	l.step(func() error {
		for i, n := range l.nodes {
			if n.server.Ready(time.Second) == nil {
				owner, next = n, l.nodes[(i+1+rand.IntN(2))%3]
				return nil
			}
		}
		return errNoOwner
	})
	return owner, next
}

// faults makes one fault after the other happen for a while, first each in turn and then at random. Calls must
// continue, whichever node owns the seat.
func (l *lab) faults() {
	stop := l.begin(0)
	for i, end := 0, time.Now().Add(l.lasting); time.Now().Before(end) && l.err == nil; i++ {
		f := fleetFaults[rand.IntN(len(fleetFaults))]
		if i < len(fleetFaults) {
			f = fleetFaults[i]
		}
		owner, next := l.owner()
		if l.err != nil {
			break
		}
		at := time.Since(l.begun)
		f.do(l, owner, next)
		l.wait(settleAfter)
		fmt.Fprintf(l.takeover.out, "  %s: %s\n", owner.name, f.name)
		l.noteGaps(0)
		l.noteUnanswered(at)
	}
	stop()
	l.judge(0, 0)
}
