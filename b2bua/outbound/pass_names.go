package outbound

import (
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// maxPassedName bounds a name that a peer chose, in bytes.
const maxPassedName = 64

// WantedHeaders gives the names of the headers of a message that a list of
// pass_headers stands for. A name that ends in * becomes those that begin so, in
// the order of the message and as they are spelled there. It does not stand for
// what is in the list by itself, nor for what belongs to one side, or is another
// call's to have: X-EI, and what the target's own configuration sets.
func WantedHeaders(list []string, headers []sip.Header, set []config.Header) []string {
	if !slices.ContainsFunc(list, isPattern) {
		return list
	}
	var names []string
	for _, name := range list {
		if !isPattern(name) {
			names = append(names, name)
			continue
		}
		begin := strings.TrimSuffix(name, "*")
		for _, h := range headers {
			n := message.FullName(h.Name())
			if beginsWith(n, begin) && mayMatch(n) && !isSet(set, n) && !listed(list, n) && !listed(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}

func isPattern(name string) bool { return strings.HasSuffix(name, "*") }

func beginsWith(name, begin string) bool {
	return len(name) >= len(begin) && strings.EqualFold(name[:len(begin)], begin)
}

// mayMatch says whether a name can be what a pattern stands for: it goes to the
// other side as it came.
func mayMatch(name string) bool {
	return len(name) <= maxPassedName && message.IsToken(name) && config.Passable(name) && !strings.EqualFold(name, "X-EI")
}

// isSet says whether the target's configuration has a header of this name: for
// a call that it has no value for, the caller's would stand for it.
func isSet(set []config.Header, name string) bool {
	return slices.ContainsFunc(set, func(h config.Header) bool { return strings.EqualFold(h.Name, name) })
}

func listed(list []string, name string) bool {
	return slices.ContainsFunc(list, func(n string) bool { return strings.EqualFold(n, name) })
}
