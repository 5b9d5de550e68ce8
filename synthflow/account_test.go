package synthflow

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

const accountToken = "tok-9d2c"

// accountAPI is an API with an answer for each expected "METHOD path?query". It fails the test on any other request.
type accountAPI struct {
	t       *testing.T
	answers map[string]string // a body, or "STATUS body", by request
	got     []string          // the requests so far: "METHOD path?query body"
}

func (a *accountAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Error(err)
	}
	request := r.Method + " " + r.URL.RequestURI()
	a.got = append(a.got, strings.TrimSpace(request+" "+string(body)))
	if got := r.Header.Get("Authorization"); got != "Bearer "+accountToken {
		a.t.Errorf("%s: Authorization %q", request, got)
	}
	if got := r.Header.Get("Content-Type"); (got == "application/json") != (len(body) > 0) {
		a.t.Errorf("%s: Content-Type %q of %d bytes", request, got, len(body))
	}
	answer, ok := a.answers[request]
	if !ok {
		a.t.Errorf("unexpected: %s %s", request, body)
		w.WriteHeader(http.StatusNotImplemented)
		return
	}
	status := 200
	if _, err := fmt.Sscanf(answer, "%d ", &status); err == nil {
		answer = answer[4:]
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer)
}

func newAccount(t *testing.T, answers map[string]string) (*Account, *accountAPI) {
	t.Helper()
	api := &accountAPI{t: t, answers: answers}
	return accountOf(t, api), api
}

func accountOf(t *testing.T, h http.Handler) *Account {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	a, err := NewAccount(AccountOptions{Options: rest.Options{BaseURL: s.URL + "/v2/", Token: accountToken, Timeout: time.Minute, Secrets: []string{"dflkvn23REFD#@"}}, WorkspaceID: "w&1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.CloseIdle)
	return a
}

func parse(t *testing.T, text string) rest.Object {
	t.Helper()
	o, err := rest.ParseObject([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// The API may say in two ways that a number does not exist: by 404, or by 400 together with a list that lacks the
// number.
func TestFindNumber(t *testing.T) {
	const (
		get  = "GET /v2/numbers/15551230000?workspace=w%261"
		list = "GET /v2/numbers?limit=20&offset=0&workspace=w%261"
	)
	for name, tt := range map[string]struct {
		answers map[string]string
		there   bool
		says    string
	}{
		"there":           {map[string]string{get: `{"phone_number":"+15551230000"}`}, true, ""},
		"in an envelope":  {map[string]string{get: `{"status":"ok","response":{"phone_number":"+15551230000"}}`}, true, ""},
		"404":             {map[string]string{get: `404 {"detail":"no"}`}, false, ""},
		"400":             {map[string]string{get: `400 {"detail":"no"}`, list: `{"response":{"phone_numbers":[{"number":"+1"}]}}`}, false, ""},
		"400 but listed":  {map[string]string{get: `400 {"detail":"broken"}`, list: `{"response":{"phone_numbers":[{"number":"15551230000"}]}}`}, false, "broken"},
		"400 and no list": {map[string]string{get: `400 {"detail":"broken"}`, list: `500 {}`}, false, "broken"},
		"401":             {map[string]string{get: `401 {"detail":"who?"}`}, false, "who?"},
		"another one":     {map[string]string{get: `{"phone_number":"+15559990000"}`}, false, "another number, +15559990000"},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := newAccount(t, tt.answers)
			n, err := a.Numbers().Find(t.Context(), rest.Object{"phone_number": "+15551230000"})
			if (n != nil) != tt.there || (err != nil) != (tt.says != "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, %v", n, err)
			}
		})
	}
}

// zipped returns a gzip file that expands to 150 MB, made of one repeated part.
var zipped = sync.OnceValue(func() []byte {
	var part bytes.Buffer
	z := gzip.NewWriter(&part)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 1<<20)) // writing to a buffer can't fail
	_ = z.Close()
	return bytes.Repeat(part.Bytes(), 150)
})

