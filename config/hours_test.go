package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func hoursOf(t *testing.T, zone string, open ...string) *hours {
	t.Helper()
	cfg, err := Parse("f.yaml", fmt.Appendf(nil, "targets: [{name: a, kind: sip, uri: \"sip:x@192.0.2.1\"}]\nroutes: [{targets: [a], hours: {zone: %s, open: [\"%s\"]}}]",
		zone, strings.Join(open, `", "`)), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Routes[0].Hours
}

// A route takes calls by the clocks of its zone: from the first minute to the last one, over midnight, on the days that are
// named, and on the days when the clocks change.
func TestHours(t *testing.T) {
	office := []string{"mon-fri 08:00-17:30", "sat 10:00-14:00"}
	night := []string{"fri,sat 22:00-02:00"}
	for _, tt := range []struct {
		zone string
		open []string
		at   string // UTC
		want bool
	}{
		{"Europe/Berlin", office, "2026-11-20 06:59", false}, // a Friday, 07:59 there
		{"Europe/Berlin", office, "2026-11-20 07:00", true},
		{"Europe/Berlin", office, "2026-11-20 16:29", true},
		{"Europe/Berlin", office, "2026-11-20 16:30", false},
		{"Europe/Berlin", office, "2026-11-21 09:00", true},
		{"Europe/Berlin", office, "2026-11-22 09:00", false},
		{"Europe/Berlin", office, "2026-07-03 06:00", true}, // in summer it is 08:00 there
		{"Europe/Berlin", office, "2026-07-03 15:30", false},
		{"Asia/Kolkata", office, "2026-11-20 02:29", false}, // half an hour beside the others
		{"Asia/Kolkata", office, "2026-11-20 02:30", true},
		{"Pacific/Auckland", office, "2026-11-19 19:00", true}, // Friday there already
		{"UTC", night, "2026-11-20 21:59", false},
		{"UTC", night, "2026-11-20 22:00", true},
		{"UTC", night, "2026-11-21 01:59", true},
		{"UTC", night, "2026-11-21 02:00", false},
		{"UTC", night, "2026-11-21 22:00", true},
		{"UTC", night, "2026-11-22 00:00", true}, // Sunday, of Saturday's
		{"UTC", night, "2026-11-23 00:00", false},
		{"UTC", []string{"sat 22:00-24:00"}, "2026-11-21 23:59", true},
		{"UTC", []string{"sat 22:00-24:00"}, "2026-11-22 00:00", false},
		{"UTC", []string{"fri-mon 00:00-24:00"}, "2026-11-22 12:00", true},
		{"UTC", []string{"fri-mon 00:00-24:00"}, "2026-11-24 12:00", false},
		{"UTC", []string{"22:00-06:00"}, "2026-11-24 05:59", true},
		{"UTC", []string{"22:00-06:00"}, "2026-11-24 06:00", false},

		// The clocks go from 02:00 to 03:00 (01:00 UTC) on 2026-03-29: there is no 02:30, and who opens then opens at 03:00.
		{"Europe/Berlin", []string{"sun 02:30-04:00"}, "2026-03-29 00:59", false},
		{"Europe/Berlin", []string{"sun 02:30-04:00"}, "2026-03-29 01:00", true},
		{"Europe/Berlin", []string{"sun 02:30-04:00"}, "2026-03-29 01:59", true},
		{"Europe/Berlin", []string{"sun 02:30-04:00"}, "2026-03-29 02:00", false},
		// They go from 03:00 back to 02:00 (01:00 UTC) on 2026-10-25: 02:30 comes twice.
		{"Europe/Berlin", []string{"sun 02:30-02:45"}, "2026-10-25 00:30", true},
		{"Europe/Berlin", []string{"sun 02:30-02:45"}, "2026-10-25 00:45", false},
		{"Europe/Berlin", []string{"sun 02:30-02:45"}, "2026-10-25 01:30", true},
		{"Europe/Berlin", []string{"sat 22:00-03:00"}, "2026-10-25 01:59", true},
		{"Europe/Berlin", []string{"sat 22:00-03:00"}, "2026-10-25 02:00", false},
		{"America/New_York", []string{"sun 00:00-02:00"}, "2026-11-01 06:59", true}, // 01:59 for the second time
		{"America/New_York", []string{"sun 00:00-02:00"}, "2026-11-01 07:00", false},
	} {
		at, err := time.Parse("2006-01-02 15:04", tt.at)
		if err != nil {
			t.Fatal(err)
		}
		h := hoursOf(t, tt.zone, tt.open...)
		if got := h.Includes(at); got != tt.want {
			t.Errorf("%v at %s (%s there): %v; want %v", h, tt.at, h.Clock(at), got, tt.want)
		}
		again := hoursOf(t, tt.zone, strings.Split(strings.TrimSuffix(h.String(), " "+tt.zone), "; ")...)
		if again.String() != h.String() || again.Includes(at) != tt.want {
			t.Errorf("%v is written %v", h, again)
		}
	}
	if h := (*hours)(nil); !h.Includes(time.Now()) {
		t.Error("no hours are closed")
	}
}

func TestBadHours(t *testing.T) {
	for yaml, want := range map[string]string{
		"{open: [\"08:00-17:00\"]}":                                        "routes[0].hours.zone: is missing; write the time zone",
		"{zone: Europe/Berlin}":                                            "routes[0].hours.open: is missing; write when calls are taken",
		"{zone: Europe/Berlin, open: []}":                                  "routes[0].hours.open: is an empty list",
		"{zone: Europe/Berlni, open: [\"08:00-17:00\"]}":                   `"Europe/Berlni" is not the name of a time zone; write one of the IANA database`,
		"{zone: Local, open: [\"08:00-17:00\"]}":                           `"Local" is not the name of a time zone`,
		"{zone: ../../etc/passwd, open: [\"08:00-17:00\"]}":                `"../../etc/passwd" is not the name of a time zone`,
		"{zone: UTC, open: [\"8-17\"]}":                                    `"8-17" is not a time of the week; write days and a time, like "mon-fri 08:00-17:30"`,
		"{zone: UTC, open: [\"monday-friday 08:00-17:00\"]}":               `"monday-friday" in it is no day; the days are mon, tue`,
		"{zone: UTC, open: [\"mon-fri 08:00-25:00\"]}":                     "has a time that no clock shows; write hours from 00:00 to 23:59; a day ends at 24:00",
		"{zone: UTC, open: [\"mon-fri 24:00-08:00\"]}":                     "has a time that no clock shows",
		"{zone: UTC, open: [\"08:00-24:01\"]}":                             "has a time that no clock shows",
		"{zone: UTC, open: [\"mon, 08:00-17:00\"]}":                        `"" in it is no day`,
		"{zone: UTC, open: [\"08:00-08:00\"]}":                             "begins and ends at the same time; write 00:00-24:00 for a whole day",
		"{zone: UTC, open: [\"mon 08:00-09:00\", \"MON 08:00-09:00\"]}":    "is in the list twice",
		"{zone: UTC, open: [\"08:00-17:00\"], holidays: [\"2026-12-25\"]}": "unknown key; the keys here are zone, open",
	} {
		_, err := Parse("f.yaml", []byte("targets: [{name: a, kind: sip, uri: \"sip:x@192.0.2.1\"}]\nroutes: [{targets: [a], hours: "+yaml+"}]"), testEnv)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v; want %s", yaml, err, want)
		}
	}
}

