package admin

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"flowbridge/store/record"
)

// counting is a report that counts calls by target.
type counting struct{ of map[string]int }

func (c counting) Add(r *record.Record) { c.of[r.Target]++ }

func (c counting) Groups() any {
	all := []map[string]any{}
	for name, n := range c.of {
		all = append(all, map[string]any{"name": name, "calls": n})
	}
	return all
}

func fakeReport(by string) (Report, error) {
	if by != "target" && by != "trunk" {
		return nil, errors.New("use one of target, trunk")
	}
	return counting{map[string]int{}}, nil
}

// TestReport: the calls of a filter are compared, and one report is made at a time.
func TestReport(t *testing.T) {
	o, recs := fixture()
	if got, _ := do(t, New(o), "GET", "/api/report"); got.StatusCode != 404 {
		t.Errorf("without reports: %d", got.StatusCode)
	}
	o.Report, recs.next = fakeReport, ""
	h := New(o)
	for path, want := range map[string]string{
		"/api/report": `200 {"by":"target","calls":1,"since":"2026-`,
		"/api/report?by=trunk&since=2026-11-20T08:00:00Z": `200 {"by":"trunk","calls":1,`,
		"/api/report?by=time&cause=caller_hangup":         `200 {"by":"time","calls":1,`,
		"/api/report?by=colour":                           `400 `,
		"/api/report?since=yesterday":                     `400 `,
		"/api/report?cursor=1":                            `400 `,
		"/api/report?fleet=true":                          `400 `,
	} {
		got, body := do(t, h, "GET", path)
		if text := strconv.Itoa(got.StatusCode) + " " + body; !strings.HasPrefix(text, want) {
			t.Errorf("%s: %s; want %s", path, text, want)
		}
	}
	if _, body := do(t, h, "GET", "/api/report?by=colour"); !strings.Contains(body, "use one of target, trunk") {
		t.Errorf("a word that is not known: %s", body)
	}
	if _, body := do(t, h, "GET", "/api/report"); !strings.Contains(body, `"complete":true,"groups":[{"calls":1,"name":""}]`) {
		t.Errorf("the report is %s", body)
	}
	if _, body := do(t, h, "GET", "/api/report?by=time"); strings.Count(body, `"from":`) != maxSlices || !strings.Contains(body, `"calls":1,"failed":0},{"from"`) {
		t.Errorf("by time: %s", body)
	}
	a, mux := newAPI(o)
	a.reporting.Take()
	if got, _ := do(t, a.guard(mux), "GET", "/api/report"); got.StatusCode != 429 || got.Header.Get("Retry-After") == "" {
		t.Errorf("a second report: %d", got.StatusCode)
	}
}

// TestCallsByID: some live calls can be asked for.
func TestCallsByID(t *testing.T) {
	o, _ := fixture()
	h := New(o)
	if _, body := do(t, h, "GET", "/api/calls?ids=old,gone"); !strings.Contains(body, `"id":"old"`) || strings.Contains(body, `"id":"live"`) {
		t.Errorf("got %s", body)
	}
	if _, body := do(t, h, "GET", "/api/calls?ids="); !strings.Contains(body, `"id":"old"`) || !strings.Contains(body, `"id":"live"`) {
		t.Errorf("without ids: %s", body)
	}
	if got, _ := do(t, h, "GET", "/api/calls?ids="+strings.Repeat("x,", 64)+"x"); got.StatusCode != 400 {
		t.Errorf("65 ids: %d", got.StatusCode)
	}
}

// The calls of a time are counted in parts of it, also if they began in one moment.
func TestSpread(t *testing.T) {
	var s histogram
	if all, ok := s.Groups().([]slice); !ok || len(all) != 0 {
		t.Errorf("without calls: %v", s.Groups())
	}
	for i := range 120 { // the newest first
		r := record.Record{StartedAt: record.TimeOf(start.Add(-time.Duration(i) * time.Minute))}
		if i == 119 {
			r.Disposition = record.DispositionFailed
		}
		s.Add(&r)
	}
	all := s.Groups().([maxSlices]slice)
	if all[0].Calls != 2 || all[0].Failed != 1 || all[maxSlices-1].Calls != 2 || !all[0].From.Equal(start.Add(-119*time.Minute)) {
		t.Errorf("%+v … %+v", all[0], all[maxSlices-1])
	}
	s = s[:1]
	if all := s.Groups().([maxSlices]slice); all[0].Calls != 1 {
		t.Errorf("of one call: %+v", all[0])
	}
}
