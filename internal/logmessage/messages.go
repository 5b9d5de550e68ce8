// Package logmessage explains the warnings and errors that the program logs. The rows of docs/runbook.md are generated
// from its table; run go generate at the root of the repository after a change. TestEveryMessageIsExplained compares
// the table with the code.
package logmessage

import (
	_ "embed"

	"go.yaml.in/yaml/v3"
)

//go:embed messages.yaml
var table []byte

// Entry explains a message. Its texts are Markdown without links.
type Entry struct {
	Message string
	Means   string
	Do      string
	More    string // a file in docs with more details, and the heading there; may be empty
}

// All returns every message, in alphabetical order.
func All() []Entry {
	var all []Entry
	_ = yaml.Unmarshal(table, &all) // can't fail: the tests read the same bytes
	return all
}
