package admin

import (
	"net/http"

	"flowbridge/telemetry/live"
)

// Figures provides the statistics of the last minutes and the state of each target.
type Figures interface {
	Stats() live.Stats
	Targets() []live.Target
	// History returns the last hour or the last day.
	History(day bool) live.History
}

func (a *api) history(w http.ResponseWriter, r *http.Request) {
	q, bad := parseQuery(r.URL.RawQuery, "span")
	if bad == nil && q["span"] != "" && q["span"] != "hour" && q["span"] != "day" {
		bad = &failure{"span is neither hour nor day: " + quoted(q["span"]), "leave it out for the last hour"}
	}
	if bad != nil {
		a.write(w, http.StatusBadRequest, bad)
		return
	}
	a.write(w, http.StatusOK, a.Figures.History(q["span"] == "day"))
}
