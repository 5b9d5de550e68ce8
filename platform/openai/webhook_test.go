package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/internal/rest"
)

const (
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	rings  = `{"object":"event","id":"evt_1","type":"realtime.call.incoming","created_at":1750287018,"data":{"call_id":"rtc_1","sip_headers":[` +
		`{"name":"From","value":"sip:+142555512112@sip.example.com"},{"name":"X-Call","value":" ours "}]}}`
)

// The signature matches the example in the Standard Webhooks specification.
func TestSignOfSpecification(t *testing.T) {
	h, err := Sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if err != nil || h.Get("Webhook-Signature") != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("%v, %v", h, err)
	}
	for _, bad := range []string{"", "whsec_", "whsec_***", "secret!"} {
		if _, err := NewWebhook(Options{Secret: bad, API: rest.Options{BaseURL: "https://api.test", Token: "k"}}); err == nil {
			t.Errorf("the secret %q is taken", bad)
		}
	}
}

// A webhook is accepted if the signature of its id, time and body is right, and if it is at most five minutes old.
func TestSignature(t *testing.T) {
	key, err := keyOf(secret)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1750287018, 0)
	for name, tt := range map[string]struct {
		change func(h http.Header)
		body   string
		after  time.Duration
		want   string // part of the error; empty if there is none
	}{
		"as it was sent":     {func(http.Header) {}, rings, 0, ""},
		"four minutes later": {func(http.Header) {}, rings, 4 * time.Minute, ""},
		"six minutes later":  {func(http.Header) {}, rings, 6 * time.Minute, "more than 5m0s"},
		"from the future":    {func(http.Header) {}, rings, -6 * time.Minute, "more than 5m0s"},
		"another body":       {func(http.Header) {}, rings + " ", 0, "wrong"},
		"another id":         {func(h http.Header) { h.Set("Webhook-Id", "wh_2") }, rings, 0, "wrong"},
		"another time":       {func(h http.Header) { h.Set("Webhook-Timestamp", "1750287019") }, rings, 0, "wrong"},
		"no id":              {func(h http.Header) { h.Del("Webhook-Id") }, rings, 0, "no signature"},
		"no time":            {func(h http.Header) { h.Del("Webhook-Timestamp") }, rings, 0, "no signature"},
		"no signature":       {func(h http.Header) { h.Del("Webhook-Signature") }, rings, 0, "no signature"},
		"a long id":          {func(h http.Header) { h.Set("Webhook-Id", strings.Repeat("x", 300)) }, rings, 0, "no signature"},
		"another version":    {func(h http.Header) { h.Set("Webhook-Signature", "v2"+h.Get("Webhook-Signature")[2:]) }, rings, 0, "wrong"},
		"an old secret's, too": {func(h http.Header) {
			h.Set("Webhook-Signature", "v1,AAAA v1a,xyz v1,%% "+h.Get("Webhook-Signature"))
		}, rings, 0, ""},
		"a half of it": {func(h http.Header) { h.Set("Webhook-Signature", h.Get("Webhook-Signature")[:20]) }, rings, 0, "wrong"},
	} {
		h, err := Sign(secret, "wh_1", now, []byte(rings))
		if err != nil {
			t.Fatal(err)
		}
		tt.change(h)
		id, err := signed(key, h, []byte(tt.body), now.Add(tt.after))
		if tt.want == "" && (err != nil || id != "wh_1") || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %q, %v; want %q", name, id, err, tt.want)
		}
	}
}

// bench is a webhook handler with a fake API.
type bench struct {
	*testing.T
	*Webhook
	mu    sync.Mutex
	asked []string // requests to the API: path and body
	api   func(n int) (status int)
	log   bytes.Buffer
}

func (b *bench) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, r.URL.Path+" "+string(body))
	if r.Header.Get("Authorization") != "Bearer key" {
		b.Errorf("the token is %q", r.Header.Get("Authorization"))
	}
	status := b.api(len(b.asked))
	if status == 0 {
		return nil, errors.New("connection reset")
	}
	return &http.Response{StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader("{}")), Request: r}, nil
}

