package transport

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"flowbridge/b2bua/message"
)

// refusals remembers INVITEs that were refused because of a lack of capacity, by the To tags that their calls would
// have had. A server that refuses without keeping state must answer a retransmission like the first INVITE (RFC 3261
// section 8.2.7). Otherwise, if there is room a moment later, the retransmission would start a call that rings at its
// target although its caller has given up and ignores our 200.
//
// Its size is fixed: in a full set, the oldest of four entries is replaced. It needs no lock. It uses no memory if
// nothing was refused for a while. If two goroutines write at the same time, one entry may be lost.
type refusals struct {
	seed  maphash.Seed
	begun time.Time
	last  atomic.Int64 // time of the last entry, in seconds since begun
	sets  atomic.Pointer[[refusedSets]refusedSet]
}

// refusedSet holds four hashes. In each, the last 16 bits are replaced by the time of the refusal in seconds.
type refusedSet [4]atomic.Uint64

const (
	// refusedSets is the number of sets. There is room for 65,000 refusals, 2,000 a second, in 512 KB.
	refusedSets = 1 << 14
	// refusedFor is how long retransmissions may come, in seconds: 64*T1 (RFC 3261 section 17.1.1.2) and a little more.
	refusedFor  = 34
	refusedTime = 1<<16 - 1
)

func newRefusals() *refusals { return &refusals{seed: maphash.MakeSeed(), begun: time.Now()} }

// note stores the To tag of an INVITE that was refused.
func (r *refusals) note(tag []byte) {
	now := int64(time.Since(r.begun) / time.Second)
	sets := r.sets.Load()
	if sets == nil {
		sets = new([refusedSets]refusedSet)
		if !r.sets.CompareAndSwap(nil, sets) {
			sets = r.sets.Load()
		}
	}
	r.last.Store(now)
	if sets == nil { // another goroutine has just removed the sets as outdated
		return
	}
	set, entry := r.find(sets, tag)
	oldest := &set[entry>>62] // start at a random entry, which is replaced if all have the same age
	for i := range set {
		was := set[i].Load()
		if was&^refusedTime == entry {
			oldest = &set[i]
			break
		}
		if age(was, now) > age(oldest.Load(), now) {
			oldest = &set[i]
		}
	}
	oldest.Store(entry | uint64(now)&refusedTime)
}

// has reports whether the INVITE with this tag was refused within refusedFor. It calls tag only if any INVITE was
// refused in that time.
func (r *refusals) has(tag func() message.Minted) bool {
	sets := r.sets.Load()
	if sets == nil {
		return false
	}
	now := int64(time.Since(r.begun) / time.Second)
	if now-r.last.Load() > refusedFor {
		r.sets.CompareAndSwap(sets, nil)
		return false
	}
	is := tag()
	set, entry := r.find(sets, is[:])
	for i := range set {
		if was := set[i].Load(); was != 0 && was&^refusedTime == entry {
			return age(was, now) <= refusedFor
		}
	}
	return false
}

func (r *refusals) find(sets *[refusedSets]refusedSet, tag []byte) (set *refusedSet, entry uint64) {
	hash := maphash.Bytes(r.seed, tag)
	return &sets[hash%refusedSets], max(hash&^refusedTime, refusedTime+1)
}

// age returns how many seconds ago an entry was made. An empty entry is older than any other.
func age(entry uint64, now int64) uint64 {
	if entry == 0 {
		return refusedTime + 1
	}
	return uint64(now-int64(entry)) & refusedTime
}
