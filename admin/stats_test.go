package admin

import (
	"strings"
	"testing"

	"flowbridge/telemetry/live"
)

type fakeFigures struct{}

func (fakeFigures) Stats() live.Stats {
	return live.Stats{Calls: 7, Media: live.Media{Engine: "kernel", Detail: "tcx on eth0"}, Rejected: map[string]uint64{}, Causes: map[string]uint64{"normal": 3}, Troubles: []live.Trouble{}}
}

func (fakeFigures) Targets() []live.Target {
	return []live.Target{{Name: "synthflow", Health: live.HealthFailing, LastError: &live.TargetError{Cause: "target_silent"}, Circuits: []live.Circuit{{Of: live.CircuitAPI, State: live.CircuitOpen}}, Addresses: []live.Address{}, Shares: []live.Share{{Route: "main", Weight: 7, Of: 100, Moved: "pinned", MovedAt: start, Pinned: true}}}}
}

func (fakeFigures) History(bool) live.History {
	return live.History{Start: start, StepS: 10, Figures: live.Series{"calls": {nil, new(7.0)}}, Targets: []live.TargetHistory{{Name: "synthflow", Series: live.Series{"turns_ms": {nil, nil}}}}, Events: []live.Event{{At: start, Kind: "reload", Text: "the configuration was reloaded"}}}
}

// Figures that were not measured are null, so that they are not mistaken for 0.
func TestFigures(t *testing.T) {
	o, _ := fixture()
	h := New(o)
	if got, _ := do(t, h, "GET", "/api/stats"); got.StatusCode != 404 {
		t.Errorf("without figures: %d", got.StatusCode)
	}
	o.Figures = fakeFigures{}
	h = New(o)
	for path, want := range map[string]string{
		"/api/stats":       `"calls":7,"phases":{"preparing":0,"queued":0,"dialing":0,"bridged":0},"draining":false,"calls_per_second":0,"window_s":0,"ended":0,"answered":0,"decided":0,"answer_ratio":null,"post_dial_delay_ms":null`,
		"/api/targets":     `{"items":[{"name":"synthflow","kind":"","address":"","health":"failing","calls":0,"max_calls":0,"attempts":0,"failed":0,"answer_ratio":null,"prepare_ms":null,"answer_ms":null,"turns_ms":null,"last_answered_at":null,"last_error":{"at":null,"cause":"target_silent"`,
		"/api/history/day": `"events":[{"at":"`,
		"/api/history":     `"step_s":10,"figures":{"calls":[null,7]},"targets":[{"name":"synthflow","series":{"turns_ms":[null,null]}}]`,
	} {
		if got, body := do(t, h, "GET", path); got.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, got.StatusCode, body)
		}
		if got, _ := do(t, h, "GET", path+"?x=1"); got.StatusCode != 400 {
			t.Errorf("%s with a parameter: %d", path, got.StatusCode)
		}
		if got, _ := do(t, h, "POST", path); got.StatusCode != 405 {
			t.Errorf("POST %s: %d", path, got.StatusCode)
		}
	}
}
