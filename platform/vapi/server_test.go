package vapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

const secret = "a-secret-nobody-may-see"

func newHandler(t *testing.T, o HandlerOptions) http.Handler {
	t.Helper()
	if o.Decide == nil {
		o.Decide = func(context.Context, Request) (Answer, error) { return Answer{AssistantID: "a-1"}, nil }
	}
	h, err := NewHandler(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// post sends a body as JSON, with the secret. change may modify the request first.
func post(h http.Handler, body io.Reader, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/assistant-request", body)
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("X-Vapi-Secret", secret)
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandler(t *testing.T) {
	var log bytes.Buffer
	other := ""
	h := newHandler(t, HandlerOptions{
		Secret: secret, Log: zerolog.New(&log),
		Other: func(kind string, body []byte) error {
			if kind == "end-of-call-report" && bytes.Contains(body, []byte("full")) {
				return errors.New("disk full")
			}
			if other = kind + string(body); kind == "hang" {
				panic("other")
			}
			return nil
		},
		Decide: func(_ context.Context, r Request) (Answer, error) {
			switch r.CallID {
			case "fails":
				return Answer{}, errors.New("no rule for it")
			case "panics":
				panic("decide")
			case "two":
				return Answer{AssistantID: "a", Error: "b"}, nil
			}
			return Answer{AssistantID: "a-1"}, nil
		},
	})
	without := func(r *http.Request) { r.Header.Del("X-Vapi-Secret") }
	authorization := func(value string) func(*http.Request) {
		return func(r *http.Request) {
			without(r)
			r.Header.Set("Authorization", value)
		}
	}
	call := func(id string) string { return `{"message":{"type":"assistant-request","call":{"id":"` + id + `"}}}` }
	const apology = `{"error":"` + defaultApology + `"}`
	for _, tt := range []struct {
		name, body string
		change     func(*http.Request)
		code       int
		want       string // the whole answer, or part of its error
	}{
		{"decided", overSIP, nil, 200, `{"assistantId":"a-1"}`},
		{"bearer", overSIP, authorization("bearer " + secret), 200, `{"assistantId":"a-1"}`},
		{"without Bearer", overSIP, authorization(secret), 200, `{"assistantId":"a-1"}`},
		{"fails", call("fails"), nil, 200, apology},
		{"panics", call("panics"), nil, 200, apology},
		{"two answers", call("two"), nil, 200, apology},
		{"another message", `{"message":{"type":"end-of-call-report","endedReason":"x"}}`, nil, 200, `{}`},
		{"another message, panics", `{"message":{"type":"hang"}}`, nil, 200, `{}`},
		{"another message, not kept", `{"message":{"type":"end-of-call-report","endedReason":"full"}}`, nil, 503, "send it again"},
		{"no secret", overSIP, without, 401, "secret"},
		{"wrong secret", overSIP, func(r *http.Request) { r.Header.Set("X-Vapi-Secret", secret+"x") }, 401, "secret"},
		{"wrong bearer", overSIP, authorization("Bearer x"), 401, "secret"},
		{"basic", overSIP, authorization("Basic " + secret), 401, "secret"},
		{"get", "", func(r *http.Request) { r.Method = http.MethodGet }, 405, "POST"},
		{"form", overSIP, func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, 415, "application/json"},
		{"no type", overSIP, func(r *http.Request) { r.Header.Del("Content-Type") }, 415, "application/json"},
		{"too large", strings.Repeat(" ", maxRequest+1), nil, 413, "1048576 bytes"},
		{"no JSON", "hello", nil, 400, "not JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := post(h, strings.NewReader(tt.body), tt.change)
			got := w.Body.String()
			if w.Code != tt.code || tt.code == 200 && got != tt.want || !strings.Contains(got, tt.want) {
				t.Errorf("got %d %s; want %d %s", w.Code, got, tt.code, tt.want)
			}
			if w.Header().Get("Content-Type") != "application/json" || strings.Contains(got, secret) {
				t.Errorf("%v %s", w.Header(), got)
			}
		})
	}
	if !strings.HasPrefix(other, `hang{"message"`) {
		t.Errorf("Other got %q", other)
	}
	for _, words := range []string{"no rule for it", "panic: decide", "panic: other", "there are 2", "disk full", `"vapi_call_id":"call-1"`, "wrong secret"} {
		if !strings.Contains(log.String(), words) {
			t.Errorf("the log does not say %q", words)
		}
	}
	if strings.Contains(log.String(), secret) {
		t.Error("the log has the secret")
	}
}

func TestHandlerWithoutSecret(t *testing.T) {
	w := post(newHandler(t, HandlerOptions{}), strings.NewReader(overSIP), func(r *http.Request) { r.Header.Del("X-Vapi-Secret") })
	if w.Code != 200 {
		t.Errorf("got %d", w.Code)
	}
}

func TestHandlerOptionsAreChecked(t *testing.T) {
	decide := func(context.Context, Request) (Answer, error) { return Answer{}, nil }
	for words, o := range map[string]HandlerOptions{
		"nothing decides": {},
		"7.5s at most":    {Decide: decide, Timeout: MaxTimeout + 1},
		"-1s":             {Decide: decide, Timeout: -time.Second},
	} {
		if _, err := NewHandler(o); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v", words, err)
		}
	}
}

// TestAnswerIsInTime: the platform waits 7.5 s for an answer. If the decision takes longer,
// the handler answers without it, whether or not the decision observes its context.
func TestAnswerIsInTime(t *testing.T) {
	for _, timeout := range []time.Duration{0, time.Second, MaxTimeout} {
		for name, ignores := range map[string]bool{"heeds": false, "ignores": true} {
			synctest.Test(t, func(t *testing.T) {
				h := newHandler(t, HandlerOptions{Timeout: timeout, Decide: func(ctx context.Context, _ Request) (Answer, error) {
					if ignores {
						time.Sleep(time.Minute)
						return Answer{AssistantID: "late"}, nil
					}
					<-ctx.Done()
					return Answer{}, ctx.Err()
				}})
				want := timeout
				if want == 0 {
					want = defaultTimeout
				}
				start := time.Now()
				w := post(h, strings.NewReader(overSIP), nil)
				if took := time.Since(start); w.Code != 200 || !strings.Contains(w.Body.String(), "Sorry") || took != want {
					t.Errorf("%s, %v: %d %s after %v", name, timeout, w.Code, w.Body, took)
				}
				time.Sleep(time.Minute) // until the late decision ends, because the bubble would notice if it did not
			})
		}
	}
}

// TestDecisionsAreBounded: a late decision holds its place until it ends. If all places are
// taken, callers hear the apology at once.
func TestDecisionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h := newHandler(t, HandlerOptions{Decide: func(context.Context, Request) (Answer, error) {
			<-release
			return Answer{AssistantID: "a-1"}, nil
		}})
		for range maxUndecided {
			go post(h, strings.NewReader(overSIP), nil)
		}
		time.Sleep(time.Minute)
		start := time.Now()
		if w := post(h, strings.NewReader(overSIP), nil); !strings.Contains(w.Body.String(), "Sorry") || time.Since(start) != 0 {
			t.Errorf("got %s after %v", w.Body, time.Since(start))
		}
		close(release)
		synctest.Wait()
		if w := post(h, strings.NewReader(overSIP), nil); !strings.Contains(w.Body.String(), "a-1") {
			t.Errorf("afterwards: %s", w.Body)
		}
	})
}

