package node

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/prepare"
	"flowbridge/config"
)

// What an API gave is known to all its targets, and after a reload.
func TestGivenIDsAreOfTheAPI(t *testing.T) {
	read := func(timeout string) *config.Config {
		cfg, err := config.Parse("x.yaml", []byte(`
targets:
  - {name: a, kind: synthflow, prepare: {api: "https://api.test", token_env: T, timeout: `+timeout+`}}
  - {name: b, kind: synthflow, prepare: {api: "https://api.test", token_env: T}}
  - {name: c, kind: synthflow, prepare: {api: "https://other.test", token_env: T}}
`), func(string) (string, bool) { return "token", true })
		must(t, err)
		return cfg
	}
	before := read("3s")
	clients, err := newPreparers(before, nil)
	must(t, err)
	renewed, err := newPreparers(read("4s"), clients)
	must(t, err)
	given := func(of map[string]any, name string) any { return of[name].(*preparer).given }
	old, now := map[string]any{}, map[string]any{}
	for _, name := range []string{"a", "b", "c"} {
		old[name], now[name] = clients[name], renewed[name]
	}
	if given(old, "a") != given(old, "b") || given(old, "a") == given(old, "c") || given(old, "a") != given(now, "a") || given(now, "b") != given(now, "a") {
		t.Error("an API's ids are not shared, or forgotten by a reload")
	}
	closeReplaced(clients, renewed)
}

// An id that the API gave to another call is no id: the record says so, and the
// next target has its turn.
func TestReusedIDIsInvalid(t *testing.T) {
	if got := causeOf(&prepare.Error{Kind: prepare.KindReusedID}); got != cause.PrepareInvalid {
		t.Errorf("got %s", got)
	}
}

// What is valid in a new file but probably a mistake is logged, as at the start.
func TestReloadLogsWarnings(t *testing.T) {
	s := newReloadStage(t)
	data, err := os.ReadFile(s.file)
	must(t, err)
	text := strings.Replace(string(data), "127.0.0.2", "0.0.0.0/0", 1)
	must(t, os.WriteFile(s.file, []byte(text), 0o600))
	if _, err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	log := s.logged()
	for _, want := range []string{`"configuration warning"`, `"key":"trunks[0].sources[0]"`, `"line":5`, "every address there is"} {
		if !strings.Contains(log, want) {
			t.Errorf("%s is not in\n%s", want, log)
		}
	}
}

// A reload puts tokens and rights of the admin API into force, and leaves its listener.
func TestReloadChangesTokens(t *testing.T) {
	s := newReloadStage(t)
	get := func(token string) int {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.node.APIAddr().String()+"/api/calls", http.NoBody)
		must(t, err)
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		_ = res.Body.Close()
		return res.StatusCode
	}
	if got := get(""); got != 200 {
		t.Fatalf("without tokens: %d", got)
	}
	secret := filepath.Join(s.dir, "anna")
	reload := func(admin string, needRestart ...string) {
		s.write("60s", "https://api.test", "3s", "info")
		text := strings.Replace(read(t, s.file), `admin: {listen: "127.0.0.1:0"}`, admin, 1)
		must(t, errors.Join(os.WriteFile(s.file, []byte(text), 0o600), os.WriteFile(secret, []byte("aaa"), 0o600)))
		done, err := s.Reload(t.Context())
		if err != nil || !slices.Equal(done.NeedRestart, needRestart) {
			t.Fatalf("need restart %v, %v", done.NeedRestart, err)
		}
	}
	reload(fmt.Sprintf(`admin: {listen: "127.0.0.1:0", tokens: [{name: anna, file: %q, rights: read}]}`, secret))
	if none, right := get(""), get("aaa"); none != 401 || right != 200 {
		t.Errorf("with a token: %d without it, %d with it", none, right)
	}
	reload(`admin: {listen: "127.0.0.1:1", local: none}`, "admin")
	if none, old := get(""), get("aaa"); none != 403 || old != 403 {
		t.Errorf("when it is revoked: %d without it, %d with it", none, old)
	}
	reload("admin: {listen: \"127.0.0.1:0\"}\ntelemetry: {otlp: {endpoint: \"http://127.0.0.1:4318\"}}", "telemetry")
}
