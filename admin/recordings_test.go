package admin

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/store/record"
)

// fakeControl carries orders out, or fails.
type fakeControl struct {
	asked []string
	err   error
}

func (f *fakeControl) Order(_ context.Context, id string, o Order) (Call, error) {
	f.asked = append(f.asked, id+" "+string(o))
	return Call{Record: record.Record{ID: id, StartedAt: start}, Phase: "bridged", Recording: "paused", Masked: true}, f.err
}

// Called finds each call by callid-of- and its id. Two calls have the Call-ID twice.
func (f *fakeControl) Called(id string) (string, error) {
	if id == "twice" {
		return "", &RefusedError{Problem: "several calls have this id", Remedy: "take one of these"}
	}
	if ours, is := strings.CutPrefix(id, "callid-of-"); is {
		return ours, nil
	}
	return "", ErrNoCall
}

func (f *fakeControl) Play(_ context.Context, id string, s PlayRequest) (Call, error) {
	f.asked = append(f.asked, fmt.Sprintf("%s plays %+v", id, s))
	return Call{Record: record.Record{ID: id, StartedAt: start}, Phase: "bridged", Recording: "paused", Masked: true}, f.err
}

func (f *fakeControl) Transfer(_ context.Context, id, by string, r TransferRequest) (Call, error) {
	f.asked = append(f.asked, fmt.Sprintf("%s transferred by %s: %+v", id, by, r))
	return Call{
		Record: record.Record{ID: id, StartedAt: start}, Phase: "bridged", Transfer: &record.Transfer{To: r.To, By: by, State: "dialing"},
	}, f.err
}

func (f *fakeControl) Press(_ context.Context, id string, d DigitsRequest) (Call, error) {
	f.asked = append(f.asked, fmt.Sprintf("%s presses %+v", id, d))
	return Call{Record: record.Record{ID: id, StartedAt: start}, Phase: "bridged", Recording: "paused", Masked: true}, f.err
}

func (f *fakeControl) SetVariables(_ context.Context, id, by string, all map[string]string) (Call, error) {
	f.asked = append(f.asked, fmt.Sprintf("%s by %s: %v", id, by, all))
	return Call{Record: record.Record{ID: id, StartedAt: start, Variables: all}, Phase: "bridged"}, f.err
}

func (f *fakeControl) Variables(_ context.Context, id string) (any, error) {
	return map[string]any{"id": id, "variables": map[string]string{}}, f.err
}

func (f *fakeControl) Originate(_ context.Context, o Origination) (Call, error) {
	f.asked = append(f.asked, fmt.Sprintf("places %+v", o))
	return Call{Record: record.Record{ID: "placed", StartedAt: start, Trunk: o.Trunk, To: o.To, From: o.From}, Phase: "dialing"}, f.err
}

// fakeFiles has one recording.
type fakeFiles struct{ name, path string }

func (f fakeFiles) OpenFile(name string) (*os.File, error) {
	if name != f.name {
		return nil, fs.ErrNotExist
	}
	return os.Open(f.path)
}

// post sends a body, with header names and values.
func post(t *testing.T, h http.Handler, target, body string, header ...string) (reply, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "POST", "http://127.0.0.1:8080"+target, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:4000"
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res, got := reply{w.Code, w.Result().Header}, w.Body.String()
	fits(t, "POST", target, res, got)
	return res, got
}

