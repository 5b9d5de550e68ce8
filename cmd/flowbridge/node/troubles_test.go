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
	troubles, now := &troubles{node: &Node{log: zerolog.New(&log)}}, time.Now()
	refusing := func() []live.Trouble {
		return []live.Trouble{{Code: live.TroubleRefusing, Of: "agent", Text: "agent refuses every call with 404"}}
	}
	for i := range 10 {
		troubles.date(now.Add(time.Duration(2*i)*time.Second), refusing())
		troubles.date(now.Add(time.Duration(2*i+1)*time.Second), nil)
	}
	if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), `"text":"agent refuses every call with 404","message":"not well"`) ||
		!strings.Contains(log.String(), `"dur_ms":1000,"message":"well again"`) {
		t.Errorf("%d lines:\n%s", n, log.String())
	}
	troubles.date(now.Add(2*recent), refusing())
	if n := strings.Count(log.String(), "\n"); n != 3 {
		t.Errorf("%d lines:\n%s", n, log.String())
	}
}

// A target that refuses by a cause is named as who does it.
func TestRefusalsAreSentences(t *testing.T) {
	var all list
	all.addTargets([]live.Target{{
		Name: "agent", Health: live.HealthRefusing, Refusing: &live.Refusing{With: "ring_timeout", Attempts: 12},
		LastError: &live.TargetError{Text: "it rings, and answers no call"},
	}})
	if want := "agent rings, and answers no call"; all[0].Text != want {
		t.Errorf("got %q; want %q", all[0].Text, want)
	}
}

// What this machine loses is not called the network's.
func TestLossIsToldApart(t *testing.T) {
	loss, here := 0.09, 0.08
	var all list
	all.addFigures(&live.Stats{Loss: &loss, LossHere: &here})
	if want := "9.0 % of the RTP packets did not arrive in time: 1.0 % were lost on the way, and 8.0 % by this machine"; len(all) != 1 || all[0].Text != want {
		t.Errorf("got %+v; want %q", all, want)
	}
}
