package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"flowbridge/scripts/internal/report"
)

var errTakeOver = errors.New("usage: chaos-calls takeover -flowbridge BINARY [flags] [CASE…]; start it by scripts/bench")

// takeover holds the settings and findings of scripts/bench takeover.
type takeover struct {
	binary, script string
	engine, by     string
	calls          int
	rate           float64
	away, lasting  time.Duration
	out            io.Writer

	dir   string // for all output; other users may traverse it
	name  string // of the case
	found []finding
}

// finding is a line of a case: an observation, and the requirement. Without a requirement it is a figure.
type finding struct {
	Case string `json:"case"`
	What string `json:"what"`
	Must string `json:"must,omitempty"`
	Was  string `json:"was"`
	Good bool   `json:"good"`
}

// takeOverCase is a case of the bench, with its load.
type takeOverCase struct {
	name    string
	by      string // what moves the address of a dead node; empty means keepalived
	prepare func(*lab)
	run     func(*lab)
}

var takeOverCases = []takeOverCase{
	{"machine", "", holding, func(l *lab) { l.afterDeath(0) }},
	{"load", "", mixed, func(l *lab) { l.afterDeath(underLoad) }},
	{"cutoff-short-with", "script", mixed, func(l *lab) { l.cutOff(5*time.Second, true) }},
	{"cutoff-short-without", "script", mixed, func(l *lab) { l.cutOff(5*time.Second, false) }},
	{"cutoff-long-with", "script", mixed, func(l *lab) { l.cutOff(l.away, true) }},
	{"cutoff-long-without", "script", mixed, func(l *lab) { l.cutOff(l.away, false) }},
	{"stopped", "", mixed, (*lab).stopped},
	{"database-away", "", mixed, (*lab).databaseAway},
	{"database-fails-over", "", mixed, (*lab).databaseFailsOver},
	{"cost", "script", func(l *lab) { l.settings.rate = l.rate }, (*lab).cost},
	{"large", "", manyCalls, (*lab).large},
	{"move", "script", mixed, (*lab).move},
	{"caps", "", capped, (*lab).caps},
	{"faults", "script", patient, (*lab).faults},
}

func holding(l *lab) { l.held = l.calls }

// mixed is a load of calls in all phases, some of them held.
func mixed(l *lab) { l.held, l.settings.rate = l.calls/6, l.rate }

// patient is a mixed load whose answers wait until the database has the calls' states, as long as that may take on a
// busy machine. With the default, such a machine would have unprotected calls, which end with it.
func patient(l *lab) {
	mixed(l)
	l.patience = 2 * time.Second
}

// manyCalls is a load of held calls, few of them with RTP.
func manyCalls(l *lab) { l.held, l.silent, l.heard = 2000, time.Hour, 20 }

// capped sets a cap about 20 above the number of calls, which last 4.5 s on average.
func capped(l *lab) { l.held, l.settings.rate, l.more = 60, 5, ", max_calls: 105" }

// takeOver runs the requested cases.
func takeOver(args []string, out io.Writer) (err error) {
	t := &takeover{out: out}
	f := flag.NewFlagSet("takeover", flag.ContinueOnError)
	f.StringVar(&t.binary, "flowbridge", "", "the binary")
	f.StringVar(&t.script, "lab", "", "scripts/takeover-lab")
	f.StringVar(&t.engine, "engine", "userspace", "media.engine")
	f.IntVar(&t.calls, "calls", 300, "calls that are held, with RTP; beside a load a sixth of that")
	f.Float64Var(&t.rate, "rate", perSecond, "calls a second of the cases with a load")
	f.DurationVar(&t.away, "away", time.Minute, "how long the database is away, and an owner cut off")
	f.DurationVar(&t.lasting, "lasting", 2*time.Minute, "how long the case faults has one after the other")
	json := f.String("json", "", "file for all that was found")
	if err := f.Parse(args); err != nil || t.binary == "" || os.Getpid() != 1 { // else its processes might outlive it
		return errTakeOver
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	go func() { // when this process ends, all others of its namespace end, and with them networks and mounts
		<-stop
		os.Exit(2)
	}()
	if t.script, err = filepath.Abs(t.script); err == nil {
		t.dir, err = os.MkdirTemp("", "takeover")
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(t.dir)) }()
	for _, c := range takeOverCases {
		asked := func(name string) bool { return c.name == name || strings.HasPrefix(c.name, name+"-") }
		if f.NArg() == 0 || slices.ContainsFunc(f.Args(), asked) {
			t.runCase(c)
		}
	}
	return errors.Join(os.Chmod(t.dir, 0o700), report.Write(*json, t.found), t.verdict())
}

func (t *takeover) runCase(c takeOverCase) {
	fmt.Fprintln(t.out, c.name)
	t.name, t.by = c.name, cmp.Or(c.by, "keepalived")
	l := t.newLab(c.prepare)
	defer l.close()
	if l.err == nil {
		c.run(l)
	}
	if l.err != nil {
		t.holds("the case runs to its end", false, "", l.err.Error())
	}
}

func (t *takeover) verdict() error {
	good := 0
	for _, f := range t.found {
		if f.Good {
			good++
		}
	}
	fmt.Fprintf(t.out, "%d of %d are as they must be\n", good, len(t.found))
	if good == 0 || good < len(t.found) {
		return errBroken
	}
	return nil
}

// figure records a value without a requirement.
func (t *takeover) figure(what, form string, values ...any) {
	t.holds(what, true, "", fmt.Sprintf(form, values...))
}

// is records a count that must be exact.
func (t *takeover) is(what string, must, was int) {
	t.holds(what, was == must, fmt.Sprint(must), fmt.Sprint(was))
}

// atMost records a time in ms.
func (t *takeover) atMost(what string, must, was float64) {
	t.holds(what, was <= must, fmt.Sprintf("≤ %.0f ms", must), fmt.Sprintf("%.0f ms", was))
}

func (t *takeover) holds(what string, good bool, must, was string) {
	t.found = append(t.found, finding{t.name, what, must, was, good})
	mark := ""
	if !good {
		mark = "   BROKEN"
	}
	fmt.Fprintf(t.out, "  %-58s %-10s %s%s\n", what, must, strings.TrimSpace(was), mark)
}
