package resources

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rs/zerolog"
)

func TestQuotaAndThrottledTime(t *testing.T) {
	for _, c := range []struct {
		name      string
		files     map[string]string
		quota     float64
		throttled time.Duration
	}{
		{"none", map[string]string{"proc/self/cgroup": "0::/\n"}, 0, 0},
		{"version 2, a unit", map[string]string{
			"proc/self/cgroup":                                       "0::/system.slice/flowbridge.service\n",
			"sys/fs/cgroup/system.slice/cpu.max":                     "max 100000\n",
			"sys/fs/cgroup/system.slice/flowbridge.service/cpu.max":  "50000 100000\n",
			"sys/fs/cgroup/system.slice/flowbridge.service/cpu.stat": "usage_usec 9\nnr_throttled 3\nthrottled_usec 1500\n",
		}, 0.5, 1500 * time.Microsecond},
		{"version 2, a container that sees its cgroup as the root", map[string]string{
			"proc/self/cgroup":       "0::/kubepods/pod1/c1\n",
			"sys/fs/cgroup/cpu.max":  "20000 1000000\n",
			"sys/fs/cgroup/cpu.stat": "throttled_usec 7000000\n",
		}, 0.02, 7 * time.Second},
		{"version 1, the tighter one is above", map[string]string{
			"proc/self/cgroup":                             "5:memory:/x\n1:cpu,cpuacct:/a/b\n",
			"sys/fs/cgroup/cpu/a/cpu.cfs_quota_us":         "150000\n",
			"sys/fs/cgroup/cpu/a/cpu.cfs_period_us":        "100000\n",
			"sys/fs/cgroup/cpu/a/cpu.stat":                 "nr_periods 1\nthrottled_time 2000000\n",
			"sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us":       "-1\n",
			"sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us":      "100000\n",
			"sys/fs/cgroup/cpu/a/b/cpu.stat":               "throttled_time 0\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "5\n",
		}, 1.5, 2 * time.Millisecond},
	} {
		root := fstest.MapFS{}
		for name, text := range c.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if quota, throttled := readCPU(root); quota != c.quota || throttled != c.throttled {
			t.Errorf("%s: quota %v, held back for %v; want %v and %v", c.name, quota, throttled, c.quota, c.throttled)
		}
	}
}

// TestNoCPU: what has no processor for over 5 % of a minute is told once, and once more when it is over.
func TestNoCPU(t *testing.T) {
	var log bytes.Buffer
	var waited, throttled time.Duration
	root := fstest.MapFS{
		"proc/self/cgroup":      {Data: []byte("0::/\n")},
		"sys/fs/cgroup/cpu.max": {Data: []byte("20000 1000000\n")},
	}
	c := NewCPU(zerolog.New(&log), func() time.Duration { return waited })
	c.root = root
	now := time.Now()
	seconds := func(n int, waits, held time.Duration) {
		for range n {
			now, waited, throttled = now.Add(time.Second), waited+waits, throttled+held
			root["sys/fs/cgroup/cpu.stat"] = &fstest.MapFile{Data: []byte("throttled_usec " + strconv.FormatInt(throttled.Microseconds(), 10))}
			c.look(now, 2)
		}
	}
	c.look(now, 2)
	seconds(60, 40*time.Millisecond, 0) // busy, and keeps up
	seconds(1, 0, 0)
	now = now.Add(23 * time.Second) // it was stopped: it wanted no processor in that time
	seconds(60, 0, 0)
	if c.Trouble() != "" || log.Len() > 0 {
		t.Fatalf("%q, %s: nothing was wrong", c.Trouble(), log.String())
	}
	seconds(41, 600*time.Millisecond, 1100*time.Millisecond)
	if got, want := c.Trouble(), "this machine: no CPU for 41 % of the last minute: the cgroup allows 0.02 CPU"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := c.Available(); got != 0.02 {
		t.Errorf("%v processors, want those of the quota", got)
	}
	seconds(61, 0, 0)
	seconds(30, 900*time.Millisecond, 0)
	if got, want := c.Trouble(), "this machine: no CPU for 45 % of the last minute: other processes use it"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	seconds(61, 0, 0)
	seconds(30, 900*time.Millisecond, 900*time.Millisecond) // one processor of two was held back, and no work was on the other
	if got, want := c.Trouble(), "this machine: no CPU for 45 % of the last minute: the cgroup allows 0.02 CPU"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if n := strings.Count(log.String(), `"warn"`); n != 3 {
		t.Errorf("%d warnings, want one for each time: %s", n, log.String())
	}
}
