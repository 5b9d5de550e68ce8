package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

var (
	errUsage  = errors.New("usage: chaos-calls -flowbridge BINARY [flags] MINUTES [SEED]; start it by scripts/chaos")
	errBroken = errors.New("what should have held, and did not")
)

func main() {
	do, args := run, os.Args[1:]
	if len(args) > 0 && args[0] == "takeover" {
		do, args = takeOver, args[1:]
	}
	err := do(args, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	switch {
	case errors.Is(err, errBroken):
		os.Exit(1)
	case err != nil:
		os.Exit(2)
	}
}

// settings are the settings from the command line.
type settings struct {
	world
	seed uint64
	list string
	held int
	rate float64
	show int
	keep bool
}

func run(args []string, out io.Writer) error {
	s := &settings{}
	if err := s.parse(args); err != nil {
		return err
	}
	if os.Getpid() != 1 { // otherwise its mounts and networks would affect the whole machine
		return errUsage
	}
	causes, err := causesOf("b2bua/cause/causes.yaml")
	if err != nil {
		return err
	}
	steps := draw(s.seed, time.Duration(s.minutes*float64(time.Minute)))
	if s.list != "" {
		if steps, err = replay(s.seed, s.list); err != nil {
			return err
		}
	}
	if s.dir, err = os.MkdirTemp("", "chaos"); err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	r := &runner{settings: s, out: out, stop: stop}
	err = r.run(steps, causes)
	s.close()
	if err == nil && !s.keep {
		_ = os.RemoveAll(s.dir)
	} else {
		fmt.Fprintln(out, "log and configuration:", s.dir)
	}
	return err
}

func (s *settings) parse(args []string) error {
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.StringVar(&s.binary, "flowbridge", "", "the binary")
	f.StringVar(&s.engine, "engine", "userspace", "media.engine: userspace or kernel")
	f.StringVar(&s.list, "faults", "", "these faults instead of drawn ones: kill,disk-full")
	f.StringVar(&s.level, "log", "info", "level of the log")
	f.StringVar(&s.more, "config", "", "more lines of the configuration")
	f.IntVar(&s.held, "held", 200, "calls that are held, with RTP")
	f.Float64Var(&s.rate, "rate", perSecond, "calls a second that end")
	f.IntVar(&s.show, "show", 5, "broken calls of an invariant that are shown with their ladder")
	f.BoolVar(&s.clock, "clock", false, "the binary takes its clock from a file, as scripts/chaos builds it")
	f.BoolVar(&s.keep, "keep", false, "keep the log, also if all holds")
	if err := f.Parse(args); err != nil {
		return errUsage
	}
	if f.NArg() < 1 || f.NArg() > 2 || s.binary == "" {
		return errUsage
	}
	var err error
	if s.minutes, err = strconv.ParseFloat(f.Arg(0), 64); err != nil || s.minutes <= 0 {
		return errUsage
	}
	s.seed = uint64(time.Now().UnixNano())
	if f.NArg() == 2 {
		if s.seed, err = strconv.ParseUint(f.Arg(1), 10, 64); err != nil {
			return errUsage
		}
	}
	s.binary, err = filepath.Abs(s.binary)
	return err
}
