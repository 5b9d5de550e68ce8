package config

import (
	"bufio"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"flowbridge/config/template"
)

// Limits for the table's file. They keep a wrong file from using up the memory that calls need.
const (
	maxTable       = 64 << 20 // bytes
	maxTableRows   = 1_000_000
	maxColumns     = 64
	maxTableValue  = 1024 // bytes
	maxTableErrors = 20
)

// readTable holds data about the table while the configuration is read.
type readTable struct {
	file            string // name of the file for errors
	routes, targets []namedAt
	errors          int // number of errors so far
}

// table reads the file of numbers named by a key.
func (s section) table(key string) *Table {
	sc, ok := s.get(key)
	if !ok || sc.text == "" {
		return nil
	}
	s.l.inTable.file = sc.raw
	f, before, c := openRegular(sc.text,
		"write a CSV file there, with the columns number, and perhaps route, targets and names of your own")
	if !c.none() {
		sc.complain(c)
		return nil
	}
	defer func() { _ = f.Close() }() // it was only used for reading
	if before.Size() > maxTable {
		sc.complain(tooLargeTable)
		return nil
	}
	sum := sha256.New()
	in := &sized{from: io.TeeReader(io.LimitReader(f, maxTable+1), sum)}
	t := newTableReader(s.l, in).read()
	_, err := io.Copy(io.Discard, in)
	after, statErr := f.Stat()
	switch {
	case err != nil || statErr != nil:
		sc.complain(refuse("cannot be read: "+reason(errors.Join(err, statErr)), wholeTable))
	case in.n > maxTable:
		sc.complain(tooLargeTable)
	case in.n != before.Size() || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()):
		sc.complain(refuse("was written while it was read", wholeTable))
	case in.n > 0 && in.last != '\n':
		sc.complain(refuse("ends within a line: it seems to be a part of a file", "end its last line, too; "+wholeTable))
	case t != nil:
		t.sum = hex.EncodeToString(sum.Sum(nil)[:8])
		return t
	}
	return nil
}

// wholeTable is the remedy for a file that is still being written.
const wholeTable = "write the file under another name and move it there (mv) when it is whole"

var tooLargeTable = refuse(fmt.Sprintf("is larger than %d MB", maxTable>>20),
	"is it the right file? Leave columns out that no template uses")

// openRegular opens a file that the configuration names.
func openRegular(path, remedy string) (*os.File, os.FileInfo, complaint) {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, nil, refuse("cannot be read: "+reason(err), remedy)
	case !st.Mode().IsRegular(): // opening a pipe blocks until it has a writer, which may be never
		return nil, nil, refuse("is not a regular file", remedy)
	}
	f, err := os.Open(path)
	if err == nil {
		st, err = f.Stat() // the opened file may be a different one by now
	}
	if err != nil {
		return nil, nil, refuse("cannot be read: "+reason(err), remedy)
	}
	return f, st, complaint{}
}

// sized counts the bytes read, and remembers the last one.
type sized struct {
	from io.Reader
	n    int64
	last byte
}

// Read reads from the underlying reader.
func (c *sized) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n += int64(n)
	if n > 0 {
		c.last = p[n-1]
	}
	return n, err
}

// tableReader reads one file.
type tableReader struct {
	l      *loader
	csv    *csv.Reader
	table  *Table
	header []string
	number int                // index of the column of numbers
	lines  []int              // line number of each row
	known  map[string]uint32  // index of each value so far
	seen   [2]map[string]bool // the distinct cells of route and targets so far, and the names in them
}

func newTableReader(l *loader, in io.Reader) *tableReader {
	text := bufio.NewReaderSize(in, 64<<10)
	if mark, err := text.Peek(3); err == nil && string(mark) == "\ufeff" { // spreadsheets write a byte order mark
		_, _ = text.Discard(len(mark))
	}
	r := &tableReader{
		l: l, csv: csv.NewReader(text), table: &Table{rows: map[string]uint32{}, route: -1, targets: -1},
		known: map[string]uint32{}, seen: [2]map[string]bool{{}, {}},
	}
	r.csv.ReuseRecord, r.csv.FieldsPerRecord = true, -1
	return r
}

