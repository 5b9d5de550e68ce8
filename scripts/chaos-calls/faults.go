package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"
)

// fault is something that happens to Flowbridge or around it. do starts it; undo, which may be nil, ends it.
type fault struct {
	lasts time.Duration
	do    func(w *world, r *rand.Rand) (undo func(), err error)
}

var errNeeds = errors.New("left out: needs")

// faults are all faults, by name.
var faults = map[string]fault{
	"kill":         {time.Second, kill},
	"kill-twice":   {2 * time.Second, killTwice},
	"kill-upgrade": {3 * time.Second, killUpgrade},
	"upgrade":      {3 * time.Second, upgrade},
	"stop":         {5 * time.Second, stop},
	"reload":       {time.Second, reload},
	"disk-full":    {5 * time.Second, diskFull},
	"db-locked":    {7 * time.Second, dbLocked},
	"db-removed":   {3 * time.Second, dbRemoved},
	"api-slow":     {5 * time.Second, apiFault("slow:2s")},
	"api-hang":     {5 * time.Second, apiFault("hang")},
	"api-reset":    {5 * time.Second, apiFault("reset")},
	"dns-gone":     {5 * time.Second, dnsGone},
	"link-carrier": {4 * time.Second, linkDown("c0")},
	"link-agent":   {4 * time.Second, linkDown("a0")},
	"memory":       {8 * time.Second, memory},
	"descriptors":  {5 * time.Second, descriptors},
	"target-dies":  {time.Second, targetDies},
	"repeats":      {5 * time.Second, repeats},
	"admin-hang":   {5 * time.Second, adminHang},
	"clock":        {5 * time.Second, clock},
}

func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low)))
}

func kill(w *world, _ *rand.Rand) (func(), error) {
	w.supervisor.signal(syscall.SIGKILL)
	return nil, nil
}

// killTwice kills the process and then, within a second, the next process.
func killTwice(w *world, r *rand.Rand) (func(), error) {
	w.supervisor.signal(syscall.SIGKILL)
	time.Sleep(between(r, 300*time.Millisecond, time.Second))
	w.supervisor.signal(syscall.SIGKILL)
	return nil, nil
}

func upgrade(w *world, _ *rand.Rand) (func(), error) {
	w.supervisor.excuse(1)
	defer w.supervisor.excuse(-1)
	before := w.supervisor.current()
	if out, err := w.server.Upgrade().CombinedOutput(); err != nil {
		return nil, fmt.Errorf("upgrade: %w: %s", err, out)
	}
	for range 300 {
		if w.supervisor.current() != before {
			return nil, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, errors.New("upgrade: the old process is still there")
}

// killUpgrade kills the old or the new process while the new one takes over.
func killUpgrade(w *world, r *rand.Rand) (func(), error) {
	w.supervisor.excuse(1)
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		_ = w.server.Upgrade().Run() // it is allowed to fail
	}()
	time.Sleep(between(r, 0, 600*time.Millisecond))
	if all := w.supervisor.processes(); len(all) > 0 {
		_ = syscall.Kill(all[r.IntN(len(all))], syscall.SIGKILL)
	}
	return func() {
		<-asked
		w.supervisor.excuse(-1)
	}, nil
}

func stop(w *world, _ *rand.Rand) (func(), error) {
	w.supervisor.signal(syscall.SIGSTOP)
	return func() { w.supervisor.signal(syscall.SIGCONT) }, nil
}

func reload(w *world, _ *rand.Rand) (func(), error) {
	w.supervisor.signal(syscall.SIGHUP)
	return nil, nil
}

// targetDies makes the first target lose a tenth of its calls.
func targetDies(w *world, r *rand.Rand) (func(), error) {
	for l := range legsOf(w.first) {
		if r.IntN(10) == 0 {
			l.forget()
		}
	}
	return nil, nil
}

// repeats makes the carrier and the first target send everything twice.
func repeats(w *world, _ *rand.Rand) (func(), error) {
	w.carrier.Twice.Store(true)
	w.first.Twice.Store(true)
	return func() {
		w.carrier.Twice.Store(false)
		w.first.Twice.Store(false)
	}, nil
}

func apiFault(name string) func(*world, *rand.Rand) (func(), error) {
	return func(w *world, _ *rand.Rand) (func(), error) {
		if err := w.api.start(name); err != nil {
			return nil, err
		}
		return func() { _ = w.api.start("") }, nil
	}
}

func dnsGone(w *world, _ *rand.Rand) (func(), error) {
	w.names.away.Store(true)
	return func() { w.names.away.Store(false) }, nil
}
