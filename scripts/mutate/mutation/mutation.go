// Package mutation switches mutants on while a program runs. An overlay adds it to the module under test.
package mutation

import (
	"cmp"
	"os"
	"strconv"
	"sync/atomic"
)

// Variables of the environment: the mutant that is on, and the file to which each reached mutant is appended.
const (
	Active  = "MUTANT"
	Reached = "MUTANTS_REACHED"
)

var (
	active, _ = strconv.Atoi(os.Getenv(Active))
	record, _ = os.OpenFile(os.Getenv(Reached), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	reached   [1 << 16]atomic.Bool
)

// On reports whether a mutant is on. Numbers begin at 1.
func On(id int) bool {
	if record != nil && !reached[id].Swap(true) {
		_, _ = record.WriteString(strconv.Itoa(id) + "\n")
	}
	return id == active
}

// And is a && b, and a || b in the mutant. Like the other operators it counts as reached where that may differ.
func And(id int, a bool, b func() bool) bool {
	if a {
		return b() || On(id)
	}
	return On(id) && b()
}

// Or is a || b, and a && b in the mutant.
func Or(id int, a bool, b func() bool) bool {
	if !a {
		return b() && !On(id)
	}
	return !On(id) || b()
}

// Less is a < b, and a <= b in the mutant.
func Less[T cmp.Ordered](id int, a, b T) bool { return a < b || a == b && On(id) }

// AtMost is a <= b, and a < b in the mutant.
func AtMost[T cmp.Ordered](id int, a, b T) bool { return a < b || a == b && !On(id) }
