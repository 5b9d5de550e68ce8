package operate

import (
	"strings"
	"testing"

	"flowbridge/telemetry/live"
)

// TestSeenOfASplit: the list says why weights moved, and why they do not.
func TestSeenOfASplit(t *testing.T) {
	var b strings.Builder
	shares := []live.Share{{Route: "main", Weight: 40, Of: 100, Moved: "moved because", Seen: "seen at 14:15 UTC on 2 March: answers"}, {Route: "other"}}
	if err := printTargets(&b, []live.Target{{Name: "a", Shares: shares}}); err != nil ||
		!strings.HasSuffix(b.String(), "\na: 40 of 100 of the route main, moved because\n"+
			"a: 40 of 100 of the route main, seen at 14:15 UTC on 2 March: answers\n") {
		t.Errorf("%v\n%s", err, b.String())
	}
}
