package node

import (
	"context"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/telemetry"
)

const (
	mib = 1 << 20
	// minHeadroom is what may be allocated between two cycles of the collector at least. A busy process may allocate for
	// busyCycle, up to busyHeadroom: a call takes some 52 KB, and a cycle delays calls. But what lives among the garbage
	// of a cycle keeps pages in use: with twice as much, a process with 2,000 held calls is 3 MB larger.
	minHeadroom  = 24 * mib
	busyHeadroom = 2 * minHeadroom
	busyCycle    = 1500 * time.Millisecond
	// leastCycle is what a forced cycle just after another one counts as.
	leastCycle = 100 * time.Millisecond
	// smallestHeap is what the collector takes for its percentage where less is live.
	smallestHeap = 4 * mib
	// minRest is what may be allocated between two cycles if the limit leaves no room. Otherwise, the collector would run
	// without end.
	minRest = 16 * mib
	// quietEvery is how often a process is asked whether it is quiet: whether it has allocated less than quietBytes since
	// then.
	quietEvery = 5 * time.Second
	quietBytes = 4 * mib
	// worthwhile is what a release must be able to give back.
	worthwhile = 16 * mib
)

// memory is the process's policy of memory. The collector may let garbage stand as large as half of what lives, or
// minHeadroom, or up to busyHeadroom. This follows what lives after each cycle. Under a limit of the cgroup it gets
// less. A process that has become quiet gives back what it does not need. GOGC and GOMEMLIMIT in the environment
// override it.
type memory struct {
	setsPercent, setsLimit bool // the environment does not
	budget                 *budget
	scarcity               *scarcity

	mu        sync.Mutex // guards what follows
	adjusted  time.Time  // the last time
	allocated uint64     // until then

	percent atomic.Int64 // as set last
	closed  atomic.Bool
	live    atomic.Uint64 // bytes that the last cycle found
	room    atomic.Uint64 // headroom that it left
	given   atomic.Uint64 // how often a quiet process gave memory back
	group   sync.WaitGroup
	stop    context.CancelFunc
}

// governMemory puts the policy into force, until close is called.
func governMemory(ctx context.Context, b *budget, log zerolog.Logger) *memory {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	m := &memory{
		setsPercent: os.Getenv("GOGC") == "", setsLimit: os.Getenv("GOMEMLIMIT") == "",
		budget: b, scarcity: &scarcity{log: log, use: b.use, collect: debug.FreeOSMemory}, stop: stop,
	}
	m.adjust()
	m.afterCycle()
	m.group.Go(func() { m.releaseWhenQuiet(ctx) })
	m.group.Go(func() { m.scarcity.watch(ctx) })
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		limit = 0 // none, as in the other two
	}
	log.Info().Uint64("cgroup_bytes", b.group().limit).Int64("limit_bytes", limit).
		Bool("gogc_from_environment", !m.setsPercent).
		Bool("gomemlimit_from_environment", !m.setsLimit).Msg("memory policy")
	return m
}

func (m *memory) close() {
	m.closed.Store(true)
	m.stop()
	m.group.Wait()
}

// cycle is an object that lives until the next cycle of the collector. The pointer keeps it from sharing a block with
// others.
type cycle struct{ _ *byte }

// afterCycle has the policy adjusted after each cycle.
func (m *memory) afterCycle() {
	runtime.AddCleanup(new(cycle), func(m *memory) {
		if !m.closed.Load() {
			m.adjust()
			m.afterCycle()
		}
	}, m)
}

// adjust follows what the last cycle has found.
func (m *memory) adjust() {
	h := readHeap()
	room := headroom(h.live, m.since(h.allocated))
	m.live.Store(h.live)
	m.room.Store(room)
	if m.setsPercent {
		percent := int64(gcPercent(room, h.live+h.roots))
		if m.percent.Swap(percent) != percent { // setting it stops the world for a moment
			debug.SetGCPercent(int(percent))
		}
	}
	if !m.setsLimit {
		return
	}
	limit := int64(math.MaxInt64) // that there was may have been lifted
	if allowed := m.budget.allowed(); allowed > 0 {
		beside := m.scarcity.used.Load()
		limit = int64(memoryLimit(allowed, beside-min(beside, h.mapped), h))
	}
	debug.SetMemoryLimit(limit)
}

