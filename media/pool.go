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
	// restFor is how long a pair rests between two calls, if another one can be had. A peer that is told of the end
	// goes on sending for a moment. It is lateWindow for the same reason as within a call.
	restFor = latch.LateWindow

	// trimEvery is how often pairs that were not needed are given back, a quarter of them each time. So an hour's peak
	// is forgotten within some minutes, and a pause of seconds costs nothing.
	trimEvery = 10 * time.Second
	trimPart  = 4

	// restingShare is the part of the descriptors that the process may have which may rest.
	restingShare = 4

	// reportsWithin is how long after the answer an RTCP socket waits for its first packet. Reports come every 5 s, give
	// or take a half (RFC 3550 §6.2, §6.3.1).
	reportsWithin = 20 * time.Second

	tendEvery = time.Second
)

// sockets are descriptors: of a pair by Kind, of shared ones by IP version; -1: none.
type sockets [2]int32

func (s sockets) close() {
	for _, fd := range s {
		if fd >= 0 {
			closeSocket(int(fd))
		}
	}
}

// pair is a pair of ports with its sockets. The socket of RTP is always there.
type pair struct {
	port uint16
	fd   sockets
}

func (p pair) close() { p.fd.close() }

// place is where pairs can be used again: sockets are bound to an address and watched by a worker.
type place struct {
	addr   netip.Addr
	worker *worker
}

// resting is a pair between two calls. Its sockets stay bound, and the worker reads and drops what comes to them.
type resting struct {
	pair
	since time.Duration
}

// rest is a queue of pairs, those that have rested longest first.
type rest struct {
	pairs []resting
	least int // the fewest that had rested for restFor, since the last trim
}

// ready is how many pairs have rested for restFor.
func (r *rest) ready(now time.Duration) int {
	return sort.Search(len(r.pairs), func(i int) bool { return now-r.pairs[i].since < restFor })
}

// take takes the pair that has rested longest. The caller has looked that there is one.
func (r *rest) take() pair {
	p := r.pairs[0].pair
	r.pairs = r.pairs[1:] // append finds room for the rest when the end is reached
	return p
}

// rested leases the pair of a place that has rested longest, if that was for restFor, or if no more may rest.
func (p *ports) rested(at place, now time.Duration) (pair, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rests[at]
	if r == nil || len(r.pairs) == 0 || (now-r.pairs[0].since < restFor && p.resting < p.mayRest) {
		return pair{}, false
	}
	return p.wake(r, now), true
}

// tired leases the pair of a place that has rested longest, however short that was.
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

// keep lets a leased pair rest.
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

// surplus takes pairs out that shall not rest any more, as leased: what is above the limit, and if trim is set, a part
// of what was not needed since the last trim.
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

// foreign takes out a pair that rests elsewhere than at a place.
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

// atRest is how many pairs rest.
func (p *ports) atRest() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.resting
}

// maxFiles is how many descriptors the process may have.
func maxFiles() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<20))
}

// bindPair returns a leased pair whose sockets the worker's epoll watches: one that has rested, else a new one, else
// one that has not rested enough.
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

// claimPair leases a certain pair, with the sockets that another process has handed over, if it has.
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

// unclaim gives a pair back that no session has had. Sockets that were handed over stay the caller's.
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

// newPair leases a pair of ports that can be bound. A pair that another process uses goes to the end of the queue.
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

// complete opens the RTCP socket of a leased pair that has none. If another process has taken the port, it discards the
// pair.
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

// open opens a socket of a pair and has the worker's epoll watch it.
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

// discard closes leased pairs and returns their ports. The worker knows their sockets, and forgets them first: the
// numbers may be those of other files afterwards.
func (e *Engine) discard(at place, pairs []pair) {
	_ = at.worker.do(command{op: opForget, pairs: pairs}) // once it has stopped, it knows no socket
	for _, p := range pairs {
		p.close()
		e.ports.release(p.port)
	}
}

// tendSockets gives back what is not needed until the engine is closed. Nobody waits for it.
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
