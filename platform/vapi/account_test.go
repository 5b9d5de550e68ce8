package vapi

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"flowbridge/internal/rest"
)

const accountToken = "key-51f0a9"

// zipped returns a gzip file that expands to 150 MB, made of one repeated part.
var zipped = sync.OnceValue(func() []byte {
	var part bytes.Buffer
	z := gzip.NewWriter(&part)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 1<<20)) // writing to a buffer can't fail
	_ = z.Close()
	return bytes.Repeat(part.Bytes(), 150)
})

func accountAt(t *testing.T, f http.HandlerFunc) *Account {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	a, err := NewAccount(rest.Options{BaseURL: s.URL, Token: accountToken, Timeout: time.Minute, Secrets: []string{"sip-pass-1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.CloseIdle)
	return a
}

// The pages of a list overlap in objects created at the same moment. If a page is too large, smaller pages are
// requested.
func TestAccountListPages(t *testing.T) {
	var queries []string
	a := accountAt(t, func(w http.ResponseWriter, r *http.Request) {
		queries = append(queries, r.URL.RawQuery)
		var limit int
		_, _ = fmt.Sscan(r.URL.Query().Get("limit"), &limit)
		if limit > 20 {
			_, _ = io.WriteString(w, `["`+strings.Repeat("x", 2<<20)+`"]`)
			return
		}
		first := 0
		if le := r.URL.Query().Get("createdAtLe"); le != "" {
			_, _ = fmt.Sscanf(le, "t%d", &first)
		}
		var out []string
		for i := first; i < min(first+limit, 45); i++ {
			out = append(out, fmt.Sprintf(`{"id":"a-%d","createdAt":"t%d"}`, i, i))
		}
		_, _ = io.WriteString(w, "["+strings.Join(out, ",")+"]")
	})
	all, err := a.Assistants().List(t.Context())
	if err != nil || len(all) != 45 || len(idsOf(all)) != 45 {
		t.Errorf("%d entries, %v", len(all), err)
	}
	if got := strings.Join(queries, " "); got != "limit=100 limit=20 createdAtLe=t19&limit=20 createdAtLe=t38&limit=20" {
		t.Errorf("got %s", got)
	}
}

// An invalid or contradictory answer gives a clear error, which contains no secret.
func TestAccountAnswersThatLie(t *testing.T) {
	calls := map[string]func(*Account, *testing.T) error{
		"create": func(a *Account, t *testing.T) error {
			_, err := a.Assistants().Create(t.Context(), rest.Object{"name": "A"}, map[string]bool{"known": true})
			return err
		},
		"create number": func(a *Account, t *testing.T) error {
			_, err := a.Numbers().Create(t.Context(), rest.Object{"sipUri": "sip:ann@sip.vapi.ai"}, nil)
			return err
		},
		"get":    func(a *Account, t *testing.T) error { _, err := a.Numbers().Get(t.Context(), "m"); return err },
		"delete": func(a *Account, t *testing.T) error { return a.Assistants().Delete(t.Context(), "m") },
		"list":   func(a *Account, t *testing.T) error { _, err := a.Numbers().List(t.Context()); return err },
	}
	full := "[" + strings.TrimSuffix(strings.Repeat(`{"id":"m","createdAt":"t"},`, 100), ",") + "]"
	for name, tt := range map[string]struct {
		body string
		says string
		only string
	}{
		"error with 200": {`{"message":["no key-51f0a9, no sip-pass-1"],"error":"Bad Request","statusCode":400,"id":"m"}`, "Bad Request: no [redacted], no [redacted]", "get"},
		"status":         {`{"statusCode":1e99,"id":"m"}`, "is an error", "get"},
		"nothing":        {``, "", ""},
		"text":           {`"done"`, "", ""},
		"null":           {`null`, "", ""},
		"number":         {`17`, "", ""},
		"HTML":           {`<!doctype html><p>key-51f0a9`, "web page", ""},
		"huge":           {`{"id":"` + strings.Repeat("m", 10<<20) + `"}`, "larger than", ""},
		"bomb":           {"bomb", "larger than", ""},
		"no id":          {`{"name":"A"}`, "no id", "get"},
		"id of a type":   {`{"id":17}`, "no id", "create"},
		"empty id":       {`{"id":""}`, "it is empty", "create"},
		"id with CRLF":   {`{"id":"m\r\nX: y"}`, "the answer's id is none: id with byte 0x0d at 1", "create"},
		"long id":        {`{"id":"` + strings.Repeat("m", 300) + `"}`, "300 bytes", "create"},
		"seen before":    {`{"id":"known"}`, "was there before", "create"},
		"another":        {`{"id":"n"}`, "another id", "get"},
		"another URI":    {`{"id":"n","sipUri":"sip:bob@sip.vapi.ai"}`, "another sipUri", "create number"},
		"an object":      {`{"id":"m"}`, "no list", "list"},
		"entry":          {`["m"]`, "is no object", "list"},
		"entry's id":     {`[{"id":"m\n"}]`, "no usable id", "list"},
		"repeating":      {full, "pages repeat", "list"},
		"no time":        {strings.ReplaceAll(full, "createdAt", "x"), "no createdAt", "list"},
		"injection":      {`[],"x":[]`, "not JSON", "list"},
	} {
		for call, f := range calls {
			if tt.only != "" && tt.only != call {
				continue
			}
			t.Run(name+"/"+call, func(t *testing.T) {
				a := accountAt(t, func(w http.ResponseWriter, _ *http.Request) {
					if tt.body != "bomb" {
						_, _ = io.WriteString(w, tt.body)
						return
					}
					w.Header().Set("Content-Encoding", "gzip")
					_, _ = w.Write(zipped())
				})
				err := f(a, t)
				var e *rest.Error
				if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("got %v, want %q", err, tt.says)
				}
				if text := err.Error(); strings.Contains(text, accountToken) || strings.Contains(text, "sip-pass-1") || len(text) > 4096 {
					t.Errorf("%d bytes: %.300s", len(text), text)
				}
			})
		}
	}
}

func TestCheckNumber(t *testing.T) {
	for body, says := range map[string]string{
		`{"provider":"vapi","sipUri":"sip:my-agent@sip.vapi.ai"}`:                                                    "",
		`{"provider":"vapi","sipUri":"sip:my-agent@SIP.vapi.ai","assistantId":null,"serverUrl":"https://x.example"}`: "",
		`{"provider":"vapi","sipUri":"sip:a@sip.vapi.ai","authentication":{"username":"u","password":"p"}}`:          "",
		`{"provider":"twilio","sipUri":"sip:a@sip.vapi.ai"}`:                                                         `only "vapi"`,
		`{"provider":"vapi"}`: "sipUri is missing",
		`{"provider":"vapi","sipUri":"sip:a@sip.eu.vapi.ai"}`:                                "not of this region, whose SIP host is sip.vapi.ai",
		`{"provider":"vapi","sipUri":"sips:a@sip.vapi.ai"}`:                                  "is not one",
		`{"provider":"vapi","sipUri":"sip:a@sip.vapi.ai;x=y"}`:                               "is not one",
		`{"provider":"vapi","sipUri":"sip:a@sip.vapi.ai\r\n"}`:                               "is not one",
		`{"provider":"vapi","sipUri":17}`:                                                    "is not one",
		`{"provider":"vapi","sipUri":"sip:a@sip.vapi.ai","serverUrl":"x"}`:                   "serverUrl is not a URL",
		`{"provider":"vapi","sipUri":"sip:a@sip.vapi.ai","server":{"secret":"s"}}`:           "server.url is not a URL",
		`{"provider":"vapi","sipUri":"sip:a@sip.vapi.ai","authentication":{"username":"u"}}`: "needs username and password",
	} {
		o, err := rest.ParseObject([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckNumber(o, "sip.vapi.ai"); (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want %q", body, err, says)
		}
	}
	if err := CheckNumber(rest.Object{"provider": "vapi", "sipUri": "sip:a@127.0.0.1:5060"}, ""); err != nil {
		t.Error(err)
	}
	if CheckAssistant(rest.Object{"name": "A"}) != nil || CheckAssistant(rest.Object{}) == nil {
		t.Error("an assistant needs a name, and nothing else")
	}
}

// FuzzAccountAnswer checks that, whatever the API answers, an object that was created has a usable id.
func FuzzAccountAnswer(f *testing.F) {
	for _, s := range []string{`{"id":"m"}`, `[{"id":"m"}]`, `{"id":"\r\n"}`, `{"message":"x","statusCode":400}`, `[]`, ``, `[{"id":"a"}`} {
		f.Add([]byte(s))
	}
	var body []byte
	a, err := NewAccount(rest.Options{BaseURL: "http://127.0.0.1:1", Token: accountToken, Transport: trip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(body)), Header: http.Header{}, Request: r}, nil
	})})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		body = data
		if o, err := a.Assistants().Create(t.Context(), rest.Object{}, nil); err == nil && rest.BadID(o["id"].(string)) != "" {
			t.Errorf("got %v", o)
		}
		if all, err := a.Numbers().List(t.Context()); err == nil && len(idsOf(all)) > len(all) {
			t.Errorf("got %v", all)
		}
	})
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func idsOf(all []rest.Object) map[string]bool {
	ids := map[string]bool{}
	for _, o := range all {
		id, _ := o.Text("id")
		ids[id] = true
	}
	return ids
}
