package media

import (
	"errors"
	"net/netip"
	"sort"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/media/latch"
)

const (
	// restFor is how long a pair rests between two calls, if another pair is available. A peer that is told of the call's
	// end keeps sending for a moment. It equals latch.LateWindow, which exists for the same reason within a call.
	restFor = latch.LateWindow

	// trimEvery is how often a quarter of the unneeded pairs is closed. So the pool shrinks within minutes after a peak
	// hour, but a pause of seconds has no effect.
	trimEvery = 10 * time.Second
	trimPart  = 4

	// restingShare limits resting sockets to this fraction, a quarter, of the process's descriptors.
	restingShare = 4

	// reportsWithin is how long after the answer an RTCP socket waits for its first packet. Reports come every 5 s, give
	// or take half of that (RFC 3550 §6.2, §6.3.1).
	reportsWithin = 20 * time.Second

	tendEvery = time.Second
)

// sockets are file descriptors; -1 means none. For a pair the index is the Kind, for shared sockets the IP version.
type sockets [2]int32

func (s sockets) close() {
	for _, fd := range s {
		if fd >= 0 {
			closeSocket(int(fd))
		}
	}
}

// pair is a pair of ports with its sockets. The RTP socket always exists.
type pair struct {
	port uint16
	fd   sockets
}

func (p pair) close() { p.fd.close() }

// place says for which endpoints a pair can be reused: its sockets are bound to an address and watched by a worker.
type place struct {
	addr   netip.Addr
	worker *worker
}

// resting is a pair between two calls. Its sockets stay bound, and the worker reads and drops their packets.
type resting struct {
	pair
	since time.Duration
}

// rest is a queue of pairs; the pair that has rested longest comes first.
type rest struct {
	pairs []resting
	least int // since the last trim, the lowest number of pairs that had rested for restFor
}

// ready returns how many pairs have rested for restFor.
func (r *rest) ready(now time.Duration) int {
	return sort.Search(len(r.pairs), func(i int) bool { return now-r.pairs[i].since < restFor })
}

// take removes the pair that has rested longest. There must be one.
func (r *rest) take() pair {
	p := r.pairs[0].pair
	r.pairs = r.pairs[1:] // append reallocates when it reaches the end
	return p
}

// rested leases the pair at a place that has rested longest, if it has rested for restFor or no more pairs may rest.
func (p *ports) rested(at place, now time.Duration) (pair, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rests[at]
	if r == nil || len(r.pairs) == 0 || (now-r.pairs[0].since < restFor && p.resting < p.mayRest) {
		return pair{}, false
	}
	return p.wake(r, now), true
}

// tired leases the pair at a place that has rested longest, even if that was not long.
func (p *ports) tired(at place, now time.Duration) (pair, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rests[at]
	if r == nil || len(r.pairs) == 0 {
		return pair{}, false
	}
	return p.wake(r, now), true
}

func (p *ports) wake(r *rest, now time.Duration) pair {
	got := r.take()
	r.least = min(r.least, r.ready(now))
	p.leased[p.pair(got.port)] = true
	p.used++
	p.resting--
	return got
}

// keep puts a leased pair into the queue of resting pairs.
func (p *ports) keep(at place, got pair, now time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rests[at]
	if r == nil {
		r = &rest{}
		p.rests[at] = r
	}
	r.pairs = append(r.pairs, resting{pair: got, since: now})
	p.leased[p.pair(got.port)] = false
	p.used--
	p.resting++
}

// surplus removes pairs that should no longer rest, and leaves them leased: every pair above the limit and, if trim is
// set, a quarter of the pairs not needed since the last trim.
func (p *ports) surplus(now time.Duration, trim bool) map[place][]pair {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[place][]pair{}
	for at, r := range p.rests {
		n := 0
		if trim {
			n = (min(r.least, r.ready(now)) + trimPart - 1) / trimPart
		}
		n = max(n, min(p.resting-p.mayRest, len(r.pairs)))
		for range n {
			out[at] = append(out[at], p.wake(r, now))
		}
		if trim {
			r.least = r.ready(now)
		}
		if len(r.pairs) == 0 {
			delete(p.rests, at)
		}
	}
	return out
}

// foreign removes a pair that rests at a place other than at.
func (p *ports) foreign(at place, now time.Duration) (place, pair, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for other, r := range p.rests {
		if other != at && len(r.pairs) > 0 {
			return other, p.wake(r, now), true
		}
	}
	return place{}, pair{}, false
}

// atRest returns how many pairs rest.
func (p *ports) atRest() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.resting
}

// maxFiles returns how many descriptors the process may open.
func maxFiles() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<20))
}

