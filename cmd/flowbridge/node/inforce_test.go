package node

import (
	"os"
	"strings"
	"testing"

	"flowbridge/b2bua/cause"
	"flowbridge/config"
	"flowbridge/synthflow"
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
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	before := read("3s")
	clients, err := newPreparers(before, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := newPreparers(read("4s"), clients, nil)
	if err != nil {
		t.Fatal(err)
	}
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
	if got := causeOf(&synthflow.Error{Kind: synthflow.KindReusedID}); got != cause.PrepareInvalid {
		t.Errorf("got %s", got)
	}
}

// What a new file says that is hardly meant is logged, as at the start.
func TestReloadLogsWarnings(t *testing.T) {
	s := newReloadStage(t)
	data, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), "127.0.0.2", "0.0.0.0/0", 1)
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
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