func TestOrders(t *testing.T) {
	opts, _ := fixture()
	control := &fakeControl{}
	opts.Control = control
	h := New(opts)
	for _, tt := range []struct{ path, body, asked string }{
		{"/api/calls/live/recording/start", "", "live start"},
		{"/api/calls/live/recording/stop", "", "live stop"},
		{"/api/calls/live/recording/pause", "", "live pause"},
		{"/api/calls/live/recording/resume", "", "live resume"},
		{"/api/calls/live/mask", `{"on": true}`, "live mask"},
		{"/api/calls/live/mask", `{"on":false}`, "live unmask"},
		{"/api/calls/live/play", `{"side":"b","sound":"queue","loop":true}`, "live plays {Side:b Sound:queue Loop:true}"},
		{"/api/calls/live/play", `{"side":"a","sound":"none"}`, "live plays {Side:a Sound:none Loop:false}"},
		{"/api/calls/live/hold", "", "live hold"},
		{"/api/calls/live/resume", "", "live unhold"},
		{"/api/calls/live/dtmf", `{"digits":"12#"}`, "live presses {Side:b Digits:12# MS:0}"},
		{"/api/calls/live/dtmf", `{"digits":"1","side":"a","ms":200}`, "live presses {Side:a Digits:1 MS:200}"},
	} {
		control.asked = nil
		res, body := post(t, h, tt.path, tt.body)
		if res.StatusCode != 200 || body != `{"recording":"paused","masked":true}`+"\n" || len(control.asked) != 1 || control.asked[0] != tt.asked {
			t.Errorf("%s: %d %s, asked %v", tt.path, res.StatusCode, body, control.asked)
		}
	}
	control.asked = nil
	for _, tt := range []struct {
		path, body string
		want       int
	}{
		{"/api/calls/live/recording/mask", "", 404},
		{"/api/calls/live/recording/start?x=1", "", 400},
		{"/api/calls/live/mask", "", 400},
		{"/api/calls/live/mask", "{}", 400},
		{"/api/calls/live/mask", `{"on":"yes"}`, 400},
		{"/api/calls/live/mask", `{"on":true,"off":true}`, 400},
		{"/api/calls/live/mask", `{"on":true}{"on":false}`, 400},
		{"/api/calls/live/transfer", ``, 400},
		{"/api/calls/live/transfer", `{}`, 400},
		{"/api/calls", `{"answer_within":301}`, 400},
		{"/api/calls/live/transfer", `{"to":4711}`, 400},
		{"/api/calls/live/transfer", `{"to":"4711","within_ms":-1}`, 400},
		{"/api/calls/live/transfer", `{"to":"4711","headers":["X-A: b"]}`, 400},
		{"/api/calls/live/transfer", `{"to":"4711","who":"me"}`, 400},
		{"/api/calls/live/transfer?to=4711", `{"to":"4711"}`, 400},
		{"/api/calls/live/dtmf", `{"digits":"1","side":"c"}`, 400},
		{"/api/calls/live/dtmf", `{"digits":"1","ms":6000}`, 400},
		{"/api/calls/live/variables", `{}`, 400},
		{"/api/calls/live/variables", `{"variables":{}}`, 400},
		{"/api/calls/live/variables", `{"variables":{"a":1}}`, 400},
	} {
		if res, body := post(t, h, tt.path, tt.body); res.StatusCode != tt.want || !strings.Contains(body, `"remedy"`) {
			t.Errorf("%s %s: %d %s; want %d", tt.path, tt.body, res.StatusCode, body, tt.want)
		}
	}
	for _, tt := range []struct{ path, body, says string }{ // one cause each
		{"/api/calls/live/transfer", `{"to":"4711","within_ms":-5}`, `"error":"within_ms is negative"`},
		{"/api/calls/live/dtmf", `{"digits":"1","side":"c"}`, `"error":"side is neither a nor b"`},
		{"/api/calls/live/dtmf", `{"digits":"1","ms":6000}`, `"error":"ms is not 0 to 5000"`},
		{"/api/calls", `{"answer_within":400}`, `"error":"answer_within is not 0 to 300 seconds","remedy":"send 1 to 300,`},
		{"/api/calls", `{"idempotency_key":"` + strings.Repeat("k", 201) + `"}`, `"error":"idempotency_key is longer than 200 bytes","remedy":"send a shorter one`},
	} {
		if _, body := post(t, h, tt.path, tt.body); !strings.Contains(body, tt.says) {
			t.Errorf("%s %s: got %s; want %s", tt.path, tt.body, body, tt.says)
		}
	}
	if res, body := do(t, h, "GET", "/api/calls/callid-of-live"); res.StatusCode != 200 || !strings.Contains(body, `"id":"live"`) {
		t.Errorf("by its Call-ID: %d %s", res.StatusCode, body)
	}
	if res, _ := do(t, h, "GET", "/api/calls/callid-of-none"); res.StatusCode != 404 {
		t.Errorf("by the Call-ID of no call: %d", res.StatusCode)
	}
	if res, _ := do(t, h, "GET", "/api/calls/live/mask"); res.StatusCode != 405 || res.Header.Get("Allow") != "POST, OPTIONS" {
		t.Errorf("GET: %d", res.StatusCode)
	}
	if res, _ := post(t, h, "/api/calls/live/mask", `{"on":true}`, "Origin", "https://evil.example"); res.StatusCode != 403 {
		t.Errorf("a web page: %d", res.StatusCode)
	}
	if len(control.asked) != 0 {
		t.Errorf("asked %v", control.asked)
	}
	for _, tt := range []struct {
		err  error
		code int
		body string
	}{
		{ErrNoCall, 404, `"error":"no call \"live\" is live","remedy":"take an id from /api/calls"}`},
		{&RefusedError{Problem: "not there", Remedy: "ask", Status: 403}, 403, `"error":"not there","remedy":"ask"}`},
		{&RefusedError{Problem: "not now", Remedy: "wait"}, 409, `"error":"not now","remedy":"wait"}`},
		{context.DeadlineExceeded, 503, `"error":"the call did not answer","remedy":"try again"}`},
	} {
		control.err = tt.err
		if res, body := post(t, h, "/api/calls/live/recording/stop", ""); res.StatusCode != tt.code || !strings.HasSuffix(strings.TrimSpace(body), tt.body) {
			t.Errorf("%v: %d %s; want %d %s", tt.err, res.StatusCode, body, tt.code, tt.body)
		}
	}
	opts.Control, opts.Access = control, withToken(RightsOperate)
	if res, _ := post(t, New(opts), "/api/calls/live/mask", `{"on":true}`); res.StatusCode != 401 {
		t.Errorf("without the token: %d", res.StatusCode)
	}
	opts.Control, opts.Access = nil, local(RightsOperate)
	if res, _ := post(t, New(opts), "/api/calls/live/recording/start", ""); res.StatusCode == 200 {
		t.Errorf("without control: %d", res.StatusCode)
	}
}

