package peers

import (
	"testing"
	"testing/synctest"

	"flowbridge/config"
	"flowbridge/config/template"
)

// A call that is refused because of one limit does not count for any other limit, neither
// for its caller's rate nor for its trunk's.
func TestRefusedCallsTakeNothing(t *testing.T) {
	const ann, bob, one, two, three = "+15075550100", "+15075550101", "+15075785607", "+15075785608", "+15075785609"
	type try struct {
		from, to string
		want     Limit
	}
	for _, tt := range []struct {
		name  string
		cps   int // the trunk's max_cps
		calls config.TrunkLimits
		tries []try
	}{
		{
			"the destination has a call", 0,
			config.TrunkLimits{PerCallerCalls: 1, PerDestinationCalls: 1},
			[]try{{ann, one, LimitNone}, {bob, one, LimitDestination}, {bob, two, LimitNone}, {bob, three, LimitCaller}},
		},
		{
			"the caller has one", 0,
			config.TrunkLimits{PerCallerCalls: 1, PerDestinationCalls: 1},
			[]try{{ann, one, LimitNone}, {ann, two, LimitCaller}, {bob, two, LimitNone}},
		},
		{
			"the trunk that is called has a rate", 2,
			config.TrunkLimits{PerDestinationCalls: 1},
			[]try{{ann, one, LimitNone}, {bob, one, LimitDestination}, {bob, two, LimitNone}, {bob, three, LimitCap}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := trunksOf(100, 100, 0)
				cfg.Trunks[0].Limits, cfg.Trunks[0].MaxCPS = tt.calls, tt.cps
				cfg.Trunks[0].URI = &template.Template{}
				a := NewAdmission(cfg, nil)
				callee := a.Peers.Load().Callees["0"]
				for i, try := range tt.tries {
					if _, got := a.Occupy(callee, Parties{try.from, try.to}); got != try.want {
						t.Errorf("call %d: %d; want %d", i+1, got, try.want)
					}
				}
			})
		})
	}
}
