package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// row is what one attack has done.
type row struct {
	Attack    string   `json:"attack"`
	Requests  int64    `json:"requests"`
	BytesIn   int64    `json:"bytes_in"`
	BytesOut  int64    `json:"bytes_out"`
	Ratio     float64  `json:"ratio"`
	Answers   int64    `json:"answers"`
	Seconds   float64  `json:"seconds"`
	Calls     int      `json:"calls"`     // of honest trunks while it lasted
	Disturbed int      `json:"disturbed"` // of these
	Found     string   `json:"found"`
	Broken    []string `json:"broken"` // what should have held, and did not
}

// take copies the attackers' counts.
func (r *row) take(t *tally, began time.Time) {
	r.Requests, r.BytesIn, r.BytesOut, r.Answers = t.requests.Load(), t.bytesIn.Load(), t.bytesOut.Load(), t.answers.Load()
	r.Seconds = time.Since(began).Round(time.Millisecond).Seconds()
	if r.BytesIn > 0 {
		r.Ratio = float64(r.BytesOut) / float64(r.BytesIn)
	}
}

// must notes what did not hold.
func (r *row) must(held bool, format string, a ...any) {
	if !held {
		r.Broken = append(r.Broken, fmt.Sprintf(format, a...))
	}
}

const rowFormat = "%-66s %8d %9d %9d %6.2f %8d %7.1f %5d %9d  %s\n"

func (r *row) print(w io.Writer) {
	fmt.Fprintf(w, rowFormat, r.Attack, r.Requests, r.BytesIn, r.BytesOut, r.Ratio, r.Answers, r.Seconds, r.Calls, r.Disturbed, r.Found)
	for _, b := range r.Broken {
		fmt.Fprintf(w, "  BROKEN: %s\n", b)
	}
}

func printHead(w io.Writer) {
	head := strings.NewReplacer("d", "s", ".2f", "s", ".1f", "s").Replace(rowFormat)
	fmt.Fprintf(w, head, "attack", "requests", "bytes in", "bytes out", "ratio", "answers", "seconds", "calls", "disturbed", "found")
}

func writeJSON(file string, rows []*row) error {
	for _, r := range rows {
		if r.Broken == nil {
			r.Broken = []string{}
		}
	}
	text, err := json.MarshalIndent(rows, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644) //nolint:gosec // for people to read
}