// A transfer is answered with how far it is, and the log has who ordered it.
func TestTransferOrders(t *testing.T) {
	opts, _ := fixture()
	control := &fakeControl{}
	var log strings.Builder
	opts.Control, opts.Log = control, zerolog.New(&log)
	res, body := post(t, New(opts), "/api/calls/live/transfer", `{"to":"4711","trunk":"pbx","headers":{"X-A":"b"},"announce":"hi","accept":"1","within_ms":5000}`)
	if res.StatusCode != 202 || body != `{"id":"live","transfer":{"to":"4711","by":"local","state":"dialing"}}`+"\n" ||
		fmt.Sprint(control.asked) != "[live transferred by local: {To:4711 Trunk:pbx Headers:map[X-A:b] Announce:hi Accept:1 WithinMS:5000}]" {
		t.Errorf("got %d %s, asked %v", res.StatusCode, body, control.asked)
	}
	if got := log.String(); !strings.Contains(got, `"by":"local"`) || !strings.Contains(got, `"call":"live"`) || !strings.Contains(got, "/transfer") {
		t.Errorf("the log has %s", got)
	}
	if res, body := do(t, New(opts), "GET", "/api/calls/live/variables"); res.StatusCode != 200 || body != `{"id":"live","variables":{}}`+"\n" {
		t.Errorf("variables: got %d %s", res.StatusCode, body)
	}
	control.asked = nil
	if res, body := post(t, New(opts), "/api/calls/live/variables", `{"variables":{"b":"2","a":"1"}}`); res.StatusCode != 200 ||
		body != `{"id":"live","variables":{"a":"1","b":"2"}}`+"\n" || fmt.Sprint(control.asked) != "[live by local: map[a:1 b:2]]" {
		t.Errorf("variables are set: %d %s, asked %v", res.StatusCode, body, control.asked)
	}
	control.err = ErrNoCall
	if res, _ := do(t, New(opts), "GET", "/api/calls/live/variables"); res.StatusCode != 404 {
		t.Errorf("variables of no call: got %d", res.StatusCode)
	}
	opts.Access = withToken(RightsRead)
	if res, _ := post(t, New(opts), "/api/calls/live/transfer", `{"to":"4711"}`, "Authorization", "Bearer s3cret"); res.StatusCode != 403 {
		t.Errorf("a token that may only read: %d", res.StatusCode)
	}
}

