package main

import (
	"fmt"
	"slices"
	"time"

	"flowbridge/scripts/internal/report"
)

// figures are the figures of a system in a round, or medians. Times are in ms.
type figures struct {
	System  string      `json:"system"`
	Rate    int         `json:"rate"`
	Round   int         `json:"round"` // 0 for the medians of all rounds
	Calls   int         `json:"calls"`
	Good    int         `json:"good"`
	Refused int         `json:"refused"` // 503
	Failed  int         `json:"failed"`
	Lost    int         `json:"lost"`
	Causes  map[int]int `json:"causes,omitempty"` // final answers of failed calls; 200: audio not relayed; 0: a BYE came
	Resent  int         `json:"resent"`
	CPU     float64     `json:"cpu_ms_per_call"` // CPU time per good call
	P50     float64     `json:"p50_ms"`
	P95     float64     `json:"p95_ms"`
	P99     float64     `json:"p99_ms"`
	LateMS  float64     `json:"load_late_p99_ms"`     // how long requests waited until the agent read them
	LoadCPU float64     `json:"load_cpu_ms_per_call"` // of the load itself
}

// take fills in a load's figures, except for its calls.
func (f *figures) take(l *load) {
	f.Causes = l.carrier.causes
	requests, answers := l.repeats()
	f.Resent = requests + answers
	f.LoadCPU = float64(l.cpu) / float64(time.Millisecond) / float64(max(len(l.carrier.calls), 1))
	slices.Sort(l.late)
	f.LateMS = at(l.late, 0.99)
}

// count fills in the outcomes of calls.
func (f *figures) count(calls []call) {
	var setUp []time.Duration
	for i := range calls {
		f.Calls++
		switch calls[i].outcome {
		case good:
			f.Good++
			setUp = append(setUp, calls[i].setUp)
		case refused:
			f.Refused++
		case failed:
			f.Failed++
		case lost, pending:
			f.Lost++
		}
	}
	f.P50, f.P95, f.P99 = delays(setUp)
}

// delays sorts times, and returns their quantiles in ms.
func delays(times []time.Duration) (p50, p95, p99 float64) {
	slices.Sort(times)
	return at(times, 0.5), at(times, 0.95), at(times, 0.99)
}

// at returns a quantile of sorted times, in ms.
func at(sorted []time.Duration, q float64) float64 {
	return float64(report.At(sorted, q)) / float64(time.Millisecond)
}

// startAll starts the systems. stop ends them.
func (b *bench) startAll() (all []*system, stop func(), err error) {
	stop = func() {
		for _, s := range all {
			s.stop()
		}
	}
	for _, name := range b.systems {
		s, err := b.startSystem(name)
		if err != nil {
			stop()
			return nil, nil, err
		}
		all = append(all, s)
	}
	return all, stop, nil
}

// with starts a system by its name, calls do with it, and stops it.
func (b *bench) with(name string, do func(s *system) error) error {
	s, err := b.startSystem(name)
	if err == nil {
		defer s.stop()
		err = do(s)
	}
	return err
}

// startSystem starts a system by its name.
func (b *bench) startSystem(name string) (*system, error) {
	switch name {
	case "flowbridge":
		return b.startFlowbridge(name, b.binary, 1)
	case "other":
		return b.startFlowbridge(name, b.other, 7)
	case "kamailio":
		return b.startKamailio(name, 4)
	case "proxy":
		return b.startKamailio(name, 6)
	}
	return nil, fmt.Errorf("there is no system %q: flowbridge, other, kamailio, proxy", name)
}

// results is the output of signalling.
type results struct {
	Machine machine   `json:"machine"`
	Rounds  []figures `json:"rounds"`
	Medians []figures `json:"medians"`
	Ratios  []ratio   `json:"ratios"`
	Costs   []costs   `json:"costs"`
	Held    []held    `json:"held"`
}

// signalling makes the systems take turns at each rate. Then it counts the costs of a call for each of them, and
// measures held calls.
func (b *bench) signalling() error {
	if len(b.rates) == 0 {
		b.rates = []int{500, 700}
	}
	r := results{Machine: thisMachine(b.processor)}
	if err := b.turns(&r); err != nil {
		return err
	}
	if len(b.hold) > 0 {
		fmt.Fprintf(b.out, "\n%s\n", heldHeading)
	}
	for _, name := range b.systems {
		for _, calls := range b.hold {
			h, err := b.held(name, calls)
			if err != nil {
				return err
			}
			fmt.Fprintln(b.out, h.row())
			r.Held = append(r.Held, h)
		}
	}
	return report.Write(b.json, r)
}

