package admin

import (
	"net/http"

	"flowbridge/telemetry/live"
)

// Figures gives the statistics of the last minutes, and how each target does.
type Figures interface {
	Stats() live.Stats
	Targets() []live.Target
	History() live.History
}

// history gives the last hour of the figures and targets.
func (a *api) history(w http.ResponseWriter, r *http.Request) {
	if _, bad := parseQuery(r.URL.RawQuery); bad != nil {
		a.write(w, http.StatusBadRequest, bad)
		return
	}
	a.write(w, http.StatusOK, a.Figures.History())
}

// stats gives the figures of the node.
func (a *api) stats(w http.ResponseWriter, r *http.Request) {
	if _, bad := parseQuery(r.URL.RawQuery); bad != nil {
		a.write(w, http.StatusBadRequest, bad)
		return
	}
	a.write(w, http.StatusOK, a.Figures.Stats())
}
