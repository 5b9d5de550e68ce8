package transport

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/message"
)

// knows says whether a refusal is remembered.
func (r *refused) knows(tag string) bool {
	return r.has(func() (m message.Minted) {
		copy(m[:], tag)
		return m
	})
}

func (r *refused) refuse(tag string) {
	var m message.Minted
	copy(m[:], tag)
	r.note(m[:])
}

// A refusal is remembered for as long as its INVITE may be repeated, and nothing is kept after that.
func TestRefusedAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRefused()
		if r.knows("a") {
			t.Error("something is known at the beginning")
		}
		r.refuse("a")
		time.Sleep(20 * time.Second)
		r.refuse("b")
		for _, step := range []struct {
			after time.Duration
			a, b  bool
		}{{0, true, true}, {14 * time.Second, true, true}, {time.Second, false, true}, {19 * time.Second, false, true}, {time.Second, false, false}} {
			time.Sleep(step.after)
			if a, b := r.knows("a"), r.knows("b"); a != step.a || b != step.b {
				t.Errorf("%v: a %v, b %v", step, a, b)
			}
		}
		if r.sets.Load() != nil {
			t.Error("its memory is not given back")
		}
		r.refuse("c")
		time.Sleep(17 * time.Second)
		r.refuse("c") // again: from now on
		time.Sleep(refusedFor * time.Second)
		if !r.knows("c") || r.knows("a") {
			t.Error("c is forgotten, or a is known")
		}
	})
}

// Of a flood the newest are known. Many goroutines may note and ask.
func TestRefusedInAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRefused()
		var all sync.WaitGroup
		for g := range 4 {
			all.Go(func() {
				for i := range 30_000 {
					r.refuse(fmt.Sprint(g, " ", i))
					r.knows(fmt.Sprint(i, " ", g))
				}
			})
		}
		all.Wait()
		time.Sleep(time.Second)
		for i := range 100 {
			r.refuse(fmt.Sprint("last ", i))
		}
		for i := range 100 {
			if !r.knows(fmt.Sprint("last ", i)) {
				t.Errorf("%d is not known", i)
			}
		}
		for i := range 10_000 {
			if r.knows(fmt.Sprint("never ", i)) {
				t.Errorf("%d was never refused", i)
			}
		}
	})
}