// since says what is allocated in busyCycle by the rate since it was asked before, in bytes.
func (m *memory) since(allocated uint64) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	more, within := allocated-m.allocated, max(time.Since(m.adjusted), leastCycle)
	m.allocated, m.adjusted = allocated, time.Now()
	return uint64(float64(more) * busyCycle.Seconds() / within.Seconds())
}

// headroom is how much garbage may stand beside what lives, in bytes, where so many are allocated in busyCycle.
func headroom(live, busy uint64) uint64 {
	return max(live/2, min(max(busy, minHeadroom), busyHeadroom))
}

// gcPercent is the GOGC for a headroom: a share of what the collector has to look at.
func gcPercent(room, scanned uint64) int {
	return int((room*100 + scanned - 1) / max(scanned, smallestHeap))
}

// memoryLimit is the limit for the Go runtime where a number of bytes is allowed, of which some are used beside it: by
// the kernel's buffers and SQLite, a twentieth at least. Garbage is never the reason why calls are refused, so with
// these it is less than scarceAbove. What lives always gets a bit more: a process that needs more than it is allowed is
// to be killed, and not to hang.
func memoryLimit(allowed, beside uint64, h heap) uint64 {
	beside = min(max(beside, allowed/20), allowed/2)
	return max(allowed/100*amplyBelow-beside, h.live+h.other+max(h.live/8, minRest))
}

// heap are the figures of the Go runtime, in bytes.
type heap struct {
	live      uint64 // found by the last cycle
	roots     uint64 // stacks and globals that it has scanned
	mapped    uint64 // what the runtime has from the system
	other     uint64 // what the runtime has from the system for other things than objects
	idle      uint64 // pages that are free, and not given back
	allocated uint64 // objects, since the process began
	objects   uint64 // with those that are garbage
}

func readHeap() heap {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/gc/scan/stack:bytes"},
		{Name: "/gc/scan/globals:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(samples)
	of := func(i int) uint64 { return samples[i].Value.Uint64() }
	return heap{
		live: of(0), roots: of(1) + of(2), mapped: of(3) - of(4), other: of(3) - of(4) - of(5) - of(6), idle: of(5),
		objects: of(6), allocated: of(7),
	}
}

// quiet finds the moments at which a process has memory to give back.
type quiet struct {
	allocated uint64 // heap.allocated at the look before
	looks     int    // in a row at which little had been allocated
}

// settled is the look, after 35 s, at which a quiet process gives memory back again. What is remembered of the set-up
// of a call dies after 32 s (64*T1, RFC 3261 section 17). Only a cycle of the collector finds it, and a quiet process
// runs none for two minutes.
const settled = 7

// look says whether to release now.
func (q *quiet) look(h heap) bool {
	busy := h.allocated-q.allocated > quietBytes
	q.allocated = h.allocated
	if busy {
		q.looks = 0
		return false
	}
	q.looks++
	return q.looks == settled || h.objects+h.idle-min(h.live, h.objects) >= worthwhile
}

// releaseWhenQuiet gives back what a flood, or the set-up of calls that are held now, has left behind.
func (m *memory) releaseWhenQuiet(ctx context.Context) {
	var q quiet
	every(ctx, quietEvery, func() {
		if m.setsPercent && q.look(readHeap()) {
			debug.FreeOSMemory()
			m.given.Add(1)
		}
	})
}

// gauges are the figures of the policy.
func (m *memory) gauges(add telemetry.Add) {
	m.scarcity.gauges(add)
	add("memory_allowed_bytes", "What the cgroup allows the process. 0: no limit.", float64(m.budget.allowed()))
	add("memory_headroom_bytes", "How much garbage may stand before it is collected.", float64(m.room.Load()))
	add("memory_live_bytes", "What the last cycle of the collector found to live.", float64(m.live.Load()))
	add("memory_released_total", "How often a quiet process gave memory back to the system.", float64(m.given.Load()))
}
