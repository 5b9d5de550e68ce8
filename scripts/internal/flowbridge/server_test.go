package flowbridge

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowbridge/scripts/internal/namespace"
)

// serving is a server whose admin API is in this process.
func serving(t *testing.T, answers map[string]string) *Server {
	t.Helper()
	s, err := New("/nothing", t.TempDir(), namespace.Here)
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", s.Socket())
	if err != nil {
		t.Fatal(err)
	}
	api := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.String()]
		if !ok {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, answer)
	})}
	go func() { _ = api.Serve(l) }()
	t.Cleanup(func() { _ = api.Close() })
	return s
}

func TestMetrics(t *testing.T) {
	s := serving(t, map[string]string{"/metrics": "# HELP a b 1\na 2\nb{x=\"1 } 2\",y=\"z\"} 3\nb{x=\"2\"} 4.5\nbad\n"})
	f, err := s.Admin.Metrics()
	if err != nil || len(f) != 2 || f["a"] != 2 || f["b"] != 7.5 {
		t.Errorf("got %v, %v", f, err)
	}
}

func TestRecords(t *testing.T) {
	s := serving(t, map[string]string{
		"/api/cdrs?limit=1000&cursor=":    `{"items":[{"id":"1","sip_call_id":"c"},{"id":"2"}],"next":"a b"}`,
		"/api/cdrs?limit=1000&cursor=a+b": `{"items":[{"id":"3","cause":"busy","restored":1}]}`,
		"/api/calls":                      `{"items":[{},{}]}`,
	})
	all, err := s.Admin.Records()
	if err != nil || len(all) != 3 || all[0].SIPCallID != "c" || all[2] != (Record{ID: "3", Cause: "busy", Restored: 1}) {
		t.Errorf("got %+v, %v", all, err)
	}
	if n, err := s.Admin.Live(); n != 2 || err != nil {
		t.Errorf("%d calls, %v", n, err)
	}
	if err := s.Admin.Ready(); err == nil || !strings.Contains(err.Error(), "503 Service Unavailable: not ready") {
		t.Errorf("ready: %v", err)
	}
}

// A server has the variables and the configuration it was given, and all of its processes end.
func TestServer(t *testing.T) {
	s := serving(t, map[string]string{"/readyz": ""})
	if err := s.Configure("configuration"); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a binary that is not there: %v", err)
	}
	s.environment = []string{"WORD=beside"}
	s.Serve = []string{"sh", "-c", "cat " + s.Config() + " >&2; echo \" $WORD\" >&2; exec sleep 60"}
	for range 2 {
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
	}
	first, second := s.children[0].PID(), s.children[1].PID()
	if s.PID != second {
		t.Errorf("%d serves; want %d", s.PID, second)
	}
	s.Stop()
	s.Kill()
	for _, pid := range []int{first, second} {
		if _, err := os.Stat(filepath.Join("/proc", fmt.Sprint(pid))); err == nil {
			t.Errorf("%d still runs", pid)
		}
	}
}
