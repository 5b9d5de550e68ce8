package record

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// column is one column of the CSV.
type column struct {
	name string
	path []int // indexes of the fields on the way to its value
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
	to, columns := csv.NewWriter(w), csvColumns()
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
	if strings.ContainsFunc(s, risky) {
		var b strings.Builder
		for _, r := range s {
			if risky(r) {
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

// risky reports whether a character has other effects than being shown: control characters, the marks and overrides of
// direction (UAX #9), line and paragraph separators, and invalid characters.
func risky(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' ||
		r == unicode.ReplacementChar
}

// expanded are the columns of the CSV for parts of a record, after those of the texts, numbers and times of the record
// itself, each with the path of its value by JSON names.
const expanded = `
	a_rx=media.a.rx a_tx=media.a.tx a_lost=media.a.lost a_jitter_ms=media.a.jitter_ms a_rtt_ms=media.a.rtt_ms
	a_mos=media.a.mos
	b_rx=media.b.rx b_tx=media.b.tx b_lost=media.b.lost b_jitter_ms=media.b.jitter_ms b_rtt_ms=media.b.rtt_ms
	b_mos=media.b.mos
	talk=talk.confidence first_agent_ms=talk.first_agent_ms
	turns=talk.turns.n turn_p50_ms=talk.turns.p50_ms turn_p95_ms=talk.turns.p95_ms
	barge_ins_ignored=talk.barge_ins_ignored agent_dead_air_ms=talk.agent_dead_air_ms
	mos=media.mos one_way=media.one_way gap_ms=media.gap_ms
	problems=problems attempts=attempts recordings=recordings variables=variables report=report told=told`

// csvColumns returns the columns of the CSV. The order of the record's own is that of its fields, but a field with the
// tag csv is before the column that it names.
func csvColumns() (all []column) {
	for _, f := range columns {
		of := reflect.TypeFor[Record]().Field(f.index)
		switch k := of.Type.Kind(); {
		case k == reflect.String, k == reflect.Int, k == reflect.Int64, of.Type == reflect.TypeFor[Time]():
		default:
			continue
		}
		at := len(all)
		if before := of.Tag.Get("csv"); before != "" {
			at = slices.IndexFunc(all, func(c column) bool { return c.name == before })
		}
		all = slices.Insert(all, at, column{f.name, []int{f.index}})
	}
	for e := range strings.FieldsSeq(expanded) {
		name, path, _ := strings.Cut(e, "=")
		all = append(all, column{name, pathOf(reflect.TypeFor[Record](), path)})
	}
	return all
}

// pathOf returns the indexes of the fields on the way to a value.
func pathOf(t reflect.Type, names string) (path []int) {
	for name := range strings.SplitSeq(names, ".") {
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		members := membersOf(t)
		i := members[slices.IndexFunc(members, func(m member) bool { return m.name == name })].index
		path, t = append(path, i), t.Field(i).Type
	}
	return path
}

// of returns the column's cell.
func (c column) of(r *Record) string {
	v := reflect.ValueOf(r).Elem()
	for _, i := range c.path {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return ""
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return cell(v)
}

// cell returns the text of a value: "" for one that was not measured or is not there.
func cell(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Int, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Float64:
		if score := v.Type() != reflect.TypeFor[float64](); score && v.Float() == 0 {
			return ""
		}
		return strconv.FormatFloat(v.Float(), 'f', -1, 64) // as in JSON, but never with an exponent
	case reflect.Pointer:
		if k := v.Type().Elem().Kind(); k == reflect.Int64 && !v.IsNil() {
			return cell(v.Elem())
		}
	default:
	}
	switch v := v.Addr().Interface().(type) {
	case *Time:
		return v.String()
	case *[]string:
		return strings.Join(*v, " ")
	default:
		return compact(v)
	}
}

// compact returns a list or object as JSON, or "" if there is none.
func compact(v any) string {
	text, err := json.Marshal(v)
	if err != nil || string(text) == "null" || string(text) == "[]" {
		return "" // can't happen: a record from the database can be encoded
	}
	return string(text)
}
