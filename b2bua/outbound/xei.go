package outbound

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"flowbridge/config"
)

// PlatformID is an id within X-EI.
type PlatformID struct {
	Value    string
	External bool // set by the caller, not by the platform
}

// xeiToken is a token of X-EI (Synthflow's page "X-EI SIP header").
var xeiToken = regexp.MustCompile(`^([SEO])\.(.+)$`)

// IDsIn reads X-EI: tokens, of which the first S and the first E count, or one bare
// value.
func IDsIn(xei string) (ids []PlatformID) {
	tokens := map[string]string{}
	for part := range strings.SplitSeq(xei, ";") {
		if m := xeiToken.FindStringSubmatch(strings.TrimSpace(part)); m != nil && tokens[m[1]] == "" {
			tokens[m[1]] = m[2]
		}
	}
	if bare := strings.TrimSpace(xei); len(tokens) == 0 && bare != "" && !strings.Contains(bare, ";") {
		return []PlatformID{{bare, true}}
	}
	for _, name := range []string{"S", "E"} { // O is a number
		if id := tokens[name]; id != "" {
			ids = append(ids, PlatformID{id, name == "E"})
		}
	}
	return ids
}

// errTokens means that a value within X-EI would be read as several tokens.
var errTokens = errors.New("a value holds a ';', which would begin another token")

// checkXEI refuses an X-EI with more tokens than its template, because a caller would
// have written them. A template that passes the carrier's X-EI on may have any.
func checkXEI(h config.Header, value string) error {
	template := strings.ToUpper(h.Value.String())
	if strings.EqualFold(h.Name, "X-EI") && strings.Count(value, ";") > strings.Count(template, ";") && !strings.Contains(template, "X-EI") {
		return fmt.Errorf("%w: %q", errTokens, value)
	}
	return nil
}
