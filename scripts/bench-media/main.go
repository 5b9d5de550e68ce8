package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"flowbridge/scripts/internal/report"
)

var errUsage = errors.New("usage: bench-media run|forwarding|held|survive|upgrade|rescue -flowbridge BINARY " +
	"[-rounds N] [-seconds N] [-systems LIST] [-json FILE] CALLS")

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench-media:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
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
	case "forwarding":
		return b.forwarding()
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
	other      string // another build
	systems    []string
	calls      []int
	rounds     int
	seconds    int
	rate       int // held: new calls per second
	speech     *speech
	secure     *secure
	json       string // output file; may be empty
	out        io.Writer
	dir        string // for the files of the systems
}

func parse(args []string) (*bench, error) {
	b := &bench{}
	f := flag.NewFlagSet("run", flag.ContinueOnError)
	f.StringVar(&b.flowbridge, "flowbridge", "", "the binary to measure")
	f.StringVar(&b.other, "other", "", "another build, to measure beside it")
	f.IntVar(&b.rounds, "rounds", 3, "times that the systems take turns; medians are shown")
	f.IntVar(&b.seconds, "seconds", 10, "length of a measurement")
	f.IntVar(&b.rate, "rate", 500, "held: calls that begin in a second")
	f.StringVar(&b.json, "json", "", "file for all figures")
	transcode := f.String("transcode", "", "media/opus/testdata/speech.bin: carriers send Opus, agents PCMU")
	plain := f.Int("plain", 0, "with -transcode: so many of the calls are plain, and delays are theirs")
	secure := f.String("srtp", "", "one: agents have SRTP; both: carriers, too")
	systems := f.String("systems", "", "which systems; empty: all that can be measured")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if *transcode != "" {
		var err error
		if b.speech, err = readSpeech(*transcode); err != nil {
			return nil, err
		}
		b.speech.plain = *plain
	}
	var err error
	if b.secure, err = newSecure(*secure); err != nil {
		return nil, err
	}
	if b.secure != nil && b.speech != nil {
		return nil, errors.New("-srtp and -transcode can't be measured together")
	}
	if err = b.choose(*systems); err != nil {
		return nil, err
	}
	for _, text := range f.Args() {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxCalls {
			return nil, fmt.Errorf("%q is not a number of calls from 1 to %d", text, maxCalls)
		}
		b.calls = append(b.calls, n)
	}
	if len(b.calls) == 0 || b.rounds < 1 || b.seconds < 1 || b.rate < 1 {
		return nil, errUsage
	}
	return b, nil
}

// choose takes the names of the systems to measure, or if there are none, all that can be measured.
func (b *bench) choose(names string) error {
	can := func(name string) bool {
		return (b.other != "" || !strings.HasPrefix(name, "other-")) && (b.secure == nil || name != forward)
	}
	if names == "" {
		b.systems = slices.DeleteFunc(slices.Clone(systemNames), func(name string) bool {
			return !can(name) || strings.HasPrefix(name, recorded)
		})
		return nil
	}
	b.systems = strings.Split(names, ",")
	for _, name := range b.systems {
		switch {
		case !slices.Contains(systemNames, name):
			return fmt.Errorf("there is no system %q: %s", name, strings.Join(systemNames, ", "))
		case !can(name):
			return fmt.Errorf("%s can't be measured: it needs -other, or has no SRTP", name)
		}
	}
	return nil
}

// run measures everything and shows it, size by size.
func (b *bench) run() error {
	var all []figures
	fmt.Fprintln(b.out, heading)
	for _, calls := range b.calls {
		for round := 1; round <= b.rounds; round++ {
			for _, name := range b.systems {
				f, err := b.measure(name, calls)
				if err != nil {
					return fmt.Errorf("%s with %d calls: %w", name, calls, err)
				}
				f.Round = round
				all = append(all, f)
			}
		}
		for _, name := range b.systems {
			fmt.Fprintln(b.out, median(all, name, calls).row())
		}
	}
	return report.Write(b.json, all)
}

// result is a line of a table and an entry of its file.
type result interface{ row() string }

