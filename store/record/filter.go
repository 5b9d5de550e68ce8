package record

import (
	"encoding/base64"
	"errors"
	"strings"
	"time"
)

// ErrCursor means that a cursor is not one that List has returned.
var ErrCursor = errors.New("cursor is not one of a list")

// The bounds of Filter.Limit.
const (
	defaultLimit = 100
	MaxLimit     = 1000
)

// Filter selects the finished calls that List returns. Its zero value selects all.
type Filter struct {
	// Since is the earliest started_at; zero means no limit.
	Since time.Time
	// Until is the first started_at that is no longer selected; zero means no limit.
	Until time.Time
	// Trunk, Target, Route, Direction, Disposition and Cause must be equal; empty means any.
	Trunk, Target, Route, Direction, Disposition, Cause string
	// Problem must be one of the call's problems; empty means any. The function List applies it, and Each does, too; a
	// Lister does not.
	Problem string
	// Number must be part of from, to or lead; empty means any.
	Number string
	// ID must be one of the call's ids: our id, a Call-ID of either side or of a failed attempt, the platform's, the
	// external one, or the trace's. Empty means any.
	ID string
	// Limit is the length of a page: 0 means 100, and the maximum is MaxLimit.
	Limit int
	// Cursor continues a list after its last record. It is next from the previous List.
	Cursor string
}

// byID finds a call by any of its ids. Each term has its own index.
const byID = `(id = ? OR sip_call_id = ? AND sip_call_id <> '' OR target_sip_call_id = ? AND target_sip_call_id <> ''
	OR synthflow_call_id = ? AND synthflow_call_id <> '' OR external_id = ? AND external_id <> ''
	OR trace_id = ? AND trace_id <> '' OR id IN (SELECT o.id FROM other_ids AS o WHERE o.other = ?))`

// PageSize returns the number of records of a page.
func (f Filter) PageSize() int {
	if f.Limit <= 0 {
		return defaultLimit
	}
	return min(f.Limit, MaxLimit)
}

// SQL returns the filter as a WHERE clause, or "", with a ? for each argument. The columns have the names of Record's
// JSON. The clause is also used for a fleet's database. The error is ErrCursor.
func (f Filter) SQL() (where string, args []any, err error) {
	var terms []string
	add := func(term string, arg ...any) {
		terms = append(terms, term)
		args = append(args, arg...)
	}
	if !f.Since.IsZero() {
		add(`started_at >= ?`, ceil(f.Since))
	}
	if !f.Until.IsZero() {
		add(`started_at < ?`, ceil(f.Until))
	}
	for _, eq := range []struct{ column, value string }{
		{"trunk", f.Trunk},
		{"target", f.Target},
		{"route", f.Route},
		{"direction", f.Direction},
		{"disposition", f.Disposition},
		{"cause", f.Cause},
	} {
		if eq.value != "" {
			add(eq.column+` = ?`, eq.value)
		}
	}
	if f.Number != "" {
		add(`(instr("from", ?) > 0 OR instr("to", ?) > 0 OR instr(lead, ?) > 0)`, f.Number, f.Number, f.Number)
	}
	if f.ID != "" {
		add(byID, f.ID, f.ID, f.ID, f.ID, f.ID, f.ID, f.ID)
	}
	if f.Cursor != "" {
		started, id, err := parseCursor(f.Cursor)
		if err != nil {
			return "", nil, err
		}
		add(`(started_at, id) < (?, ?)`, started, id)
	}
	if len(terms) == 0 {
		return "", nil, nil
	}
	return ` WHERE ` + strings.Join(terms, ` AND `), args, nil
}

// Digits returns the digits of a number in the form that people write, with +, spaces, brackets, dots and dashes. ok
// is false if it contains anything else, or no digit.
func Digits(number string) (digits string, ok bool) {
	digits = strings.Map(func(r rune) rune {
		if strings.ContainsRune("+ -().\u00a0", r) {
			return -1
		}
		return r
	}, number)
	return digits, digits != "" && strings.Trim(digits, "0123456789") == ""
}

// ceil returns the first whole millisecond that is not before t: records have no finer times.
func ceil(t time.Time) string {
	c := TimeOf(t)
	if c.Before(t) {
		c = TimeOf(c.Add(time.Millisecond))
	}
	return c.String()
}

// CursorOf returns the cursor after a record.
func CursorOf(r Record) string {
	return base64.RawURLEncoding.EncodeToString([]byte(r.StartedAt.String() + " " + r.ID))
}

func parseCursor(c string) (started, id string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(c)
	if err != nil {
		return "", "", ErrCursor
	}
	started, id, ok := strings.Cut(string(b), " ")
	if _, err := time.Parse(TimeLayout, started); err != nil || !ok || id == "" {
		return "", "", ErrCursor
	}
	return started, id, nil
}
