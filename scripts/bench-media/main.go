package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

var errUsage = errors.New("usage: bench-media run|held|survive|upgrade|rescue -flowbridge BINARY [-rounds N] [-seconds N] [-systems LIST] [-json FILE] CALLS..., or relay ADDRESS")

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench-media:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) == 2 && args[0] == "relay" {
		return relayByGoroutines(args[1], in, out)
	}
	if len(args) == 0 {
		return errUsage
	}
	b, err := parse(args[1:])
	if err != nil {
		return err
	}
	b.out = out
	if b.dir, err = os.MkdirTemp("", "bench-media"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	switch args[0] {
	case "run":
		return b.run()
	case "held":
		return b.held()
	case "survive":
		return b.survive(killed)
	case "upgrade":
		return b.survive(upgraded)
	case "rescue":
		return b.rescue()
	}
	return errUsage
}

// bench is a series of runs.
type bench struct {
	flowbridge string // the binary
	systems    []string
	calls      []int
	rounds     int
	seconds    int
	json       string // file; empty: none
	out        io.Writer
	dir        string // for what the systems write
}

func parse(args []string) (*bench, error) {
	b := &bench{}
	f := flag.NewFlagSet("run", flag.ContinueOnError)
	f.StringVar(&b.flowbridge, "flowbridge", "", "the binary to measure")
	f.IntVar(&b.rounds, "rounds", 3, "times that the systems take turns; medians are shown")
	f.IntVar(&b.seconds, "seconds", 10, "length of a measurement")
	f.StringVar(&b.json, "json", "", "file for all figures")
	systems := f.String("systems", strings.Join(systemNames, ","), "which systems")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	b.systems = strings.Split(*systems, ",")
	for _, name := range b.systems {
		if !slices.Contains(systemNames, name) {
			return nil, fmt.Errorf("there is no system %q: %s", name, strings.Join(systemNames, ", "))
		}
	}
	for _, text := range f.Args() {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxCalls {
			return nil, fmt.Errorf("%q is not a number of calls from 1 to %d", text, maxCalls)
		}
		b.calls = append(b.calls, n)
	}
	if len(b.calls) == 0 || b.rounds < 1 || b.seconds < 1 {
		return nil, errUsage
	}
	return b, nil
}

// run measures everything and shows it, size by size.
func (b *bench) run() error {
	var all []figures
	fmt.Fprintln(b.out, heading)
	for _, calls := range b.calls {
		for round := 1; round <= b.rounds; round++ {
			for _, name := range append([]string{direct}, b.systems...) {
				f, err := b.measure(name, calls)
				if err != nil {
					return fmt.Errorf("%s with %d calls: %w", name, calls, err)
				}
				f.Round = round
				all = append(all, f)
			}
		}
		deduct(all)
		for _, name := range append([]string{direct}, b.systems...) {
			fmt.Fprintln(b.out, median(all, name, calls).row())
		}
	}
	return write(b.json, all)
}

// write writes figures to a file; none: nowhere.
func write(file string, all any) error {
	if file == "" {
		return nil
	}
	b, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

const (
	warmUp  = 2 * time.Second
	settled = 2 * time.Second // for packets under way at the end, if there are any
)

// measure has one system carry calls.
func (b *bench) measure(name string, calls int) (f figures, err error) {
	f = figures{System: name, Calls: calls}
	s, err := b.start(name)
	if err != nil {
		return f, err
	}
	defer s.stop()
	l, err := newLoad(s.network, endsOf(name), calls)
	if err != nil {
		return f, err
	}
	defer l.close()
	before, err := memoryOf(s.pid)
	if err != nil {
		return f, err
	}
	if err := s.connect(l); err != nil {
		return f, err
	}
	start, end, err := l.run(warmUp, time.Duration(b.seconds)*time.Second, func() (usage, error) { return usageOf(s.pid) })
	if err != nil {
		return f, err
	}
	after, err := memoryOf(s.pid)
	if err != nil {
		return f, err
	}
	if l.received() == 0 {
		return f, errors.New("no packet came through")
	}
	f.take(l, start, end)
	f.KBPerCall = float64(after-before) / float64(calls) / 1024
	return f, nil
}

// connect sets up the calls of a load.
func (s *system) connect(l *load) error {
	for i := range l.calls {
		toA, toB, err := s.open(i, l.side[0].addr, l.side[1].addr)
		if err != nil {
			return fmt.Errorf("call %d: %w", i, err)
		}
		l.connect(i, toA, toB)
	}
	return nil
}
