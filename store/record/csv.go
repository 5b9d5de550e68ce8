package record

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// column is one column of the CSV.
type column struct {
	name string
	of   func(r *Record) string
}

// Encoder writes records as JSON Lines, or as comma-separated values (RFC 4180, with LF at the end of a line). The
// first line of the values names the columns.
//
// Cells are safe to open in a spreadsheet. A text that the spreadsheet would take for a formula (starting with = + - @)
// gets an apostrophe in front. A number in E.164 form, + and digits, stays as it is: as a formula it yields its digits.
// Control characters, and characters that change the direction of text, are written as \u and four digits.
func Encoder(w io.Writer, asCSV bool) (write func(*Record) error, flush func() error) {
	if !asCSV {
		lines := json.NewEncoder(w)
		lines.SetEscapeHTML(false) // the output is not for HTML
		return func(r *Record) error { return lines.Encode(r) }, func() error { return nil }
	}
	to, columns := csv.NewWriter(w), recordColumns()
	cells := make([]string, len(columns))
	line := func(cell func(column) string) error {
		for i, c := range columns {
			cells[i] = cell(c)
		}
		return to.Write(cells)
	}
	_ = line(func(c column) string { return c.name }) // Error returns the error
	write = func(r *Record) error { return line(func(c column) string { return safeCell(c.of(r)) }) }
	return write, func() error {
		to.Flush()
		return to.Error()
	}
}

// safeCell makes a text harmless to the program that opens it.
func safeCell(s string) string {
	if strings.ContainsFunc(s, unsafe) {
		var b strings.Builder
		for _, r := range s {
			if unsafe(r) {
				_, _ = fmt.Fprintf(&b, `\u%04x`, r)
			} else {
				b.WriteRune(r)
			}
		}
		s = b.String()
	}
	if s == "" || !strings.ContainsRune("=+-@", rune(s[0])) {
		return s
	}
	if s[0] == '+' && len(s) > 1 && strings.Trim(s[1:], "0123456789") == "" {
		return s
	}
	return "'" + s
}

// unsafe reports whether a character has other effects than being shown: control characters, the marks and overrides of
// direction (UAX #9), line and paragraph separators, and invalid characters.
func unsafe(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' ||
		r == unicode.ReplacementChar
}

func recordColumns() []column {
	cols := plainColumns()
	for _, side := range []struct {
		name string
		of   func(r *Record) *MediaSide
	}{{"a", func(r *Record) *MediaSide { return &r.Media.A }}, {"b", func(r *Record) *MediaSide { return &r.Media.B }}} {
		cols = append(cols,
			column{side.name + "_rx", func(r *Record) string { return strconv.FormatInt(side.of(r).Rx, 10) }},
			column{side.name + "_tx", func(r *Record) string { return strconv.FormatInt(side.of(r).Tx, 10) }},
			column{side.name + "_lost", func(r *Record) string { return strconv.FormatInt(side.of(r).Lost, 10) }},
			column{side.name + "_jitter_ms", func(r *Record) string { return decimal(side.of(r).JitterMS) }},
			column{side.name + "_rtt_ms", func(r *Record) string { return measured(float64(side.of(r).RTT)) }},
			column{side.name + "_mos", func(r *Record) string { return measured(float64(side.of(r).MOS)) }})
	}
	cols = append(cols, talkColumns()...)
	return append(cols,
		column{"mos", func(r *Record) string { return measured(float64(r.Media.MOS)) }},
		column{"one_way", func(r *Record) string { return r.Media.OneWay }},
		column{"gap_ms", func(r *Record) string { return strconv.FormatInt(r.Media.GapMS, 10) }},
		column{"problems", func(r *Record) string { return strings.Join(r.Problems, " ") }},
		column{"attempts", func(r *Record) string { return compact(r.Attempts) }},
		column{"recordings", func(r *Record) string { return compact(r.Recordings) }},
		column{"variables", func(r *Record) string { return compact(r.Variables) }},
		column{"report", func(r *Record) string { return compact(r.Report) }})
}

// decimal formats a number as in JSON, but never with an exponent.
func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// measured formats a value, or returns "" if it was not measured.
func measured(f float64) string {
	if f == 0 {
		return ""
	}
	return decimal(f)
}

// compact returns a list or object as JSON, or "" if there is none.
func compact(v any) string {
	text, err := json.Marshal(v)
	if err != nil || string(text) == "null" || string(text) == "[]" {
		return "" // can't happen: a record from the database can be encoded
	}
	return string(text)
}
