package resources

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

	"flowbridge/internal/periodic"
	"flowbridge/telemetry"
)

const (
	mib = 1 << 20
	// minHeadroom is the least that may be allocated between two cycles of the collector. A busy process may allocate as
	// much as it does in busyCycle, up to busyHeadroom: a call takes about 60 KB, and a cycle delays calls. With half as
	// much, a call takes 3 % more CPU at 600 calls a second. But live objects among the garbage of a cycle keep pages in
	// use: with half as much, a process with 2,000 held calls is 5 MB smaller.
	minHeadroom  = 24 * mib
	busyHeadroom = 4 * minHeadroom
	busyCycle    = 3 * time.Second
	// leastCycle is the assumed length of a forced cycle right after another one.
	leastCycle = 100 * time.Millisecond
	// smallestHeap is the heap size that the collector assumes for its percentage if less is live.
	smallestHeap = 4 * mib
	// minRest is how much may be allocated between two cycles if the limit leaves no room. Otherwise the collector would
	// run without end.
	minRest = 16 * mib
	// quietEvery is how often the process checks whether it is quiet: whether it has allocated less than quietBytes since
	// the last check.
	quietEvery = 5 * time.Second
	quietBytes = 4 * mib
	// worthwhile is the least that a release must be able to give back.
	worthwhile = 16 * mib
)

// Memory is the process's memory policy. Garbage may be as large as half of the live objects, or minHeadroom, or up to
// busyHeadroom. The policy is adjusted after each cycle. Under a cgroup's limit, garbage gets less. A process that has
// become quiet returns the memory that it does not need. GOGC and GOMEMLIMIT in the environment override the policy.
type Memory struct {
	setsPercent, setsLimit bool // false if the environment sets the value
	budget                 *budget
	scarcity               *scarcity

	mu        sync.Mutex // guards the fields below
	adjusted  time.Time  // when the policy was last adjusted
	allocated uint64     // bytes allocated up to that time

	percent atomic.Int64 // the percentage as last set
	closed  atomic.Bool
	live    atomic.Uint64 // live bytes that the last cycle found
	room    atomic.Uint64 // headroom after the last cycle
	given   atomic.Uint64 // how often a quiet process returned memory
	group   sync.WaitGroup
	stop    context.CancelFunc
}

// Govern enforces the policy until Close is called.
func Govern(ctx context.Context, log zerolog.Logger) *Memory { return govern(ctx, newBudget(), log) }

func govern(ctx context.Context, b *budget, log zerolog.Logger) *Memory {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	m := &Memory{
		setsPercent: os.Getenv("GOGC") == "", setsLimit: os.Getenv("GOMEMLIMIT") == "",
		budget: b, scarcity: &scarcity{log: log, use: b.use, collect: debug.FreeOSMemory}, stop: stop,
	}
	m.adjust()
	m.afterCycle()
	m.group.Go(func() { m.releaseWhenQuiet(ctx) })
	m.group.Go(func() { m.scarcity.watch(ctx) })
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		limit = 0 // 0 stands for no limit, as elsewhere in this package
	}
	log.Info().Uint64("cgroup_bytes", b.group().limit).Int64("limit_bytes", limit).
		Bool("gogc_from_environment", !m.setsPercent).
		Bool("gomemlimit_from_environment", !m.setsLimit).Msg("memory policy")
	return m
}

// Close ends the policy, and returns when nothing of it runs.
func (m *Memory) Close() {
	m.closed.Store(true)
	m.stop()
	m.group.Wait()
}

// cycle is an object that lives until the collector's next cycle. Its pointer keeps it from sharing a memory block with
// other objects.
type cycle struct{ _ *byte }

// afterCycle adjusts the policy after each cycle.
func (m *Memory) afterCycle() {
	runtime.AddCleanup(new(cycle), func(m *Memory) {
		if !m.closed.Load() {
			m.adjust()
			m.afterCycle()
		}
	}, m)
}

