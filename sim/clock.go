package sim

import (
	"sync"
	"time"
)

const (
	phases    = 10 // streams are spread over the 20 ms of a frame, so that they do not all send at once
	phaseTime = frameTime / phases
	maxBehind = 10 * phases // ticks that the clock catches up after a stall
)

// clock sends the frames of all streams of one end, in one goroutine.
type clock struct {
	stop chan struct{}
	done chan struct{}

	mu      sync.Mutex
	streams [phases]map[*stream]struct{}
	next    int
}

func startClock() *clock {
	c := &clock{stop: make(chan struct{}), done: make(chan struct{})}
	for i := range c.streams {
		c.streams[i] = map[*stream]struct{}{}
	}
	go c.run()
	return c
}

func (c *clock) add(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams[c.next][s] = struct{}{}
	c.next = (c.next + 1) % phases
}

// remove removes a stream. When it returns, the stream sends no more.
func (c *clock) remove(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.streams {
		delete(c.streams[i], s)
	}
}

func (c *clock) close() {
	close(c.stop)
	<-c.done
}

func (c *clock) run() {
	defer close(c.done)
	ticker := time.NewTicker(phaseTime)
	defer ticker.Stop()
	start := time.Now()
	ticks := 0
	for {
		select {
		case <-c.stop:
			return
		case <-ticker.C:
		}
		due := int(time.Since(start) / phaseTime)
		if due-ticks > maxBehind {
			ticks = due - maxBehind
		}
		for ; ticks < due; ticks++ {
			c.tick(ticks % phases)
		}
	}
}

func (c *clock) tick(phase int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for s := range c.streams[phase] {
		s.send(now)
	}
}
