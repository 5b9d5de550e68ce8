package config

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"

	"flowbridge/config/template"
)

// routes warns of routes that get no calls because an earlier route takes all of them.
func (d *doubts) routes() {
	for i := range d.cfg.Routes {
		for j := range i {
			if d.takesAll(&d.cfg.Routes[j], &d.cfg.Routes[i]) {
				d.warn(fmt.Sprintf("routes[%d]", i), fmt.Sprintf("is never used: routes[%d] takes all of its calls", j),
					fmt.Sprintf("put it before routes[%d], or remove it", j))
				break
			}
		}
	}
}

// takesAll reports whether a route is certain to take every call of a later one.
func (d *doubts) takesAll(first, later *Route) bool {
	somebody := template.Party{Number: "x", User: "x"}
	to, from := template.Vars{To: somebody}, template.Vars{From: somebody}
	return first.Target == later.Target && !first.Listed && first.Hours == nil && (first.Trunk == "" ||
		first.Trunk == later.Trunk) &&
		covers(first.To, later.To, d.dials(first, to), d.dials(later, to)) &&
		covers(first.From, later.From, d.dials(first, from), d.dials(later, from))
}

// covers reports whether a route with the expression a is certain to take every call of a later one with b. firstDials
// and laterDials say whether the routes dial the user part. A route that dials it skips a user part that is not a
// number and that its expression does not name.
func covers(a, b *Numbers, firstDials, laterDials bool) bool {
	switch {
	case (a == nil || a.every) && (a.Match("") || !b.Match("")):
		if b == nil || b.every {
			return !firstDials || laterDials
		}
		return !firstDials || !namesSomebody(b)
	case b == nil:
		return false
	case a.String() == b.String():
		return true
	}
	start, open := beginning(a)
	other, _ := beginning(b) // "" if it is not known
	return open && start != "" && strings.HasPrefix(other, start) && !namesSomebody(b)
}

// namesSomebody reports whether an expression may match a user part that is not a number.
func namesSomebody(n *Numbers) bool {
	return strings.ContainsFunc(strings.ReplaceAll(n.String(), `\d`, ""), unicode.IsLetter)
}

// dials reports whether the route uses the called number in v to call each of its destinations. A row of the table may
// name other destinations.
func (d *doubts) dials(r *Route, v template.Vars) bool {
	v.Direction = r.Direction
	dialled := func(uri *template.Template) bool { return uri == nil || len(slices.Collect(uri.Dialled(&v))) > 0 }
	for i := range d.cfg.Targets {
		if t := &d.cfg.Targets[i]; slices.Contains(r.Targets, t.Name) && !dialled(t.URI) {
			return false
		}
	}
	for i := range d.cfg.Trunks {
		if t := &d.cfg.Trunks[i]; slices.Contains(r.Trunks, t.Name) && !dialled(t.URI) {
			return false
		}
	}
	return !r.Listed
}

// beginning returns the text that every match of an expression starts with. It is open if any digits, or none, may
// follow.
func beginning(n *Numbers) (text string, open bool) {
	tree, err := syntax.Parse(n.String(), syntax.Perl)
	if err != nil || tree.Op != syntax.OpConcat || len(tree.Sub) < 2 || tree.Sub[0].Op != syntax.OpBeginText ||
		tree.Sub[1].Op != syntax.OpLiteral {
		return "", false
	}
	rest := tree.Sub[2:]
	if len(rest) > 0 && (rest[0].Op == syntax.OpStar || rest[0].Op == syntax.OpPlus) && takesDigits(rest[0].Sub[0]) {
		rest = rest[1:]
		open = len(rest) == 0 || len(rest) == 1 && rest[0].Op == syntax.OpEndText
	} else {
		open = len(rest) == 0
	}
	return string(tree.Sub[1].Rune), open
}

// takesDigits reports whether one character of an expression may be any digit.
func takesDigits(re *syntax.Regexp) bool {
	if re.Op != syntax.OpCharClass {
		return isDot(re)
	}
	both := common(re.Rune, []rune{'0', '9'})
	return len(both) == 2 && both[0] == '0' && both[1] == '9'
}
