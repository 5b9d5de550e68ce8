package resources

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// What counts is what the kernel would not give back at once, against the limit of which the larger share is taken.
func TestMemoryUse(t *testing.T) {
	v2 := map[string]string{
		"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "1000\n", "sys/fs/cgroup/a/memory.current": "900\n",
		"sys/fs/cgroup/a/memory.stat": "anon 500\nfile 300\nactive_file 100\ninactive_file 200\nslab_reclaimable 50\nactive_anon 400\n", "sys/fs/cgroup/a/b/memory.current": "1\n",
	}
	v1 := map[string]string{
		"proc/self/cgroup": "4:memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1000\n", "sys/fs/cgroup/memory/a/memory.usage_in_bytes": "900\n",
		"sys/fs/cgroup/memory/a/memory.stat": "inactive_file 1\ntotal_inactive_file 300\ntotal_active_file 400\n",
	}
	for name, tt := range map[string]struct {
		files                map[string]string
		used, limit, allowed uint64
	}{
		"no limit":                          {map[string]string{"proc/self/statm": "9 9 0\n"}, 0, 0, 0},
		"version 2":                         {v2, 550, 1000, 1000},
		"version 1":                         {v1, 200, 1000, 1000},
		"more cache than use, as read late": {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000\n", "sys/fs/cgroup/memory.current": "5\n", "sys/fs/cgroup/memory.stat": "active_file 9\n"}, 0, 1000, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{}
			for file, text := range tt.files {
				root[file] = &fstest.MapFile{Data: []byte(text)}
			}
			b := &budget{root: root, cgroup: findCgroup(root)}
			if used, limit := b.use(); used != tt.used || limit != tt.limit || b.allowed() != tt.allowed {
				t.Errorf("%d of %d used, %d allowed; want %d of %d, %d", used, limit, b.allowed(), tt.used, tt.limit, tt.allowed)
			}
		})
	}
}

// A limit of the cgroup that is changed while the process runs counts, also one that is lifted.
func TestMemoryLimitChanges(t *testing.T) {
	root := fstest.MapFS{
		"proc/self/cgroup": &fstest.MapFile{Data: []byte("0::/a\n")}, "sys/fs/cgroup/a/memory.current": &fstest.MapFile{Data: []byte("900\n")},
	}
	b := &budget{root: root}
	s := &scarcity{log: zerolog.Nop(), use: b.use, collect: func() {}}
	for _, step := range []struct {
		max     string
		allowed uint64
		scarce  bool
	}{{"max", 0, false}, {"1000", 1000, true}, {"5000", 5000, false}, {"1000", 1000, true}, {"max", 0, false}} {
		root["sys/fs/cgroup/a/memory.max"] = &fstest.MapFile{Data: []byte(step.max + "\n")}
		s.look(time.Now())
		if is := s.state() != ""; is != step.scarce || b.allowed() != step.allowed {
			t.Errorf("memory.max %s: scarce %v, allowed %d", step.max, is, b.allowed())
		}
	}
}

// New calls are refused above 80 %, until less than 75 % is used. That is told once when it begins and once when it ends.
func TestScarcity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var used uint64
		var refused, collected int
		s := &scarcity{
			log: zerolog.New(&out), use: func() (uint64, uint64) { return used, 1000 },
			collect: func() { collected++ },
		}
		s.tell(func(is bool) {
			if refused--; is {
				refused += 2
			}
		})
		refused = 0
		for i, step := range []struct {
			used uint64
			is   bool
		}{{700, false}, {800, false}, {809, false}, {810, true}, {950, true}, {760, true}, {750, true}, {749, false}, {800, false}, {820, true}} {
			used = step.used
			s.look(time.Now())
			if is := s.state() != ""; is != step.is || (refused == 1) != step.is {
				t.Errorf("look %d, %d of 1000 used: scarce %v, refused %d; want %v", i, used, is, refused, step.is)
			}
			time.Sleep(scarceEvery)
		}
		for _, line := range []struct {
			text  string
			times int
		}{{`"level":"warn"`, 2}, {`"level":"info"`, 1}, {"memory is scarce: refusing new calls", 2}, {"memory is scarce no more", 1}} {
			if n := strings.Count(out.String(), line.text); n != line.times {
				t.Errorf("%q %d times; want %d: %s", line.text, n, line.times, out.String())
			}
		}
		if collected != 1 {
			t.Errorf("garbage was looked for %d times within 10 s; want once", collected)
		}
		time.Sleep(collectEvery)
		if s.look(time.Now()); collected != 2 {
			t.Errorf("garbage was looked for %d times; want 2", collected)
		}
		var late bool
		if s.tell(func(is bool) { late = is }); !late {
			t.Error("who asks while memory is scarce is not told")
		}
		if got, want := s.state(), "memory: 82 % of 0 MB used: new calls are refused"; got != want {
			t.Errorf("state %q; want %q", got, want)
		}
	})
}
