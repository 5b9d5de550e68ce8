package node

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/prepare"
	"flowbridge/config"
	"flowbridge/platform/openai"
	"flowbridge/platform/twilio"
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

// A reload puts the secrets of hooks into force, and revokes old ones. Where it can't, it says so.
func TestReloadChangesSecretsOfHooks(t *testing.T) {
	keys := make(chan string, 1)
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { keys <- r.Header.Get("Authorization") }))
	t.Cleanup(api.Close)
	dir := t.TempDir()
	text := func(old, replacement string) string {
		return strings.NewReplacer("DIR", dir, "API", api.URL, old, replacement).Replace(`
sip: {listen: ["udp://127.0.0.1:0"], max_delay: 1m}
media: {listen: [127.0.0.1]}
trunks: [{name: carrier, sources: [127.0.0.2]}]
targets: [{name: one, kind: sip, uri: "sip:a@127.0.0.3", transfer_numbers: ["^7$"]}]
routes: [{trunk: carrier, targets: [one]}]
telemetry: {otlp: {endpoint: "http://127.0.0.1:9", token_file: DIR/collector}}
store: {path: DIR/f.db}
admin: {listen: "127.0.0.1:0"}
hooks:
  listen: "127.0.0.1:0"
  twilio: {url: "https://voice.test", auth_token_file: DIR/twilio, targets: [one]}
  vapi: {secret_file: DIR/vapi, rules: [{assistant_id: a}]}
  openai: {secret_file: DIR/openai, token_file: DIR/key, api: API, session: {type: realtime}}
  synthflow: {secret_file: DIR/synthflow}
  variables: {token_file: DIR/variables}
  commands: [{name: anna, token_file: DIR/anna, targets: [one]}, {name: bert, token_file: DIR/bert, targets: [one]}]
`)
	}
	must(t, os.WriteFile(filepath.Join(dir, "collector"), []byte("1"), 0o600))
	files := []string{"twilio", "vapi", "openai", "key", "synthflow", "variables", "anna", "bert"}
	secret := func(of, generation string) string { return (of + generation + strings.Repeat("x", 16))[:16] } // good base64
	write := func(generation, text string) string {
		t.Helper()
		for _, of := range files {
			must(t, os.WriteFile(filepath.Join(dir, of), []byte(secret(of, generation)), 0o600))
		}
		must(t, os.WriteFile(filepath.Join(dir, "f.yaml"), []byte(text), 0o600))
		return filepath.Join(dir, "f.yaml")
	}
	cfg, err := config.Load(write("1", text("", "")))
	must(t, err)
	n, err := Start(t.Context(), cfg, zerolog.Nop(), Options{})
	must(t, err)
	t.Cleanup(func() { must(t, n.Close()) })
	o := &operator{file: filepath.Join(dir, "f.yaml"), log: zerolog.Nop(), supervisor: &supervisor{notify: (&told{}).notify}, out: NewLog(cfg.Log, os.Stderr)}
	o.begin(n)
	webhooks := 0
	asked := func(of, generation string) int {
		t.Helper()
		webhooks++
		s, h := secret(of, generation), http.Header{"Content-Type": {"application/json"}}
		h.Set("Authorization", "Bearer "+s)
		path, body := config.CommandsPath, `{"call": "unknown", "do": "hold"}`
		switch of {
		case "twilio":
			path, body = config.TwilioPath, "Called=%2B1"
			h.Set("Content-Type", "application/x-www-form-urlencoded")
			h.Set("X-Twilio-Signature", twilio.Sign(s, "https://voice.test"+path, url.Values{"Called": {"+1"}}))
		case "vapi":
			path, body = config.VapiPath, `{"message": {"type": "status-update"}}`
		case "openai", "key":
			path, body = config.OpenAIPath, fmt.Sprintf(`{"type": "realtime.call.incoming", "data": {"call_id": "rtc_%d"}}`, webhooks)
			signed, err := openai.Sign(secret("openai", generation), fmt.Sprint("wh_", webhooks), time.Now(), []byte(body))
			must(t, err)
			maps.Copy(h, signed)
		case "synthflow":
			path, body = config.SynthflowPath, `{"call": {"call_id": "c-1", "status": "completed"}, "status": "completed"}`
			h.Set("Synthflow-Signature", synthflow.Sign(s, "c-1"))
		case "variables":
			path = config.VariablesPath + "?id=unknown"
		}
		method := http.MethodPost
		if of == "variables" {
			method = http.MethodGet
		}
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.hookAt()+path, strings.NewReader(body))
		must(t, err)
		r.Header = h
		res, err := http.DefaultClient.Do(r)
		must(t, err)
		must(t, res.Body.Close())
		if path == config.OpenAIPath && res.StatusCode == 200 {
			if got, want := <-keys, "Bearer "+secret("key", generation); got != want {
				t.Errorf("OpenAI's API is asked with %q; want %q", got, want)
			}
		}
		return res.StatusCode
	}
	const refused = "401 403"
	inForce := func(generation string, but ...string) {
		t.Helper()
		for _, of := range files {
			for _, g := range []string{"1", "2", "3"} {
				status := asked(of, g)
				if right := g == generation && !slices.Contains(but, of); right == strings.Contains(refused, fmt.Sprint(status)) {
					t.Errorf("%s of generation %s: got %d while %s counts, without %v", of, g, status, generation, but)
				}
			}
		}
	}
	reload := func(needRestart ...string) {
		t.Helper()
		if done, err := o.Reload(t.Context()); err != nil || !slices.Equal(done.NeedRestart, needRestart) {
			t.Errorf("need restart %v, %v; want %v", done.NeedRestart, err, needRestart)
		}
	}
	inForce("1")
	write("2", text("", ""))
	reload()
	inForce("2")
	write("2", text(`{name: anna, token_file: DIR/anna, targets: [one]}, `, ""))
	reload()
	inForce("2", "anna")
	// A hook without its secret would be open: it keeps the one that it has until a restart.
	write("2", text("auth_token_file: DIR/twilio, ", ""))
	reload("hooks")
	inForce("2")
	// What may be safe at another address waits, as the socket does.
	write("3", text(`  listen: "127.0.0.1:0"`, `  listen: "127.0.0.1:1"`))
	reload("hooks")
	inForce("2")
	write("3", text("  variables: {token_file: DIR/variables}\n", ""))
	must(t, os.WriteFile(filepath.Join(dir, "collector"), []byte("2"), 0o600))
	reload("telemetry") // the collector's token waits for a restart
	if got := asked("variables", "3"); got != 404 {
		t.Errorf("variables, when the hook is gone from the file: %d", got)
	}
	write("3", text("", ""))
	reload("telemetry", "hooks") // a hook that is new
}
