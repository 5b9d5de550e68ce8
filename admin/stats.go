package admin

import "flowbridge/telemetry/live"

// Figures gives the statistics of the last minutes, and how each target does.
type Figures interface {
	Stats() live.Stats
	Targets() []live.Target
	History() live.History
}
