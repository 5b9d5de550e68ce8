package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"flowbridge/scripts/internal/flowbridge"
)

// report judges the run, and prints the findings.
func (r *runner) report(ran error, before, after flowbridge.Figures, deaf []uint32, causes map[string]bool) error {
	var all []side
	for l := range legsOf(r.ends()...) {
		all = append(all, l.side)
	}
	found := judgeCalls(all)
	audio := invariant{name: "held calls have audio both ways at the end", of: r.held}
	for _, call := range deaf {
		audio.broken = append(audio.broken, numberFor(held, int(call)))
	}
	found = append(found, audio)
	records, err := r.admin.Records()
	if err != nil {
		fmt.Fprintln(r.out, "records:", err)
	}
	found = append(found, judgeRecords(all, records, r.seen, causes)...)
	found = append(found, r.look(judgeProcess(before, after))...)
	live, ready := invariant{name: "the API has no live call"}, invariant{name: "the process is ready"}
	n, err := r.admin.Live()
	live.holds(err == nil && n == 0, n, "calls,", err)
	err = r.admin.Ready()
	ready.holds(err == nil && ran == nil, err, ran)
	restarts, strange := r.supervisor.kills()
	text, _ := os.ReadFile(r.server.Log())
	found = append(found, r.phones.lost, live, ready,
		invariant{name: "the process ended only when it was killed", of: restarts, broken: strange}, judgeLog(string(text)))
	r.print(all, found, records)
	for _, i := range found {
		if len(i.broken) > 0 {
			return fmt.Errorf("%w: seed %d", errBroken, r.seed)
		}
	}
	return nil
}

// look adds the goroutines' stacks to a finding that the process has too many.
func (r *runner) look(found []invariant) []invariant {
	for n, i := range found {
		if len(i.broken) == 0 || !strings.HasPrefix(i.name, "goroutines") {
			continue
		}
		text, err := r.admin.Get("/debug/pprof/goroutine?debug=1")
		file := filepath.Join(r.dir, "goroutines")
		if err == nil && os.WriteFile(file, []byte(text), 0o600) == nil {
			found[n].broken = append(i.broken, "see "+file)
		}
	}
	return found
}

func (r *runner) print(all []side, found []invariant, records []record) {
	answered, lived, heldUp := 0, 0, 0
	for _, s := range all {
		if s.caller && s.answered {
			answered++
			if kindOf(s.number) == held {
				heldUp++
				if s.fate == hungUp || s.fate == told {
					lived++
				}
			}
		}
	}
	restored := 0
	for _, rec := range records {
		restored += min(rec.Restored, 1)
	}
	lost, sent := r.audio.lost()
	restarts, _ := r.supervisor.kills()
	fmt.Fprintf(r.out, "\n%d calls, %d answered, %d of them to be held; %d records, %d of restored calls; "+
		"the process ended %d times; RTP %d sent, %d lost\n\n",
		r.serial, answered, heldUp, len(records), restored, restarts, sent, lost)
	fmt.Fprintf(r.out, "%-56s %8s %8s\n", "invariant", "of", "broken")
	for _, i := range found {
		fmt.Fprintf(r.out, "%-56s %8d %8d\n", i.name, i.of, len(i.broken))
	}
	for _, i := range found {
		if len(i.broken) == 0 {
			continue
		}
		fmt.Fprintf(r.out, "\nBROKEN: %s\n", i.name)
		shown := 0
		for n, text := range i.broken {
			number, _, _ := strings.Cut(text, " ")
			isCall := strings.HasPrefix(number, prefix)
			if isCall && shown == r.show {
				fmt.Fprintf(r.out, "  and %d more\n", len(i.broken)-n)
				break
			}
			fmt.Fprintln(r.out, " ", text)
			if isCall {
				shown++
				r.ladder(number)
			}
		}
	}
}

// ladder prints what both ends of a call saw.
func (r *runner) ladder(number string) {
	type line struct {
		moment
		end string
	}
	var lines []line
	for l := range legsOf(r.ends()...) {
		if l.number == number {
			for _, m := range l.moments {
				lines = append(lines, line{m, l.end.Name})
			}
			fmt.Fprintf(r.out, "    %s: Call-ID %s\n", l.end.Name, l.callID)
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return int(a.at - b.at) })
	for _, l := range lines {
		arrow := "<-"
		if l.sent {
			arrow = "->"
		}
		fmt.Fprintf(r.out, "    %9.3f s %-8s %s %s\n", l.at.Seconds(), l.end, arrow, l.what)
	}
}