// bindPair returns a leased pair whose sockets the worker's epoll watches. It prefers a rested pair, then a new one,
// then one that has not rested long enough.
func (e *Engine) bindPair(at place) (pair, error) {
	now := e.now()
	for {
		got, ok := e.ports.rested(at, now)
		if !ok {
			break
		}
		if e.complete(at, &got) {
			return got, nil
		}
	}
	got, err := e.newPair(at)
	for err != nil {
		tired, ok := e.ports.tired(at, now)
		if !ok {
			break
		}
		if e.complete(at, &tired) {
			return tired, nil
		}
	}
	if err == nil {
		return got, nil
	}
	other, away, ok := e.ports.foreign(at, now)
	if !ok {
		return pair{}, err
	}
	e.discard(other, []pair{away})
	return e.newPair(at)
}

// claimPair leases a particular pair. If another process handed over its sockets, the pair gets them.
func (e *Engine) claimPair(at place, port uint16, handed *[2]int) (pair, error) {
	if !e.ports.claim(port) {
		return pair{}, errPortTaken
	}
	got := pair{port: port, fd: sockets{-1, -1}}
	var err error
	for kind := range got.fd {
		switch {
		case err != nil:
		case handed == nil, Kind(kind) == RTP && handed[kind] < 0:
			got.fd[kind], err = e.open(at, port, Kind(kind))
		case handed[kind] >= 0:
			if err = at.worker.watch(handed[kind], unix.EPOLLIN); err == nil {
				got.fd[kind] = int32(handed[kind]) // descriptors are small
			}
		}
	}
	if err != nil {
		e.unclaim(at, got, handed)
		return pair{}, err
	}
	return got, nil
}

// unclaim gives back a pair that no session has used. Sockets that were handed over stay with the caller.
func (e *Engine) unclaim(at place, p pair, handed *[2]int) {
	for kind, fd := range p.fd {
		if fd >= 0 && handed != nil && int(fd) == handed[kind] {
			at.worker.unwatch(int(fd))
		} else if fd >= 0 {
			closeSocket(int(fd))
		}
	}
	e.ports.release(p.port)
}

// newPair leases a pair of ports that can be bound. If another process uses a pair, newPair moves it to the end of the
// queue.
func (e *Engine) newPair(at place) (pair, error) {
	for range bindAttempts {
		port, ok := e.ports.lease()
		if !ok {
			return pair{}, errNoPorts
		}
		got := pair{port: port, fd: sockets{-1, -1}}
		var err error
		for kind := range got.fd {
			if err == nil {
				got.fd[kind], err = e.open(at, port, Kind(kind))
			}
		}
		if err == nil {
			return got, nil
		}
		got.close()
		e.ports.release(port)
		if !errors.Is(err, errAddrInUse) {
			return pair{}, err
		}
	}
	return pair{}, errNoPorts
}

// complete opens the RTCP socket of a leased pair that lacks one. If another process has taken the port, it discards
// the pair.
func (e *Engine) complete(at place, p *pair) bool {
	if p.fd[RTCP] >= 0 {
		return true
	}
	fd, err := e.open(at, p.port, RTCP)
	if err != nil {
		e.discard(at, []pair{*p})
		return false
	}
	p.fd[RTCP] = fd
	return true
}

// open opens a socket of a pair and adds it to the worker's epoll.
func (e *Engine) open(at place, port uint16, k Kind) (int32, error) {
	fd, err := openSocket(netip.AddrPortFrom(at.addr, port+uint16(k)), e.config.DSCP)
	if err != nil {
		return -1, err
	}
	if err := at.worker.watch(fd, unix.EPOLLIN); err != nil {
		closeSocket(fd)
		return -1, err
	}
	return int32(fd), nil // descriptors are small
}

// discard closes leased pairs and returns their ports. The worker forgets their sockets first, because their descriptor
// numbers may be reused for other files.
func (e *Engine) discard(at place, pairs []pair) {
	_ = at.worker.do(command{op: opForget, pairs: pairs}) // if the worker has stopped, it watches no socket
	for _, p := range pairs {
		p.close()
		e.ports.release(p.port)
	}
}

// tendSockets runs in the background and gives back unneeded sockets until the engine is closed.
func (e *Engine) tendSockets() {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			e.tend(e.now())
		case <-e.stop:
			return
		}
	}
}

func (e *Engine) tend(now time.Duration) {
	e.tidy.Lock()
	defer e.tidy.Unlock()
	e.closeSilent(now)
	e.steerCalm(now)
	e.readFigures()
	trim := now-e.trimmed >= trimEvery
	if trim {
		e.trimmed = now
	}
	for at, pairs := range e.ports.surplus(now, trim) {
		e.discard(at, pairs)
	}
}
