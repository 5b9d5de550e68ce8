package ladder

import (
	"time"

	"flowbridge/media"
)

// Figures returns the current figures of a call's media. *media.Session implements it.
// The sampler's goroutine calls it.
type Figures interface{ Stats() media.Stats }

// The figures of the media over time.
const (
	sampleEvery = 5 * time.Second
	pointsMax   = 60 // points of one call; beyond that, neighbours are merged
)

// series holds the points of one call, encoded, because there are many calls and most are quiet.
type series struct {
	begin  time.Time
	every  time.Duration // interval of the points; 0 if none yet
	count  int           // number of points
	points []byte
	last   [2]counters   // packets at the last point
	lastAt time.Duration // time of the last point, since begin
}

// counters is the packets of a side so far.
type counters struct{ rx, tx, lost uint64 }

func countersOf(f *media.SideStats) counters {
	return counters{rx: f.RxPackets, tx: f.TxPackets, lost: f.Lost}
}

// add adds the figures at one time.
func (s *series) add(now time.Time, m media.Stats) {
	if s.begin.IsZero() {
		s.begin, s.every = now, sampleEvery
		s.last = [2]counters{countersOf(&m.A), countersOf(&m.B)}
		return
	}
	if now.Sub(s.begin)-s.lastAt < s.every-sampleEvery/2 {
		return
	}
	s.append(now, m)
}

func (s *series) append(now time.Time, m media.Stats) {
	if first := earliest(m.A.FirstRTP, m.B.FirstRTP); s.count == 0 && first.After(s.begin) && first.Before(now) {
		s.begin = first // the session is open since before the answer
	}
	s.lastAt = now.Sub(s.begin)
	p := Point{MS: s.lastAt.Milliseconds()}
	for side, f := range [2]*media.SideStats{&m.A, &m.B} {
		was, now := &s.last[side], countersOf(f)
		*p.of(side) = Figure{
			Rx: since(now.rx, was.rx), Tx: since(now.tx, was.tx), Lost: since(now.lost, was.lost), Jitter: f.JitterMS,
		}
		now.lost = max(now.lost, was.lost) // a late packet no longer counts as lost, but an earlier point has counted it
		*was = now
	}
	if s.count >= pointsMax {
		s.merge()
	}
	s.points = appendPoint(s.points, p)
	s.count++
}

// earliest returns the earlier of two times, or the one that is not zero.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// leastLast is the shortest last interval without a packet that is worth a point.
const leastLast = time.Second

// finish adds the last figures. The last point ends with the last packet, because no more were to come after it.
func (s *series) finish(now time.Time, m media.Stats) {
	last := m.A.LastRTP
	if m.B.LastRTP.After(last) {
		last = m.B.LastRTP
	}
	switch came := last.Sub(s.begin) > s.lastAt; {
	case came && last.Before(now):
		now = last
	case !came && s.count > 0 && !last.IsZero() && now.Sub(s.begin)-s.lastAt < leastLast:
		return
	}
	s.append(now, m)
}

// merge merges pairs of neighbouring points.
func (s *series) merge() {
	half := make([]byte, 0, len(s.points))
	r := reader{rest: s.points}
	s.count /= 2
	for range s.count {
		before, p := r.point(), r.point()
		for side := range 2 {
			a, b := before.of(side), p.of(side)
			b.Rx, b.Tx, b.Lost = min(a.Rx+b.Rx, pointMost), min(a.Tx+b.Tx, pointMost), min(a.Lost+b.Lost, pointMost)
			b.Jitter = max(a.Jitter, b.Jitter)
		}
		half = appendPoint(half, p)
	}
	s.points, s.every = half, 2*s.every
}

// pointMost bounds a number of packets in a point.
const pointMost = 1<<32 - 1

func since(now, was uint64) int {
	if now < was {
		return 0
	}
	return int(min(now-was, pointMost))
}

// Watch makes the sampler sample the media's figures.
func (c *Call) Watch(f Figures) {
	if c == nil || c.of.Keep == nil && len(c.of.Followers) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed && !c.over {
		c.figures = f
		c.series.add(time.Now(), media.Stats{})
	}
}

// Unwatch ends the sampling with the last figures.
func (c *Call) Unwatch(last media.Stats) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.figures != nil {
		now := time.Now()
		c.measured(now, last)
		if e, ok := c.talk(); ok && !c.closed {
			c.pages.add(e)
		}
		c.figures = nil
		c.series.finish(now, last)
	}
}

// sampler is the goroutine that samples the figures of the calls, and hands over the ladders of ended calls. It runs
// while there are calls.
type sampler struct {
	running bool
	shut    bool
	stop    chan struct{}
	done    chan struct{}
}

// start starts the sampler, unless it runs. It returns false if the collector was shut. s.mu is held.
func (s *Collector) start() bool {
	if s.sample.shut || s.sample.running {
		return s.sample.running
	}
	s.sample = sampler{running: true, stop: make(chan struct{}), done: make(chan struct{})}
	go s.run(s.sample)
	return true
}

// endingCall is a call whose ladder is handed over soon.
type endingCall struct {
	call *Call
	at   time.Time // time of its end
}

// lastWords is how long a ladder waits for further messages after the call's end.
const lastWords = 2 * time.Second

// later schedules the hand-over of a call after lastWords. It returns false if the collector is shut.
func (s *Collector) later(c *Call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.start() {
		return false
	}
	s.ending = append(s.ending, endingCall{c, time.Now()})
	return true
}

// sampleSlots spreads the calls over an interval.
const sampleSlots = 5

// run samples the calls until there are none.
func (s *Collector) run(me sampler) {
	defer close(me.done)
	tick := time.NewTicker(sampleEvery / sampleSlots)
	defer tick.Stop()
	defer pool.trim()
	var due []*Call
	for slot := 0; ; slot = (slot + 1) % sampleSlots {
		select {
		case <-tick.C:
		case <-me.stop:
			return
		}
		pool.trim()
		now := time.Now()
		s.mu.Lock()
		if len(s.calls) == 0 {
			s.sample.running = false
			s.mu.Unlock()
			return
		}
		due = s.due(due[:0], slot)
		ended := s.ended(now)
		s.mu.Unlock()
		for _, c := range due {
			c.sampleNow(now)
		}
		clear(due)
		for _, e := range ended {
			e.call.finish()
		}
	}
}

// due appends the calls that are sampled in a slot. s.mu is held.
func (s *Collector) due(to []*Call, slot int) []*Call {
	for id, c := range s.calls {
		if int(id[len(id)-1])%sampleSlots == slot {
			to = append(to, c)
		}
	}
	return to
}

// ended removes and returns the calls that ended lastWords ago. s.mu is held.
func (s *Collector) ended(now time.Time) (gone []endingCall) {
	n := 0
	for n < len(s.ending) && now.Sub(s.ending[n].at) >= lastWords {
		n++
	}
	gone, s.ending = s.ending[:n:n], s.ending[n:]
	return gone
}

func (c *Call) sampleNow(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pages.compress()
	if c.figures != nil {
		f := c.figures.Stats()
		c.series.add(now, f)
		c.measured(now, f)
	}
}

// Shut ends the sampler, waits for it, and hands over the calls that have ended.
func (s *Collector) Shut() {
	if s == nil {
		return
	}
	s.mu.Lock()
	me := s.sample
	s.sample.shut, s.sample.running = true, false
	ending := s.ending
	s.ending = nil
	s.mu.Unlock()
	if me.running {
		close(me.stop)
		<-me.done
	}
	for _, e := range ending {
		e.call.finish()
	}
}
