package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

var errUsage = errors.New("usage: bench-calls signalling|overload|soak|outage " +
	"-flowbridge BINARY [flags] [RATE...]")

// ownMemory is how much memory this process may use before it collects garbage, in bytes: enough for about 80,000
// calls.
const ownMemory = 1 << 30

func main() {
	if err := start(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench-calls:", err)
		os.Exit(1)
	}
}

// bench holds the settings of a command.
type bench struct {
	binary  string // Flowbridge
	other   string // another build of it to compare with; may be empty
	systems []string
	rounds  int
	seconds int
	rates   []int
	hold    []int         // number of held calls
	sustain time.Duration // duration at percent of the capacity
	holds   time.Duration // duration of a call in a soak
	lasts   time.Duration // duration of a soak
	json    string
	out     io.Writer
	dir     string // for the files of the systems
	at      endpoints
	lanes   int // of Flowbridge; more than one if a soak needs the room

	apart     bool   // the system has a separate processor
	processor string // its number, if apart
	percent   int    // percentage of the capacity that overload offers for long
}

func start(args []string, out io.Writer) error {
	b, do, err := parse(args)
	if err != nil {
		return err
	}
	b.out = out
	moreFiles()
	if b.apart {
		if err := b.setApart(); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, b.placement())
	debug.SetGCPercent(-1) // at the start and end of a collection, the load's thread would wait for others
	debug.SetMemoryLimit(ownMemory)
	if b.dir, err = os.MkdirTemp("", "bench-calls"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	if args[0] == "outage" { // it has a separate API
		return do()
	}
	platform, err := b.startPlatform()
	if err != nil {
		return err
	}
	defer platform.stop()
	return do()
}

// parse parses a command with its flags and arguments.
func parse(args []string) (b *bench, do func() error, err error) {
	if len(args) == 0 {
		return nil, nil, errUsage
	}
	b = &bench{lanes: 1}
	systems := "flowbridge"
	switch args[0] {
	case "signalling":
		do, systems = b.signalling, "flowbridge,kamailio"
	case "overload":
		do = b.overload
	case "soak":
		do = b.soak
	case "outage":
		do = b.outages
	default:
		return nil, nil, errUsage
	}
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.StringVar(&b.binary, "flowbridge", "", "the binary to measure")
	f.StringVar(&b.other, "other", "", "another build, to measure beside it")
	f.IntVar(&b.rounds, "rounds", 5, "times that the systems take turns; medians are shown")
	f.IntVar(&b.seconds, "seconds", 10, "length of a round")
	f.DurationVar(&b.sustain, "sustain", 5*time.Minute, "how long overload offers -percent of the capacity")
	f.IntVar(&b.percent, "percent", 80, "how much of the capacity overload offers for long")
	f.DurationVar(&b.holds, "hold", 2*time.Minute, "how long soak holds calls")
	f.DurationVar(&b.lasts, "lasts", 30*time.Minute, "how long soak begins calls")
	f.StringVar(&b.json, "json", "", "file for all figures")
	hold := f.String("held", "2000,4000", "numbers of calls whose memory is measured while they are held; empty: none")
	network := f.String("network", "127.0.5", "first three bytes of the addresses")
	names := f.String("systems", "", "which of flowbridge, other, kamailio and proxy; the first is compared with the others")
	f.Func("cpus", "shared: the system and the load share all processors (the default); apart: the system has one alone",
		b.setCPUs)
	if err := f.Parse(args[1:]); err != nil {
		return nil, nil, err
	}
	if b.rates, err = numbers(f.Args()); err == nil && *hold != "" {
		b.hold, err = numbers(strings.Split(*hold, ","))
	}
	if err == nil {
		b.at, err = newEndpoints(*network)
	}
	if b.other != "" {
		systems = "flowbridge,other"
	}
	b.systems = strings.Split(cmp.Or(*names, systems), ",")
	if err == nil && (b.binary == "" || b.rounds < 1 || b.seconds < 1 || b.percent < 1) {
		err = errUsage
	}
	return b, do, err
}

func numbers(texts []string) (all []int, err error) {
	for _, text := range texts {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a number above 0", text)
		}
		all = append(all, n)
	}
	return all, nil
}