// fail reports an error at a field of the last record.
func (r *tableReader) fail(field int, problem, remedy string) {
	line, column := r.csv.FieldPos(field)
	r.l.failTable(line, column, r.header[field], problem, remedy)
}

// read returns the table. After an error, which it reports, it returns nil.
func (r *tableReader) read() *Table {
	header, err := r.csv.Read()
	switch {
	case errors.Is(err, io.EOF):
		r.l.failTable(0, 0, "", "is empty", "write the line "+tableHeader+" first, and a line for each number")
		return nil
	case err != nil:
		r.malformed(err)
		return nil
	case !r.columns(header):
		return nil
	}
	for r.l.inTable.errors <= maxTableErrors {
		fields, err := r.csv.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if r.malformed(err); !errors.As(err, new(*csv.ParseError)) {
				return nil
			}
			continue
		}
		if len(r.lines) == maxTableRows {
			line, _ := r.csv.FieldPos(0)
			r.l.failTable(line, 0, "", fmt.Sprintf("has more than %d rows", maxTableRows),
				"is it the right file? Leave numbers out that get no call")
			return nil
		}
		r.row(fields)
	}
	if r.l.inTable.errors > 0 {
		return nil
	}
	if len(r.lines) == 0 {
		r.l.failTable(0, 0, "", "has no number", "write a line for each number, or remove the key numbers")
		return nil
	}
	r.table.takeSample()
	r.table.cells, r.table.values = slices.Clip(r.table.cells), slices.Clip(r.table.values)
	return r.table
}

// tableHeader is an example of a first line.
const tableHeader = "number,route,targets,agent"

// malformed reports a file that is not CSV.
func (r *tableReader) malformed(err error) {
	var p *csv.ParseError
	if !errors.As(err, &p) {
		r.l.failTable(0, 0, "", "cannot be read: "+reason(err), wholeTable)
		return
	}
	if p.Line != p.StartLine { // then the column belongs to another line
		p.Column = 0
	}
	r.l.failTable(p.StartLine, p.Column, "", `is not CSV: a " stands where none may`,
		`put a value that holds a quote or a comma in quotes, and write each quote in it twice: "the ""big"" one"`)
}

var columnName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// columns processes the first line.
func (r *tableReader) columns(header []string) bool {
	if len(header) == 1 && strings.Count(header[0], ";")+strings.Count(header[0], "\t") > 0 {
		r.l.failTable(1, 1, "", "its values are not separated by commas",
			"write it with commas: in a spreadsheet, choose the comma as separator")
		return false
	}
	known := []string{columnNumber, columnRoute, columnTargets}
	r.number = -1
	for i, name := range header {
		name = strings.Clone(strings.TrimSpace(name))
		r.header = append(r.header, name)
		switch {
		case !utf8.ValidString(name):
			r.header[i] = ""
			r.fail(i, "is not UTF-8", "save the file as CSV UTF-8")
		case !columnName.MatchString(name):
			r.header[i] = ""
			r.fail(i, fmt.Sprintf("%.80q cannot be the name of a column", name),
				"use letters, digits and underscores, like agent_id; the first line names the columns, like "+tableHeader)
		case slices.Contains(r.header[:i], name):
			r.fail(i, "is the name of two columns", "give each its own")
		case slices.ContainsFunc(known, func(k string) bool { return k != name && distance(strings.ToLower(name), k) < 2 }):
			r.fail(i, "is too like "+Nearest(name, known),
				"did you mean "+Nearest(name, known)+"? If not, give the column another name")
		case name == columnNumber:
			r.number = i
			continue
		case name == columnRoute:
			r.table.route = len(r.table.columns)
		case name == columnTargets:
			r.table.targets = len(r.table.columns)
		}
		r.table.columns = append(r.table.columns, name)
	}
	switch {
	case r.l.inTable.errors > 0:
	case r.number < 0:
		r.l.failTable(1, 0, "", "has no column number", "name the columns in the first line, like "+tableHeader)
	case len(header) > maxColumns:
		r.l.failTable(1, 0, "", fmt.Sprintf("has more than %d columns", maxColumns), "leave those out that no template uses")
	}
	return r.l.inTable.errors == 0
}

