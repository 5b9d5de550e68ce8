package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"flowbridge/scripts/internal/process"
	"flowbridge/scripts/internal/report"
)

// databaseAway has the database be away for a time.
func (t *takeover) databaseAway(l *lab) error {
	return l.withoutDatabase(func() error {
		_, err := l.do("db", "stop", "db")
		if err = errors.Join(err, l.pause(t.away)); err == nil {
			_, err = l.do("db", "start", "db")
		}
		return err
	})
}

// databaseFailsOver has its machine die, and its standby be the one that is written to.
func (t *takeover) databaseFailsOver(l *lab) error {
	return l.withoutDatabase(func() error {
		_, err := l.do("db", "stop", "db")
		if err == nil {
			_, err = l.do("db", "promote", "db2")
		}
		return err
	})
}

// withoutDatabase has the database be lost and found again under load.
func (l *lab) withoutDatabase(outage func() error) error {
	stop, err := l.begin(underLoad)
	if err != nil {
		return err
	}
	gone := time.Since(l.begun)
	if err = outage(); err != nil {
		return err
	}
	back := time.Since(l.begun)
	l.noteStates()
	if err = l.pause(underLoad); err != nil {
		return err
	}
	stop()
	for _, part := range []struct {
		name     string
		from, to time.Duration
	}{
		{"before", gone - underLoad, gone},
		{"first second without the database", gone, gone + time.Second},
		{"the next four", gone + time.Second, gone + 5*time.Second},
		{"then, without it", gone + 5*time.Second, back},
		{"first second with it", back, back + time.Second},
		{"then", back + time.Second, back + underLoad},
	} {
		l.noteSetUps(part.name, part.from, part.to)
	}
	l.is("calls refused with 503", 0, l.carrier.count(refusedBy503))
	l.judge(0, 0)
	return nil
}

// statesWithin is how soon a database that is back must have the states of all calls.
const statesWithin = 5 * time.Second

func (l *lab) noteStates() {
	begin := time.Now()
	err := process.Until(60*time.Second, func() error {
		f, err := l.nodes[0].server.Admin.Metrics()
		if n, there := f["flowbridge_calls_unprotected"]; err == nil && (n > 0 || !there) {
			err = fmt.Errorf("%.0f calls are not protected, of which it knows: %v", n, there)
		}
		return err
	})
	l.atMost("until the states of all calls are in the database again", float64(statesWithin.Milliseconds()),
		float64(time.Since(begin).Milliseconds()))
	if err != nil {
		l.figure("they are not", "%v", err)
	}
	l.figure("states there", "%d", l.ask("SELECT count(*) FROM flowbridge_states"))
}

// setUps are how long callers of a time waited for their 200, less what the first target took for its own, in ms.
func (l *lab) setUps(from, to time.Duration) (ms []float64) {
	own := map[string]time.Duration{}
	answers := func(m moment) bool {
		return m.sent && strings.HasPrefix(m.what, "200 OK") && strings.HasSuffix(m.what, " INVITE)")
	}
	l.first.mu.Lock()
	for _, g := range l.first.all {
		if i := slices.IndexFunc(g.moments, answers); i > 0 {
			own[g.number] = g.moments[i].at - g.began()
		}
	}
	l.first.mu.Unlock()
	l.carrier.mu.Lock()
	defer l.carrier.mu.Unlock()
	for _, g := range l.carrier.all {
		at, answered := g.when(false, "200 OK (1 INVITE)")
		theirs, theFirst := own[g.number]
		if b := g.began(); answered && theFirst && b >= from && b < to {
			ms = append(ms, (at-b-theirs).Seconds()*1000)
		}
	}
	slices.Sort(ms)
	return ms
}

func (l *lab) noteSetUps(name string, from, to time.Duration) []float64 {
	ms := l.setUps(from, to)
	l.figure("set-up without the agent's part: "+name, "p50 %.1f, p99 %.1f, max %.1f ms of %d calls", report.At(ms, 0.5),
		report.At(ms, 0.99), report.At(ms, 1), len(ms))
	return ms
}

// costs are what a round of calls took of the processors, in ms a call.
type costs struct{ P50, P99, Node, Database float64 }

// cost has calls with takeover and without, in turns.
func (t *takeover) cost(l *lab) error {
	all := map[bool][]costs{}
	for round := range 6 {
		l.plain = round%2 == 1
		c, err := l.costs()
		if err != nil {
			return err
		}
		all[l.plain] = append(all[l.plain], c)
	}
	with, without := report.Medians(all[false]), report.Medians(all[true])
	for name, c := range map[string]costs{"with takeover": with, "without": without} {
		l.figure("medians "+name, "set-up p50 %.1f, p99 %.1f ms; CPU of a call: node %.2f, PostgreSQL %.2f ms", c.P50, c.P99,
			c.Node, c.Database)
	}
	l.figure("set-up p50 more by; p99", "%.1f; %.1f ms", with.P50-without.P50, with.P99-without.P99)
	l.figure("CPU of the node: ratio; of PostgreSQL: more by", "%.2f; %.2f ms a call", with.Node/without.Node,
		with.Database-without.Database)
	return nil
}

// costs starts all nodes anew, and measures for twenty seconds.
func (l *lab) costs() (c costs, err error) {
	for _, n := range l.nodes {
		n.server.Kill()
		err = errors.Join(err, n.server.Configure(n.config()))
	}
	if err != nil {
		return c, err
	}
	stop, err := l.begin(warmUp)
	if err != nil {
		return c, err
	}
	defer stop()
	node, database := process.Group{l.nodes[0].server.PID}, postgresProcesses()
	nodeBefore, err := node.CPU()
	databaseBefore, err2 := database.CPU()
	from := time.Since(l.begun)
	err = errors.Join(err, err2, l.pause(20*time.Second))
	ms := l.noteSetUps(fmt.Sprintf("round, takeover %v", !l.plain), from, time.Since(l.begun))
	nodeAfter, err2 := node.CPU()
	databaseAfter, err3 := database.CPU()
	placed := l.carrier.count(func(g *leg) bool { return g.began() >= from })
	each := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(max(placed, 1)) }
	c = costs{report.At(ms, 0.5), report.At(ms, 0.99), each(nodeAfter - nodeBefore), each(databaseAfter - databaseBefore)}
	return c, errors.Join(err, err2, err3)
}

// postgresProcesses are those that there are now. Those that come later are left out.
func postgresProcesses() (g process.Group) {
	all, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, file := range all {
		if name, _ := os.ReadFile(file); strings.TrimSpace(string(name)) == "postgres" {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			g = append(g, pid)
		}
	}
	return g
}
