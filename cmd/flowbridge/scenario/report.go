package scenario

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"flowbridge/b2bua/ladder"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/compare"
	"flowbridge/config"
)

// Result is a test that has run. Its JSON is the baseline of later ones.
type Result struct {
	OK       bool                          `json:"ok"`
	Verdicts []Verdict                     `json:"expectations"`
	Figures  map[string]*compare.Durations `json:"figures"`
	Runs     []Run                         `json:"runs"`
}

// Baseline reads the JSON of an earlier test. One whose runs have no times can't be compared with.
func Baseline(data []byte) (*Result, error) {
	r := &Result{}
	err := json.Unmarshal(data, r)
	if err != nil || len(spread(r.Runs)) == 0 {
		return nil, cmp.Or(err, errors.New("it has no times"))
	}
	return r, nil
}

// NewResult judges the runs of a test, also by an earlier result if before is not nil. The error says that not all
// expectations were met.
func NewResult(t *config.Conversation, runs []Run, before *Result) (*Result, error) {
	r := &Result{Verdicts: judge(t, runs), Figures: spread(runs), Runs: runs}
	if before != nil {
		r.Verdicts = append(r.Verdicts, worse(before.Runs, runs)...)
	}
	counts := map[string]int{}
	for _, v := range r.Verdicts {
		counts[v.Verdict]++
	}
	if r.OK = counts[met] == len(r.Verdicts); r.OK {
		return r, nil
	}
	return r, fmt.Errorf("%d expectations met, %d missed, %d undecided", counts[met], counts[missed], counts[undecided])
}

// Draw draws a call on a time axis, with the steps below it.
func (run *Run) Draw(w io.Writer, width int) {
	_ = (&ladder.Ladder{Talk: run.Talk}).DrawTalk(w, width) // Table reports an output that is broken
	fmt.Fprintln(w, strings.Join(run.Steps, "\n"))
}

// String returns a call in a line.
func (run *Run) String() string {
	all := []string{fmt.Sprintf("run %d %s", run.Run, run.CallID)}
	if run.Server != "" {
		all = append(all, "at the server Call-ID "+run.Server)
	}
	for _, s := range run.Figures {
		if isHeard(s.Figure) && !s.Never {
			all = append(all, s.Figure+" "+shown(s.Figure, s.Value))
		}
	}
	return strings.TrimRight(strings.Join(all, ", ")+"; "+cli.Shown(strings.Trim(run.Failed+"; "+run.Noisy, "; ")), "; ")
}

// Table prints the expectations.
func (r *Result) Table(w io.Writer) error {
	t := cli.Table(w)
	fmt.Fprintln(t, "EXPECTATION\tFIGURE\tBOUND\tVERDICT")
	for _, v := range r.Verdicts {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", v.Name, cli.Shown(v.Figure), v.Bound, v.Verdict)
	}
	return t.Flush()
}

// JUnit writes the expectations as a test suite in JUnit's XML. One that is undecided is skipped.
func (r *Result) JUnit(w io.Writer, name string) error {
	type failure struct {
		Message string `xml:"message,attr"`
	}
	type testcase struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		Failure *failure `xml:"failure"`
		Skipped *failure `xml:"skipped"`
	}
	suite := struct {
		XMLName xml.Name   `xml:"testsuite"`
		Name    string     `xml:"name,attr"`
		Cases   []testcase `xml:"testcase"`
	}{Name: name}
	for _, v := range r.Verdicts {
		c := testcase{Class: name, Name: v.Name}
		if why := (&failure{v.Verdict + ": " + v.Figure + "; wanted: " + v.Bound}); v.Verdict == missed {
			c.Failure = why
		} else if v.Verdict == undecided {
			c.Skipped = why
		}
		suite.Cases = append(suite.Cases, c)
	}
	return xml.NewEncoder(w).Encode(suite)
}
