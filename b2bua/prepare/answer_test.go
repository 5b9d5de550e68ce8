package prepare

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"unicode"

	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/internal/rest"
)

func TestKindsByAnswer(t *testing.T) {
	long := strings.Repeat("é", 300)
	for _, tt := range []struct {
		name     string
		status   int
		body     string
		headers  []string
		kind     Kind
		detail   string
		attempts int
		only     string // the only kind for which this holds; empty for both
	}{
		{"flat", 200, good(), nil, "", "", 1, ""},
		{"wrapped", 201, `{"status":"ok","response":` + good() + `}`, nil, "", "", 1, config.KindSynthflow},
		{"400", 400, `{"detail":{"status":"error","description":"workspace_id missing"}}`, nil, KindHTTPStatus, "workspace_id missing", 1, ""},
		{"400 list", 422, `{"detail": [ {"loc": ["x"]} ]}`, nil, KindHTTPStatus, `[{"loc":["x"]}]`, 1, ""},
		{"401 echo of token", 401, `{"error_message":"token ` + testToken + ` is bad"}`, nil, KindHTTPStatus, "token [redacted] is bad", 1, ""},
		{"401 no json", 401, `<html>`, nil, KindHTTPStatus, "", 1, ""},
		{"302", 302, ``, []string{"Location", "http://127.0.0.1:1/"}, KindHTTPStatus, "redirect not followed", 1, ""},
		{"500 twice", 500, `{"message":"boom"}`, nil, KindHTTPStatus, "boom", 2, ""},
		{"429 fits", 429, `{}`, []string{"Retry-After", "1"}, KindRateLimited, "", 2, ""},
		{"429 does not fit", 429, `{}`, []string{"Retry-After", "3"}, KindRateLimited, "", 1, ""},
		{"429 date long ago", 429, `{}`, []string{"Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"}, KindRateLimited, "", 2, ""},
		{"429 nonsense", 429, `{}`, []string{"Retry-After", "soon"}, KindRateLimited, "", 2, ""},
		{"503 does not fit", 503, `{}`, []string{"Retry-After", "60"}, KindHTTPStatus, "", 1, ""},
		{"broken", 200, `{"call_status":`, nil, KindMalformed, "", 1, ""},
		{"trailing", 200, good() + `x`, nil, KindMalformed, "", 1, ""},
		{"no object", 200, `[]`, nil, KindMalformed, "no call_status", 1, ""},
		{"empty", 200, ``, nil, KindMalformed, "", 1, ""},
		{"id is a number", 200, `{"call_status":"registered","synthflow_call_id":7}`, nil, KindMalformed, "synthflow_call_id is a number, not a text", 1, ""},
		{"no status", 200, `{"synthflow_call_id":"x"}`, nil, KindMalformed, "no call_status", 1, ""},
		{"failed", 200, `{"call_status":"failed","error_message":"down` + "\\u0007\\n" + `"}`, nil, KindCallFailed, "call_status failed: down", 1, ""},
		{"other status", 200, `{"call_status":"Registered","synthflow_call_id":"x"}`, nil, KindCallFailed, "call_status Registered", 1, ""},
		{"long detail", 400, `{"error_message":"` + long + `"}`, nil, KindHTTPStatus, strings.Repeat("é", 200), 1, ""},
		{"empty id", 200, `{"call_status":"registered","synthflow_call_id":""}`, nil, KindMissingID, "synthflow_call_id is empty", 1, ""},
		{"no id", 200, `{"call_status":"registered"}`, nil, KindMissingID, "no synthflow_call_id", 1, ""},
		{"null id", 200, `{"call_status":"registered","synthflow_call_id":null}`, nil, KindMissingID, "no synthflow_call_id", 1, ""},
		{"id with ;", 200, `{"call_status":"registered","synthflow_call_id":"a;E.x"}`, nil, KindBadID, "id with byte 0x3b at 1", 1, ""},
		{"id with eol", 200, `{"call_status":"registered","synthflow_call_id":"a\r\nX: y"}`, nil, KindBadID, "id with byte 0x0d at 1", 1, ""},
		{"id with space", 200, `{"call_status":"registered","synthflow_call_id":"a b"}`, nil, KindBadID, "id with byte 0x20 at 1", 1, ""},
		{"id not ascii", 200, `{"call_status":"registered","synthflow_call_id":"é"}`, nil, KindBadID, "id with byte 0xc3 at 0", 1, ""},
		{"id too long", 200, `{"call_status":"registered","synthflow_call_id":"` + strings.Repeat("a", 257) + `"}`, nil, KindBadID, "id of 257 bytes", 1, ""},
		{"id is an object", 200, `{"call_status":"registered","synthflow_call_id":{"id":"x"}}`, nil, KindMalformed, "synthflow_call_id is an object, not a text", 1, ""},
		{"status is true", 200, `{"call_status":true,"synthflow_call_id":"x"}`, nil, KindMalformed, "call_status is true or false, not a text", 1, ""},
		{"too large", 200, strings.Repeat(" ", 5000), nil, KindTooLarge, "answer over 4096 bytes", 1, ""},
	} {
		for _, kind := range []string{config.KindSynthflow, config.KindHTTP} {
			if tt.only != "" && tt.only != kind {
				continue
			}
			t.Run(tt.name+" "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					api := &countingAPI{api: func(int, *http.Request) (*http.Response, error) {
						return answerWith(tt.status, tt.body, tt.headers...), nil
					}}
					c := newClientOf(t, kind, rest.Options{Transport: api, MaxBody: 4096})
					p, err := c.prepare(t.Context(), "")
					if kindOf(err) != tt.kind {
						t.Fatalf("got %v; want kind %q", err, tt.kind)
					}
					if p.Attempts != tt.attempts || int(api.calls.Load()) != tt.attempts {
						t.Errorf("got %d attempts, %d requests; want %d", p.Attempts, api.calls.Load(), tt.attempts)
					}
					if p.Status != tt.status {
						t.Errorf("got status %d; want %d", p.Status, tt.status)
					}
					if tt.kind == "" {
						if p.CallID != givenID {
							t.Errorf("got id %q", p.CallID)
						}
						return
					}
					var e *Error
					if !errors.As(err, &e) || e.Detail != tt.detail || e.Status != tt.status || p.CallID != "" {
						t.Errorf("got %#v; want detail %q", e, tt.detail)
					}
					if strings.Contains(err.Error(), testToken) {
						t.Error("token in the error")
					}
				})
			})
		}
	}
}

