package cause

import (
	_ "embed"

	"go.yaml.in/yaml/v3"
)

// table explains the causes. docs/causes.md and the texts of the admin page are made of it; run go generate at the root
// of the repository after a change.
//
//go:embed causes.yaml
var table []byte

// Entry explains a cause. Its texts are Markdown without links.
type Entry struct {
	Name     Cause
	Side     string // where to look first: caller, platform, target, configuration, machine, network; none: nothing is wrong
	Happened string
	Got      string // the status that the carrier got, or how its call ended
	Look     string // what to look at, and what to do
	More     string // the file in docs that says more, and its heading; empty: none
}

// All returns every cause that a record can have, in the order of docs/causes.md.
func All() []Entry {
	var all []Entry
	_ = yaml.Unmarshal(table, &all) // cannot fail: the tests read the same bytes
	return all
}
