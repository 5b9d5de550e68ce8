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

func (l *lab) databaseAway() {
	l.withoutDatabase(func() {
		l.do("db", "stop", "db")
		l.wait(l.away)
		l.do("db", "start", "db")
	})
}

func (l *lab) databaseFailsOver() {
	l.withoutDatabase(func() {
		l.do("db", "stop", "db")
		l.do("db", "promote", "db2")
	})
}

// withoutDatabase makes the database fail and come back under load.
func (l *lab) withoutDatabase(outage func()) {
	stop := l.begin(underLoad)
	gone := time.Since(l.begun)
	outage()
	back := time.Since(l.begun)
	if l.err == nil {
		l.noteStates()
	}
	l.wait(underLoad)
	if stop(); l.err != nil {
		return
	}
	l.noteSetUps("before", gone-underLoad, gone)
	l.noteSetUps("first second without the database", gone, gone+time.Second)
	l.noteSetUps("the next four", gone+time.Second, gone+5*time.Second)
	l.noteSetUps("then, without it", gone+5*time.Second, back)
	l.noteSetUps("first second with it", back, back+time.Second)
	l.noteSetUps("then", back+time.Second, back+underLoad)
	l.is("calls refused with 503", 0, l.carrier.count(refusedBy503))
	l.judge(0, 0)
}

// noteStates waits until the database has the states of all calls again.
func (l *lab) noteStates() {
	begin := time.Now()
	_ = process.Until(30*time.Second, func() error {
		f, err := l.nodes[0].server.Admin.Metrics()
		if n, there := f["flowbridge_calls_unprotected"]; err == nil && (n > 0 || !there) {
			err = fmt.Errorf("%.0f calls are not protected", n)
		}
		return err
	})
	l.atMost("until the states of all calls are in the database again", 5000, float64(time.Since(begin).Milliseconds()))
	l.figure("states there", "%d", l.ask("SELECT count(*) FROM flowbridge_states"))
}

// noteSetUps records how long the callers of a period waited for their 200, minus the first target's own time, in ms.
func (l *lab) noteSetUps(part string, from, to time.Duration) (p50, p99 float64) {
	own, ms := map[string]time.Duration{}, []float64(nil)
	for g := range legsOf(l.first, l.carrier) {
		i := slices.IndexFunc(g.moments, func(m moment) bool {
			return m.sent != g.caller && strings.HasPrefix(m.what, "200 OK") && strings.HasSuffix(m.what, " INVITE)")
		})
		if i < 0 {
			continue
		}
		took := g.moments[i].at - g.moments[0].at
		if theirs, there := own[g.number]; !g.caller {
			own[g.number] = took
		} else if at := g.moments[0].at; there && at >= from && at < to {
			ms = append(ms, (took-theirs).Seconds()*1000)
		}
	}
	slices.Sort(ms)
	p50, p99 = report.At(ms, 0.5), report.At(ms, 0.99)
	l.figure("set-up but for the agent's part: "+part, "p50 %.1f, p99 %.1f, max %.1f ms of %d", p50, p99,
		report.At(ms, 1), len(ms))
	return p50, p99
}

// costs are the costs of a round of calls: set-up times, and processor time per call, in ms.
type costs struct{ P50, P99, Node, Database float64 }

// cost runs calls with takeover and without, in turns, restarting all nodes each time.
func (l *lab) cost() {
	all := map[bool][]costs{}
	for round := range 6 {
		l.plain = round%2 == 1
		if l.err == nil {
			all[l.plain] = append(all[l.plain], l.costs())
		}
	}
	if l.err != nil {
		return
	}
	with, without := report.Medians(all[false]), report.Medians(all[true])
	for name, of := range map[string]func(costs) float64{
		"set-up p50": func(c costs) float64 { return c.P50 }, "set-up p99": func(c costs) float64 { return c.P99 },
		"CPU of a call, node":       func(c costs) float64 { return c.Node },
		"CPU of a call, PostgreSQL": func(c costs) float64 { return c.Database },
	} {
		a, b := of(with), of(without)
		l.figure("medians with takeover and without: "+name, "%.2f, %.2f ms: %+.2f, %.2f times", a, b, a-b, a/b)
	}
}

func (l *lab) costs() (c costs) {
	for _, n := range l.nodes {
		n.server.Kill()
	}
	stop := l.begin(0)
	defer stop()
	if l.err != nil {
		return c
	}
	node, database := process.Group{l.nodes[0].server.PID}, postgresProcesses()
	from := time.Since(l.begun)
	nodeBefore, err1 := node.CPU()
	databaseBefore, err2 := database.CPU()
	l.wait(20 * time.Second)
	nodeAfter, err3 := node.CPU()
	databaseAfter, err4 := database.CPU()
	l.err = errors.Join(err1, err2, err3, err4)
	calls := float64(l.carrier.count(func(g *leg) bool { return g.moments[0].at >= from }))
	c.P50, c.P99 = l.noteSetUps(fmt.Sprintf("takeover %v", !l.plain), from, time.Since(l.begun))
	c.Node, c.Database = (nodeAfter-nodeBefore).Seconds()*1000/calls, (databaseAfter-databaseBefore).Seconds()*1000/calls
	return c
}

// postgresProcesses returns the current processes of PostgreSQL, but none that start later.
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