// usual returns the rules of kind synthflow for reading an answer.
func usual() *config.Answer {
	return &config.Answer{Members: []config.Member{{Path: "call_status", Value: "registered"}}, ID: "synthflow_call_id", Within: "response"}
}

func FuzzPrepareAnswer(f *testing.F) {
	f.Add([]byte(good()))
	f.Add([]byte(`{"response":` + good() + `}`))
	f.Add([]byte(`{"call_status":"failed","error_message":{"description":"x"},"detail":[1]}`))
	f.Add([]byte(`{"call_status":"registered","synthflow_call_id":"a;b"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if d := rest.Clean(errorDetail(body)); len([]rune(d)) > rest.MaxClean || strings.ContainsFunc(d, unicode.IsControl) {
			t.Fatalf("detail %q", d)
		}
		id, err := readAnswer(body, usual())
		if (id == "") == (err == nil) {
			t.Fatalf("id %q, error %v", id, err)
		}
		if err != nil {
			if d := rest.Clean(err.Detail); len([]rune(d)) > rest.MaxClean {
				t.Fatalf("detail of %d", len(d))
			}
			return
		}
		if strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' || r == ';' }) {
			t.Fatalf("accepted id %q breaks X-EI", id)
		}
	})
}

// long returns an answer with all its fields.
func long() string {
	return `{"status":"ok","n":[1,{"call_status":"x"}],"custom_variables":{"synthflow_call_id":"y","a\u0041":"\""},"e":1.5e3,` + strings.TrimPrefix(good(), "{")
}

// FuzzUsualAnswer checks that answers read without encoding/json give the same result as
// with it.
func FuzzUsualAnswer(f *testing.F) {
	const id = `,"synthflow_call_id":"x"`
	for _, body := range []string{
		good(), long(), "}", " { } ", `{"call_status":"a"` + id + `}`, `{"call_status":"a","call_status":"b"` + id + `}`, `{"call_status":"a","call_status":null` + id + `}`,
		`{"call_statuS":"x"` + id + `}`, `{"response":"x"}`, `{"response":{"call_status":"x"` + id + `}}`, `{"call_status":7` + id + `}`, `{"call_status":"\u0041"` + id + `}`,
		`{"call_status":nullx` + id + `}`, `{,"call_status":"a"` + id + `}`, `{"call_status":"ü"` + id + `}`, `["call_status","a"` + id[:20] + `]`,
		`{"call_status":["a"]` + id + `}`, `{"call_status":{"call_status":"a"}` + id + `}`, `{"call\u005fstatus":"b","call_status":"a"` + id + `}`,
		`{"call_status":"a"` + id + `}}`, `{"call_status":"a"` + id + `,}`, `{"call_status":7,"call_status":"a"` + id + `}`, `[{"call_status":"a"` + id + `}]`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, isUsual := usualAnswer(body, usual())
		if !isUsual {
			return
		}
		want, err := template.DecodeJSON(body)
		if err != nil || got[0] != template.AtPath(want, "call_status") || got[1] != template.AtPath(want, "synthflow_call_id") {
			t.Fatalf("got %+v; want %+v, %v", got, want, err)
		}
	})
}

// The API's usual answers can be read without encoding/json.
func TestUsualAnswer(t *testing.T) {
	for _, body := range []string{" " + good() + "\n", long()} {
		a, isUsual := usualAnswer([]byte(body), usual())
		if !isUsual || a[0] != "registered" || a[1] != givenID {
			t.Errorf("%s: got %+v, %v", body, a, isUsual)
		}
	}
}

func BenchmarkDecodeAnswer(b *testing.B) {
	for name, body := range map[string]string{"long": long(), "other": strings.Replace(long(), "ok", `\u006f`, 1), "by encoding/json": strings.Replace(long(), `"status"`, `"\u0073tatus"`, 1)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := readAnswer([]byte(body), usual()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzHTTPAnswer checks that for any HTTP answer of the API, or of a proxy before it, the
// step ends within its time, with a usable id or with an error that has neither the token
// nor a line break.
func FuzzHTTPAnswer(f *testing.F) {
	add := func(head, body string) {
		f.Add([]byte(fmt.Sprintf("HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", head, len(body), body)))
	}
	add("200 OK\r\nContent-Type: application/json", good())
	add("200 OK\r\nContent-Encoding: gzip", "\x1f\x8b")
	add("429 Too Many Requests\r\nRetry-After: 1", `{"detail":"slow down"}`)
	add("503 Service Unavailable\r\nRetry-After: Wed, 21 Oct 2099 07:28:00 GMT", "<html>"+testToken)
	add("302 Found\r\nLocation: https://evil.test/", "")
	add("401 Unauthorized", `{"detail":{"description":"`+testToken+`\u000d\u000a"}}`)
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"))
	f.Add([]byte("HTTP/1.0 000 \r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		synctest.Test(t, func(t *testing.T) {
			api := &countingAPI{api: func(_ int, r *http.Request) (*http.Response, error) {
				return http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), r)
			}}
			p, err := newClient(t, rest.Options{Transport: api, MaxBody: 2000}).prepare(t.Context(), "")
			if p.Elapsed > defaultTimeout || p.Attempts > 2 || len(p.Body) > 2000 {
				t.Fatalf("%v, %d attempts, %d bytes", p.Elapsed, p.Attempts, len(p.Body))
			}
			if (err == nil) != (rest.BadID(p.CallID) == "" && p.CallID != "") {
				t.Fatalf("id %q beside %v", p.CallID, err)
			}
			if err == nil {
				return
			}
			if e, ok := errors.AsType[*Error](err); !ok || strings.ContainsFunc(e.Detail, unicode.IsControl) || strings.Contains(e.Detail, testToken) {
				t.Fatalf("error %#v", err)
			}
		})
	})
}