// TestOtherMessagesAreBounded: messages that need no answer have separate places. If these
// are taken, further messages are refused and must be sent again, but calls are still
// answered.
func TestOtherMessagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h := newHandler(t, HandlerOptions{Other: func(string, []byte) error { <-release; return nil }})
		const report = `{"message":{"type":"end-of-call-report"}}`
		for range maxOther {
			go post(h, strings.NewReader(report), nil)
		}
		synctest.Wait()
		if w := post(h, strings.NewReader(report), nil); w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
		if w := post(h, strings.NewReader(overSIP), nil); !strings.Contains(w.Body.String(), "a-1") {
			t.Errorf("a call: %s", w.Body)
		}
		close(release)
		synctest.Wait()
		if w := post(h, strings.NewReader(report), nil); w.Code != 200 {
			t.Errorf("afterwards: got %d %s", w.Code, w.Body)
		}
	})
}

// TestSlowBodyEnds: if a request's body does not arrive, the request ends within the time
// for an answer.
func TestSlowBodyEnds(t *testing.T) {
	s := httptest.NewServer(newHandler(t, HandlerOptions{Secret: secret, Timeout: 100 * time.Millisecond}))
	defer s.Close()
	body, trickle := io.Pipe()
	defer func() { _ = trickle.Close() }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Vapi-Secret", secret)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("got %d", res.StatusCode)
	}
}