// eachEngine measures each engine of Flowbridge with each number of calls.
func eachEngine[R result](b *bench, measure func(name string, calls int) (R, error)) error {
	var all []R
	for _, name := range b.systems {
		if name != "kernel" && name != "userspace" {
			continue
		}
		for _, calls := range b.calls {
			r, err := measure(name, calls)
			if err != nil {
				return fmt.Errorf("%s with %d calls: %w", name, calls, err)
			}
			fmt.Fprintln(b.out, r.row())
			all = append(all, r)
		}
	}
	return report.Write(b.json, all)
}

const (
	warmUp  = 2 * time.Second
	settled = 2 * time.Second // for packets still in transit at the end
)

// A measurement consists of slices, alternately with and without the relay, so that compared figures are from the same
// time, because the speed of shared processors varies.
const (
	slice     = time.Second
	sliceWarm = 200 * time.Millisecond
)

// measure makes one system carry calls, in turns with a link between the same ends.
func (b *bench) measure(name string, calls int) (f figures, err error) {
	f = figures{System: name, Calls: calls}
	s, err := b.start(name)
	if err != nil {
		return f, err
	}
	defer s.stop()
	_, before, err := s.relay.Memory()
	if err != nil {
		return f, err
	}
	l, d, err := s.loads(calls, b.speech)
	if err != nil {
		return f, err
	}
	used, err := b.takeTurns(s, l, d)
	if err != nil {
		return f, err
	}
	_, after, err := s.relay.Memory()
	if err != nil {
		return f, err
	}
	if l.received() == 0 || d.received() == 0 {
		return f, errors.New("no packet came through")
	}
	f.take(l, used[0])
	f.takeDirect(d, used[1])
	f.deduct()
	f.KBPerCall = float64(after-before) / float64(calls) / 1024
	return f, nil
}

// takeTurns runs the loads in turn, a slice of each for each second of the measurement, and returns their usage.
func (b *bench) takeTurns(s *system, loads ...*load) (used []usage, err error) {
	used = make([]usage, len(loads))
	seconds, slice, sliceWarm := b.seconds, slice, sliceWarm
	if b.speech != nil { // which has no pauses
		seconds, slice, sliceWarm = 1, time.Duration(b.seconds)*slice, warmUp
	} else {
		for _, l := range loads {
			if _, _, err := l.run(warmUp, 0, noUsage); err != nil {
				return nil, err
			}
		}
	}
	for i := range seconds {
		for turn := range loads {
			at := (i + turn) % len(loads) // a different one starts each time
			start, end, err := loads[at].run(sliceWarm, slice, func() (usage, error) { return usageOf(s.relay) })
			if err != nil {
				return nil, err
			}
			used[at] = used[at].plus(end.since(start))
		}
	}
	return used, nil
}

// connect sets up the calls of a load.
func (s *system) connect(l *load) error {
	for i := range l.calls {
		toA, toB, err := s.open(i, l.side[0].At, l.side[1].At)
		if err != nil {
			return fmt.Errorf("call %d: %w", i, err)
		}
		l.connect(i, toA, toB)
	}
	return nil
}

// connectDirectly makes each end of a load send directly to the other.
func (l *load) connectDirectly() {
	for i := range l.calls {
		l.connect(i, l.side[1].At, l.side[0].At)
	}
}

// loads returns a load with calls through the system, and one over the link between the ends. They end with the system.
func (s *system) loads(calls int, is *speech) (relayed, linked *load, err error) {
	if relayed, err = newLoad(s.network, relayAddrs, calls); err != nil {
		return nil, nil, err
	}
	relayed.speech, relayed.secure = is.begin(calls), s.secure
	s.closers = append(s.closers, relayed.close)
	if linked, err = newLoad(s.network, directAddrs, calls); err != nil {
		return nil, nil, err
	}
	s.closers = append(s.closers, linked.close)
	linked.connectDirectly()
	if linked.secure, err = s.secure.begin(); err == nil {
		err = linked.secure.directly([2]netip.AddrPort{linked.side[0].At, linked.side[1].At})
	}
	if err != nil {
		return nil, nil, err
	}
	return relayed, linked, s.connect(relayed)
}
