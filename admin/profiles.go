package admin

import (
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"
)

// maxProfile bounds the duration of a profile, in seconds.
const maxProfile = 120

// profiles serves profiles of the process, one at a time. They cost time and show the contents of memory, so they
// need the right to operate.
func (a *api) profiles() http.HandlerFunc {
	return a.allowed(RightsOperate, func(w http.ResponseWriter, r *http.Request, who sender) {
		if s := r.URL.Query().Get("seconds"); s != "" {
			if n, err := strconv.Atoi(s); err != nil || n < 1 || n > maxProfile {
				a.fail(w, http.StatusBadRequest, "seconds is not a number from 1 to "+strconv.Itoa(maxProfile)+": "+quoted(s),
					"write one")
				return
			}
		}
		if !a.profiling.Take() {
			a.fail(w, http.StatusTooManyRequests, "another profile is being taken", "try again when it is done")
			return
		}
		defer a.profiling.Free()
		a.logged(r, who, http.StatusOK)
		a.reads(profile)(w, r)
	})
}

func profile(w http.ResponseWriter, r *http.Request) {
	switch strings.TrimPrefix(r.URL.Path, "/debug/pprof/") {
	case "profile":
		pprof.Profile(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Index(w, r)
	}
}
