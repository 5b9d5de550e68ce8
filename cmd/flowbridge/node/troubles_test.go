package node

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/telemetry/live"
)

// What is not well has a line in the log when it begins and when it is over. What comes and goes has few.
func TestTroublesAreLogged(t *testing.T) {
	var log bytes.Buffer
	list, now := &troubles{node: &Node{log: zerolog.New(&log)}}, time.Now()
	refusing := func() []live.Trouble {
		return []live.Trouble{{Code: live.TroubleRefusing, Of: "agent", Text: "agent refuses every call with 404"}}
	}
	for i := range 10 {
		list.date(now.Add(time.Duration(2*i)*time.Second), refusing())
		list.date(now.Add(time.Duration(2*i+1)*time.Second), nil)
	}
	if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), `"text":"agent refuses every call with 404","message":"not well"`) ||
		!strings.Contains(log.String(), `"dur_ms":1000,"message":"well again"`) {
		t.Errorf("%d lines:\n%s", n, log.String())
	}
	list.date(now.Add(2*recent), refusing())
	if n := strings.Count(log.String(), "\n"); n != 3 {
		t.Errorf("%d lines:\n%s", n, log.String())
	}
}