// An invalid or contradictory answer to any request gives a clear error, which contains no secret.
func TestAccountAnswersThatLie(t *testing.T) {
	calls := map[string]func(*Account, *testing.T) error{
		"create number": func(a *Account, t *testing.T) error {
			_, err := a.Numbers().Create(t.Context(), rest.Object{"phone_number": "+15551230000", "trunk_pwd": "dflkvn23REFD#@"}, nil)
			return err
		},
		"get number": func(a *Account, t *testing.T) error {
			_, err := a.Numbers().Get(t.Context(), "+15551230000")
			return err
		},
		"list numbers":  func(a *Account, t *testing.T) error { _, err := a.Numbers().List(t.Context()); return err },
		"delete number": func(a *Account, t *testing.T) error { return a.Numbers().Delete(t.Context(), "1") },
		"create agent": func(a *Account, t *testing.T) error {
			_, err := a.Assistants().Create(t.Context(), rest.Object{"name": "x"}, map[string]bool{"known": true})
			return err
		},
		"get agent":   func(a *Account, t *testing.T) error { _, err := a.Assistants().Get(t.Context(), "m"); return err },
		"list agents": func(a *Account, t *testing.T) error { _, err := a.Assistants().List(t.Context()); return err },
		"update agent": func(a *Account, t *testing.T) error {
			return a.Assistants().Update(t.Context(), "m", rest.Object{"a": "b"})
		},
		"delete agent": func(a *Account, t *testing.T) error { return a.Assistants().Delete(t.Context(), "m") },
	}
	huge := `{"status":"ok","response":{"x":"` + strings.Repeat("y", 10<<20) + `"}}`
	for name, tt := range map[string]struct {
		body string
		says string
		only string // the only request for which this answer is invalid; empty means all
	}{
		"failed":            {`{"status":"failed","response":{"answer":"quota exceeded"}}`, `status "failed", although HTTP says success: quota exceeded`, ""},
		"error":             {`{"status":"Error","details":"x"}`, `status "Error"`, ""},
		"echo":              {`{"status":"failed","response":{"answer":"tok-9d2c dflkvn23REFD#@"}}`, "[redacted] [redacted]", ""},
		"status of a type":  {`{"status":200}`, "status is no text", ""},
		"response is text":  {`{"status":"ok","response":"done"}`, "response is no object", ""},
		"a list":            {`[{"status":"ok"}]`, "not a JSON object", ""},
		"a text":            {`"ok"`, "not a JSON object", ""},
		"null":              {`null`, "not a JSON object", ""},
		"nothing":           {``, "the answer is empty", ""},
		"empty object":      {`{}`, "answer", ""},
		"twice":             {`{"status":"failed","status":"ok"}`, `"status" is there twice`, ""},
		"HTML":              {`<html>Sign in</html>`, "web page", ""},
		"huge":              {huge, "larger than", ""},
		"bomb":              {"bomb", "larger than", ""},
		"no number":         {`{"status":"ok","response":{"key":"k"}}`, "no usable phone_number", "create number"},
		"number of a type":  {`{"status":"ok","response":{"key":"k","phone_number":15551230000}}`, "no usable phone_number", "create number"},
		"another number":    {`{"status":"ok","response":{"key":"k","phone_number":"+15559990000"}}`, "another number", "create number"},
		"number with CRLF":  {`{"status":"ok","response":{"key":"k","phone_number":"+15551230000\r\nX: y"}}`, "no usable phone_number", "create number"},
		"no key":            {`{"status":"ok","response":{"phone_number":"+15551230000"}}`, "no usable key", "create number"},
		"key with LF":       {`{"status":"ok","response":{"key":"a\nb","phone_number":"+15551230000"}}`, "no usable key", "create number"},
		"id with CRLF":      {`{"status":"ok","response":{"model_id":"m\r\nX: y"}}`, "model_id is no id: id with byte 0x0d", "create agent"},
		"empty id":          {`{"status":"ok","response":{"model_id":""}}`, "it is empty", "create agent"},
		"id of a type":      {`{"status":"ok","response":{"model_id":17}}`, "no model_id", "create agent"},
		"long id":           {`{"status":"ok","response":{"model_id":"` + strings.Repeat("x", 300) + `"}}`, "id of 300 bytes", "create agent"},
		"id seen before":    {`{"status":"ok","response":{"model_id":"known"}}`, "was there before", "create agent"},
		"another agent":     {`{"status":"ok","response":{"model_id":"n"}}`, "another agent", "update agent"},
		"another agent got": {`{"status":"ok","response":{"assistants":[{"model_id":"n"}]}}`, "another agent", "get agent"},
		"two agents":        {`{"status":"ok","response":{"assistants":[{"model_id":"m"},{"model_id":"n"}]}}`, "2 agents instead of one", "get agent"},
		"no agent":          {`{"status":"ok","response":{"assistants":[]}}`, "0 agents instead of one", "get agent"},
		"agents of a type":  {`{"status":"ok","response":{"assistants":["m"]}}`, "is no object", "list agents"},
		"agent without id":  {`{"status":"ok","response":{"assistants":[{"name":"x"}]}}`, "no usable model_id", "list agents"},
		"agent twice":       {`{"status":"ok","response":{"assistants":[{"model_id":"m"},{"model_id":"m"}]}}`, "twice", "list agents"},
		"short list":        {`{"status":"ok","response":{"pagination":{"total_records":9},"phone_numbers":[]}}`, "ends after 0 of 9", "list numbers"},
		"negative count":    {`{"status":"ok","response":{"pagination":{"total_records":-1},"phone_numbers":[]}}`, "not a count", "list numbers"},
		"odd count":         {`{"status":"ok","response":{"pagination":{"total_records":1e99},"phone_numbers":[]}}`, "not a count", "list numbers"},
		"repeating pages":   {`{"status":"ok","response":{"pagination":{"total_records":9},"phone_numbers":[{"number":"+1"}]}}`, "twice", "list numbers"},
		"no list":           {`{"status":"ok","response":{"phone_numbers":null}}`, "no list of phone_numbers", "list numbers"},
	} {
		for call, f := range calls {
			if tt.only != "" && tt.only != call {
				continue
			}
			t.Run(name+"/"+call, func(t *testing.T) {
				a := accountOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					if tt.body == "bomb" {
						w.Header().Set("Content-Encoding", "gzip")
						_, _ = w.Write(zipped())
						return
					}
					_, _ = io.WriteString(w, tt.body)
				}))
				err := f(a, t)
				var e *rest.Error
				if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("got %v, want %q", err, tt.says)
				}
				if text := err.Error(); strings.Contains(text, accountToken) || strings.Contains(text, "dflkvn23REFD") || len(text) > 4096 {
					t.Errorf("%d bytes: %.300s", len(text), text)
				}
			})
		}
	}
}

