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

// WantedHeaders returns the names of the headers of a message that a list of
// pass_headers selects. A name that ends in * selects all that begin so, in the order
// and spelling of the message. It does not select names of the list, headers that belong
// to one side, X-EI, which identifies one call, and those that the target's own
// configuration sets.
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

// mayMatch reports whether a pattern may select a name, which goes to the other side as
// it came.
func mayMatch(name string) bool {
	return len(name) <= maxPassedName && message.IsToken(name) && config.Passable(name) && !strings.EqualFold(name, "X-EI")
}

// isSet reports whether the target's configuration has a header of this name. In a call
// without a value for it, the caller's would take its place.
func isSet(set []config.Header, name string) bool {
	return slices.ContainsFunc(set, func(h config.Header) bool { return strings.EqualFold(h.Name, name) })
}

func listed(list []string, name string) bool {
	return slices.ContainsFunc(list, func(n string) bool { return strings.EqualFold(n, name) })
}
