package admin

import (
	"net/http"

	"flowbridge/telemetry/live"
)

// targets lists the targets, and the trunks that can be called, in the order of the configuration.
func (a *api) targets(w http.ResponseWriter, r *http.Request) {
	if _, bad := parseQuery(r.URL.RawQuery); bad != nil {
		a.write(w, http.StatusBadRequest, bad)
		return
	}
	a.write(w, http.StatusOK, page[live.Target]{Items: a.Figures.Targets()})
}