// turns is the part in which all systems are up.
func (b *bench) turns(r *results) error {
	all, stop, err := b.startAll()
	if err != nil {
		return err
	}
	defer stop()
	for _, s := range all {
		if _, err := b.round(s, first, 4*time.Second); err != nil {
			return err
		}
	}
	fmt.Fprintln(b.out, heading)
	for _, rate := range b.rates {
		for n := 1; n <= b.rounds; n++ {
			order := slices.Clone(all)
			if n%2 == 0 {
				slices.Reverse(order)
			}
			for _, s := range order {
				f, err := b.round(s, rate, time.Duration(b.seconds)*time.Second)
				if err != nil {
					return err
				}
				f.Round = n
				r.Rounds = append(r.Rounds, f)
				fmt.Fprintln(b.out, f.row())
			}
		}
	}
	b.summary(r)
	fmt.Fprintf(b.out, "\n%s\n", costsHeading)
	for _, rate := range b.rates {
		for _, s := range all {
			c, err := b.costs(s, rate)
			if err != nil {
				return err
			}
			fmt.Fprintln(b.out, c.row())
			r.Costs = append(r.Costs, c)
		}
	}
	return nil
}

// round makes one system carry calls that are held for a second.
func (b *bench) round(s *system, rate int, lasts time.Duration) (f figures, err error) {
	f = figures{System: s.name, Rate: rate}
	before, err := s.group.CPU()
	if err != nil {
		return f, err
	}
	l, err := b.run(s, plan{hold: time.Second, steps: []step{{float64(rate), lasts}}})
	if err != nil {
		return f, err
	}
	time.Sleep(2 * time.Second) // until records are written and transactions are over
	after, err := s.group.CPU()
	if err != nil {
		return f, err
	}
	f.take(l)
	f.count(l.carrier.calls)
	f.CPU = float64(after-before) / float64(time.Millisecond) / float64(max(f.Good, 1)) // refusals count as cost, too
	return f, nil
}

const heading = "system      rate round   calls refused  failed    lost  resent  " +
	"CPU ms/call  p50 ms  p95 ms  p99 ms  load: late ms  CPU ms"

func (f figures) row() string {
	row := fmt.Sprintf("%-11s %4d %5d %7d %7d %7d %7d %7d %12.3f %7.1f %7.1f %7.1f %14.1f %7.3f",
		f.System, f.Rate, f.Round, f.Calls, f.Refused, f.Failed, f.Lost, f.Resent,
		f.CPU, f.P50, f.P95, f.P99, f.LateMS, f.LoadCPU)
	if len(f.Causes) > 0 {
		row += fmt.Sprint("  failed by ", f.Causes)
	}
	return row
}

// ratio is the median, minimum and maximum of the rounds' ratios of two systems' figures.
type ratio struct {
	Rate   int     `json:"rate"`
	Figure string  `json:"figure"`
	Of     string  `json:"of"`
	To     string  `json:"to"`
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

// compared lists the figures to compute ratios of.
var compared = []struct {
	name string
	of   func(figures) float64
}{
	{"CPU", func(f figures) float64 { return f.CPU }},
	{"p50", func(f figures) float64 { return f.P50 }},
	{"p95", func(f figures) float64 { return f.P95 }},
	{"p99", func(f figures) float64 { return f.P99 }},
}

// summary shows medians, and the ratios of the first system to the others.
func (b *bench) summary(r *results) {
	for _, rate := range b.rates {
		of := func(name string) []figures {
			other := func(f figures) bool { return f.System != name || f.Rate != rate }
			return slices.DeleteFunc(slices.Clone(r.Rounds), other)
		}
		fmt.Fprintf(b.out, "\n%d calls/s: medians of %d rounds, sums of calls\n%s\n", rate, b.rounds, heading)
		for _, name := range b.systems {
			m := medians(of(name))
			fmt.Fprintln(b.out, m.row())
			r.Medians = append(r.Medians, m)
		}
		for _, name := range b.systems[1:] {
			fmt.Fprintf(b.out, "%s / %s:", b.systems[0], name)
			for _, c := range compared {
				x := ratio{Rate: rate, Figure: c.name, Of: b.systems[0], To: name}
				var all []float64
				mine, other := of(x.Of), of(x.To)
				for i := range mine {
					if o := c.of(other[i]); o > 0 { // 0 if no call was answered
						all = append(all, c.of(mine[i])/o)
					}
				}
				if len(all) == 0 {
					continue
				}
				slices.Sort(all)
				x.Median, x.Least, x.Most = report.Middle(all), all[0], all[len(all)-1]
				fmt.Fprintf(b.out, "  %s %.2f [%.2f-%.2f]", x.Figure, x.Median, x.Least, x.Most)
				r.Ratios = append(r.Ratios, x)
			}
			fmt.Fprintln(b.out)
		}
	}
}

func medians(all []figures) figures {
	m := report.Medians(all)
	m.System, m.Rate, m.Round = all[0].System, all[0].Rate, 0
	return m
}