// All pages of a list are read, whether or not the API gives the number of pages.
func TestListPages(t *testing.T) {
	for _, total := range []string{`"pagination":{"total_records":45},`, ``} {
		var offsets []string
		a := accountOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			offset := 0
			_, _ = fmt.Sscan(r.URL.Query().Get("offset"), &offset)
			offsets = append(offsets, r.URL.Query().Get("offset"))
			var entries []string
			for i := offset; i < min(offset+20, 45); i++ {
				entries = append(entries, fmt.Sprintf(`{"model_id":"m%d"}`, i))
			}
			fmt.Fprintf(w, `{"status":"ok","response":{%s"assistants":[%s]}}`, total, strings.Join(entries, ","))
		}))
		all, err := a.Assistants().List(t.Context())
		if err != nil || len(all) != 45 || strings.Join(offsets, " ") != "0 20 40" {
			t.Errorf("%q: %d entries by offsets %v, %v", total, len(all), offsets, err)
		}
	}
}

func TestChecks(t *testing.T) {
	for body, says := range map[string]string{
		`{"workspace_id":"w","phone_number":"+15551230000"}`:                                                         "",
		`{"workspace_id":"w","provider_name":"8x8"}`:                                                                 "",
		`{"workspace_id":"w","phone_number":"ext-17","provider_name":"five9"}`:                                       "",
		`{"workspace_id":"w","phone_number":"5551230000"}`:                                                           "not E.164",
		`{"workspace_id":"w","phone_number":"+05551230000"}`:                                                         "not E.164",
		`{"workspace_id":"w","phone_number":15551230000}`:                                                            "is no text",
		`{"workspace_id":"w","phone_number":"+1555\r\n"}`:                                                            "holds a character",
		`{"workspace_id":"w"}`:                                                                                       "phone_number is missing",
		`{"phone_number":"+15551230000"}`:                                                                            "workspace_id is missing",
		`{"workspace_id":"w","phone_number":"+15551230000","uac_register_expires":59}`:                               "60 to 3600",
		`{"workspace_id":"w","phone_number":"+15551230000","uac_register_expires":300.5}`:                            "60 to 3600",
		`{"workspace_id":"w","phone_number":"+15551230000","uac_register_expires":"300"}`:                            "60 to 3600",
		`{"workspace_id":"w","phone_number":"+15551230000","uac_enabled":"yes"}`:                                     "true nor false",
		`{"workspace_id":"w","phone_number":"+15551230000","uac_enabled":true,"trunk_username":"u"}`:                 "needs trunk_username and trunk_pwd",
		`{"workspace_id":"w","phone_number":"+15551230000","uac_enabled":true,"trunk_username":"u","trunk_pwd":"p"}`: "",
	} {
		if err := CheckNumber(parse(t, body)); (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want %q", body, err, says)
		}
	}
	for body, says := range map[string]string{
		`{"type":"inbound","name":"A","agent":{}}`:  "",
		`{"type":"phone","name":"A","agent":{}}`:    "one of inbound",
		`{"type":"inbound","name":" ","agent":{}}`:  "name is missing",
		`{"type":"inbound","name":"A"}`:             "agent is missing",
		`{"type":"inbound","name":"A","agent":"x"}`: "agent is missing",
	} {
		if err := CheckAssistant(parse(t, body)); (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want %q", body, err, says)
		}
	}
}

