package resources

import (
	"bytes"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// The headroom is half of what lives, or what a busy process allocates, within bounds.
func TestHeadroom(t *testing.T) {
	for _, tt := range []struct {
		live, roots, busy, room uint64
		percent                 int
	}{
		{mib, 0, 0, 24 * mib, 600}, // of the smallest heap
		{8 * mib, 0, 0, 24 * mib, 300},
		{8 * mib, 0, 10 * mib, 24 * mib, 300},
		{8 * mib, 0, 30 * mib, 30 * mib, 375},
		{8 * mib, 0, 100 * mib, 96 * mib, 1200},
		{8 * mib, 4 * mib, 0, 24 * mib, 200},
		{48 * mib, 0, 0, 24 * mib, 50},
		{1000 * mib, 0, 100 * mib, 500 * mib, 50},
		{1000 * mib, 1000 * mib, 0, 500 * mib, 25},
	} {
		room := headroom(tt.live, tt.busy)
		if percent := gcPercent(room, tt.live+tt.roots); room != tt.room || percent != tt.percent {
			t.Errorf("%d MB live: headroom %d MB, %d %%; want %d MB, %d %%", tt.live/mib, room/mib, percent, tt.room/mib, tt.percent)
		}
	}
}

// What is allocated in three seconds follows the rate; a cycle just after another one says nothing of it.
func TestRateOfAllocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{adjusted: time.Now(), allocated: 100 * mib}
		for _, step := range []struct {
			after time.Duration
			more  uint64
			want  uint64
		}{{time.Second, 20 * mib, 60 * mib}, {3 * time.Second, 2 * mib, 2 * mib}, {time.Millisecond, mib, 30 * mib}} {
			time.Sleep(step.after)
			if got := m.since(m.allocated + step.more); got != step.want {
				t.Errorf("%d MB in %v: got %d MB", step.more/mib, step.after, got/mib)
			}
		}
	})
}

// The limit leaves room for what is beside the heap, and the collector room to rest.
func TestMemoryLimit(t *testing.T) {
	for _, tt := range []struct {
		allowed, beside uint64
		heap            heap
		want            uint64
	}{
		{1000 * mib, 0, heap{live: 100 * mib, other: 50 * mib}, 700 * mib},
		{1000 * mib, 150 * mib, heap{live: 100 * mib, other: 50 * mib}, 600 * mib},
		{1000 * mib, 900 * mib, heap{live: 100 * mib, other: 50 * mib}, 250 * mib},
		{1000 * mib, 0, heap{live: 700 * mib, other: 50 * mib}, 837*mib + mib/2},
		{1000 * mib, 0, heap{live: 2000 * mib, other: 100 * mib}, 2350 * mib},
		{20 * mib, 0, heap{live: 8 * mib, other: 10 * mib}, 34 * mib},
	} {
		if got := memoryLimit(tt.allowed, tt.beside, tt.heap); got != tt.want {
			t.Errorf("%d MB allowed, %d live: limit %d KB; want %d", tt.allowed/mib, tt.heap.live/mib, got/1024, tt.want/1024)
		}
	}
}

func TestCgroupLimit(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  uint64
	}{
		"nothing there":       {nil, 0},
		"version 2":           {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1000\n"}, 1000},
		"version 2, none":     {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n"}, 0},
		"version 2, throttle": {map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "1000\n", "sys/fs/cgroup/a/memory.high": "900\n"}, 900},
		"version 2, above": {map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "500\n", "sys/fs/cgroup/a/b/memory.max": "1000\n",
		}, 500},
		"version 2, container": {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000\n"}, 1000},
		"version 1": {map[string]string{
			"proc/self/cgroup": "5:cpu,memory:/a\n1:name=systemd:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1000\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 1000},
		"version 1, path of the machine": {map[string]string{"proc/self/cgroup": "4:memory:/docker/0af\n0::/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000\n"}, 1000},
		"path that leads out":            {map[string]string{"proc/self/cgroup": "0::/../../x\n", "sys/fs/cgroup/memory.max": "1000\n"}, 1000},
		"of no form":                     {map[string]string{"proc/self/cgroup": "memory\n\n:::\n"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{}
			for file, text := range tt.files {
				root[file] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := findCgroup(root).limit; got != tt.want {
				t.Errorf("got %d; want %d", got, tt.want)
			}
		})
	}
}

// Memory is given back by a process that has become quiet, if there is enough of it.
func TestQuiet(t *testing.T) {
	for name, tt := range map[string]struct {
		looks                    int    // at which little had been allocated
		allocated, objects, idle uint64 // MB
		want                     bool
	}{
		"busy":            {allocated: 90, objects: 90},
		"quiet":           {allocated: 4, objects: 24, want: true},
		"free pages":      {allocated: 1, objects: 8, idle: 80, want: true},
		"nothing to give": {allocated: 1, objects: 9, idle: 14},
		"all given back":  {allocated: 0, objects: 7},
		"30 s":            {looks: 5, objects: 8},
		"35 s":            {looks: 6, objects: 8, want: true},
		"busy after 35 s": {looks: 6, allocated: 5, objects: 8},
		"40 s":            {looks: 7, objects: 8},
	} {
		t.Run(name, func(t *testing.T) {
			q := quiet{allocated: 500 * mib, looks: tt.looks}
			h := heap{live: 8 * mib, allocated: q.allocated + tt.allocated*mib, objects: tt.objects * mib, idle: tt.idle * mib}
			if got := q.look(h); got != tt.want {
				t.Errorf("got %v; want %v", got, tt.want)
			}
		})
	}
}

func goGC() uint64 {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// The collector's percentage follows what lives, there and back.
func TestMemoryFollowsTheHeap(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	before, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	var log bytes.Buffer
	runtime.GC() // of what the tests before have left
	m := govern(t.Context(), &budget{root: fstest.MapFS{}}, zerolog.New(&log))
	if !strings.Contains(log.String(), `"limit_bytes":0,`) {
		t.Errorf("without a limit the log says %s", log.String())
	}
	defer func() {
		m.Close()
		debug.SetGCPercent(before)
		debug.SetMemoryLimit(limit)
	}()
	small := goGC()
	func() {
		held := make([]byte, 300*mib)
		for goGC() > 50 { // the cleanup after a cycle has a goroutine of its own
			runtime.GC()
		}
		if room := m.room.Load(); room < 150*mib {
			t.Errorf("headroom %d MB; want half of what lives", room/mib)
		}
		runtime.KeepAlive(held)
	}()
	for goGC() < small/2 {
		runtime.GC()
	}
	if live := m.live.Load(); live > 300*mib {
		t.Errorf("%d MB live", live/mib)
	}
}

// What the environment says stays.
func TestMemoryOfTheEnvironment(t *testing.T) {
	t.Setenv("GOGC", "77")
	t.Setenv("GOMEMLIMIT", "1GiB")
	before, limit := debug.SetGCPercent(77), debug.SetMemoryLimit(1<<30)
	defer func() {
		debug.SetGCPercent(before)
		debug.SetMemoryLimit(limit)
	}()
	m := govern(t.Context(), &budget{cgroup: cgroup{limit: 100 * mib}, root: fstest.MapFS{}}, zerolog.Nop())
	defer m.Close()
	runtime.GC()
	m.adjust()
	if gc, limit := goGC(), debug.SetMemoryLimit(-1); gc != 77 || limit != 1<<30 {
		t.Errorf("GOGC %d, limit %d", gc, limit)
	}
}
