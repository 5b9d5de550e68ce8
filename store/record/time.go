package record

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
)

// TimeLayout is RFC 3339 in UTC with exactly three decimals, so that the text sorts by time.
const TimeLayout = "2006-01-02T15:04:05.000Z"

var errNotTime = errors.New("not an RFC 3339 time")

// Time is a point in time in a record: "2026-11-20T08:00:00.123Z" in JSON and SQL, null when zero.
type Time struct{ time.Time }

// TimeOf returns t in UTC, cut to milliseconds and without its monotonic reading, so that it equals the
// time that is read back.
func TimeOf(t time.Time) Time {
	if t.IsZero() {
		return Time{}
	}
	return Time{t.UTC().Truncate(time.Millisecond)}
}

// String returns the RFC 3339 text, or "" for zero.
func (t Time) String() string {
	if t.IsZero() {
		return ""
	}
	return string(t.AppendTo(make([]byte, 0, len(TimeLayout))))
}

// AppendTo appends the text of a nonzero time in TimeLayout.
func (t Time) AppendTo(b []byte) []byte {
	u := t.UTC()
	year, month, day := u.Date()
	if year < 0 || year > 9999 {
		return u.AppendFormat(b, TimeLayout)
	}
	hour, minute, second := u.Clock()
	b = append(appendTwo(appendTwo(b, year/100), year%100), '-')
	b = append(appendTwo(b, int(month)), '-')
	b = append(appendTwo(b, day), 'T')
	b = append(appendTwo(b, hour), ':')
	b = append(appendTwo(b, minute), ':')
	b = append(appendTwo(b, second), '.')
	ms := u.Nanosecond() / 1e6
	return append(appendTwo(b, ms/10), byte('0'+ms%10), 'Z')
}

func appendTwo(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

// MarshalJSON returns the quoted text, or null for zero.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.appendJSON(make([]byte, 0, len(TimeLayout)+2)), nil
}

// UnmarshalJSON accepts any RFC 3339 time, or null.
func (t *Time) UnmarshalJSON(b []byte) error {
	s := string(b)
	if s == "null" {
		*t = Time{}
		return nil
	}
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return errNotTime
	}
	return t.parse(s[1 : len(s)-1])
}

// MarshalText returns the RFC 3339 text, or "" for zero.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText accepts any RFC 3339 time, or "".
func (t *Time) UnmarshalText(b []byte) error { return t.parse(string(b)) }

// Value returns the text for SQL, or NULL for zero.
func (t Time) Value() (driver.Value, error) {
	if t.IsZero() {
		return nil, nil
	}
	return t.String(), nil
}

// Scan reads a column that was written by Value.
func (t *Time) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*t = Time{}
		return nil
	case string:
		return t.parse(v)
	case []byte:
		return t.parse(string(v))
	case time.Time:
		*t = TimeOf(v)
		return nil
	}
	return fmt.Errorf("column of type %T: %w", src, errNotTime)
}

func (t *Time) parse(s string) error {
	if s == "" {
		*t = Time{}
		return nil
	}
	p, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return errNotTime
	}
	*t = TimeOf(p)
	return nil
}
