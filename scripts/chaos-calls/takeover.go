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

// takeover is what scripts/bench takeover has been told, and what it found.
type takeover struct {
	binary, script string
	engine, by     string
	calls, many    int
	manual         bool
	rate           float64
	away           time.Duration
	logs, json     string
	out            io.Writer
	stop           chan os.Signal

	dir   string // of all that is written; other users may pass through it
	name  string // of the case
	found []finding
}

// finding is a line of a case: what something was, and what it must be. Without a must it is a figure.
type finding struct {
	Case string `json:"case"`
	What string `json:"what"`
	Must string `json:"must,omitempty"`
	Was  string `json:"was"`
	Good bool   `json:"good"`
}

// takeOverCase is a case of the bench, with the load that it has.
type takeOverCase struct {
	name    string
	by      string // who moves the address; empty: as the command line says
	options func(*takeover, *lab)
	run     func(*takeover, *lab) error
}

var takeOverCases = []takeOverCase{
	{"machine", "", holding, (*takeover).machine},
	{"load", "", mixed, (*takeover).load},
	{"cutoff-short-with", "script", mixed, cutFor(5*time.Second, true)},
	{"cutoff-short-without", "script", mixed, cutFor(5*time.Second, false)},
	{"cutoff-long-with", "script", mixed, cutFor(0, true)},
	{"cutoff-long-without", "script", mixed, cutFor(0, false)},
	{"stopped", "", mixed, (*takeover).stopped},
	{"database-away", "", mixed, (*takeover).databaseAway},
	{"database-fails-over", "", mixed, (*takeover).databaseFailsOver},
	{"cost", "script", passing, (*takeover).cost},
	{"large", "", manyCalls, (*takeover).large},
	{"move", "script", mixed, (*takeover).move},
	{"caps", "", capped, (*takeover).caps},
}

func holding(t *takeover, l *lab) { l.settings.held = t.calls }

// mixed are calls of all phases, and some that are held.
func mixed(t *takeover, l *lab) { l.settings.held, l.settings.rate = t.calls/6, t.rate }

// passing calls are of all phases, and none is held.
func passing(t *takeover, l *lab) { l.settings.rate = t.rate }

// manyCalls are held, few of them with RTP.
func manyCalls(t *takeover, l *lab) {
	const withRTP = 20
	l.settings.held, l.silent, l.heard = t.many, time.Hour, withRTP
}

// capped has a cap that is some 20 above the calls, which last 4.5 s on average.
func capped(t *takeover, l *lab) {
	l.settings.held, l.settings.rate = 60, 5
	l.more = ", max_calls: 105"
}

// cutFor is a case whose owner is cut off; 0: for as long as the command line says.
func cutFor(away time.Duration, keepsAddress bool) func(*takeover, *lab) error {
	return func(t *takeover, l *lab) error { return l.cutOff(cmp.Or(away, t.away), keepsAddress) }
}

// takeOver runs the cases that are asked for.
func takeOver(args []string, out io.Writer) (err error) {
	t := &takeover{out: out, stop: make(chan os.Signal, 1)}
	names, err := t.parse(args)
	if err != nil {
		return err
	}
	if os.Getpid() != 1 { // else its mounts would be everybody's, and its processes might outlive it
		return errTakeOver
	}
	go t.end()
	if t.dir, err = os.MkdirTemp("", "takeover"); err == nil {
		err = errors.Join(os.Chmod(t.dir, 0o711), mountRun()) //nolint:gosec // PostgreSQL runs as another user
	}
	defer func() { err = errors.Join(err, os.RemoveAll(t.dir)) }()
	for _, c := range takeOverCases {
		if err == nil && t.wants(c.name, names) {
			t.runCase(c)
		}
	}
	return errors.Join(err, report.Write(t.json, t.found), t.verdict())
}

// wants says whether a case is asked for, by its name or the beginning of it.
func (t *takeover) wants(name string, asked []string) bool {
	return len(asked) == 0 || slices.ContainsFunc(asked, func(a string) bool { return name == a || strings.HasPrefix(name, a+"-") })
}

