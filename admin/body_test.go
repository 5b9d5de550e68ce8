package admin

import (
	"fmt"
	"strings"
	"testing"
)

// Who sends a body that can't be read is told what is wrong with it.
func TestBodies(t *testing.T) {
	opts, _ := fixture()
	control := &fakeControl{}
	opts.Control = control
	h := New(opts)
	for _, tt := range []struct {
		path, body string
		code       int
		want       string
	}{
		{"mask", "", 400, `the body is empty`},
		{"mask", "  \n", 400, `the body is empty`},
		{"mask", `{"on": tru`, 400, `the body is not JSON`},
		{"mask", `on=true`, 400, `the body is not JSON`},
		{"mask", `[true]`, 400, `the body is a JSON array and no object`},
		{"mask", `{"on":"yes"}`, 400, `\"on\" in the body is a JSON string, which it can't be`},
		{"mask", `{"on":true,"off":true}`, 400, `the body has a field that is not known: \"off\"`},
		{"mask", `{"on":true} {}`, 400, `the body has more in it than one JSON object`},
		{"mask", `{"on":true}}`, 400, `the body has more in it than one JSON object`},
		{"mask", `{}`, 400, `the body does not say whether to mask`},
		{"mask", `null`, 400, `the body does not say whether to mask`},
		{"mask", `{"on":` + strings.Repeat(" ", maxBody) + `true}`, 413, fmt.Sprintf(`the body is longer than %d bytes`, maxBody)},
		{"mask", `{"on":true}` + strings.Repeat(" ", maxBody), 413, fmt.Sprintf(`the body is longer than %d bytes`, maxBody)},
		{"play", `{"side":"a","sound":"queue","volume":1}`, 400, `the body has a field that is not known: \"volume\"`},
		{"play", `{"side":1,"sound":"queue"}`, 400, `\"side\" in the body is a JSON number, which it can't be`},
		{"play", `{"side":"c","sound":"queue"}`, 400, `the body does not say what to play to whom`},
		{"recording/foo", "", 404, `take one of start, stop, pause, resume`},
	} {
		res, body := post(t, h, "/api/calls/live/"+tt.path, tt.body)
		if res.StatusCode != tt.code || !strings.Contains(body, tt.want) || !strings.Contains(body, `"remedy"`) {
			t.Errorf("%s %.40s: %d %s; want %d %s", tt.path, tt.body, res.StatusCode, body, tt.code, tt.want)
		}
	}
	if len(control.asked) != 0 {
		t.Errorf("asked %v", control.asked)
	}
}

// Who sends fields with an order that has none is told so, and nothing is done: {"whithin": "5m"} asks for something.
func TestOrdersWithoutFields(t *testing.T) {
	opts, _ := fixture()
	control, op := &fakeControl{}, &fakeOperator{}
	opts.Control, opts.Operator = control, op
	h := New(opts)
	orders := []string{
		"drain", "reload", "upgrade", "calls/live/hangup", "calls/live/hold", "calls/live/resume", "calls/live/recording/start",
		"calls/live/recording/stop", "calls/live/recording/pause", "calls/live/recording/resume",
	}
	for _, tt := range []struct {
		body string
		code int
		want string
	}{
		{`{"whithin": "5m"}`, 400, `the body has a field that is not known: \"whithin\"`},
		{`{} {}`, 400, `the body has more in it than one JSON object`},
		{`within=5m`, 400, `the body is not JSON`},
		{`["5m"]`, 400, `the body is a JSON array and no object`},
		{`{}` + strings.Repeat(" ", maxBody), 413, fmt.Sprintf(`the body is longer than %d bytes`, maxBody)},
	} {
		for _, order := range orders {
			res, body := post(t, h, "/api/"+order, tt.body)
			if res.StatusCode != tt.code || !strings.Contains(body, tt.want) || !strings.Contains(body, `"remedy":"send no body`) {
				t.Errorf("%s %.40s: %d %s; want %d %s", order, tt.body, res.StatusCode, body, tt.code, tt.want)
			}
		}
	}
	if len(control.asked) != 0 || op.drains+op.reloads+op.upgrades != 0 {
		t.Errorf("asked %v, %+v", control.asked, op)
	}
	for _, body := range []string{"", "\n", "{}"} {
		for _, order := range orders {
			if res, text := post(t, h, "/api/"+order, body); res.StatusCode/100 != 2 {
				t.Errorf("%s %q: %d %s", order, body, res.StatusCode, text)
			}
		}
	}
}
