package admin

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"flowbridge/store"
)

// page is the answer of every list. Next is "" on the last page.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

// failure is the answer of every error.
type failure struct {
	Error  string `json:"error"`
	Remedy string `json:"remedy"`
}

func (a *api) healthz(w http.ResponseWriter, _ *http.Request) { a.text(w, http.StatusOK, "ok") }

func (a *api) readyz(w http.ResponseWriter, _ *http.Request) {
	if a.Ready != nil {
		if err := a.Ready(); err != nil {
			a.text(w, http.StatusServiceUnavailable, err.Error())
			return
		}
	}
	a.text(w, http.StatusOK, "ok")
}

// calls lists the live calls, newest first.
func (a *api) calls(w http.ResponseWriter, r *http.Request) {
	if _, bad := parseQuery(r.URL.RawQuery); bad != nil {
		a.write(w, http.StatusBadRequest, bad)
		return
	}
	live := slices.Clone(a.Calls.Live(r.Context()))
	if live == nil {
		live = []Call{}
	}
	for i := range live {
		live[i] = whole(live[i])
	}
	slices.SortFunc(live, func(x, y Call) int {
		return cmp.Or(y.StartedAt.Compare(x.StartedAt.Time), cmp.Compare(y.ID, x.ID))
	})
	a.write(w, http.StatusOK, page[Call]{Items: live})
}

// call shows one call, live or finished.
func (a *api) call(w http.ResponseWriter, r *http.Request) {
	if c, ok := a.find(w, r); ok {
		a.write(w, http.StatusOK, c)
	}
}

// find gives the call of a path, live or finished, or answers that there is none.
func (a *api) find(w http.ResponseWriter, r *http.Request) (Call, bool) {
	if _, bad := parseQuery(r.URL.RawQuery); bad != nil {
		a.write(w, http.StatusBadRequest, bad)
		return Call{}, false
	}
	id := r.PathValue("id")
	if c, ok := a.Calls.Find(r.Context(), id); ok {
		return whole(c), true
	}
	rec, ok, err := a.Records.Get(r.Context(), id)
	if err != nil {
		a.broken(w, r, err)
		return Call{}, false
	}
	if !ok {
		a.fail(w, http.StatusNotFound, "there is no call "+quoted(id), "take an id from /api/calls or /api/cdrs")
		return Call{}, false
	}
	return whole(Call{Record: rec, Phase: phaseEnded}), true
}

// cdrs lists finished calls, newest first.
func (a *api) cdrs(w http.ResponseWriter, r *http.Request) {
	q, bad := parseQuery(r.URL.RawQuery, "since", "until", "trunk", "target", "disposition", "limit", "cursor")
	if bad == nil {
		var f store.Filter
		if f, bad = q.filter(); bad == nil {
			a.records(w, r, f)
			return
		}
	}
	a.write(w, http.StatusBadRequest, bad)
}

func (a *api) records(w http.ResponseWriter, r *http.Request, f store.Filter) {
	records, next, err := a.Records.List(r.Context(), f)
	if errors.Is(err, store.ErrCursor) {
		a.fail(w, http.StatusBadRequest, "cursor is not one of this list", `use "next" of the page before, or leave cursor out`)
		return
	}
	if err != nil {
		a.broken(w, r, err)
		return
	}
	if records == nil {
		records = []store.Record{}
	}
	a.write(w, http.StatusOK, page[store.Record]{Items: records, Next: next})
}

// whole replaces missing attempts and recordings by empty lists.
func whole(c Call) Call {
	if c.Attempts == nil {
		c.Attempts = []store.Attempt{}
	}
	if c.Recordings == nil {
		c.Recordings = []store.Recording{}
	}
	return c
}

// query holds the parameters of a request, each given once.
type query map[string]string

// parseQuery refuses parameters that are unknown or given twice: a mistyped filter must not look like an answer.
func parseQuery(raw string, known ...string) (query, *failure) {
	all, err := url.ParseQuery(raw)
	if err != nil {
		return nil, &failure{"the query string is not well-formed", "encode its special characters, like + as %2B"}
	}
	q := query{}
	for name, values := range all {
		if !slices.Contains(known, name) {
			remedy := "this path has no parameters"
			if len(known) > 0 {
				remedy = "the parameters are " + strings.Join(known, ", ")
			}
			return nil, &failure{"unknown parameter " + quoted(name), remedy}
		}
		if len(values) > 1 {
			return nil, &failure{"parameter " + name + " is given more than once", "give it once"}
		}
		q[name] = values[0]
	}
	return q, nil
}

// filter reads the parameters of a list. An empty one counts as absent.
func (q query) filter() (store.Filter, *failure) {
	f := store.Filter{Trunk: q["trunk"], Target: q["target"], Disposition: q["disposition"], Cursor: q["cursor"]}
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
	if f.Disposition != "" && !slices.Contains(store.Dispositions(), f.Disposition) {
		return f, &failure{
			"disposition is unknown: " + quoted(f.Disposition),
			"use one of " + strings.Join(store.Dispositions(), ", "),
		}
	}
	if q["limit"] != "" {
		n, err := strconv.Atoi(q["limit"])
		if err != nil || n < 1 || n > store.MaxLimit {
			return f, &failure{"limit is not a number from 1 to 1000: " + quoted(q["limit"]), "write one, or leave it out for 100"}
		}
		f.Limit = n
	}
	return f, nil
}

// quoted repeats a text of a client, cut and escaped.
func quoted(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return strconv.QuoteToASCII(s)
}

// broken answers an error that the client cannot correct.
func (a *api) broken(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the client is gone
	}
	a.Log.Error().Err(err).Str("path", r.URL.Path).Msg("records not readable")
	a.fail(w, http.StatusInternalServerError, "the records cannot be read", "see the log")
}

func (a *api) fail(w http.ResponseWriter, status int, problem, remedy string) {
	a.write(w, status, &failure{problem, remedy})
}

func (a *api) write(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		a.Log.Error().Err(err).Msg("answer not encoded")
		status, body = http.StatusInternalServerError, []byte(`{"error":"internal error","remedy":"see the log"}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
}

func (a *api) text(w http.ResponseWriter, status int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(s + "\n")) // as above
}