func newBench(t *testing.T, api func(n int) int, decide func(context.Context, Call) (Decision, error)) *bench {
	t.Helper()
	b := &bench{T: t, api: api}
	var err error
	b.Webhook, err = NewWebhook(Options{
		Secret: secret, API: rest.Options{BaseURL: "https://api.test", Token: "key", Transport: b, Timeout: time.Second}, Decide: decide,
		Timeout: 5 * time.Second, Log: zerolog.New(&b.log),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// post sends a webhook with this id, and returns the answer.
func (b *bench) post(id, body string) (int, string) {
	b.Helper()
	h, err := Sign(secret, id, time.Now(), []byte(body))
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/openai/webhook", bytes.NewReader([]byte(body)))
	r.Header = h
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

var session = rest.Object{"type": "realtime", "model": "gpt-realtime"}

func TestDecisions(t *testing.T) {
	always := func(status int) func(int) int { return func(int) int { return status } }
	const accept, reject = `/v1/realtime/calls/rtc_1/accept {"model":"gpt-realtime","type":"realtime"}`, `/v1/realtime/calls/rtc_1/reject {"status_code":603}`
	const fail = `/v1/realtime/calls/rtc_1/reject {"status_code":500}`
	for name, tt := range map[string]struct {
		api      func(n int) int
		decision Decision
		err      error
		status   int
		words    string
		asked    []string
		accepted bool
	}{
		"accepted":                         {always(200), Decision{Session: session}, nil, 200, "accepted", []string{accept}, true},
		"rejected":                         {always(200), Decision{Status: 603}, nil, 200, "rejected", []string{reject}, false},
		"gone":                             {always(404), Decision{Session: session}, nil, 200, "gone", []string{accept}, false},
		"at the third time":                {func(n int) int { return []int{503, 429, 200}[n-1] }, Decision{Session: session}, nil, 200, "accepted", []string{accept, accept, accept}, true},
		"never":                            {always(500), Decision{Session: session}, nil, 503, "send it again", []string{accept, accept, accept}, false},
		"no answer":                        {always(0), Decision{Session: session}, nil, 503, "send it again", []string{accept, accept, accept}, false},
		"a key that is not good":           {always(401), Decision{Session: session}, nil, 503, "send it again", []string{accept, fail}, false},
		"a model that is not there":        {func(n int) int { return []int{400, 200}[n-1] }, Decision{Session: session}, nil, 200, "rejected", []string{accept, fail}, false},
		"a key for nothing, and a hang-up": {func(n int) int { return []int{403, 404}[n-1] }, Decision{Session: session}, nil, 200, "gone", []string{accept, fail}, false},
		"too late":                         {always(408), Decision{Session: session}, nil, 503, "send it again", []string{accept}, false},
		"a rejection that is not taken":    {always(400), Decision{Status: 603}, nil, 503, "send it again", []string{reject}, false},
		"undecided":                        {always(200), Decision{}, errors.New("busy"), 503, "send it again", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				accepted := false
				b := newBench(t, tt.api, func(_ context.Context, c Call) (Decision, error) {
					if c.ID != "rtc_1" || c.Headers.Get("x-call") != "ours" {
						t.Errorf("the call is %+v", c)
					}
					d := tt.decision
					d.Accepted = func() { accepted = true }
					return d, tt.err
				})
				status, words := b.post("wh_1", rings)
				if status != tt.status || !strings.Contains(words, tt.words) || strings.Join(b.asked, "\n") != strings.Join(tt.asked, "\n") || accepted != tt.accepted {
					t.Errorf("%d %s, accepted %v; the API was asked %q", status, words, accepted, b.asked)
				}
				if status == 503 { // the webhook is sent again, and is tried again
					before := len(b.asked)
					if again, _ := b.post("wh_1", rings); again != 503 || tt.err == nil && len(b.asked) == before {
						t.Errorf("again: %d, %q", again, b.asked)
					}
				}
			})
		})
	}
}

// If a decision takes too long, the call is not accepted. A panic ends only its webhook.
func TestUndecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(int) int { return 200 }, func(ctx context.Context, c Call) (Decision, error) {
			if c.ID == "rtc_2" {
				panic("oops")
			}
			<-ctx.Done()
			return Decision{}, ctx.Err()
		})
		begun := time.Now()
		if status, _ := b.post("wh_1", rings); status != 503 || time.Since(begun) != 5*time.Second {
			t.Errorf("%d after %v", status, time.Since(begun))
		}
		if status, _ := b.post("wh_2", strings.Replace(rings, "rtc_1", "rtc_2", 1)); status != 503 {
			t.Errorf("after a panic: %d", status)
		}
		synctest.Wait()
		if len(b.places) != 0 || len(b.asked) != 0 {
			t.Errorf("%d are under way; the API was asked %q", len(b.places), b.asked)
		}
	})
}

