package admin

import (
	"bufio"
	"cmp"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"flowbridge/store/record"
)

// The values of the parameter format.
const (
	formatJSON  = "json"
	formatCSV   = "csv"
	formatLines = "jsonl"
)

// maxNumber bounds the digits of a number.
const maxNumber = 40

// maxExports is how many exports may run at a time.
const maxExports = 4

// cdrs lists finished calls, newest first, or exports all of them.
func (a *api) cdrs(w http.ResponseWriter, r *http.Request) {
	q, bad := parseQuery(r.URL.RawQuery, "since", "until", "number", "id", "trunk", "target", "route", "direction",
		"disposition", "cause",
		"problem", "limit", "cursor", "format", "fleet")
	if bad != nil {
		a.write(w, http.StatusBadRequest, bad)
		return
	}
	f, bad := q.filter()
	if bad != nil {
		a.write(w, http.StatusBadRequest, bad)
		return
	}
	format, bad := q.format(r)
	from := a.Records
	if bad == nil {
		from, bad = a.recordsOf(q["fleet"])
	}
	switch {
	case bad != nil:
		a.write(w, http.StatusBadRequest, bad)
	case format == formatJSON:
		a.records(w, r, from, f)
	default:
		a.export(w, r, from, f, format)
	}
}

// records answers with one page.
func (a *api) records(w http.ResponseWriter, r *http.Request, from Records, f record.Filter) {
	records, next, err := record.List(r.Context(), from, f)
	if err != nil {
		a.unlisted(w, r, err)
		return
	}
	if records == nil {
		records = []record.Record{}
	}
	for i := range records {
		records[i] = whole(Call{Record: records[i]}).Record
	}
	a.write(w, http.StatusOK, page[record.Record]{Items: records, Next: next})
}

// unlisted answers a list that failed.
func (a *api) unlisted(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, record.ErrCursor) {
		a.fail(w, http.StatusBadRequest, "cursor is not one of this list",
			`use "next" of the page before, or leave cursor out`)
		return
	}
	if a.fleetAway(w, r, err, "leave fleet out for the calls of this node") {
		return
	}
	a.broken(w, r, err)
}

// export streams all records. It needs the same memory for any number of records. A client that stops reading
// occupies only its connection, until the time limit for a part.
func (a *api) export(w http.ResponseWriter, r *http.Request, from Records, f record.Filter, format string) {
	if !a.exporting.Take() {
		w.Header().Set("Retry-After", "10")
		a.fail(w, http.StatusTooManyRequests, strconv.Itoa(maxExports)+" exports are under way", "try again when one is done")
		return
	}
	defer a.exporting.Free()
	kind, name := "text/csv; charset=utf-8; header=present", "calls.csv"
	if format == formatLines {
		kind, name = "application/jsonl; charset=utf-8", "calls.jsonl"
	}
	to := &stream{w: w, kind: kind, name: name}
	out := bufio.NewWriterSize(to, pacedPart)
	write, flush := record.Encoder(out, format == formatCSV)
	if r.Method == http.MethodHead {
		f.Limit = 1 // a HEAD request needs only headers
	}
	err := record.Each(r.Context(), from, f, func(rec record.Record) error { return write(&rec) })
	switch {
	case err == nil:
		to.begin()
		err = errors.Join(flush(), out.Flush())
	case !to.begun:
		a.unlisted(w, r, err)
		return
	}
	if err != nil {
		a.cutOff(w, r, err)
	}
}

// stream is an answer that starts with its first part. Until then, an error can be answered instead.
type stream struct {
	w          http.ResponseWriter
	kind, name string
	begun      bool
}

func (s *stream) begin() {
	if s.begun {
		return
	}
	s.begun = true
	s.w.Header().Set("Content-Type", s.kind)
	s.w.Header().Set("Content-Disposition", `attachment; filename="`+s.name+`"`)
	s.w = &paced{ResponseWriter: s.w, until: time.Now().Add(downloadLimit)}
}

func (s *stream) Write(b []byte) (int, error) {
	s.begin()
	return s.w.Write(b)
}

// cutOff breaks off an answer that has started, so that its client does not take it for complete.
func (a *api) cutOff(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil {
		a.Log.Warn().Err(err).Str("path", r.URL.Path).Msg("export ended early")
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)) // so the end of the answer can't be written
}

// format returns the format of the answer: the parameter format, or the first supported type in Accept.
func (q query) format(r *http.Request) (string, *failure) {
	formats := []string{formatJSON, formatCSV, formatLines}
	format := cmp.Or(q["format"], accepted(r.Header.Get("Accept")))
	if !slices.Contains(formats, format) {
		return "", &failure{"format is unknown: " + quoted(format), "use one of " + strings.Join(formats, ", ")}
	}
	return format, nil
}

// accepted returns the first supported format that a client accepts, or JSON.
func accepted(accept string) string {
	for part := range strings.SplitSeq(accept, ",") {
		kind, _, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		switch kind {
		case "text/csv":
			return formatCSV
		case "application/jsonl", "application/x-ndjson", "application/jsonlines":
			return formatLines
		case "application/json", "application/*", "*/*":
			return formatJSON
		}
	}
	return formatJSON
}

// filter reads the parameters of a list. An empty parameter counts as absent.
func (q query) filter() (record.Filter, *failure) {
	f := record.Filter{
		ID: q["id"], Trunk: q["trunk"], Target: q["target"], Route: q["route"], Direction: q["direction"],
		Disposition: q["disposition"], Cause: q["cause"], Problem: q["problem"], Cursor: q["cursor"],
	}
	for name, to := range map[string]*time.Time{"since": &f.Since, "until": &f.Until} {
		if q[name] == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, q[name])
		if err != nil || t.Year() < 1970 {
			return f, &failure{
				name + " is not a time: " + quoted(q[name]),
				"write RFC 3339, like 2026-11-20T08:00:00Z; encode a + as %2B",
			}
		}
		*to = t
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Until.After(f.Since) {
		return f, &failure{"until is not after since", "exchange them"}
	}
	for name, words := range map[string][]string{
		"disposition": record.Dispositions(), "direction": record.Directions(), "problem": record.Problems(),
	} {
		if q[name] != "" && !slices.Contains(words, q[name]) {
			return f, &failure{name + " is unknown: " + quoted(q[name]), "use one of " + strings.Join(words, ", ")}
		}
	}
	if q["number"] != "" {
		var ok bool
		if f.Number, ok = record.Digits(q["number"]); !ok || len(f.Number) > maxNumber {
			return f, &failure{
				"number has no digits, too many, or something else: " + quoted(q["number"]),
				"write digits, like 5550100",
			}
		}
	}
	if q["limit"] != "" {
		n, err := strconv.Atoi(q["limit"])
		if err != nil || n < 1 || n > record.MaxLimit {
			return f, &failure{
				"limit is not a number from 1 to 1000: " + quoted(q["limit"]),
				"write one, or leave it out: for 100, or all of an export",
			}
		}
		f.Limit = n
	}
	return f, nil
}
