package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"flowbridge/scripts/internal/flowbridge"
	"flowbridge/scripts/internal/process"
	"flowbridge/scripts/internal/sip"
)

// runner is one run.
type runner struct {
	*settings
	out    io.Writer
	stop   <-chan os.Signal
	serial int
}

const (
	warmUp   = 3 * time.Second
	settling = 75 * time.Second // for timers of RFC 3261, resting ports, and memory
)

var errStopped = errors.New("stopped by a signal")

func (r *runner) run(steps []step, causes map[string]bool) error {
	fmt.Fprintf(r.out, "seed %d, engine %s, %d steps\n", r.seed, r.engine, len(steps))
	if err := r.build(); err != nil {
		return err
	}
	before, err := r.figures()
	if err != nil {
		return err
	}
	load := r.startLoad()
	err = r.pause(warmUp + time.Duration(r.held)*time.Second/50)
	r.audio.lull()
	for i, s := range steps {
		if err == nil {
			err = r.step(i, s)
		}
	}
	if err == nil {
		err = r.pause(warmUp)
	}
	if err == nil {
		err = process.Until(settling, r.admin.Ready)
	}
	load()
	deaf := r.audio.deaf(10 * time.Second)
	r.finish()
	if errors.Is(err, errStopped) {
		return err
	}
	after := r.settle(before)
	return r.report(err, before, after, deaf, causes)
}

func (r *runner) pause(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-r.stop:
		return errStopped
	}
}

// step makes a fault happen, and prints what it did.
func (r *runner) step(i int, s step) error {
	if err := r.pause(s.pause); err != nil {
		return err
	}
	r.audio.lull()
	at := time.Since(r.begun)
	f, result := faults[s.fault], ""
	undo, err := f.do(&r.world, rand.New(rand.NewPCG(s.seed, 0)))
	if err != nil {
		result = "; " + err.Error()
	} else {
		_ = r.pause(f.lasts)
	}
	if undo != nil {
		undo()
	}
	ready := time.Now()
	if err := process.Until(30*time.Second, r.admin.Ready); err != nil {
		result += "; not ready: " + err.Error()
	}
	_ = r.pause(100 * time.Millisecond)
	r.phones.look(r.admin)
	gap, late := r.audio.lull()
	fmt.Fprintf(r.out, "%3d %7.1f s  %-14s ready after %5d ms, longest gap %5d ms (%d of it ours), pid %d%s\n",
		i+1, at.Seconds(), s.fault, time.Since(ready).Milliseconds()-100, gap.Milliseconds(), late.Milliseconds(),
		r.supervisor.current(), result)
	return nil
}

// startLoad keeps placing calls until it is told to stop.
func (r *runner) startLoad() (stop func()) {
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		begin, placed, opened := time.Now(), 0, 0
		t := time.NewTicker(5 * time.Millisecond)
		defer t.Stop()
		var looked time.Time
		for {
			select {
			case <-over:
				return
			case <-t.C:
			}
			since := time.Since(begin).Seconds()
			for ; placed < int(since*r.rate); placed++ {
				r.place(1 + kind(placed)%(kinds-1))
			}
			for ; opened < min(r.held, int(since*50)); opened++ {
				r.place(held)
			}
			if opened == r.held && time.Since(looked) > time.Second { // replace held calls that ended
				looked = time.Now()
				up := r.carrier.count(func(l *leg) bool { return l.kind == held && l.fate == open })
				for range min(r.held-up, 50) {
					r.place(held)
				}
			}
		}
	}()
	return func() {
		close(over)
		<-done
	}
}

func (r *runner) place(k kind) {
	r.serial++
	r.carrier.Lock()
	r.carrier.place(k, r.serial)
	r.carrier.Unlock()
}

// finish lets the short calls end, and ends the held calls, from both sides.
func (r *runner) finish() {
	if !r.over(func(l *leg) bool { return l.kind != held && l.fate == open }) {
		return
	}
	r.carrier.hangUp(func(l *leg) bool { return l.kind == held && serialOf(l.number)%2 == 0 })
	for _, e := range r.ends() {
		e.hangUp(func(l *leg) bool { return l.kind == held && serialOf(l.number)%2 == 1 })
	}
	r.over(func(l *leg) bool { return l.fate == open })
}

// over waits until no matching legs are left, for as long as that may take. It returns false if the run is stopped.
func (r *runner) over(such func(*leg) bool) bool {
	n := 1
	for end := time.Now().Add(sip.Patience + callHold); time.Now().Before(end) && n > 0; {
		if r.pause(200*time.Millisecond) != nil {
			return false
		}
		n = 0
		for _, e := range r.ends() {
			n += e.count(such)
		}
	}
	return true
}

// settle waits until the process uses no more than before, for as long as that may take.
func (r *runner) settle(before flowbridge.Figures) (after flowbridge.Figures) {
	for end := time.Now().Add(settling); ; {
		after, _ = r.figures()
		calm := true
		for _, i := range judgeProcess(before, after) {
			calm = calm && len(i.broken) == 0
		}
		if calm || time.Now().After(end) || r.pause(500*time.Millisecond) != nil {
			return after
		}
	}
}

// figures returns the metrics, without the sockets and goroutines that pools keep between calls. Pools close sockets
// over minutes.
func (r *runner) figures() (flowbridge.Figures, error) {
	f, err := r.admin.Metrics()
	profile, _ := r.admin.Get("/debug/pprof/goroutine?debug=1")
	f["go_goroutines"] -= float64(idleIn(profile))
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/udp", r.supervisor.current())) // of its network namespace
	if f["flowbridge_rtp_ports_in_use"] == 0 {
		f["process_open_fds"] -= float64(restingIn(string(b)))
	}
	return f, err
}

// idleIn counts the goroutines of a profile that wait in a pool for work: their innermost function of the product is
// the pool's loop.
func idleIn(profile string) (idle int) {
	for stack := range strings.SplitSeq(profile, "\n\n") {
		_, inner, _ := strings.Cut(stack, "\tflowbridge/")
		inner, _, _ = strings.Cut(inner, "+")
		if inner == "b2bua/transport.(*Turns).work" || inner == "internal/coroutine.(*runner).tasks" {
			count, _, _ := strings.Cut(stack, " @ ")
			n, _ := strconv.Atoi(count[strings.LastIndex(count, "\n")+1:])
			idle += n
		}
	}
	return idle
}

// restingIn counts the sockets with ports for RTP in /proc/net/udp.
func restingIn(table string) (n int) {
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		_, hex, _ := strings.Cut(fields[1], ":")
		if port, err := strconv.ParseUint(hex, 16, 16); err == nil && port >= firstPort && port <= lastPort {
			n++
		}
	}
	return n
}

// remember stores the existing records, because the file is about to be lost, and forgets which phones have
// registered.
func (w *world) remember() error {
	all, err := w.admin.Records()
	for _, r := range all {
		w.seen[r.ID] = r
	}
	w.phones.forget()
	return err
}

// causesOf reads the causes from their table.
func causesOf(file string) (map[string]bool, error) {
	b, err := os.ReadFile(file)
	all := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^- name: ([a-z_0-9]+)$").FindAllStringSubmatch(string(b), -1) {
		all[m[1]] = true
	}
	return all, err
}
