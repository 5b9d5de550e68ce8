package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with a configuration file.
type Error struct {
	// File is the name of the file.
	File string
	// Line counts from 1; 0 concerns the file as a whole.
	Line int
	// Column counts the bytes of the line from 1, where it is known: in the table of numbers. Else it is 0.
	Column int
	// Path is the key's path: trunks[0].sources; in the table of numbers it is the column's name.
	Path string
	// Problem says what is wrong. It never holds a secret or what a variable of the environment contains.
	Problem string
	// Remedy says what to do.
	Remedy string
	// Refused is true for a warning about a certificate that peers refuse: check takes it for an error, and serve starts.
	Refused bool
}

// Error gives the whole in one line: flowbridge.yaml:12: trunks[0].soures: unknown key; did you mean "sources"?
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

// Errors are all the things that are wrong with a file, by line.
type Errors []Error

// Error gives one line for each error.
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
