package stir

import (
	"hash/maphash"
	"sync"
)

// maxReplays bounds the signatures that are remembered: enough for 1,600 calls a second
// at a freshness of 60 s. The oldest are forgotten first.
const maxReplays = 100_000

// replays remembers the signatures of calls, at least until their PASSporTs are stale
// (RFC 8224 section 12.1).
type replays struct {
	mu   sync.Mutex
	seed maphash.Seed
	seen map[nonce]uint64 // hash that identifies the call, by signature
	ring []nonce          // in order of arrival
	next int
}

// nonce is r, the first half of a signature. It stays the same if s is replaced by n-s,
// which is also valid.
type nonce [signatureSize / 2]byte

// first reports whether no other call has used a signature. The same call may use it
// again: a forked INVITE has the same Call-ID and From tag, and calls the same number.
func (r *replays) first(signature []byte, of *Request) bool {
	n := nonce(signature[:signatureSize/2])
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen, r.seed = map[nonce]uint64{}, maphash.MakeSeed()
	}
	call := maphash.Comparable(r.seed, [...]string{of.CallID, of.FromTag, canonical(of.Called)})
	if had, ok := r.seen[n]; ok {
		return had == call
	}
	if len(r.ring) < maxReplays {
		r.ring = append(r.ring, n)
	} else {
		delete(r.seen, r.ring[r.next])
		r.ring[r.next] = n
		r.next = (r.next + 1) % maxReplays
	}
	r.seen[n] = call
	return true
}
