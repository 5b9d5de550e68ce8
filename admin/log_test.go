package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"flowbridge/store/record"
)

type fakeLeveller struct {
	level  string
	during time.Duration
}

func (f *fakeLeveller) LogLevel() LogLevel {
	return LogLevel{Level: f.level, Configured: "info", Until: record.TimeOf(start.Add(f.during))}
}

func (f *fakeLeveller) SetLogLevel(level string, during time.Duration) LogLevel {
	f.level, f.during = level, during
	return f.LogLevel()
}

// The level is shown and changed, and nothing else is.
func TestLogLevel(t *testing.T) {
	o, _ := fixture()
	f := &fakeLeveller{level: "info"}
	o.Leveller = f
	h := New(o)
	if got, body := do(t, h, "GET", "/api/log"); got.StatusCode != 200 || !strings.Contains(body, `{"level":"info","configured":"info","until":"2026-11-20`) {
		t.Errorf("%d %s", got.StatusCode, body)
	}
	for body, want := range map[string]string{
		`{"level":"debug","for":"10m"}`: "200 debug 10m0s",
		`{"level":"warn"}`:              "200 warn 10m0s",
		`{"level":"error","for":"24h"}`: "200 error 24h0m0s",
		`{"level":"trace"}`:             "400 unknown",
		`{"level":"debug","for":"25h"}`: "400 at most 24h",
		`{"level":"debug","for":"-1m"}`: "400 at most 24h",
		`{"level":"debug","for":"10"}`:  "400 at most 24h",
		`{"level":"debug","until":"x"}`: "400 not known",
		``:                              "400 empty",
	} {
		*f = fakeLeveller{level: "info"}
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), "POST", "http://127.0.0.1/api/log", strings.NewReader(body))
		r.RemoteAddr = "127.0.0.1:1"
		h.ServeHTTP(w, r)
		status, says, _ := strings.Cut(want, " ")
		if w.Code == http.StatusOK {
			if got := f.level + " " + f.during.String(); status != "200" || got != says {
				t.Errorf("%s: %s; want %s", body, got, want)
			}
		} else if status != "400" || !strings.Contains(w.Body.String(), says) || f.level != "info" {
			t.Errorf("%s: %d %s; want %s", body, w.Code, w.Body, want)
		}
	}
	if got, _ := do(t, h, "PUT", "/api/log"); got.StatusCode != 405 {
		t.Errorf("PUT: %d", got.StatusCode)
	}
	o.Access = func() Access { return Access{Local: RightsRead} }
	if got, _ := do(t, New(o), "POST", "/api/log"); got.StatusCode != 403 {
		t.Errorf("without the right: %d", got.StatusCode)
	}
}
