package scenario

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

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
	if err != nil || len(spread(r.Runs, 0)) == 0 {
		return nil, cmp.Or(err, errors.New("it has no times"))
	}
	return r, nil
}

// NewResult judges the runs of a test, also by an earlier result if before is not nil. The error says that not all
// expectations were met; it is cli.Undecided if none is missed.
func NewResult(t *config.Conversation, runs []Run, before *Result) (*Result, error) {
	r := &Result{Verdicts: judge(t, runs), Figures: spread(runs, 0), Runs: runs}
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
	err := fmt.Errorf("%d expectations met, %d missed, %d undecided", counts[met], counts[missed], counts[undecided])
	if counts[missed] == 0 {
		err = cli.Undecided(err)
	}
	return r, err
}

// Draw draws a call on a time axis, with the steps below it.
func (run *Run) Draw(w io.Writer, width int) {
	_ = (&ladder.Ladder{Talk: run.Talk}).DrawTalk(w, width) // Table reports an output that is broken
	fmt.Fprintln(w, strings.Join(run.Steps, "\n"))
	fmt.Fprint(w, run.told())
}

// told returns the agent's words, each utterance in a line.
func (run *Run) told() string {
	var b strings.Builder
	for _, s := range run.Transcript {
		fmt.Fprintf(&b, "%8.2f s agent: %s\n", s.From, cli.Shown(s.Text))
	}
	return b.String()
}

// String returns a call in a line.
func (run *Run) String() string {
	all := []string{fmt.Sprintf("run %d %s", run.Run, run.CallID)}
	if run.Server != "" {
		all = append(all, "at the server Call-ID "+run.Server)
	}
	for _, s := range run.Figures {
		if isHeard(s.Figure) && !s.Never {
			all = append(all, s.Figure+" "+s.shown())
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

// JUnit writes the expectations as a test suite in JUnit's XML. One that is undecided is skipped, or fails if fails is
// set. took is how long the calls took.
func (r *Result) JUnit(w io.Writer, file string, took time.Duration, fails bool) error {
	type failure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		Time    string   `xml:"time,attr"`
		Failure *failure `xml:"failure"`
		Skipped *failure `xml:"skipped"`
	}
	suite := struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Time     string     `xml:"time,attr"`
		Cases    []testcase `xml:"testcase"`
		Told     string     `xml:"system-out,omitempty"`
	}{Name: file, Tests: len(r.Verdicts), Time: fmt.Sprintf("%.3f", took.Seconds())}
	class := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	for i, v := range r.Verdicts {
		c := testcase{Class: class, Name: v.Name, Time: "0"}
		if i == 0 { // the conversation: consumers add up the cases
			c.Time = suite.Time
		}
		switch why := (&failure{v.Verdict + ": " + v.Figure, v.Figure + "; wanted: " + v.Bound}); {
		case v.Verdict == missed, v.Verdict == undecided && fails:
			c.Failure, suite.Failures = why, suite.Failures+1
		case v.Verdict == undecided:
			c.Skipped, suite.Skipped = why, suite.Skipped+1
		}
		suite.Cases = append(suite.Cases, c)
	}
	for i := range r.Runs {
		if told := r.Runs[i].told(); told != "" {
			suite.Told += fmt.Sprintf("run %d\n%s", r.Runs[i].Run, told)
		}
	}
	return xml.NewEncoder(w).Encode(suite)
}