func (t *takeover) runCase(c takeOverCase) {
	fmt.Fprintln(t.out, c.name)
	by := t.by
	defer func() { t.by = by }()
	t.name, t.by = c.name, cmp.Or(c.by, t.by)
	l, err := t.newLab(c.options)
	if err == nil {
		err = c.run(t, l)
		l.close()
	}
	if err != nil {
		t.holds("the case runs to its end", false, "", err.Error())
	}
}

// end ends all when a signal wants it: with the first process of a namespace go all others of it, and with these the
// networks and mounts. scripts/bench removes the files.
func (t *takeover) end() {
	signal.Notify(t.stop, syscall.SIGINT, syscall.SIGTERM)
	<-t.stop
	fmt.Fprintln(t.out, errStopped)
	os.Exit(2)
}

func (t *takeover) parse(args []string) (names []string, err error) {
	f := flag.NewFlagSet("takeover", flag.ContinueOnError)
	f.StringVar(&t.binary, "flowbridge", "", "the binary")
	f.StringVar(&t.script, "lab", "", "scripts/takeover-lab")
	f.StringVar(&t.engine, "engine", "userspace", "media.engine")
	f.StringVar(&t.by, "by", "keepalived", "who moves the address of a dead node: keepalived or script")
	f.IntVar(&t.calls, "calls", 300, "calls that are held, with RTP")
	f.IntVar(&t.many, "many", 2000, "calls of the case large")
	f.Float64Var(&t.rate, "rate", perSecond, "calls a second of the cases with a load")
	f.DurationVar(&t.away, "away", time.Minute, "how long the database is away, and an owner cut off")
	f.BoolVar(&t.manual, "manual", false, "the nodes know nothing of takeover: the store of the former owner is copied")
	f.StringVar(&t.logs, "logs", "", "a directory for the logs and configurations of all nodes")
	f.StringVar(&t.json, "json", "", "file for all that was found")
	if err := f.Parse(args); err != nil || t.binary == "" || t.script == "" {
		return nil, errTakeOver
	}
	for _, name := range f.Args() {
		if !slices.ContainsFunc(takeOverCases, func(c takeOverCase) bool { return t.wants(c.name, []string{name}) }) {
			return nil, fmt.Errorf("%w: there is no case %s", errTakeOver, name)
		}
	}
	for _, path := range []*string{&t.binary, &t.script} {
		if *path, err = filepath.Abs(*path); err != nil {
			return nil, err
		}
	}
	return f.Args(), nil
}

func (t *takeover) verdict() error {
	broken := 0
	for _, f := range t.found {
		if !f.Good {
			broken++
		}
	}
	fmt.Fprintf(t.out, "%d of %d are not as they must be\n", broken, len(t.found))
	if broken > 0 {
		return errBroken
	}
	return nil
}

func (t *takeover) add(f finding) {
	f.Case = t.name
	t.found = append(t.found, f)
	must, mark := "", ""
	if f.Must != "" {
		must = "must " + f.Must
	}
	if !f.Good {
		mark = "   BROKEN"
	}
	fmt.Fprintf(t.out, "  %-58s %-14s was %s%s\n", f.What, must, strings.TrimSpace(f.Was), mark)
}

// figure notes something that need not be anything.
func (t *takeover) figure(what, form string, values ...any) {
	t.add(finding{What: what, Was: fmt.Sprintf(form, values...), Good: true})
}

func (t *takeover) holds(what string, good bool, must, was string) {
	t.add(finding{What: what, Must: must, Was: was, Good: good})
}

// is notes a count that must be exact.
func (t *takeover) is(what string, must, was int) {
	t.holds(what, was == must, fmt.Sprint(must), fmt.Sprint(was))
}

// atMost notes a time in ms.
func (t *takeover) atMost(what string, must, was float64) {
	t.holds(what, was <= must, fmt.Sprintf("≤ %.0f ms", must), fmt.Sprintf("%.0f ms", was))
}

// holdsAll notes invariants. The first that are broken are shown.
func (t *takeover) holdsAll(all ...invariant) {
	for _, i := range all {
		was := fmt.Sprintf("%d of %d", len(i.broken), i.of)
		for n, text := range i.broken {
			if n == 3 {
				break
			}
			was += "\n      " + text
		}
		t.holds("broken: "+i.name, len(i.broken) == 0, "0", was)
	}
}
