package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/process"
)

// underLoad is how long calls come and go before their owner dies.
const underLoad = 10 * time.Second

// machine has the owner's machine die while calls are held.
func (t *takeover) machine(l *lab) error { return l.afterDeath(0) }

// load has it die while calls of all phases come and go.
func (t *takeover) load(l *lab) error { return l.afterDeath(underLoad) }

// afterDeath has the first node die, after so long under load, and judges what another one makes of it.
func (l *lab) afterDeath(load time.Duration) error {
	stop, err := l.begin(load)
	if err != nil {
		return err
	}
	if load == 0 {
		stop()
	}
	begin := time.Now()
	err = l.nodes[0].die()
	death := time.Since(l.begun)
	if err == nil {
		err = l.nodes[1].take(l.nodes[0])
	}
	l.figure("serving again after the death", "%d ms", time.Since(begin).Milliseconds())
	if err == nil {
		err = l.pause(max(load, warmUp))
	}
	if load > 0 {
		stop()
	}
	if err == nil {
		l.judge(death, 3000)
	}
	return err
}

// judge notes all that there is to know of calls whose owner was lost at a moment, if it was, and ends them.
func (l *lab) judge(death time.Duration, gap float64) {
	l.noteGaps(gap)
	l.noteUnanswered(death)
	l.noteHeld()
	l.noteEnd()
}

// cutOff has the owner cut off from all others for a time, while its process lives, and then come back.
func (l *lab) cutOff(away time.Duration, keepsAddress bool) error {
	stop, err := l.begin(warmUp)
	if err != nil {
		return err
	}
	begin := time.Now()
	_, err = l.do("link", "a", "down")
	death := time.Since(l.begun)
	if err == nil {
		err = l.nodes[1].take(l.nodes[0])
	}
	if err != nil {
		return err
	}
	l.figure("serving again after the cut", "%d ms", time.Since(begin).Milliseconds())
	note, err := l.listen("a")
	if err == nil {
		err = l.pause(away - time.Since(begin))
	}
	if err == nil && !keepsAddress {
		err = l.move("drop", "a")
	}
	if err == nil {
		_, err = l.do("link", "a", "up")
	}
	if err == nil {
		err = l.pause(15 * time.Second)
	}
	if stop(); err != nil {
		return err
	}
	l.judge(death, 3000)
	note()
	l.figure("the former owner says", "%v", l.nodes[0].server.Admin.Ready())
	return nil
}

// stopped has the owner's process stand still, and then have little of the processors. Either no other one takes the
// seat, or one does and the owner falls silent.
func (t *takeover) stopped(l *lab) error {
	stop, err := l.begin(warmUp)
	if err != nil {
		return err
	}
	note := func() {}
	owner := l.nodes[0].server
	err = syscall.Kill(owner.PID, syscall.SIGSTOP)
	_ = l.pause(3 * time.Second)
	taken := l.nodes[1].server.Admin.Ready() == nil
	if taken {
		note, err = l.listen("a")
	}
	err = errors.Join(err, syscall.Kill(owner.PID, syscall.SIGCONT), l.pause(5*time.Second))
	note()
	l.figure("the seat was taken while its owner stood still", "%v", taken)
	l.noteGaps(6000)
	var busy []*process.Child
	for range 20 {
		c, err := process.Start(namespace.Here, os.DevNull, exec.Command("sh", "-c", "while :; do :; done")) //nolint:noctx
		if err != nil {
			return err
		}
		busy = append(busy, c)
	}
	err = errors.Join(err, l.pause(15*time.Second))
	for _, c := range busy {
		c.Kill()
	}
	err = errors.Join(err, l.pause(warmUp))
	stop()
	l.figure("the owner after 20 busy processes", "%s", l.owner())
	l.judge(0, 3000)
	return err
}

// large has a seat of many calls, of which few have RTP, go from the first node to the second and on to the third.
func (t *takeover) large(l *lab) error {
	stop, err := l.begin(0)
	if err != nil {
		return err
	}
	stop()
	death := time.Since(l.begun)
	for i, n := range l.nodes[1:] {
		begin := time.Now()
		if err = l.nodes[i].die(); err == nil {
			err = n.take(l.nodes[i])
		}
		if err != nil {
			return err
		}
		l.atMost(fmt.Sprintf("node %s serves after the death of %s", n.name, l.nodes[i].name), 3000,
			float64(time.Since(begin).Milliseconds()))
		if err = l.pause(warmUp); err != nil {
			return err
		}
	}
	l.judge(death, 3000)
	return nil
}

// move gives the seat from node to node under load, each time to one that the next update does not stop.
func (t *takeover) move(l *lab) error {
	stop, err := l.begin(warmUp)
	if err != nil {
		return err
	}
	for i, n := range l.nodes {
		next := l.nodes[(i+1)%len(l.nodes)]
		began := time.Now()
		out, err := n.seat("move", "east", "--to", next.name, "--", l.script, "east", next.name)
		if err == nil {
			err = next.server.Ready(10 * time.Second)
		}
		if err != nil {
			return fmt.Errorf("move from %s to %s: %w: %s", n.name, next.name, err, out)
		}
		l.figure(fmt.Sprintf("moved from %s to %s, and served there, after", n.name, next.name), "%d ms",
			time.Since(began).Milliseconds())
		_ = l.pause(warmUp)
		l.noteGaps(300)
		n.server.Stop()
		if err = n.server.Launch(); err == nil {
			err = l.pause(warmUp)
		}
		if err != nil {
			return err
		}
	}
	stop()
	l.judge(0, 300)
	return nil
}

// caps has the owner die while there are fewer calls than a cap allows.
func (t *takeover) caps(l *lab) error {
	err := l.afterDeath(underLoad)
	l.is("calls refused with 503 below the cap", 0, l.carrier.count(refusedBy503))
	return err
}

// refusedBy503 says whether a call was refused that agents would have taken.
func refusedBy503(g *leg) bool {
	return g.kind != cancelled && g.kind != busy && g.kind != unheeded && g.saw("503 ")
}