func TestRecordings(t *testing.T) {
	opts, recs := fixture()
	file := filepath.Join(t.TempDir(), "x")
	must(t, os.WriteFile(file, []byte("0123456789"), 0o600))
	opts.Recordings = fakeFiles{"2026/11/20/a.wav", file}
	recs.records[0].Recordings = []record.Recording{{File: "2026/11/20/a.wav", Format: "wav", StartedAt: start, EndedAt: start, Bytes: 10}}
	h := New(opts)
	res, body := do(t, h, "GET", "/api/calls/done/recordings")
	if want := `{"items":[{"file":"2026/11/20/a.wav","format":"wav","started_at":"2026-11-20T08:00:00.123Z",` +
		`"ended_at":"2026-11-20T08:00:00.123Z","bytes":10,"dropped":0}],"next":""}` + "\n"; res.StatusCode != 200 || body != want {
		t.Errorf("got %d %s; want %s", res.StatusCode, body, want)
	}
	if _, body := do(t, h, "GET", "/api/calls/live/recordings"); body != `{"items":[],"next":""}`+"\n" {
		t.Errorf("a call without: got %s", body)
	}
	if res, _ := do(t, h, "GET", "/api/calls/none/recordings"); res.StatusCode != 404 {
		t.Errorf("no call: got %d", res.StatusCode)
	}
	res, body = do(t, h, "GET", "/api/recordings/2026/11/20/a.wav")
	if res.StatusCode != 200 || body != "0123456789" || res.Header.Get("Content-Type") != "audio/wav" ||
		res.Header.Get("Content-Disposition") != `attachment; filename="a.wav"` || res.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("got %d %q %v", res.StatusCode, body, res.Header)
	}
	if res, body := do(t, h, "GET", "/api/recordings/2026/11/20/a.wav", "Range", "bytes=2-3"); res.StatusCode != 206 || body != "23" {
		t.Errorf("a part: got %d %q", res.StatusCode, body)
	}
	for _, path := range []string{"/api/recordings/", "/api/recordings/b.wav", "/api/recordings/2026/11/20/a.wav.part"} {
		if res, body := do(t, h, "GET", path); res.StatusCode != 404 || !strings.Contains(body, "remedy") {
			t.Errorf("%s: got %d %s", path, res.StatusCode, body)
		}
	}
	if res, _ := do(t, h, "GET", "/api/recordings/2026/11/20/a.wav?x=1"); res.StatusCode != 400 {
		t.Errorf("a parameter: got %d", res.StatusCode)
	}
	opts.Recordings, opts.Access = fakeFiles{"a", file}, withToken(RightsOperate)
	if res, _ := do(t, New(opts), "GET", "/api/recordings/a"); res.StatusCode != 401 {
		t.Errorf("without the token: got %d", res.StatusCode)
	}
}
