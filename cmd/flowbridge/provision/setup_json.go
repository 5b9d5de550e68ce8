package provision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
)

// setupStep is what a step printed, for --json.
type setupStep struct {
	Step string `json:"step"` // number, agent, configuration, test call
	// of the commands that do such a step alone; with --dry-run their requests
	Results []json.RawMessage `json:"results"`
	Text    string            `json:"text,omitempty"` // what else there is to read, like the change of the file
}

// setupOutcome is the whole.
type setupOutcome struct {
	OK    bool        `json:"ok"`
	Error string      `json:"error,omitempty"`
	Steps []setupStep `json:"steps"` // the last one is where it failed
}

// stepLog collects what the steps print.
type stepLog struct {
	printed bytes.Buffer // by the step under way
	steps   []setupStep
}

// begin begins a step: its number and its name.
func (u *setup) begin(out io.Writer, title string) {
	if u.steps == nil {
		fmt.Fprintln(out, title)
		return
	}
	u.steps.end()
	_, name, _ := strings.Cut(title, "  ")
	u.steps.steps = append(u.steps.steps, setupStep{Step: name, Results: []json.RawMessage{}})
}

// end sorts what the step under way has printed: JSON objects, and text.
func (l *stepLog) end() {
	defer l.printed.Reset()
	if len(l.steps) == 0 {
		return
	}
	step := &l.steps[len(l.steps)-1]
	for rest := l.printed.Bytes(); len(rest) > 0; {
		var object json.RawMessage
		if d := json.NewDecoder(bytes.NewReader(rest)); rest[0] == '{' && d.Decode(&object) == nil {
			step.Results = append(step.Results, object)
			rest = bytes.TrimLeft(rest[d.InputOffset():], "\n")
			continue
		}
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		step.Text += string(line) + "\n"
		rest = after
	}
}

// runAsJSON is run with all that the steps print in one object.
func (u *setup) runAsJSON(c *cobra.Command) error {
	out := c.OutOrStdout()
	u.steps = &stepLog{}
	c.SetOut(&u.steps.printed)
	failed := u.run(c)
	c.SetOut(out)
	u.steps.end()
	result := setupOutcome{OK: failed == nil, Steps: u.steps.steps}
	if result.Steps == nil {
		result.Steps = []setupStep{}
	}
	if failed != nil {
		result.Error = failed.Error()
	}
	return errors.Join(failed, cli.PrintJSON(out, result))
}
