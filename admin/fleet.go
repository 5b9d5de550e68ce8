package admin

import (
	"context"
	"errors"
	"net/http"

	"flowbridge/store/record"
)

// fleetRecords provides the records of all nodes. It wraps its errors in fleetError.
type fleetRecords struct{ Records }

// fleetError means that the fleet's records can't be read at the moment.
type fleetError struct{ err error }

func (e *fleetError) Error() string { return e.err.Error() }
func (e *fleetError) Unwrap() error { return e.err }

func (f fleetRecords) List(ctx context.Context, want record.Filter) ([]record.Record, string, error) {
	records, next, err := f.Records.List(ctx, want)
	if err != nil && !errors.Is(err, record.ErrCursor) {
		err = &fleetError{err}
	}
	return records, next, err
}

func (f fleetRecords) Get(ctx context.Context, id string) (record.Record, bool, error) {
	rec, ok, err := f.Records.Get(ctx, id)
	if err != nil {
		err = &fleetError{err}
	}
	return rec, ok, err
}

// ofFleet parses the parameter fleet, which selects the calls of all nodes.
func (*api) ofFleet(text string, there bool) (bool, *failure) {
	switch {
	case text == "" || text == "false":
		return false, nil
	case text != "true":
		return false, &failure{"fleet is neither true nor false: " + quoted(text), "write true for the calls of all nodes"}
	case !there:
		return false, &failure{"this node is in no fleet", "leave fleet out, or write fleet.dsn_file into the configuration"}
	}
	return true, nil
}

// recordsOf returns the records that the parameter fleet selects.
func (a *api) recordsOf(text string) (Records, *failure) {
	all, bad := a.ofFleet(text, a.Fleet != nil)
	if bad != nil || !all {
		return a.Records, bad
	}
	return fleetRecords{a.Fleet}, nil
}

// fleetAway answers a request after an error from the fleet's records. It reports whether err was
// such an error.
func (a *api) fleetAway(w http.ResponseWriter, r *http.Request, err error, remedy string) bool {
	var away *fleetError
	if !errors.As(err, &away) {
		return false
	}
	if r.Context().Err() == nil { // otherwise the client is gone
		a.fail(w, http.StatusServiceUnavailable, away.Error(), remedy)
	}
	return true
}
