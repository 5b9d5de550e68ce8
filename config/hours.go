package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // a container image may lack time zones
)

// hours is the section `routes[].hours`: when the route takes calls.
type hours struct {
	// The time zone of open, by its name in the IANA database: Europe/Berlin. Summer time is observed.
	Zone *time.Location `key:"zone" is:"zone" required:"the time zone that the hours are in, like Europe/Berlin"`
	// When the route takes calls: "mon-fri 08:00-17:30". Days: mon to sun, one, a range, or several with commas; none:
	// every day. The end is the first closed minute, at most 24:00; if before the start: on the next day.
	Open []openSpan `key:"open" is:"opening" required:"when calls are taken, like [\"mon-fri 08:00-17:30\"]" filled:""`
}

// openSpan is a period of the day, on some days of the week.
type openSpan struct {
	days       uint8 // a bit for each time.Weekday
	from, till int   // minutes since midnight; if till is not later than from, it is on the next day
}

// Includes reports whether the route is open at the given time. Without hours it always is.
func (h *hours) Includes(at time.Time) bool {
	if h == nil {
		return true
	}
	at = at.In(h.Zone)
	minute, today, yesterday := at.Hour()*60+at.Minute(), at.Weekday(), (at.Weekday()+6)%7
	return slices.ContainsFunc(h.Open, func(o openSpan) bool {
		if o.from < o.till {
			return o.on(today) && o.from <= minute && minute < o.till
		}
		return o.on(today) && o.from <= minute || o.on(yesterday) && minute < o.till
	})
}

// String returns the hours in the form of the file.
func (h *hours) String() string {
	all := make([]string, len(h.Open))
	for i, o := range h.Open {
		all[i] = o.String()
	}
	return strings.Join(all, "; ") + " " + h.Zone.String()
}

// Clock returns the day and time in the zone of the hours: "sat 14:03".
func (h *hours) Clock(at time.Time) string {
	at = at.In(h.Zone)
	return weekdays[at.Weekday()] + at.Format(" 15:04")
}

func (o openSpan) on(day time.Weekday) bool { return o.days>>day&1 == 1 }

// String returns the opening in the form of the file.
func (o openSpan) String() string {
	var days []string
	for _, day := range weekOrder {
		if o.on(day) {
			days = append(days, weekdays[day])
		}
	}
	return fmt.Sprintf("%s %02d:%02d-%02d:%02d", strings.Join(days, ","), o.from/60, o.from%60, o.till/60, o.till%60)
}

var (
	weekdays  = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	weekOrder = []time.Weekday{
		time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday,
		time.Saturday, time.Sunday,
	}
	opening = regexp.MustCompile(`^(?:([A-Za-z,-]+) +)?(\d{2}):(\d{2})-(\d{2}):(\d{2})$`)
)

const everyDay = 1<<7 - 1

// parseOpening parses days and a time of the day.
func parseOpening(t string) (openSpan, complaint) {
	const remedy = `write days and a time, like "mon-fri 08:00-17:30", "sat,sun 10:00-14:00" or "22:00-06:00"`
	m := opening.FindStringSubmatch(t)
	if m == nil {
		return openSpan{}, refuse("is not a time of the week", remedy)
	}
	o := openSpan{days: everyDay}
	if m[1] != "" {
		days, wrong, ok := parseDays(strings.ToLower(m[1]))
		if !ok {
			return openSpan{}, refuse(strconv.Quote(wrong)+" in it is no day",
				"the days are mon, tue, wed, thu, fri, sat, sun; "+remedy)
		}
		o.days = days
	}
	var ok, too bool
	o.from, ok = minuteOf(m[2], m[3], 23)
	o.till, too = minuteOf(m[4], m[5], 24)
	switch {
	case !ok || !too:
		return openSpan{}, refuse("has a time that no clock shows", "write hours from 00:00 to 23:59; a day ends at 24:00")
	case o.from == o.till:
		return openSpan{}, refuse("begins and ends at the same time", "write 00:00-24:00 for a whole day")
	}
	return o, complaint{}
}

// minuteOf returns the minute of the day. An hour of 24 is valid only with minute 0.
func minuteOf(hour, minute string, last int) (int, bool) {
	h, _ := strconv.Atoi(hour) // two digits, as in opening
	m, _ := strconv.Atoi(minute)
	return h*60 + m, h <= last && m < 60 && (h < 24 || m == 0)
}

// parseDays parses days and ranges of days. wrong is the first part that is not valid.
func parseDays(t string) (days uint8, wrong string, ok bool) {
	for part := range strings.SplitSeq(t, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, till := slices.Index(weekdays, first), slices.Index(weekdays, last)
		if from < 0 || till < 0 {
			return 0, part, false
		}
		for day := from; ; day = (day + 1) % len(weekdays) {
			days |= 1 << day
			if day == till {
				break
			}
		}
	}
	return days, "", true
}

// parseZone parses the name of a time zone.
func parseZone(t string) (*time.Location, complaint) {
	zone, err := time.LoadLocation(t)
	if err != nil || t == "" || t == "Local" { // Local means something else on another machine
		return nil, refuse("is not the name of a time zone",
			"write one of the IANA database, like Europe/Berlin, America/New_York or UTC")
	}
	return zone, complaint{}
}