// row processes one line.
func (r *tableReader) row(fields []string) {
	if len(fields) != len(r.header) {
		line, _ := r.csv.FieldPos(0)
		r.l.failTable(line, 0, "", fmt.Sprintf("has %s, and the first line names %d columns", valuesIn(len(fields)),
			len(r.header)),
			"write a value, or nothing, for each column; a value with a comma stands in quotes")
		return
	}
	before := r.l.inTable.errors
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
		r.plain(i, fields[i])
	}
	if r.l.inTable.errors > before || !r.numbered(fields[r.number]) {
		return
	}
	for i, text := range fields {
		if i == r.number {
			continue
		}
		switch column := len(r.table.cells) % len(r.table.columns); column {
		case r.table.route:
			r.note(i, text, r.seen[0], &r.l.inTable.routes)
		case r.table.targets:
			r.note(i, text, r.seen[1], &r.l.inTable.targets)
		}
		r.table.cells = append(r.table.cells, r.place(text))
	}
}

func valuesIn(n int) string {
	if n == 1 {
		return "one value"
	}
	return strconv.Itoa(n) + " values"
}

// plain refuses a value that can't stand in a header or in JSON.
func (r *tableReader) plain(field int, text string) {
	switch {
	case !utf8.ValidString(text):
		r.fail(field, "is not UTF-8", "save the file as CSV UTF-8")
	case strings.ContainsFunc(text, template.IsControl):
		r.fail(field, "holds a line break or another control character",
			"write the value in one line; a quote that is not closed takes what follows, too")
	case len(text) > maxTableValue:
		r.fail(field, fmt.Sprintf("is longer than %d bytes", maxTableValue), "write what a header has room for")
	}
}

// roundedNumber matches the form in which spreadsheets write a long number.
var roundedNumber = regexp.MustCompile(`^[0-9][.,]?[0-9]*[eE]\+?[0-9]+$`)

// numbered processes the number of a row.
func (r *tableReader) numbered(text string) bool {
	switch {
	case IsDialString(text):
	case roundedNumber.MatchString(text):
		r.fail(r.number, fmt.Sprintf("%q is a number that a spreadsheet has rounded", text),
			"format the column as text, and write the numbers again")
		return false
	default:
		r.fail(r.number, fmt.Sprintf("%.80q is not a number", text),
			`write digits, after a + and the country where the trunk gives them or has a country: +15075785607`)
		return false
	}
	number := strings.Clone(plainHash(text))
	if first, twice := r.table.rows[number]; twice {
		r.fail(r.number, fmt.Sprintf("%q is there twice, first in line %d", text, r.lines[first]), "keep one of them")
		return false
	}
	line, _ := r.csv.FieldPos(r.number)
	r.table.rows[number] = uint32(len(r.lines))
	r.lines = append(r.lines, line)
	return true
}

// note records the names in a new cell. They are looked up when all routes and targets have been
// read.
func (r *tableReader) note(field int, cell string, seen map[string]bool, all *[]namedAt) {
	if cell == "" || seen[cell] {
		return
	}
	cell = strings.Clone(cell)
	line, column := r.csv.FieldPos(field)
	names := []string{cell}
	if r.header[field] == columnTargets {
		names = strings.Fields(cell)
	}
	for _, name := range names {
		if !seen[name] {
			seen[name] = true
			*all = append(*all, namedAt{name, line, column})
		}
	}
	seen[cell] = true
}

// place returns the index of a value in values. If the value is new, place adds it.
func (r *tableReader) place(text string) uint32 {
	at, ok := r.known[text]
	if !ok {
		text = strings.Clone(text)
		at = uint32(len(r.table.values))
		r.known[text], r.table.values = at, append(r.table.values, text)
	}
	return at
}
