package cli

import (
	"strconv"
	"strings"
	"time"
)

// Moment parses the value of a flag: RFC 3339, a date with or without a time (UTC), or a duration before now, which may
// use days. An empty value gives the zero time.
func Moment(name, value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(value); err == nil {
		return time.Now().Add(-d.Abs()), nil
	}
	if days, ok := strings.CutSuffix(value, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Now().AddDate(0, 0, -int(n)), nil
		}
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, value); err == nil {
			return t, nil
		}
	}
	return time.Time{}, Usage(`--%s %q: write 2026-11-20T08:00:00Z, "2026-11-20 08:00" (UTC), or 2h or 7d for so long ago`,
		name, value)
}
