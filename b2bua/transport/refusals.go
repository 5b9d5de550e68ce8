package transport

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"flowbridge/b2bua/message"
)

// refusals remember the INVITEs that were refused for want of room, by the tags that their calls would have. Who
// refuses without state has to answer a retransmission as the first one (RFC 3261 section 8.2.7): a moment later there
// may be room, and a call that began then would ring at its target, though its caller has gone and takes no notice of
// our 200.
//
// Its size is fixed: where it is full, the oldest of four is forgotten. It has no lock, and none at all where nothing
// was refused for a while. What two goroutines note at once, one of them may lose.
type refusals struct {
	seed  maphash.Seed
	begun time.Time
	last  atomic.Int64 // when something was noted, in seconds after begun
	sets  atomic.Pointer[[refusedSets]refusedSet]
}

// refusedSet has hashes without their last 16 bits, which are the second of the refusal.
type refusedSet [4]atomic.Uint64

const (
	// refusedSets has room for 65,000 refusals, 2,000 a second: 512 KB.
	refusedSets = 1 << 14
	// refusedFor is for how many seconds a retransmission may come (64*T1, section 17.1.1.2), and a bit.
	refusedFor  = 34
	refusedTime = 1<<16 - 1
)

func newRefusals() *refusals { return &refusals{seed: maphash.MakeSeed(), begun: time.Now()} }

// note notes that an INVITE was refused.
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
	if sets == nil { // somebody has found it too old at this moment
		return
	}
	set, entry := r.find(sets, tag)
	oldest := &set[entry>>62] // among entries of the same second, any
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

// has reports whether an INVITE was refused just before. Its tag is asked for only where something was.
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

// age returns how many seconds ago an entry was made; one that is empty is the oldest.
func age(entry uint64, now int64) uint64 {
	if entry == 0 {
		return refusedTime + 1
	}
	return uint64(now-int64(entry)) & refusedTime
}
