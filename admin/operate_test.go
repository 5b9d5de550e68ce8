package admin

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

type fakeOperator struct {
	drains, reloads, upgrades int
	err                       error
	needRestart               []string
}

func (f *fakeOperator) Drain() (Drained, error) {
	f.drains++
	return Drained{Calls: 3, LimitMS: 60_000}, f.err
}

func (f *fakeOperator) Reload(context.Context) (Reloaded, error) {
	f.reloads++
	return Reloaded{Trunks: 1, Targets: 2, Routes: 3, NeedRestart: f.needRestart}, f.err
}

func (f *fakeOperator) Configuration() (any, error) {
	return map[string]any{
		"file": "flowbridge.yaml", "since": start, "in_force": "a: 1\n", "before": nil, "on_disk": "a: 2\n", "need_restart": []string{"sip"},
		"check": map[string]any{"warnings": []string{}}, "names": map[string][]string{"trunk": {"carrier"}},
	}, f.err
}

func (f *fakeOperator) Upgrade(context.Context) (Upgraded, error) {
	f.upgrades++
	return Upgraded{PID: 4242, Version: "1.2.3", Calls: 3, Connections: 1, Sockets: 14, PauseMS: 20, TookMS: 150}, f.err
}

func TestUpgradeAndDrain(t *testing.T) {
	opts, _ := fixture()
	op := &fakeOperator{}
	opts.Operator = op
	h := New(opts)
	for _, tt := range []struct {
		path   string
		err    error
		status int
		want   string
	}{
		{"upgrade", nil, 200, `{"pid":4242,"version":"1.2.3","calls":3,"connections":1,"sockets":14,"pause_ms":20,"took_ms":150}` + "\n"},
		{"upgrade", errors.New("the new process was not ready in 10s"), 409, "not ready in 10s"},
		{"drain", nil, 202, `{"calls":3,"limit_ms":60000}` + "\n"},
		{"drain", nil, 202, `{"calls":3,"limit_ms":60000}` + "\n"},
		{"drain", errors.New("still starting"), 409, "still starting"},
	} {
		op.err = tt.err
		res, body := do(t, h, "POST", "/api/"+tt.path)
		if res.StatusCode != tt.status || !strings.Contains(body, tt.want) || tt.err == nil && body != tt.want {
			t.Errorf("%s: got %d %s; want %d %s", tt.path, res.StatusCode, body, tt.status, tt.want)
		}
	}
	if op.drains != 3 {
		t.Errorf("drained %d times", op.drains)
	}
}

func TestReload(t *testing.T) {
	opts, _ := fixture()
	op := &fakeOperator{}
	opts.Operator = op
	h := New(opts)
	res, body := do(t, h, "POST", "/api/reload")
	if want := `{"trunks":1,"targets":2,"routes":3,"numbers":0,"need_restart":[]}` + "\n"; res.StatusCode != 200 || body != want {
		t.Errorf("got %d %s; want %s", res.StatusCode, body, want)
	}
	op.needRestart = []string{"sip"}
	if _, body := do(t, h, "POST", "/api/reload"); !strings.Contains(body, `"need_restart":["sip"]`) {
		t.Errorf("got %s", body)
	}
	op.err = &InvalidError{Problems: []string{"a.yaml:3: trunks[0].soures: unknown key", "another"}}
	res, body = do(t, h, "POST", "/api/reload")
	var got struct {
		Error, Remedy string
		Problems      []string
	}
	must(t, json.Unmarshal([]byte(body), &got))
	if res.StatusCode != 422 || len(got.Problems) != 2 || !strings.Contains(got.Error, "nothing has changed") || got.Remedy == "" {
		t.Errorf("got %d %s", res.StatusCode, body)
	}
	op.err = errors.New("draining")
	if res, body := do(t, h, "POST", "/api/reload"); res.StatusCode != 409 || !strings.Contains(body, "not reloaded: draining") {
		t.Errorf("got %d %s", res.StatusCode, body)
	}
}

// What changes something is for POST alone, for those who have the token, and
// never for a web page that the operator happens to look at.
func TestOperatorsOnly(t *testing.T) {
	opts, _ := fixture()
	op := &fakeOperator{}
	opts.Operator = op
	for _, path := range []string{"/api/drain", "/api/reload"} {
		h := New(opts)
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH"} {
			if res, _ := do(t, h, method, path); res.StatusCode != 405 || res.Header.Get("Allow") != "POST, OPTIONS" {
				t.Errorf("%s %s: got %d, Allow %q", method, path, res.StatusCode, res.Header.Get("Allow"))
			}
		}
		for _, header := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}} {
			if res, body := do(t, h, "POST", path, header...); res.StatusCode != 403 || !strings.Contains(body, "origin") {
				t.Errorf("%s with %v: got %d %s; want 403", path, header, res.StatusCode, body)
			}
		}
		if res, _ := do(t, h, "POST", path, "Host", "evil.example"); res.StatusCode != 403 {
			t.Errorf("%s for another host: got %d; want 403", path, res.StatusCode)
		}
		if res, _ := do(t, h, "POST", path+"?now=1"); res.StatusCode != 400 {
			t.Errorf("%s with a parameter: got %d; want 400", path, res.StatusCode)
		}
		with := opts
		with.Access = withToken(RightsOperate)
		if res, _ := do(t, New(with), "POST", path); res.StatusCode != 401 {
			t.Errorf("%s without the token: got %d; want 401", path, res.StatusCode)
		}
		without := opts
		without.Operator = nil
		if res, _ := do(t, New(without), "POST", path); res.StatusCode == 200 || res.StatusCode == 202 {
			t.Errorf("%s without an operator: got %d", path, res.StatusCode)
		}
	}
	if op.drains+op.reloads != 0 {
		t.Errorf("%d drains and %d reloads", op.drains, op.reloads)
	}
}