func TestBadSplit(t *testing.T) {
	for yaml, want := range map[string]string{
		"targets: [a, b], split: {a: 90, c: 10}":     "f.yaml:2: routes[0].split.c: is none of the route's targets or trunks; add it there, too",
		"targets: [a, b], split: {a: 90}":            "routes[0].split: has one share, which is all calls; write a share for each",
		"targets: [a, b], split: {a: 0, b: 0}":       "routes[0].split: has no share above 0",
		"targets: [a, b], split: {a: 90, b: -10}":    `routes[0].split.b: "-10" is not a whole number from 0 to 1000`,
		"targets: [a, b], split: {a: 90%, b: 10%}":   `routes[0].split.a: "90%" is not a whole number`,
		"targets: [a, b], split: {a: 1001, b: 1}":    `"1001" is not a whole number from 0 to 1000`,
		"targets: [a, b], split: [a, b]":             "routes[0].split: must be a mapping, not a list",
		"targets: [a, b], split: {a: 1, b: 1, a: 2}": "routes[0].split.a: is given twice",
		"targets: [a, b], split: {a: [1], b: 1}":     "routes[0].split.a: must be a single value",

		"name: r, targets: [a, b], follow: {answered: 97%}":                         "routes[0].follow: has no effect without split; write the shares",
		"targets: [a, b], split: {a: 1, b: 1}, follow: {answered: 97%}":             "routes[0].follow: needs the route's name",
		"name: r, targets: [a, b], split: {a: 1, b: 1}, follow: {}":                 "routes[0].follow: has no bound, so no target is outside of one; write answer_p95",
		"name: r, targets: [a, b], split: {a: 1, b: 24}, follow: {answered: 97%}":   "routes[0].follow: leaves each target 5 percent of the calls, and one of split has less; write a larger share",
		"name: r, targets: [a, b], split: {a: 0, b: 9}, follow: {answered: 97%}":    "routes[0].follow: leaves each target 5 percent of the calls",
		"name: r, targets: [a, b], split: {a: 1, b: 1}, follow: {answered: 100%}":   "routes[0].follow.answered: \"100%\" is not a percentage between 0 and 100",
		"name: r, targets: [a, b], split: {a: 1, b: 1}, follow: {dead_air: 0%}":     "routes[0].follow.dead_air: \"0%\" is not a percentage between 0 and 100, to which no target keeps; write one like 1% or 97%",
		"name: r, targets: [a, b], split: {a: 1, b: 1}, follow: {rescued: NaN%}":    "is not a percentage",
		"name: r, targets: [a, b], split: {a: 1, b: 1}, follow: {dead_air: 1}":      "is not a percentage",
		"name: r, targets: [a, b], split: {a: 1, b: 1}, follow: {answer_p95: 20ms}": "is out of range; write one from 100ms to 30s",
		"name: r, targets: [a, b], split: {a: 1, b: 1}, follow: {answer_p95: 1.5}":  "routes[0].follow.answer_p95",
	} {
		_, err := Parse("f.yaml", []byte("targets: [{name: a, kind: sip, uri: \"sip:x@192.0.2.1\"}, {name: b, kind: sip, uri: \"sip:x@192.0.2.2\"}]\nroutes: [{"+yaml+"}]"), testEnv)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v; want %s", yaml, err, want)
		}
	}
}

// FuzzOpening: what can be read is written so that it is read again as the same.
func FuzzOpening(f *testing.F) {
	for _, text := range []string{"mon-fri 08:00-17:30", "sat,sun 22:00-02:00", "00:00-24:00", "sun-sat 1:00-2:00", ",- 00:00-00:01"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, c := parseOpening(text)
		if !c.none() {
			return
		}
		again, c := parseOpening(o.String())
		if !c.none() || again != o || o.days == 0 {
			t.Errorf("%q is %v, which is read as %v, %v", text, o, again, c)
		}
	})
}
