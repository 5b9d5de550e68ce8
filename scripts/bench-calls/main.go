package main

import (
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

var errUsage = errors.New("usage: bench-calls signalling|overload|soak [flags] [RATE...]")

func main() {
	if err := start(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench-calls:", err)
		os.Exit(1)
	}
}

// bench is what a command has been told.
type bench struct {
	binary  string // Flowbridge
	other   string // another build of it, beside which it is measured; may be empty
	systems []string
	rounds  int
	seconds int
	rates   []int
	hold    []int // calls that are held
	sustain time.Duration
	json    string
	out     io.Writer
	dir     string // for what the systems write
	at      endpoints
}

func start(args []string, out io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	debug.SetGCPercent(800) // collections are noticed by the load's thread
	b := &bench{out: out}
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.StringVar(&b.binary, "flowbridge", "", "the binary to measure")
	f.StringVar(&b.other, "other", "", "another build, to measure beside it")
	f.IntVar(&b.rounds, "rounds", 5, "times that the systems take turns; medians are shown")
	f.IntVar(&b.seconds, "seconds", 10, "length of a measurement")
	f.DurationVar(&b.sustain, "sustain", 5*time.Minute, "how long overload offers 80 % of the capacity")
	f.StringVar(&b.json, "json", "", "file for all figures")
	hold := f.String("held", "2000,4000", "numbers of calls whose memory is measured while they are held")
	network := f.String("network", "127.0.5", "first three bytes of the addresses")
	systems := f.String("systems", "", "which systems, of flowbridge, other and kamailio; the first is compared with each other")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	var err error
	if b.rates, err = numbers(f.Args()); err == nil && *hold != "" {
		b.hold, err = numbers(strings.Split(*hold, ","))
	}
	if err != nil {
		return err
	}
	switch {
	case *systems != "":
		b.systems = strings.Split(*systems, ",")
	case b.other != "":
		b.systems = []string{"flowbridge", "other"}
	case args[0] == "signalling":
		b.systems = []string{"flowbridge", "kamailio"}
	default:
		b.systems = []string{"flowbridge"}
	}
	if b.binary == "" || b.rounds < 1 || b.seconds < 1 {
		return errUsage
	}
	if b.at, err = newEndpoints(*network); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "bench-calls"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	platform, err := b.startPlatform()
	if err != nil {
		return err
	}
	defer platform.stop()
	switch args[0] {
	case "signalling":
		return b.signalling()
	case "overload":
		return b.overload()
	}
	return errUsage
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
