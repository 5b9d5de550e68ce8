package watchdog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/internal/periodic"
	"flowbridge/telemetry"
)

const (
	// lookEvery is how often the watchdog looks.
	lookEvery = time.Second
	// maxNamed is how many stalled things of one part are logged. All are counted.
	maxNamed = 10
	// maxUnlogged is how many lines may wait while the log can't be written.
	maxUnlogged = 64
	// looksLate is the delay of a look that shows that the whole process stood still.
	looksLate = 2 * time.Second
	// looksDead is the age of the last look at which the watchdog itself counts as stalled.
	looksDead = 5 * lookEvery
)

// Part is a part of the process that makes progress or stalls.
type Part struct {
	Name  string
	Vital bool // no calls are possible without this part
	Looks int  // after this many looks without progress, a thing is stalled
	// Underway yields the things under way, each with a number that changes when it makes progress. It must not block.
	Underway func(yield func(id string, step uint64))
}

// Watchdog names the stalled things. It counts looks instead of time, so that parts do not seem to stall if the whole
// process was stopped.
type Watchdog struct {
	log   zerolog.Logger
	parts []Part
	lines chan func() // waiting log lines; the log itself may be stalled

	StoodStill func(late time.Duration) // is told that the whole process made no progress

	looked atomic.Pointer[time.Time] // time of the last look
	now    atomic.Pointer[[]stalled] // the things that are stalled now
	begun  []atomic.Uint64           // number of stalls, by part

	seen []map[thing]*sight // by part; owned by the goroutine of Watch
}

// thing is a piece of work between two steps.
type thing struct {
	id   string
	step uint64
}

// sight says for how many looks a thing has made no progress.
type sight struct {
	first time.Time
	looks int
	last  bool // seen at this look
	named bool // it was logged
}

// stalled is a thing that is stalled.
type stalled struct {
	part  string
	vital bool
	id    string
	since time.Time
}

// New watches parts from now on.
func New(log zerolog.Logger, parts ...Part) *Watchdog {
	w := &Watchdog{
		log: log, parts: parts, lines: make(chan func(), maxUnlogged), begun: make([]atomic.Uint64, len(parts)),
		seen: make([]map[thing]*sight, len(parts)), StoodStill: func(time.Duration) {},
	}
	for i := range parts {
		w.seen[i] = map[thing]*sight{}
	}
	now := time.Now()
	w.looked.Store(&now)
	w.now.Store(&[]stalled{})
	return w
}

// Watch looks until ctx ends.
func (w *Watchdog) Watch(ctx context.Context) {
	go w.tell(ctx)
	periodic.Run(ctx, lookEvery, func() { w.look(time.Now()) })
}

// tell writes the log lines, so that only this goroutine waits while the log can't be written.
func (w *Watchdog) tell(ctx context.Context) {
	for {
		select {
		case line := <-w.lines:
			line()
		case <-ctx.Done():
			return
		}
	}
}

func (w *Watchdog) say(line func()) {
	select {
	case w.lines <- line:
	default: // the log is stalled
	}
}

func (w *Watchdog) look(now time.Time) {
	if late := now.Sub(*w.looked.Load()) - lookEvery; late >= looksLate {
		w.say(func() {
			w.log.Warn().Int64("dur_ms", late.Milliseconds()).Msg("the whole process stood still")
		})
		w.StoodStill(late)
	}
	all := []stalled{}
	for i := range w.parts {
		all = append(all, w.lookAt(i, now)...)
	}
	w.now.Store(&all)
	w.looked.Store(&now)
}

// lookAt looks at one part, and returns what is stalled there.
func (w *Watchdog) lookAt(i int, now time.Time) (all []stalled) {
	p, seen, named := &w.parts[i], w.seen[i], 0
	for _, was := range seen {
		was.last = false
		if was.named {
			named++
		}
	}
	p.Underway(func(id string, step uint64) {
		was := seen[thing{id, step}]
		if was == nil {
			was = &sight{first: now}
			seen[thing{id, step}] = was
		}
		was.last = true
		was.looks++
	})
	for what, was := range seen {
		stands := was.looks > p.Looks
		switch {
		case !was.last:
			delete(seen, what)
			if was.named {
				w.say(func() {
					w.log.Info().Str("part", p.Name).Str("id", what.id).Int64("dur_ms", now.Sub(was.first).Milliseconds()).
						Msg("it gets on again")
				})
			}
			continue
		case stands && was.looks == p.Looks+1:
			w.begun[i].Add(1)
			if named < maxNamed {
				named++
				was.named = true
				w.say(func() {
					w.log.Warn().Str("part", p.Name).Str("id", what.id).Int64("dur_ms", now.Sub(was.first).Milliseconds()).
						Msg("it stands still")
				})
			}
		}
		if stands {
			all = append(all, stalled{part: p.Name, vital: p.Vital, id: what.id, since: was.first})
		}
	}
	return all
}

// Vital returns an error if a vital part is stalled. It waits for a recent enough look.
func (w *Watchdog) Vital(ctx context.Context) error {
	for time.Since(*w.looked.Load()) > looksDead {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the watchdog within the process does not look: %w", ctx.Err())
		case <-time.After(lookEvery / 4):
		}
	}
	for _, one := range *w.now.Load() {
		if one.vital {
			return errors.New(one.String())
		}
	}
	return nil
}

func (s stalled) String() string {
	return fmt.Sprintf("%s %s stands still since %s", s.part, s.id, s.since.UTC().Format(time.RFC3339))
}

// Troubles names the stalled things.
func (w *Watchdog) Troubles() (all []string) {
	for _, one := range *w.now.Load() {
		all = append(all, one.String())
	}
	slices.SortFunc(all, strings.Compare)
	if more := len(all) - maxNamed; more > 0 {
		all = append(all[:maxNamed], fmt.Sprintf("%d more things stand still", more))
	}
	return all
}

// Gauges adds how many things stand still now, and how many have begun to.
func (w *Watchdog) Gauges(add telemetry.Add) {
	count := map[string]int{}
	for _, one := range *w.now.Load() {
		count[one.part]++
	}
	for i := range w.parts {
		name := w.parts[i].Name
		add("stalled",
			"How many things of a part of the process stand still: calls, media workers, SIP sockets, writers, requests.",
			float64(count[name]), "part", name)
		add("stalls_total", "How many things of a part have begun to stand still.", float64(w.begun[i].Load()), "part", name)
	}
}
