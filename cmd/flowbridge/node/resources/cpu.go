package resources

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/internal/periodic"
	"flowbridge/internal/processors"
	"flowbridge/telemetry"
)

const (
	// noCPUAbove and amplyCPUBelow are shares of the last minute. Above the first, the process counts as one without CPU,
	// until the share falls below the second: callers hear three seconds of a minute, but not a moment now and then.
	noCPUAbove, amplyCPUBelow = 0.05, 0.02
	// cpuEvery is how often the figures are read, and cpuOver how many of them are remembered: a minute.
	cpuEvery = time.Second
	cpuOver  = 60
)

// CPU says for which part of the last minute the process had work and no processor. It is measured, not concluded from
// the load: a busy machine that keeps up lacks nothing, and neither does a process that was stopped or a machine that
// was suspended.
type CPU struct {
	log    zerolog.Logger
	root   fs.FS
	waited func() time.Duration // of the media workers (media.Engine.NoCPU)

	share     atomic.Pointer[noCPU]
	total     atomic.Int64 // nanoseconds
	throttled atomic.Int64 // nanoseconds in which the cgroup held the process back

	// owned by the goroutine of Watch
	started time.Time
	last    cpuUse
	past    [cpuOver]noCPU // the last minute by seconds
	at      int
	since   time.Time
}

// cpuUse has the figures of one moment, since the start.
type cpuUse struct{ waited, throttled, held time.Duration }

// noCPU is for how long of the time of there was no processor. throttled is for how long the cgroup was the reason if
// it held back all processors alike. held is the same if it held back one at a time.
type noCPU struct {
	waited, throttled, held, of time.Duration
	quota                       float64 // of the cgroup, in processors; 0: none
	is                          bool    // it is a problem
}

// NewCPU returns a meter of the CPU. Measuring starts with Watch. waited returns how long the media workers have waited
// for a processor.
func NewCPU(log zerolog.Logger, waited func() time.Duration) *CPU {
	c := &CPU{log: log, root: os.DirFS("/"), waited: waited}
	c.share.Store(&noCPU{})
	return c
}

// Watch looks until ctx ends.
func (c *CPU) Watch(ctx context.Context) {
	c.look(time.Now(), processors.Count())
	periodic.Run(ctx, cpuEvery, func() { c.look(time.Now(), processors.Count()) })
}

// look adds the time since the last look. Each processor on which the cgroup was held back counts for itself in the
// kernel's figure, so it is divided by their number.
func (c *CPU) look(now time.Time, cpus int) {
	quota, throttled := readCPU(c.root)
	is := cpuUse{waited: c.waited(), throttled: throttled / time.Duration(cpus), held: throttled}
	if c.started.IsZero() {
		c.started, c.last = now, is
	}
	second := noCPU{
		of: now.Sub(c.started), throttled: max(is.throttled-c.last.throttled, 0), held: max(is.held-c.last.held, 0),
	}
	second.waited = min(max(is.waited-c.last.waited, second.throttled), second.of)
	c.throttled.Add(int64(second.throttled))
	c.total.Add(int64(second.waited))
	c.started, c.last = now, is
	c.past[c.at], c.at = second, (c.at+1)%cpuOver

	was := c.share.Load()
	sum := noCPU{quota: quota}
	for i := range c.past {
		sum.waited += c.past[i].waited
		sum.throttled += c.past[i].throttled
		sum.held += c.past[i].held
		sum.of += c.past[i].of
	}
	sum.of = max(sum.of, cpuOver*cpuEvery) // a process that has just started
	sum.is = sum.share() > noCPUAbove || was.is && sum.share() >= amplyCPUBelow
	c.share.Store(&sum)
	switch {
	case sum.is && !was.is:
		c.since = now
		c.log.Warn().Int("percent", sum.percent()).Float64("quota", quota).
			Int64("throttled_ms", sum.throttled.Milliseconds()).Msg("not enough CPU for calls: audio is late or lost on this machine")
	case was.is && !sum.is:
		c.log.Info().Int64("dur_ms", now.Sub(c.since).Milliseconds()).Msg("enough CPU for calls again")
	}
}

func (n *noCPU) share() float64 {
	if n.of == 0 {
		return 0
	}
	return n.waited.Seconds() / n.of.Seconds()
}

func (n *noCPU) percent() int { return int(100*n.share() + 0.5) }

// String says how long there was no CPU, and why. It is empty if that is no problem.
func (n *noCPU) String() string {
	if !n.is {
		return ""
	}
	text := fmt.Sprintf("no CPU for %d %% of the last minute", n.percent())
	switch {
	case 2*n.held <= n.waited:
		return text + ": other processes use it"
	case n.quota == 0: // it was lifted a moment ago
		return text + ": the cgroup's quota was used up"
	}
	return text + fmt.Sprintf(": the cgroup allows %.3g CPU", n.quota)
}

// Lack says for how long there was no CPU for calls, and why, or returns "".
func (c *CPU) Lack() string { return c.share.Load().String() }

// Trouble is Lack as a problem of this machine.
func (c *CPU) Trouble() string {
	if text := c.Lack(); text != "" {
		return "this machine: " + text
	}
	return ""
}

// Available returns the number of processors for the process: all of the machine, or the cgroup's quota.
func (c *CPU) Available() float64 {
	cpus := float64(processors.Count())
	if quota := c.share.Load().quota; quota > 0 {
		return min(quota, cpus)
	}
	return cpus
}

// Gauges adds the CPU metrics.
func (c *CPU) Gauges(add telemetry.Add) {
	is := c.share.Load()
	add("no_cpu_ratio", "The part of the last minute in which the process had work, and no processor for it.", is.share())
	add("no_cpu_seconds_total", "How long the process has had work, and no processor for it.",
		time.Duration(c.total.Load()).Seconds())
	add("cpu_throttled_seconds_total", "How long the cgroup has held the process back, because its quota was used up.",
		time.Duration(c.throttled.Load()).Seconds())
	add("cpu_available", "How many processors the process may use: those of the machine, or the cgroup's quota.",
		c.Available())
}

// readCPU returns the lowest quota of the process's cgroups, in processors, and how long they have been held back in
// all. The quota is 0 if there is none.
func readCPU(root fs.FS) (quota float64, throttled time.Duration) {
	for dir, first := range cgroups(root, "cpu") {
		var most, period float64
		if first {
			most = float64(readLimit(root, path.Join(dir, "cpu.cfs_quota_us"))) // -1, for none, is no limit
			period = float64(readLimit(root, path.Join(dir, "cpu.cfs_period_us")))
		} else if text, err := fs.ReadFile(root, path.Join(dir, "cpu.max")); err == nil {
			_, _ = fmt.Sscan(string(text), &most, &period) // fails for max
		}
		if most > 0 && period > 0 && (quota == 0 || most/period < quota) {
			quota = most / period
		}
		throttled += readThrottled(root, path.Join(dir, "cpu.stat"))
	}
	return quota, throttled
}

// readThrottled reads one of two names: version 1 counts nanoseconds, version 2 microseconds.
func readThrottled(root fs.FS, name string) time.Duration {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil:
		case key == "throttled_time":
			return time.Duration(n)
		case key == "throttled_usec":
			return time.Duration(n) * time.Microsecond
		}
	}
	return 0
}