// After a webhook was accepted, a copy of it is not accepted again, whoever sends the copy. The number of remembered
// webhooks is limited.
func TestTakenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(int) int { return 200 }, func(context.Context, Call) (Decision, error) { return Decision{Session: session}, nil })
		for i := range 3 {
			status, words := b.post("wh_1", rings)
			if want := []string{"accepted", "known already", "known already"}[i]; status != 200 || !strings.Contains(words, want) {
				t.Errorf("%d: %d %s", i, status, words)
			}
			time.Sleep(4 * time.Minute)
		}
		if len(b.asked) != 1 {
			t.Errorf("the API was asked %q", b.asked)
		}
		for i := range maxTaken + 10 {
			b.take(strings.Repeat("x", 1+i%200)+time.Duration(i).String(), "", time.Now())
		}
		if len(b.taken) > maxTaken {
			t.Errorf("%d are remembered", len(b.taken))
		}
	})
}

// A webhook that is not about a ringing call is answered, without a request to the platform.
func TestOthers(t *testing.T) {
	b := newBench(t, func(int) int { return 200 }, func(context.Context, Call) (Decision, error) {
		t.Error("it is decided")
		return Decision{}, nil
	})
	for body, want := range map[string]int{
		`{"type":"response.completed","data":{"id":"resp_1"}}`: 200, `{}`: 200, `{"type":"live.call.ended","data":{"session_id":"live_1"}}`: 200,
		`{`: 400, ``: 400, `[]`: 400, `{"type":"realtime.call.incoming"}`: 400, `{"type":"realtime.call.incoming","data":{"call_id":".."}}`: 400,
		`{"type":"realtime.call.incoming","data":{"call_id":"a b"}}`: 400, `{"type":"realtime.call.incoming","data":{"call_id":7}}`: 400,
	} {
		if status, words := b.post("wh_"+body, body); status != want || !json.Valid([]byte(words)) {
			t.Errorf("%s: %d %s", body, status, words)
		}
	}
	b.log.Reset()
	for body, want := range map[string]int{ // each of these is about a call, so it is logged as a warning
		`{"type":"live.transport.incoming","data":{"type":"webrtc","session_id":"live_1"}}`: 200, `{"type":"voice.call.incoming","data":{"call_id":"rtc_1"}}`: 200,
		`{"type":"voice.ringing","data":{"sip_headers":[{"name":"From","value":"x"}]}}`: 200, `{"type":"live.transport.incoming","data":{"call_id":"rtc_1"}}`: 400,
		`{"type":"realtime.call.incoming","data":{"session_id":"live_1"}}`: 400, `{"type":"live.call.incoming","data":{"session_id":".."}}`: 400,
		`{"type":"realtime.call.incoming","data":{"call_id":"rtc_1","sip_headers":{"From":"x"}}}`: 400,
	} {
		b.log.Reset()
		if status, _ := b.post("wh2_"+body, body); status != want || !strings.Contains(b.log.String(), `"level":"warn"`) || !strings.Contains(b.log.String(), "openai event not understood") {
			t.Errorf("%s: %d, logged %s", body, status, &b.log)
		}
	}
	for _, method := range []string{"GET", "PUT"} {
		w := httptest.NewRecorder()
		b.ServeHTTP(w, httptest.NewRequest(method, "/openai/webhook", http.NoBody))
		if w.Code != 405 {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	r := httptest.NewRequest("POST", "/openai/webhook", strings.NewReader(rings))
	w := httptest.NewRecorder()
	if b.ServeHTTP(w, r); w.Code != 415 {
		t.Errorf("without a type: %d", w.Code)
	}
	r = httptest.NewRequest("POST", "/openai/webhook", strings.NewReader(rings))
	r.Header.Set("Content-Type", "application/json")
	w = httptest.NewRecorder()
	if b.ServeHTTP(w, r); w.Code != 401 {
		t.Errorf("without a signature: %d", w.Code)
	}
	if status, _ := b.post("wh_long", `{"x":"`+strings.Repeat("x", maxBody)+`"}`); status != 413 {
		t.Errorf("a long body: %d", status)
	}
}

// GPT-Live sends webhooks in its own form, with an id of its own, and gets an answer in that form. The type of the
// session decides which of the two events is answered.
func TestLive(t *testing.T) {
	const live = `{"type":"live.transport.incoming","data":{"type":"sip","session_id":"live_1","sip_headers":[{"name":"X-Call","value":"ours"}]}}`
	old := strings.NewReplacer("live.transport.incoming", "live.call.incoming", `"type":"sip",`, "").Replace(live)
	for name, tt := range map[string]struct {
		events  []string
		session rest.Object
		asked   []string
	}{
		"accepted":           {[]string{live}, rest.Object{"type": "live"}, []string{`/v1/live/sessions/live_1/accept {"session":{"type":"live"}}`}},
		"by its older name":  {[]string{old}, rest.Object{"type": "live"}, []string{`/v1/live/sessions/live_1/accept {"session":{"type":"live"}}`}},
		"rejected":           {[]string{live}, nil, []string{`/v1/live/sessions/live_1/reject {"status_code":603}`}},
		"both, for Live":     {[]string{rings, live}, rest.Object{"type": "live"}, []string{`/v1/live/sessions/live_1/accept {"session":{"type":"live"}}`}},
		"both, for Realtime": {[]string{live, rings}, rest.Object{"type": "realtime"}, []string{`/v1/realtime/calls/rtc_1/accept {"type":"realtime"}`}},
	} {
		b := newBench(t, func(int) int { return 200 }, func(_ context.Context, c Call) (Decision, error) {
			return Decision{Session: tt.session, Status: 603, Attempt: c.Headers.Get("X-Call")}, nil
		})
		for i, event := range tt.events {
			if status, words := b.post("wh_"+string(rune('1'+i)), event); status != 200 {
				t.Errorf("%s: %d %s", name, status, words)
			}
		}
		if strings.Join(b.asked, "\n") != strings.Join(tt.asked, "\n") {
			t.Errorf("%s: the API was asked %q, want %q", name, b.asked, tt.asked)
		}
		if both := len(tt.events) > 1; both != strings.Contains(b.log.String(), "does not fit the type") {
			t.Errorf("%s: logged %s", name, &b.log)
		}
	}
}

// Each INVITE leads to at most one accepted call, even if the API needed two attempts. A webhook with a copy of the
// INVITE's header and another id is rejected.
func TestAcceptedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []int{408, 200, 200, 200}
		b := newBench(t, func(n int) int { return answers[n-1] }, func(_ context.Context, c Call) (Decision, error) {
			return Decision{Session: session, Attempt: c.Headers.Get("X-Call")}, nil
		})
		copied, another := strings.ReplaceAll(rings, "rtc_1", "rtc_2"), strings.NewReplacer("rtc_1", "rtc_3", "ours", "theirs").Replace(rings)
		for i, tt := range []struct{ id, body, want string }{
			{"wh_1", rings, "send it again"}, {"wh_2", copied, "rejected"}, {"wh_1", rings, "accepted"}, {"wh_3", another, "accepted"},
		} {
			if _, words := b.post(tt.id, tt.body); !strings.Contains(words, tt.want) {
				t.Errorf("%d: %s, want %s", i, words, tt.want)
			}
		}
		if len(b.asked) != 4 || b.asked[1] != `/v1/realtime/calls/rtc_2/reject {"status_code":603}` {
			t.Errorf("the API was asked %q", b.asked)
		}
	})
}

// FuzzEvent checks that, whatever a signed webhook contains, an id that is used can stand in the path of a request.
func FuzzEvent(f *testing.F) {
	f.Add([]byte(rings))
	f.Add([]byte(`{"type":"realtime.call.incoming","data":{"call_id":"../x","sip_headers":[{}]}}`))
	f.Add([]byte(`{"type":"live.transport.incoming","data":{"type":"sip","session_id":"live_1","sip_headers":[{"name":"X-Call"}]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, isCall, err := parseEvent(body)
		if isCall && err == nil && (c.ID == "" || strings.ContainsAny(rest.Segment(c.ID), "/?#") || !rest.IsSegment(c.ID)) {
			t.Errorf("the id is %q", c.ID)
		}
	})
}
