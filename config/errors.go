package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one problem in a configuration file.
type Error struct {
	// File is the name of the file.
	File string
	// Line counts from 1; 0 means the file as a whole.
	Line int
	// Column is the byte in the line, counted from 1, for errors in the table of numbers. Otherwise it is 0.
	Column int
	// Path is the key's path, like trunks[0].sources. For the table of numbers it is the column's name.
	Path string
	// Problem says what is wrong. It never contains a secret or the value of an environment variable.
	Problem string
	// Remedy says what to do.
	Remedy string
	// Refused marks a warning about a certificate that peers refuse: check treats it as an error, while serve starts.
	Refused bool
}

// Error returns everything in one line: flowbridge.yaml:12: trunks[0].soures: unknown key; did you mean "sources"?
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Column > 0 {
		fmt.Fprintf(&b, ":%d", e.Column)
	}
	b.WriteString(": ")
	if e.Path != "" {
		b.WriteString(e.Path)
		b.WriteString(": ")
	}
	b.WriteString(e.Problem)
	if e.Remedy != "" {
		b.WriteString("; ")
		b.WriteString(e.Remedy)
	}
	return b.String()
}

// Errors are all problems of a file, ordered by line.
type Errors []Error

// Error returns one line for each error.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

func (es Errors) sorted() Errors {
	slices.SortStableFunc(es, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line))
	})
	return es
}
