package record

import (
	"encoding/json"
	"testing"
	"time"
)

func TestTimeJSON(t *testing.T) {
	berlin := time.FixedZone("", 3600)
	for _, tc := range []struct {
		in   Time
		want string
	}{
		{Time{}, `null`},
		{Time{time.Date(2026, 11, 20, 9, 0, 0, 123_999_999, berlin)}, `"2026-11-20T08:00:00.123Z"`},
		{TimeOf(time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)), `"2026-11-20T08:00:00.000Z"`},
	} {
		b, err := json.Marshal(tc.in)
		if err != nil || string(b) != tc.want {
			t.Errorf("got %s, %v; want %s", b, err, tc.want)
		}
		var back Time
		if err := json.Unmarshal(b, &back); err != nil || back != TimeOf(tc.in.Time) {
			t.Errorf("back from %s: got %v, %v", b, back, err)
		}
	}
	for _, bad := range []string{`1`, `"yesterday"`, `{}`, `"`} {
		var x Time
		if err := json.Unmarshal([]byte(bad), &x); err == nil {
			t.Errorf("%s was taken as %v", bad, x)
		}
	}
}

func TestMediaJSON(t *testing.T) {
	b, err := json.Marshal(Media{A: MediaSide{Rx: 1}})
	const rest = `"tx":0,"lost":0,"dropped":0,"dropped_by":{},"jitter_ms":0,"duplicates":0,"reordered":0,"bursts":0,"ssrc_changes":0,"rtt_ms":null,"mos":null}`
	const want = `{"a":{"rx":1,` + rest + `,"b":{"rx":0,` + rest + `,"mos":null}`
	if err != nil || string(b) != want {
		t.Errorf("got %s, %v; want %s", b, err, want)
	}
}

// The text equals the output of the layout in every year.
func TestTimeText(t *testing.T) {
	at := time.Date(2026, 11, 20, 8, 0, 0, 123_000_000, time.UTC)
	for _, from := range []time.Time{
		at, time.Unix(0, 0), time.Date(1, 1, 1, 0, 0, 0, 1e6, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC),
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), at.In(time.FixedZone("", 3600)),
	} {
		if got, want := (Time{from}).String(), from.UTC().Format(TimeLayout); got != want {
			t.Errorf("got %s; want %s", got, want)
		}
	}
}
