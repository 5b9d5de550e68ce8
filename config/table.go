package config

import (
	"fmt"
	"slices"
	"strings"

	"flowbridge/config/template"
)

// Table is the file that the key `numbers` names: what is known of each number. It holds every distinct value once.
type Table struct {
	columns []string          // of the values; the number itself is none of them
	rows    map[string]uint32 // the place of a number's values
	cells   []uint32          // of all rows, a number for each value
	values  []string
	sample  template.Row // a value of each column that has one somewhere
	sum     string       // see Sum
	route   int          // the columns that routes read; -1: the file has none
	targets int
}

// The columns of the table that mean something to Flowbridge. All others are for templates alone.
const (
	columnNumber  = "number"
	columnRoute   = "route"
	columnTargets = "targets"
)

// Listed is a row of the table, for routes.
type Listed struct {
	table *Table
	place int
}

// Find gives the row of a number; ok is false if there is none, or no table. It takes the same time in every table.
func (t *Table) Find(number string) (l Listed, ok bool) {
	if t == nil {
		return l, false
	}
	place, ok := t.rows[plainHash(number)]
	return Listed{t, int(place) * len(t.columns)}, ok
}

// Size is how many numbers the table has; 0 for none.
func (t *Table) Size() int {
	if t == nil {
		return 0
	}
	return len(t.rows)
}

// Sum tells the table from others: the first 16 digits of the file's SHA-256, as sha256sum prints it. Empty: no table.
func (t *Table) Sum() string {
	if t == nil {
		return ""
	}
	return t.sum
}

func (l Listed) value(column int) string {
	if column < 0 {
		return ""
	}
	return l.table.values[l.table.cells[l.place+column]]
}

// Route is the name of the route that the row is for; empty: every one.
func (l Listed) Route() string { return l.value(l.table.route) }

// Targets are the names of the targets that the row has instead of a route's own; none: it has no such.
func (l Listed) Targets() []string { return strings.Fields(l.value(l.table.targets)) }

// Row gives the values for templates.
func (l Listed) Row() template.Row {
	row := make(template.Row, len(l.table.columns))
	for i, name := range l.table.columns {
		row[name] = l.value(i)
	}
	return row
}

// AgentNumber is the number of a call that a route looks up in the table: the called one. Where a PBX hands over a call
// that it has placed (direction outbound), it is the calling one.
func (r *Route) AgentNumber(vars *template.Vars) string {
	if r.Direction == template.DirectionOutbound && r.Target == "" {
		return vars.From.Number
	}
	return vars.To.Number
}

// takeSample finds a value for each column, with which templates are tried.
func (t *Table) takeSample() {
	t.sample = make(template.Row, len(t.columns))
	for i, name := range t.columns {
		for at := i; at < len(t.cells) && t.sample[name] == ""; at += len(t.columns) {
			t.sample[name] = t.values[t.cells[at]]
		}
	}
}

// sampleVars are the values of a made-up call for a template. Its number has a row in the table; in one that could not
// be read there is something in each column.
func (l *loader) sampleVars(use templateUse, t *template.Template) template.Vars {
	v := use.vars()
	v.Row = l.sampleRow()
	if v.Row == nil && len(t.Columns()) > 0 {
		v.Row = template.Row{}
		for _, name := range t.Columns() {
			v.Row[name] = "value-of-" + name
		}
	}
	return v
}

func (l *loader) sampleRow() template.Row {
	if l.cfg.Numbers == nil {
		return nil
	}
	return l.cfg.Numbers.sample
}

// columnsOf says what is wrong with the columns that a template names.
func (l *loader) columnsOf(t *template.Template) complaint {
	table := l.cfg.Numbers
	// it is not read, or that is reported
	if len(t.Columns()) == 0 || table == nil && (l.withoutSecrets || l.root.has("numbers")) {
		return complaint{}
	}
	if table == nil {
		return refuse("uses .Row, and there is no table of numbers",
			"name its file in numbers at the top level, or use other fields of the call")
	}
	for _, name := range t.Columns() {
		if !slices.Contains(table.columns, name) {
			return refuse("uses .Row."+name+", and the table of numbers has no such column",
				meant(name, table.columns, "its columns are "+strings.Join(table.columns, ", ")))
		}
	}
	return complaint{}
}

// namedAt is a name in the table, and where it stands first.
type namedAt struct {
	name         string
	line, column int
}

// check finds the routes and targets that the table names, when all of them are read.
func (c *Config) check(s section) {
	for _, t := range s.l.inTable.targets {
		if s.l.inTable.errors > maxTableErrors {
			return
		}
		if _, why := s.l.targetName(t.name); !why.none() {
			s.l.failTable(t.line, t.column, columnTargets, fmt.Sprintf("%.80q %s", t.name, why.problem),
				why.remedy+"; several are written with spaces between")
		}
	}
	if slices.ContainsFunc(s.l.errs, func(e Error) bool { return strings.HasPrefix(e.Path, "routes") }) {
		return // its name may be there
	}
	for _, r := range s.l.inTable.routes {
		if s.l.inTable.errors > maxTableErrors {
			return
		}
		at := slices.IndexFunc(c.Routes, func(route Route) bool { return route.Name == r.name })
		switch {
		case at < 0:
			s.l.failTable(r.line, r.column, columnRoute, fmt.Sprintf("%.80q is not the name of a route", r.name),
				meant(r.name, namesOf(s.l.routes), "write name: "+r.name+" below the route, or correct it"))
		case !c.Routes[at].Listed:
			s.l.failTable(r.line, r.column, columnRoute, fmt.Sprintf("names routes[%d], which does not look into the table", at),
				"write listed: true below the route")
		}
	}
}

// failTable reports an error of the table's file. After maxTableErrors it says once that there are more.
func (l *loader) failTable(line, column int, name, problem, remedy string) {
	if l.inTable.errors++; l.inTable.errors > maxTableErrors+1 {
		return
	}
	if l.inTable.errors > maxTableErrors {
		column, name, problem, remedy = 0, "", "there are more errors, from this line on", "correct those before it first"
	}
	l.errs = append(l.errs, Error{
		File: l.inTable.file, Line: line, Column: column, Path: name, Problem: problem,
		Remedy: remedy,
	})
}
