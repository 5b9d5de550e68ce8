package admin

import (
	"cmp"
	"net/http"
	"time"

	"flowbridge/store/record"
)

// Report is a comparison of finished calls by group.
type Report interface {
	// Add counts a record.
	Add(r *record.Record)
	// Groups returns the groups so far, for JSON.
	Groups() any
}

// histogram is a Report by time: when calls started, the newest first, and which of them failed.
type histogram []slice

// slice is a part of a time.
type slice struct {
	From   record.Time `json:"from"`
	Calls  int         `json:"calls"`
	Failed int         `json:"failed"` // failed or interrupted calls
}

// maxInHistogram bounds how many of the newest calls a report by time reads: the page makes one for each search.
// maxSlices is how many parts of a time are told apart.
const maxInHistogram, maxSlices = 10_000, 60

// Add counts a record.
func (h *histogram) Add(r *record.Record) {
	c := slice{From: r.StartedAt}
	if r.Disposition == record.DispositionFailed || r.Disposition == record.DispositionInterrupted {
		c.Failed = 1
	}
	*h = append(*h, c)
}

// Groups returns maxSlices equal parts of the time from the oldest call to the newest one.
func (h *histogram) Groups() any {
	if len(*h) == 0 {
		return []slice{}
	}
	begin, all := (*h)[len(*h)-1].From, [maxSlices]slice{}
	step := max((*h)[0].From.Sub(begin.Time)/maxSlices+time.Millisecond, time.Second)
	for i := range all {
		all[i].From = record.TimeOf(begin.Add(time.Duration(i) * step))
	}
	for _, c := range *h {
		part := &all[min(max(0, int(c.From.Sub(begin.Time)/step)), maxSlices-1)]
		part.Calls, part.Failed = part.Calls+1, part.Failed+c.Failed
	}
	return all
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
	q, bad := parseQuery(r.URL.RawQuery, "by", "since", "until", "number", "id", "trunk", "target", "route", "direction",
		"disposition", "cause", "problem", "fleet")
	var f record.Filter
	if bad == nil {
		f, bad = q.filter()
	}
	from := a.Records
	if bad == nil {
		from, bad = a.recordsOf(q["fleet"])
	}
	by := cmp.Or(q["by"], "target")
	var groups Report = &histogram{}
	var err error
	if by != "time" {
		groups, err = a.Report(by)
	}
	if bad == nil && err != nil {
		bad = &failure{"by is unknown: " + quoted(by), err.Error() + ", time"}
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
	most := maxReported
	if by == "time" {
		most = maxInHistogram
	}
	f.Limit = most
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
	out.Complete, out.Groups = out.Calls < most, groups.Groups()
	a.write(w, http.StatusOK, out)
}
