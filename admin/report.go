package admin

import (
	"cmp"
	"net/http"

	"flowbridge/store/record"
)

// Report is a comparison of finished calls by group.
type Report interface {
	// Add counts a record.
	Add(r *record.Record)
	// Groups returns the groups so far, for JSON.
	Groups() any
}

// maxReported bounds how many of the newest calls a report reads. That many can be read well within the time for an
// answer.
const maxReported = 50_000

// compared is the answer of /api/report.
type compared struct {
	By    string `json:"by"`
	Calls int    `json:"calls"`
	// Since is when the oldest call of the report started, or null. Complete is false if there are older calls that were
	// left out.
	Since    record.Time `json:"since"`
	Complete bool        `json:"complete"`
	Groups   any         `json:"groups"`
}

// report compares finished calls by target, trunk, route or the shares of a split. One report runs at a time.
func (a *api) report(w http.ResponseWriter, r *http.Request) {
	q, bad := parseQuery(r.URL.RawQuery, "by", "since", "until", "trunk", "target", "route", "direction", "fleet")
	var f record.Filter
	if bad == nil {
		f, bad = q.filter()
	}
	from := a.Records
	if bad == nil {
		from, bad = a.recordsOf(q["fleet"])
	}
	by := cmp.Or(q["by"], "target")
	groups, err := a.Report(by)
	if bad == nil && err != nil {
		bad = &failure{"by is unknown: " + quoted(by), err.Error()}
	}
	if bad != nil {
		a.write(w, http.StatusBadRequest, bad)
		return
	}
	if !a.reporting.Take() {
		w.Header().Set("Retry-After", "5")
		a.fail(w, http.StatusTooManyRequests, "another report is being made", "try again in 5 s")
		return
	}
	defer a.reporting.Free()
	f.Limit = maxReported
	out := compared{By: by}
	err = record.Each(r.Context(), from, f, func(rec record.Record) error {
		groups.Add(&rec)
		out.Calls++
		out.Since = rec.StartedAt
		return nil
	})
	if err != nil {
		a.unlisted(w, r, err)
		return
	}
	out.Complete, out.Groups = out.Calls < maxReported, groups.Groups()
	a.write(w, http.StatusOK, out)
}
