package node

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowbridge/store/record"
	"flowbridge/store/webhook"
)

// A webhook gets calls from the reload on that names it, until the one that does not; what waits for it then is lost, with
// a line in the log.
func TestWebhooksFollowTheConfiguration(t *testing.T) {
	s := newReloadStage(t)
	got := make(chan webhook.Message, 10)
	answer := make(chan int, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m webhook.Message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		got <- m
		w.WriteHeader(<-answer)
	}))
	defer srv.Close()
	reload := func(more string) {
		t.Helper()
		s.write("60s", "https://api.test", "3s", "info")
		f, err := os.OpenFile(s.file, os.O_APPEND|os.O_WRONLY, 0)
		must(t, err)
		fmt.Fprintln(f, more)
		must(t, f.Close())
		if done, err := s.Reload(t.Context()); err != nil || len(done.NeedRestart) != 0 {
			t.Fatalf("%+v, %v", done, err)
		}
	}
	put := func(id string) {
		t.Helper()
		must(t, s.node.store.Put(t.Context(), record.Record{ID: id, Trunk: "carrier", EndedAt: record.TimeOf(time.Now())}))
	}
	put("before")
	reload(`webhooks: [{name: crm, url: "` + srv.URL + `/?key=hidden", secret_file: ` + fileWith(t, "token") + `}]`)
	put("one")
	answer <- 200
	if m := <-got; m.Record.ID != "one" || m.Event != webhook.EventEnded {
		t.Errorf("got %+v", m)
	}
	put("two")
	answer <- 500
	if m := <-got; m.Record.ID != "two" {
		t.Errorf("got %+v", m)
	}
	for !strings.Contains(s.logged(), "webhook failing") {
		time.Sleep(10 * time.Millisecond)
	}
	reload("")
	if log := s.logged(); !strings.Contains(log, `"outbox of a removed consumer deleted"`) || strings.Contains(log, "hidden") || strings.Contains(log, "tok-secret") {
		t.Errorf("log: %s", log)
	}
	put("three")
	if sizes, err := s.node.store.OutboxSize(t.Context()); err != nil || len(sizes) != 0 || len(got) != 0 {
		t.Errorf("left: %v, %v", sizes, err)
	}
}

// fileWith is the name of a file with a secret.
func fileWith(t *testing.T, secret string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(name, []byte(secret), 0o600))
	return name
}
