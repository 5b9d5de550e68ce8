package gateway

import (
	"context"
	"sync"
	"time"
)

const (
	frameTime = 20 * time.Millisecond
	slots     = 4
	slotTime  = frameTime / slots
	// catchUp is how much a late clock makes up for by sending frames at once. What is beyond that is left out.
	catchUp = 200 * time.Millisecond
)

// ticked is what the clock ticks.
type ticked interface{ tick(now time.Time) }

// clock ticks each of its calls every 20 ms: one timer serves all of them. A call is in one of four slots, so that its
// frames can begin at most 5 ms after its bot does. Before each slot it reads what has come for all calls.
type clock[C interface {
	comparable
	ticked
}] struct {
	began time.Time // slots are counted from here, by the monotonic clock
	read  func()
	mu    sync.Mutex
	slots [slots]map[C]bool
	count int
	wake  chan struct{} // holds one value if the clock has to start
}

func newClock[C interface {
	comparable
	ticked
}](read func()) *clock[C] {
	c := &clock[C]{began: time.Now(), read: read, wake: make(chan struct{}, 1)}
	for i := range c.slots {
		c.slots[i] = map[C]bool{}
	}
	return c
}

// slotAt returns the slot whose next tick is just within 20 ms from now.
func (c *clock[C]) slotAt(now time.Time) int { return c.turns(now) % slots }

// turns returns how many slots have begun until now.
func (c *clock[C]) turns(now time.Time) int { return int(now.Sub(c.began) / slotTime) }

// add puts a call into a slot, and returns the slot.
func (c *clock[C]) add(call C, slot int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slots[slot][call] = true
	if c.count++; c.count == 1 {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

func (c *clock[C]) remove(call C, slot int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slots[slot][call] {
		delete(c.slots[slot], call)
		c.count--
	}
}

// move changes the slot of a call.
func (c *clock[C]) move(call C, from, to int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slots[from][call] {
		delete(c.slots[from], call)
		c.slots[to][call] = true
	}
}

// due returns the calls of a slot, and whether there are any calls at all.
func (c *clock[C]) due(slot int, all []C) ([]C, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for call := range c.slots[slot] {
		all = append(all, call)
	}
	return all, c.count > 0
}

// run ticks until ctx ends. Without calls it rests.
func (c *clock[C]) run(ctx context.Context) {
	var all []C
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-c.wake:
		case <-ctx.Done():
			return
		}
		turn := c.turns(time.Now())
		for busy := true; busy; {
			turn++
			next := c.began.Add(time.Duration(turn) * slotTime)
			timer.Reset(time.Until(next))
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
			now := time.Now()
			if now.Sub(next) > catchUp {
				turn = c.turns(now)
			}
			c.read()
			all, busy = c.due(turn%slots, all[:0])
			for i, call := range all {
				call.tick(now)
				all[i] = *new(C)
			}
		}
	}
}