func TestCompare(t *testing.T) {
	text := func(all []rest.Difference) string {
		var s []string
		for _, d := range all {
			s = append(s, fmt.Sprintf("%s %v>%v %v", d.Path, d.Have, d.Want, d.NotShown))
		}
		return strings.Join(s, "; ")
	}
	have := parse(t, `{"phone_number":"+1","sip_term_uri":"a","friendly_name":null,"uac_enabled":false,"uac_register_expires":300}`)
	want := parse(t, `{"phone_number":"+1","termination_uri":"b","friendly_name":"x","trunk_pwd":"p","trunk_username":"u","uac_enabled":false,"uac_register_expires":300}`)
	if got := text(CompareNumber(have, want)); got != "friendly_name <nil>>x false; termination_uri a>b false; trunk_pwd <nil>><nil> true; trunk_username <nil>>u true" {
		t.Errorf("got %s", got)
	}
	have = parse(t, `{"name":"A","phone_number":"15551230000","agent":{"llm":"x","prompt":"old","language":"en-US"}}`)
	want = parse(t, `{"name":"A","phone_number":"+15551230000","voice_engine_version":"2.0","agent":{"prompt":"new","llm":"x","voice_id":"v"}}`)
	if got := text(CompareAssistant(have, want)); got != "agent.prompt old>new false; agent.voice_id <nil>>v true; voice_engine_version <nil>>2.0 true" {
		t.Errorf("got %s", got)
	}
}

// FuzzAccountAnswer checks that, whatever the API answers, a number or agent counts as created only if it has a usable
// id.
func FuzzAccountAnswer(f *testing.F) {
	for _, s := range []string{
		`{"status":"ok","response":{"model_id":"m","key":"k","phone_number":"+15551230000"}}`, `{"status":"failed"}`, `{}`, `[]`, `{"response":{"model_id":"\r\n"}}`,
		`{"response":{"assistants":[{"model_id":"m"}],"pagination":{"total_records":1}}}`, `{"status":"ok","response":{"assistants":{"model_id":"m"}}}`, ``,
	} {
		f.Add([]byte(s))
	}
	var body []byte
	transport := roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(body)), Header: http.Header{}, Request: r}, nil
	})
	a, err := NewAccount(AccountOptions{Options: rest.Options{BaseURL: "http://127.0.0.1:1", Token: accountToken, Transport: transport}, WorkspaceID: "w"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		body = data
		if made, err := a.Assistants().Create(t.Context(), rest.Object{}, nil); err == nil && rest.BadID(made["model_id"].(string)) != "" {
			t.Errorf("agent %v", made)
		}
		if n, err := a.Numbers().Create(t.Context(), rest.Object{"phone_number": "+15551230000"}, nil); err == nil && Slug(n["phone_number"].(string)) != "15551230000" {
			t.Errorf("number %v", n)
		}
		if all, err := a.Assistants().List(t.Context()); err == nil && len(idsOf(all)) != len(all) {
			t.Errorf("agents %v", all)
		}
		_, _ = a.Numbers().Get(t.Context(), "+15551230000")
		_, _ = a.Assistants().Get(t.Context(), "m")
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func idsOf(all []rest.Object) map[string]bool {
	ids := map[string]bool{}
	for _, o := range all {
		id, _ := o.Text("model_id")
		ids[id] = true
	}
	return ids
}
