package resources

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/internal/periodic"
	"flowbridge/telemetry"
)

const (
	// scarceAbove and amplyBelow are percentages of the allowed memory. Above the first, new calls are refused until use
	// falls below the second.
	scarceAbove, amplyBelow = 80, 75
	// scarceEvery is how often use is checked.
	scarceEvery = time.Second
	// collectEvery is how often the collector runs while memory is scarce.
	collectEvery = 10 * time.Second
)

// budget is how much memory the process may use, and how much it uses.
type budget struct {
	root fs.FS

	mu     sync.Mutex // guards the fields below
	cgroup cgroup
}

// group returns the cgroup that bounds the process, as it was last read.
func (b *budget) group() cgroup {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cgroup
}

// find reads the cgroup's limit again, because it may change while the process runs.
func (b *budget) find() cgroup {
	now := findCgroup(b.root)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cgroup = now
	return now
}

// allowed returns the limit in bytes, or 0 if there is none.
func (b *budget) allowed() uint64 { return b.group().limit }

// use returns how much all processes of the cgroup use, and the limit. The limit is 0 if there is none.
func (b *budget) use() (used, limit uint64) {
	if g := b.find(); g.limit > 0 {
		used, limit = g.use(b.root), g.limit
	}
	return used, limit
}

// scarcity refuses new calls while the process uses nearly all the memory that it is allowed. Live calls continue.
type scarcity struct {
	log     zerolog.Logger
	use     func() (used, limit uint64)
	collect func() // returns garbage to the system
	used    atomic.Uint64
	times   atomic.Uint64 // how often memory became scarce

	mu     sync.Mutex // guards the fields below
	refuse func(bool) // nil until tell is called
	is     bool
	detail string

	// owned by the goroutine of watch
	since, collected time.Time
}

// tell sets the function that refuses new calls while memory is scarce.
func (s *scarcity) tell(refuse func(bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = refuse
	refuse(s.is)
}

// watch checks memory until ctx ends.
func (s *scarcity) watch(ctx context.Context) {
	s.look(time.Now())
	periodic.Run(ctx, scarceEvery, func() { s.look(time.Now()) })
}

func (s *scarcity) look(now time.Time) {
	used, limit := s.use()
	s.used.Store(used)
	var percent uint64
	if limit > 0 {
		percent = used * 100 / limit
	}
	was := s.state() != ""
	is := percent > scarceAbove || (was && percent >= amplyBelow)
	s.set(is, fmt.Sprintf("memory: %d %% of %d MB used: new calls are refused", percent, limit/1e6))
	switch {
	case is && !was:
		s.since = now
		s.times.Add(1)
		s.log.Warn().Uint64("used_bytes", used).Uint64("allowed_bytes", limit).Msg("memory is scarce: refusing new calls")
	case was && !is:
		s.log.Info().Uint64("used_bytes", used).Uint64("allowed_bytes", limit).
			Int64("dur_ms", now.Sub(s.since).Milliseconds()).
			Msg("memory is scarce no more: new calls are taken")
	}
	if is && now.Sub(s.collected) >= collectEvery {
		s.collected = now
		s.collect()
	}
}

func (s *scarcity) set(is bool, detail string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.is != is && s.refuse != nil {
		s.refuse(is)
	}
	s.is, s.detail = is, detail
}

// state says that memory is scarce, or returns "".
func (s *scarcity) state() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.is {
		return ""
	}
	return s.detail
}

func (s *scarcity) gauges(add telemetry.Add) {
	add("memory_used_bytes",
		"What counts against the limit of the memory, without the cache of files. 0: there is no limit.",
		float64(s.used.Load()))
	add("memory_scarce",
		"Whether new calls are refused, because nearly all the memory is used that the process may have.",
		telemetry.OneIf(s.state() != ""))
	add("memory_scarce_total", "How often memory became scarce.", float64(s.times.Load()))
}

// newBudget reads how much memory the process may use.
func newBudget() *budget {
	root := os.DirFS("/")
	return &budget{root: root, cgroup: findCgroup(root)}
}

// WhenScarce sets the function that refuses new calls while memory is scarce.
func (m *Memory) WhenScarce(refuse func(bool)) { m.scarcity.tell(refuse) }

// Scarce says that memory is scarce, or returns "". m may be nil.
func (m *Memory) Scarce() string {
	if m == nil {
		return ""
	}
	return m.scarcity.state()
}
