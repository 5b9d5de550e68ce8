package main

import (
	"fmt"
	"syscall"
	"time"
)

// underLoad is how long calls come and go before their owner dies.
const underLoad = 10 * time.Second

// afterDeath makes the owner's machine die after the given time under load, and judges how another one continues.
func (l *lab) afterDeath(load time.Duration) {
	stop := l.begin(load)
	if load == 0 {
		stop()
	}
	l.die(l.nodes[0])
	death := time.Since(l.begun)
	l.take(l.nodes[1], l.nodes[0])
	l.wait(max(load, warmUp))
	if load > 0 {
		stop()
	}
	l.judge(death, 3000)
}

// cutOff cuts the owner off from all others for a time, while its process lives, and then reconnects it.
func (l *lab) cutOff(away time.Duration, keepsAddress bool) {
	stop, begin := l.begin(0), time.Now()
	l.do("link", "a", "down")
	death := time.Since(l.begun)
	l.take(l.nodes[1], l.nodes[0])
	note := l.listen("a")
	l.wait(away - time.Since(begin))
	if !keepsAddress {
		l.do("drop", "a")
	}
	l.do("link", "a", "up")
	l.wait(15 * time.Second)
	stop()
	l.judge(death, 3000)
	note()
	l.figure("the former owner says", "%v", l.nodes[0].server.Admin.Ready())
}

// stopped freezes the owner's process, and then gives it little processor time. Either no other node takes the seat, or
// another node does and the owner falls silent.
func (l *lab) stopped() {
	stop, note := l.begin(0), func() {}
	owner := l.nodes[0].server
	l.step(func() error { return syscall.Kill(owner.PID, syscall.SIGSTOP) })
	l.wait(3 * time.Second)
	if taken := l.err == nil && l.nodes[1].server.Admin.Ready() == nil; taken {
		note = l.listen("a")
	}
	l.step(func() error { return syscall.Kill(owner.PID, syscall.SIGCONT) })
	l.wait(5 * time.Second)
	note()
	l.noteOwner("who has the seat after its owner stood still for 3 s")
	l.noteGaps(6000)
	l.do("busy", "20", "15")
	l.noteOwner("who has it after 15 s beside 20 busy processes")
	l.wait(warmUp)
	stop()
	l.judge(0, 3000)
}

func (l *lab) noteOwner(what string) {
	if text := l.do("query", "SELECT node || ', epoch ' || epoch FROM flowbridge_seats"); l.err == nil {
		l.figure(what, "%s", text)
	}
}

// large moves a seat with many calls, few of which have RTP, from the first node to the second and on to the third.
func (l *lab) large() {
	stop := l.begin(0)
	stop()
	death := time.Since(l.begun)
	for i, n := range l.nodes[1:] {
		l.die(l.nodes[i])
		l.take(n, l.nodes[i])
		l.wait(warmUp)
	}
	l.judge(death, 3000)
}

// move moves the seat from node to node under load, and then restarts each old owner, as an update does.
func (l *lab) move() {
	stop := l.begin(0)
	for i, n := range l.nodes {
		next, began := l.nodes[(i+1)%len(l.nodes)], time.Now()
		l.do("move", n.name, next.name, l.binary, n.server.Config())
		l.step(func() error { return next.server.Ready(10 * time.Second) })
		if l.err != nil {
			break
		}
		took := time.Since(began).Milliseconds()
		l.figure(fmt.Sprintf("node %s serves in place of %s after", next.name, n.name), "%d ms", took)
		l.wait(warmUp)
		l.noteGaps(300)
		n.server.Stop()
		l.step(n.server.Launch)
		l.wait(warmUp)
	}
	stop()
	l.judge(0, 300)
}

// caps makes the owner die while there are fewer calls than a cap allows.
func (l *lab) caps() {
	l.afterDeath(underLoad)
	if l.err == nil {
		l.is("calls refused with 503 below the cap", 0, l.carrier.count(refusedBy503))
	}
}
