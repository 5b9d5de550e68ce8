package media

import (
	"math/rand/v2"
	"sync"
)

// ports is the pool of port pairs, each an even RTP port and the odd port above it. All listen addresses share it.
//
// Free pairs wait in a queue. The pair that has rested longest is leased first, so that a new call rarely meets late
// packets of an old one. If the queue is short, a pair may be leased again at once. The queue starts shuffled, so that
// a restarted process does not begin with the old process's ports.
//
// A used pair keeps its sockets and rests in the queue of its place, so that most calls open and close no socket.
type ports struct {
	// Constant.
	first   uint16                 // the lowest RTP port
	mayRest int                    // most pairs that may rest with their sockets
	taken   func(port uint16) bool // reports whether a flow of an earlier process uses the port; may be nil

	mu      sync.Mutex // guards the fields below
	queue   []uint16   // ring of the RTP ports of free pairs without sockets; its length is the number of all pairs
	at      []uint16   // last position in the queue, by pair
	head    int
	free    int
	used    int
	leased  []bool // by pair
	rests   map[place]*rest
	resting int // pairs in all rests
}

func newPorts(low, high uint16) *ports {
	p := orderedPorts(low, high)
	rand.Shuffle(len(p.queue), func(i, j int) {
		a, b := p.queue[i], p.queue[j]
		p.put(i, b)
		p.put(j, a)
	})
	return p
}

func orderedPorts(low, high uint16) *ports {
	first := int(low) + int(low)%2
	p := &ports{first: uint16(first), rests: map[place]*rest{}} // first may be 65536; then there are no pairs
	for port := first; port+1 <= int(high); port += 2 {
		p.at = append(p.at, uint16(len(p.queue))) // fits, because it is at most 32767
		p.queue = append(p.queue, uint16(port))   // fits, because it is at most PortHigh
	}
	p.free = len(p.queue)
	p.leased = make([]bool, p.free)
	return p
}

// lease takes the pair without sockets that has rested longest, and returns its RTP port.
func (p *ports) lease() (uint16, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range p.free {
		port := p.queue[p.head]
		p.head = (p.head + 1) % len(p.queue)
		if p.taken != nil && p.taken(port) {
			p.put(p.free-1, port)
			continue
		}
		p.free--
		p.used++
		p.leased[p.pair(port)] = true
		return port, true
	}
	return 0, false
}

// put puts a free pair into the queue at this distance from its head.
func (p *ports) put(behind int, port uint16) {
	at := (p.head + behind) % len(p.queue)
	p.queue[at], p.at[p.pair(port)] = port, uint16(at) // fits, because it is at most 32767
}

// claim leases a particular free pair without sockets.
func (p *ports) claim(port uint16) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.pair(port)
	if i < 0 || i >= len(p.at) || p.queue[p.at[i]] != port {
		return false
	}
	behind := (int(p.at[i]) - p.head + len(p.queue)) % len(p.queue)
	if behind >= p.free { // the pair is leased or rests
		return false
	}
	p.put(behind, p.queue[p.head])
	p.head = (p.head + 1) % len(p.queue)
	p.free--
	p.used++
	p.leased[i] = true
	return true
}

// release returns a leased pair to the end of the queue. It reports whether the pair was leased.
func (p *ports) release(port uint16) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.pair(port)
	if i < 0 || i >= len(p.leased) || !p.leased[i] {
		return false
	}
	p.leased[i] = false
	p.used--
	p.put(p.free, port)
	p.free++
	return true
}

func (p *ports) isLeased(port uint16) bool {
	if port < p.first {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.pair(port)
	return i < len(p.leased) && p.leased[i]
}

// usage returns the number of leased pairs and of all pairs.
func (p *ports) usage() (used, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used, len(p.queue)
}

func (p *ports) pair(port uint16) int { return (int(port) - int(p.first)) / 2 }
