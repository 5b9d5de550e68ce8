package node

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/redirected"
	"flowbridge/config"
	"flowbridge/store/record"
	"flowbridge/synthflow"
)

// reportStage is a node that takes reports, with an API that knows calls.
type reportStage struct {
	*Node
	calls map[string]string // by id, as GET /v2/calls/{id} gives them
}

func newReportStage(t *testing.T) *reportStage {
	t.Helper()
	s := &reportStage{calls: map[string]string{}}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		body, known := s.calls[filepath.Base(r.URL.Path)]
		if !known {
			w.WriteHeader(http.StatusNotFound)
			body = `{"detail":"no such call"}`
		}
		fmt.Fprint(w, body)
	}))
	t.Cleanup(api.Close)
	cfg, err := config.Parse("x.yaml", []byte(`
sip: {listen: ["udp://127.0.0.1:0"], max_delay: 1m}
media: {listen: ["127.0.0.1"], ports: 46000-46099}
targets:
  - {name: prepared, kind: synthflow, uri: "sip:a@127.0.0.1:9", prepare: {api: "`+api.URL+`", token_env: T}}
  - {name: direct, kind: synthflow, uri: "sip:a@127.0.0.1:9", account: {api: "`+api.URL+`", token_env: T}}
  - {name: bare, kind: synthflow, uri: "sip:a@127.0.0.1:9"}
hooks: {listen: "127.0.0.1:0", synthflow: {secret_file: `+fileWith(t, "token")+`}}
admin: {listen: "127.0.0.1:0"}
store: {path: "`+filepath.Join(t.TempDir(), "f.db")+`"}
`), func(string) (string, bool) { return "token", true })
	if err != nil {
		t.Fatal(err)
	}
	if s.Node, err = Start(t.Context(), cfg, zerolog.Nop(), Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	at := record.TimeOf(time.Now())
	for _, r := range []record.Record{
		{ID: "A", Target: "prepared", SynthflowCallID: "sf-a", ExternalID: "ext-a"},
		{ID: "B", Target: "direct", ExternalID: "ext-b"},
		{ID: "C", Target: "bare", ExternalID: "ext-c"},
		{ID: "D1", Target: "direct", ExternalID: "crm-1"},
		{ID: "D2", Target: "direct", ExternalID: "crm-1"},
	} {
		r.StartedAt, r.EndedAt = at, at
		if err := s.store.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// callTold is an answer of the API.
func callTold(id, status, external string) string {
	return fmt.Sprintf(`{"call_id":%q,"status":%q,"end_call_reason":"told","duration":7,"external_id":%q}`, id, status, external)
}

func (s *reportStage) report(t *testing.T, id string) string {
	t.Helper()
	r, ok, err := s.store.Get(t.Context(), id)
	if !ok || err != nil {
		t.Fatalf("%s: %v, %v", id, ok, err)
	}
	if r.Report == nil {
		return "none"
	}
	return fmt.Sprint(r.Report.CallID, " ", r.Report.EndReason, " ", r.Report.Confirmed)
}

// A report joins the call that it is about, in the platform's words, and no
// other, whatever else it says.
func TestTakeReport(t *testing.T) {
	s := newReportStage(t)
	s.calls["sf-a"] = callTold("sf-a", "in-progress", "")
	s.calls["sf-b"] = callTold("sf-b", "completed", "ext-b")
	s.calls["sf-x"] = callTold("sf-x", "completed", "")
	s.calls["sf-d"] = callTold("sf-d", "completed", "crm-1")
	for _, c := range []struct {
		what string
		said synthflow.Report
		want synthflow.Taken
		err  error
	}{
		{"a call that the API says goes on", synthflow.Report{CallID: "sf-a", EndReason: "said"}, "", errNoWord},
		{"a call of nobody's that names another's external id, which the API does not", synthflow.Report{CallID: "sf-x", ExternalID: "ext-b"}, synthflow.TakenUnknown, nil},
		{"a call that the API does not know", synthflow.Report{CallID: "sf-none", ExternalID: "ext-b", EndReason: "forged"}, synthflow.TakenUnknown, nil},
		{"one of two calls", synthflow.Report{CallID: "sf-d", ExternalID: "crm-1"}, synthflow.TakenUnknown, nil},
		{"the call itself", synthflow.Report{CallID: "sf-b", ExternalID: "ext-b", EndReason: "said"}, synthflow.TakenNew, nil},
		{"and again", synthflow.Report{CallID: "sf-b", ExternalID: "ext-b", EndReason: "again"}, synthflow.TakenUnknown, nil},
		{"without an API to ask", synthflow.Report{CallID: "sf-c", ExternalID: "ext-c", EndReason: "said"}, synthflow.TakenNew, nil},
		{"without any id of ours", synthflow.Report{CallID: "sf-none"}, synthflow.TakenUnknown, nil},
	} {
		if got, err := s.hooks.takeReport(t.Context(), c.said); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: got %q, %v; want %q, %v", c.what, got, err, c.want, c.err)
		}
	}
	s.calls["sf-a"] = callTold("sf-a", "completed", "")
	// A signed report of A that names B's external id is A's.
	if got, err := s.hooks.takeReport(t.Context(), synthflow.Report{CallID: "sf-a", ExternalID: "ext-b", EndReason: "forged"}); got != synthflow.TakenNew || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for id, want := range map[string]string{"A": "sf-a told true", "B": "sf-b told true", "C": "sf-c said false", "D1": "none", "D2": "none"} {
		if got := s.report(t, id); got != want {
			t.Errorf("report of %s: got %s; want %s", id, got, want)
		}
	}
}

// Vapi's report is of calls at Vapi only.
func TestVapiReportIsOfVapisCalls(t *testing.T) {
	s := newReportStage(t)
	if err := s.store.Put(t.Context(), record.Record{ID: "E", Target: "direct", TargetSIPCallID: "leg-b", StartedAt: record.TimeOf(time.Now())}); err != nil {
		t.Fatal(err)
	}
	if id, err := s.hooks.dialled(t.Context(), "leg-b"); id != "" || err != nil {
		t.Errorf("got %q, %v", id, err)
	}
	if _, err := s.server.FindNamed(t.Context(), "leg-b"); !errors.Is(err, redirected.ErrUnknownCall) {
		t.Errorf("got %v", err)
	}
}
