package cause

import (
	_ "embed"

	"go.yaml.in/yaml/v3"
)

// table explains the causes. docs/causes.md and the texts of the admin page are generated from it: after a change, run
// go generate at the root of the repository.
//
//go:embed causes.yaml
var table []byte

// Entry explains a cause. Its texts are Markdown without links.
type Entry struct {
	Name     Cause
	Side     string // where to look first, see causes.yaml; "none" means that nothing is wrong
	Happened string
	Got      string // the status that the carrier gets, or how its call ends
	Look     string // what to check, and what to do
	More     string // the file in docs that says more, with its heading; empty if there is none
}

// All returns every cause that a record can have, in the order of docs/causes.md.
func All() []Entry {
	var all []Entry
	_ = yaml.Unmarshal(table, &all) // can't fail: the tests parse the same bytes
	return all
}