// adjust applies the results of the last cycle.
func (m *Memory) adjust() {
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
	limit := int64(math.MaxInt64) // lifts an earlier limit
	if allowed := m.budget.allowed(); allowed > 0 {
		beside := m.scarcity.used.Load()
		limit = int64(memoryLimit(allowed, beside-min(beside, h.mapped), h))
	}
	debug.SetMemoryLimit(limit)
}

// since returns how much would be allocated in busyCycle at the rate since the last call, in bytes.
func (m *Memory) since(allocated uint64) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	more, within := allocated-m.allocated, max(time.Since(m.adjusted), leastCycle)
	m.allocated, m.adjusted = allocated, time.Now()
	return uint64(float64(more) * busyCycle.Seconds() / within.Seconds())
}

// headroom returns how much garbage there may be in addition to live objects, in bytes. busy is how much is allocated
// in busyCycle.
func headroom(live, busy uint64) uint64 {
	return max(live/2, min(max(busy, minHeadroom), busyHeadroom))
}

// gcPercent returns the GOGC for a headroom: the ratio of the headroom to the memory that the collector scans.
func gcPercent(room, scanned uint64) int {
	return int((room*100 + scanned - 1) / max(scanned, smallestHeap))
}

// memoryLimit returns the limit for the Go runtime. allowed bytes are allowed for the process; beside bytes, at least a
// twentieth, are used outside the runtime by the kernel's buffers and SQLite. Garbage must never be the reason why
// calls are refused, so limit and beside together stay below scarceAbove. Live objects always get a bit more than they
// need: a process that needs more than it is allowed should be killed, not hang.
func memoryLimit(allowed, beside uint64, h heap) uint64 {
	beside = min(max(beside, allowed/20), allowed/2)
	return max(allowed/100*amplyBelow-beside, h.live+h.other+max(h.live/8, minRest))
}

// heap holds figures of the Go runtime, in bytes.
type heap struct {
	live      uint64 // live objects, found by the last cycle
	roots     uint64 // scanned stacks and globals
	mapped    uint64 // mapped from the system
	other     uint64 // part of mapped that is not for objects
	idle      uint64 // free pages that are not returned to the system
	allocated uint64 // all objects since the start of the process
	objects   uint64 // current objects, including garbage
}

// Mapped returns how many bytes the Go runtime has mapped from the system.
func Mapped() uint64 { return readHeap().mapped }

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

// quiet finds the moments at which a process has memory to return.
type quiet struct {
	allocated uint64 // heap.allocated at the last check
	looks     int    // checks in a row with few allocations
}

// settled is the check, after 35 s, at which a quiet process returns memory again. The state of a call's set-up becomes
// garbage after 32 s (64*T1, RFC 3261 section 17). Only a cycle of the collector finds it, and a quiet process runs
// none for two minutes.
const settled = 7

// look reports whether to release memory now.
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

// releaseWhenQuiet gives back memory that is no longer needed after a flood, or after the set-up of calls that are now
// held.
func (m *Memory) releaseWhenQuiet(ctx context.Context) {
	var q quiet
	periodic.Run(ctx, quietEvery, func() {
		if m.setsPercent && q.look(readHeap()) {
			debug.FreeOSMemory()
			m.given.Add(1)
		}
	})
}

// Gauges adds the figures of the policy.
func (m *Memory) Gauges(add telemetry.Add) {
	m.scarcity.gauges(add)
	add("memory_allowed_bytes", "What the cgroup allows the process. 0: no limit.", float64(m.budget.allowed()))
	add("memory_headroom_bytes", "How much garbage may stand before it is collected.", float64(m.room.Load()))
	add("memory_live_bytes", "What the last cycle of the collector found to live.", float64(m.live.Load()))
	add("memory_released_total", "How often a quiet process gave memory back to the system.", float64(m.given.Load()))
}
