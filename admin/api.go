package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"flowbridge/store/record"
)

// page is the answer for every list. Next is "" on the last page. Hidden counts calls of the fleet that can't be
// read.
type page[T any] struct {
	Items  []T    `json:"items"`
	Next   string `json:"next"`
	Hidden *int   `json:"hidden,omitempty"`
}

func (a *api) healthz(w http.ResponseWriter, _ *http.Request) {
	state := "ok"
	if a.Media != nil {
		state += "\nmedia: " + a.Media().String()
	}
	if a.Troubles != nil {
		state = strings.Join(append([]string{state}, a.Troubles()...), "\n")
	}
	a.text(w, http.StatusOK, state)
}

func (a *api) readyz(w http.ResponseWriter, _ *http.Request) {
	if a.Ready != nil {
		if err := a.Ready(); err != nil {
			a.text(w, http.StatusServiceUnavailable, err.Error())
			return
		}
	}
	a.text(w, http.StatusOK, "ok")
}

// maxIDs is how many ids one request for calls may name.
const maxIDs = 64

// calls lists the live calls, newest first: all of them, or those with certain ids.
func (a *api) calls(w http.ResponseWriter, r *http.Request) {
	q, bad := parseQuery(r.URL.RawQuery, "ids", "fleet")
	fleet := false
	if bad == nil {
		fleet, bad = a.ofFleet(q["fleet"], a.Nodes != nil)
	}
	if bad != nil {
		a.write(w, http.StatusBadRequest, bad)
		return
	}
	if fleet {
		a.fleetCalls(w, r)
		return
	}
	ids := strings.Split(q["ids"], ",")
	if len(ids) > maxIDs {
		a.fail(w, http.StatusBadRequest, "there are more than "+strconv.Itoa(maxIDs)+" ids", "ask for some at a time")
		return
	}
	live := []Call{}
	if q["ids"] == "" {
		live = append(live, a.Calls.Live(r.Context())...)
		ids = nil
	}
	for _, id := range ids {
		if c, ok := a.Calls.Find(r.Context(), id); ok {
			live = append(live, c)
		}
	}
	a.write(w, http.StatusOK, page[Call]{Items: listed(live)})
}

// listed sorts and completes live calls for a list, newest first.
func listed(live []Call) []Call {
	for i := range live {
		live[i] = whole(live[i])
	}
	slices.SortFunc(live, func(x, y Call) int {
		return cmp.Or(y.StartedAt.Compare(x.StartedAt.Time), cmp.Compare(y.ID, x.ID))
	})
	return live
}

// call shows one call, live or finished.
func (a *api) call(w http.ResponseWriter, r *http.Request) {
	if c, ok := a.find(w, r); ok {
		a.write(w, http.StatusOK, c)
	}
}

// find returns the call of a path, live or finished. If there is none, it answers the request.
func (a *api) find(w http.ResponseWriter, r *http.Request) (Call, bool) {
	c, _, ok := a.locate(w, r)
	return c, ok
}

// locate is like find. other reports that another node has the call, or had it.
func (a *api) locate(w http.ResponseWriter, r *http.Request) (c Call, other, ok bool) {
	id := r.PathValue("id")
	if c, ok := a.Calls.Find(r.Context(), id); ok {
		return whole(c), false, true
	}
	c.Phase = phaseEnded
	var err error
	if c.Record, ok, err = a.Records.Get(r.Context(), id); !ok && err == nil {
		c, ok, err = a.named(r, id)
	}
	if !ok && err == nil {
		c, ok, err = finished(r.Context(), a.Records, id)
	}
	if !ok && err == nil {
		other = true
		c, ok, err = a.findElsewhere(r.Context(), id)
	}
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		a.fail(w, http.StatusConflict, refused.Problem, refused.Remedy)
	case a.fleetAway(w, r, err, "it is no call of this node; ask again later, or another node"):
	case err != nil:
		a.broken(w, r, err)
	case !ok:
		a.fail(w, http.StatusNotFound, "there is no call "+quoted(id), "take an id from /api/calls or /api/cdrs")
	}
	return whole(c), other, ok && err == nil
}

// named finds a live call by an id other than Flowbridge's, and puts Flowbridge's id into the request. The error is a
// *RefusedError if several calls have it.
func (a *api) named(r *http.Request, id string) (c Call, ok bool, err error) {
	if a.Control == nil {
		return c, false, nil
	}
	ours, err := a.Control.Called(id)
	if err != nil {
		if _, several := errors.AsType[*RefusedError](err); !several {
			err = nil
		}
		return c, false, err
	}
	r.SetPathValue("id", ours)
	c, ok = a.Calls.Find(r.Context(), ours)
	return c, ok, nil
}

// finished finds a finished call by an id other than Flowbridge's. The error is a *RefusedError if several calls have
// it.
func finished(ctx context.Context, from Records, id string) (c Call, ok bool, err error) {
	found, _, err := from.List(ctx, record.Filter{ID: id, Limit: 2})
	switch {
	case err != nil || len(found) == 0:
		return c, false, err
	case len(found) > 1:
		return c, false, &RefusedError{
			Problem: "several calls have this id, among them " + found[0].ID + " and " + found[1].ID,
			Remedy:  "take one of these",
		}
	}
	return Call{Record: found[0], Phase: phaseEnded}, true, nil
}

// whole replaces missing attempts and recordings by empty lists, and adds the problems so far.
func whole(c Call) Call {
	c.Problems = record.ProblemsOf(&c.Record)
	if c.Attempts == nil {
		c.Attempts = []record.Attempt{}
	}
	if c.Recordings == nil {
		c.Recordings = []record.Recording{}
	}
	return c
}

// query holds the parameters of a request. Each may be given once.
type query map[string]string

// parseQuery refuses unknown and repeated parameters, because the answer to a mistyped filter would look right.
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

// quoted repeats a client's text, cut and escaped.
func quoted(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return strconv.QuoteToASCII(s)
}

// broken answers a request after an error that the client can't correct.
func (a *api) broken(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the client is gone
	}
	a.Log.Error().Err(err).Str("path", r.URL.Path).Msg("records not readable")
	a.fail(w, http.StatusInternalServerError, "the records cannot be read", "see the log")
}

func (a *api) write(w http.ResponseWriter, status int, v any) {
	kind := "application/json; charset=utf-8"
	if f, ok := v.(failing); ok {
		kind, v = problemType, f.problem(status)
	}
	body, err := json.Marshal(v)
	if err != nil {
		a.Log.Error().Err(err).Msg("answer not encoded")
		status, kind = http.StatusInternalServerError, problemType
		body = []byte(`{"type":"about:blank","title":"Internal Server Error","status":500,"detail":"internal error","error":"internal error","remedy":"see the log"}`)
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
}

func (a *api) text(w http.ResponseWriter, status int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(s + "\n")) // as above
}
