package admin

import "flowbridge/telemetry/live"

// Figures provides the statistics of the last minutes and the state of each target.
type Figures interface {
	Stats() live.Stats
	Targets() []live.Target
	// History returns the last hour or the last day.
	History(day bool) live.History
}
