package main

import (
	"fmt"
	"math"
	"time"

	"flowbridge/scripts/internal/report"
)

// minute holds the figures of one minute of a soak. Delays are in ms.
type minute struct {
	Minute  int     `json:"minute"`
	Begun   int     `json:"begun"`
	Good    int     `json:"good"`
	Refused int     `json:"refused"`
	Failed  int     `json:"failed"`
	Lost    int     `json:"lost"`
	Up      int     `json:"up"` // calls up at its end
	P50     float64 `json:"p50_ms"`
	P95     float64 `json:"p95_ms"`
	P99     float64 `json:"p99_ms"`
	RSS     float64 `json:"rss_mb"` // at its end
}

// soaked is the result of a soak.
type soaked struct {
	Machine machine  `json:"machine"`
	System  string   `json:"system"`
	Rate    int      `json:"rate"`
	Hold    string   `json:"hold"`
	Share   float64  `json:"share_held"` // share of calls held long; the others are held for a second
	Minutes []minute `json:"minutes"`

	// The mean of the last third of the minutes with all calls up, relative to the mean of the first third.
	RSSGrowth float64 `json:"rss_growth"`
	P99Growth float64 `json:"p99_growth"`

	After   float64 `json:"rss_minute_after_mb"` // a minute after the last call
	Started float64 `json:"rss_started_mb"`
}

// laneCalls is the number of calls given to a lane of Flowbridge: fewer than it has ports for, because ports rest after
// a call.
const laneCalls = 20000

// soak runs long calls for a long time, at 60 % of the capacity or at the rate in the arguments.
func (b *bench) soak() error {
	name := b.systems[0]
	rate, err := b.capacityOf(name)
	if err != nil {
		return err
	}
	if len(b.rates) == 0 {
		rate = rate * 6 / 10
	}
	share, err := b.share(name, rate)
	if err != nil {
		return err
	}
	b.lanes = int(math.Ceil(float64(rate) * b.holds.Seconds() * share / laneCalls))
	return b.with(name, func(s *system) error { return b.soakSystem(s, rate, share) })
}

func (b *bench) soakSystem(s *system, rate int, share float64) error {
	k := soaked{
		Machine: thisMachine(b.processor), System: s.name, Rate: rate, Hold: b.holds.String(), Share: share,
		Started: s.group.Resident(),
	}
	fmt.Fprintf(b.out, "%s: %d calls/s for %v; %.1f %% of them are held for %v, the others for a second\n",
		s.name, rate, b.lasts, 100*share, b.holds)
	fmt.Fprintln(b.out, "minute   begun    good refused  failed    lost      up  p50 ms  p95 ms  p99 ms  RSS MB")
	l, err := b.run(s, plan{
		hold: time.Second, long: b.holds, share: share, steps: []step{{float64(rate), b.lasts}},
		watch: func(at time.Duration, c *carrier) bool {
			if at >= time.Duration(len(k.Minutes)+1)*time.Minute {
				k.note(c, s)
				fmt.Fprintln(b.out, k.Minutes[len(k.Minutes)-1].row())
			}
			return false
		},
	})
	if err != nil {
		return err
	}
	k.note(l.carrier, s)
	fmt.Fprintln(b.out, k.Minutes[len(k.Minutes)-1].row())
	time.Sleep(time.Minute)
	k.After = s.group.Resident()
	k.compare(b.holds, b.lasts)
	f := figures{}
	f.take(l)
	f.count(l.carrier.calls)
	fmt.Fprintf(b.out, "%d calls: good %d, refused %d, failed %d %v, lost %d, resent %d\n", f.Calls, f.Good, f.Refused,
		f.Failed, f.Causes, f.Lost, f.Resent)
	fmt.Fprintf(b.out, "from the first to the last third of the time with all calls up: RSS %+.1f %%, p99 %+.1f %%\n",
		100*k.RSSGrowth, 100*k.P99Growth)
	fmt.Fprintf(b.out, "RSS %.0f MB started, %.0f a minute after the last call\n", k.Started, k.After)
	return report.Write(b.json, k)
}

// share returns the share of calls that can be held for long, given how many files a process may open here.
func (b *bench) share(name string, rate int) (float64, error) {
	files, up := 0, 1
	if err := b.with(name, func(s *system) error {
		before := s.group.Descriptors()
		_, err := b.run(s, plan{
			hold: time.Minute, steps: []step{{first, 3 * time.Second}},
			watch: func(at time.Duration, c *carrier) bool {
				if at > 5*time.Second && c.up > 0 && files == 0 {
					files, up = s.group.Descriptors()-before, c.up
				}
				return files > 0
			},
		})
		return err
	}); err != nil {
		return 0, err
	}
	each := max(math.Round(float64(files)/float64(up)), 1)
	room := roomShare * float64(openFiles()) / each
	const short = 1 // s
	share := (room - float64(rate)*short) / (float64(rate) * (b.holds.Seconds() - short))
	return min(max(share, 0), 1), nil
}

// roomShare is the share of the files that a soak uses, because sockets rest after a call.
const roomShare = 0.8

// note adds a finished minute.
func (k *soaked) note(c *carrier, s *system) {
	m := minute{
		Minute: len(k.Minutes) + 1, Begun: len(c.calls), Good: c.ended[good], Refused: c.ended[refused],
		Failed: c.ended[failed], Lost: c.ended[lost], Up: c.up, RSS: s.group.Resident(),
	}
	for _, b := range k.Minutes {
		m.Begun, m.Good, m.Refused = m.Begun-b.Begun, m.Good-b.Good, m.Refused-b.Refused
		m.Failed, m.Lost = m.Failed-b.Failed, m.Lost-b.Lost
	}
	m.P50, m.P95, m.P99 = delays(c.setUps)
	c.setUps = c.setUps[:0]
	k.Minutes = append(k.Minutes, m)
}

// compare fills in the growth.
func (k *soaked) compare(hold, lasts time.Duration) {
	var full []minute // the minutes with all calls up
	for _, m := range k.Minutes {
		if end := time.Duration(m.Minute) * time.Minute; end > hold+time.Minute && end <= lasts {
			full = append(full, m)
		}
	}
	n := len(full) / 3
	if n == 0 {
		return
	}
	growth := func(of func(minute) float64) float64 {
		first, last := 0.0, 0.0
		for i := range n {
			first, last = first+of(full[i]), last+of(full[len(full)-1-i])
		}
		return last/first - 1
	}
	k.RSSGrowth = growth(func(m minute) float64 { return m.RSS })
	k.P99Growth = growth(func(m minute) float64 { return m.P99 })
}

func (m minute) row() string {
	return fmt.Sprintf("%6d %7d %7d %7d %7d %7d %7d %7.1f %7.1f %7.1f %7.0f",
		m.Minute, m.Begun, m.Good, m.Refused, m.Failed, m.Lost, m.Up, m.P50, m.P95, m.P99, m.RSS)
}
