package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"flowbridge/admin"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/internal/testlog"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// fakeReloader keeps what it was given.
type fakeReloader struct {
	cfg       *config.Config
	preparers map[string]peers.Preparer
	times     int
}

func (f *fakeReloader) Reload(cfg *config.Config, preparers map[string]peers.Preparer) {
	f.cfg, f.preparers = cfg, preparers
	f.times++
}

// told collects what a supervisor hears.
type told struct {
	mu     sync.Mutex
	states []string
}

func (s *told) notify(state string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.states = append(s.states, state)
	return nil
}

func (s *told) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.states)
}

const reloadConfig = `
sip: {listen: ["udp://127.0.0.1:0"], max_delay: 1m, drain_timeout: %s}
media: {listen: [127.0.0.1]}
trunks:
  - {name: carrier, sources: [127.0.0.2]}
targets:
  - {name: one, kind: synthflow, uri: "sip:a@127.0.0.3", prepare: {api: "%s", token_env: RELOAD_TOKEN}}
  - {name: two, kind: synthflow, uri: "sip:a@127.0.0.3", prepare: {api: "https://api.test", token_env: RELOAD_TOKEN, timeout: %s}}
routes:
  - {trunk: carrier, targets: [one]}
store: {path: %q}
admin: {listen: "127.0.0.1:0"}
log: {level: %s}
`

// reloadStage is an operator with a node, a file and a server that only notes
// what it is told.
type reloadStage struct {
	*operator
	t    *testing.T
	dir  string
	log  *os.File
	fake *fakeReloader
	told *told
	// hears is told of each line that is logged.
	hears atomic.Pointer[func(message string)]
}

func (s *reloadStage) write(drain, api, timeout, level string) {
	s.t.Helper()
	text := fmt.Sprintf(reloadConfig, drain, api, timeout, filepath.Join(s.dir, "calls.db"), level)
	must(s.t, os.WriteFile(s.file, []byte(text), 0o600))
}

func (s *reloadStage) logged() string { return read(s.t, s.log.Name()) }

func newReloadStage(t *testing.T) *reloadStage {
	t.Helper()
	t.Setenv("RELOAD_TOKEN", "tok-secret")
	s := &reloadStage{t: t, dir: t.TempDir(), fake: &fakeReloader{}, told: &told{}}
	var err error
	s.log, err = os.Create(filepath.Join(s.dir, "log"))
	must(t, err)
	t.Cleanup(func() { s.log.Close() })
	s.operator = &operator{file: filepath.Join(s.dir, "flowbridge.yaml"), asked: make(chan struct{})}
	s.write("60s", "https://api.test", "3s", "info")
	cfg, err := config.Load(s.file)
	must(t, err)
	s.out = NewLog(cfg.Log, s.log)
	s.operator.log = s.out.Logger().Hook(zerolog.HookFunc(func(_ *zerolog.Event, _ zerolog.Level, message string) {
		if f := s.hears.Load(); f != nil {
			(*f)(message)
		}
	}))
	s.supervisor = &supervisor{log: s.operator.log, notify: s.told.notify}
	n, err := Start(t.Context(), cfg, s.operator.log, Options{operator: s.operator})
	must(t, err)
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	s.begin(n)
	s.server = s.fake
	return s
}

func TestReloadAppliesWhatItCan(t *testing.T) {
	s := newReloadStage(t)
	before := s.node.inForce.Load().preparers
	s.write("5s", "https://other.test", "3s", "error")
	done, err := s.Reload(t.Context())
	must(t, err)
	if !slices.Equal(done.NeedRestart, []string{"sip"}) || done.Targets != 2 || done.Routes != 1 || done.Trunks != 1 {
		t.Errorf("got %+v", done)
	}
	if s.fake.times != 1 || s.fake.cfg.SIP.DrainTimeout != time.Minute || s.fake.cfg.Targets[0].Prepare.API != "https://other.test" {
		t.Errorf("the server got %+v, %d times", s.fake.cfg, s.fake.times)
	}
	if s.fake.preparers["one"] == before["one"] || s.fake.preparers["two"] != before["two"] {
		t.Error("want a new client for one and the old one for two")
	}
	if len(s.told.all()) != 2 || !strings.HasPrefix(s.told.all()[0], "RELOADING=1\nMONOTONIC_USEC=") || !strings.HasPrefix(s.told.all()[1], "READY=1\n") {
		t.Errorf("the supervisor heard %q", s.told.all())
	}
	// The level holds for loggers that were there before.
	s.operator.log.Warn().Msg("not to be seen")
	s.operator.log.Error().Msg("to be seen")
	if log := s.logged(); strings.Contains(log, "not to be seen") || !strings.Contains(log, "to be seen") {
		t.Errorf("the log says\n%s", log)
	}
}

func TestReloadRefusesAnInvalidFile(t *testing.T) {
	s := newReloadStage(t)
	old := s.node.config()
	must(t, os.WriteFile(s.file, []byte("trunk: []\nlog: {level: loud}\n"), 0o600))
	_, err := s.Reload(t.Context())
	var bad *admin.InvalidError
	if !errors.As(err, &bad) || len(bad.Problems) != 2 {
		t.Fatalf("got %v", err)
	}
	if s.fake.times != 0 || s.node.config() != old {
		t.Error("something changed")
	}
	if log := s.logged(); strings.Count(log, "configuration not valid: keeping the old one") != 2 || !strings.Contains(log, "log.level") {
		t.Errorf("the log says\n%s", log)
	}
	if states := s.told.all(); len(states) != 2 || !strings.HasPrefix(states[1], "READY=1") || !strings.Contains(states[1], "refused") {
		t.Errorf("the supervisor heard %q", states)
	}
	s.write("60s", "https://api.test", "3s", "info")
	if _, err := s.Reload(t.Context()); err != nil || s.fake.times != 1 {
		t.Errorf("a valid file after it: %v, %d times", err, s.fake.times)
	}
}

func TestReloadByAPI(t *testing.T) {
	s := newReloadStage(t)
	post := func(path string) (int, string) {
		res, err := http.Post("http://"+s.node.APIAddr().String()+path, "", nil)
		must(t, err)
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body)
	}
	if code, body := post("/api/reload"); code != 200 || body != `{"trunks":1,"targets":2,"routes":1,"numbers":0,"need_restart":[]}`+"\n" {
		t.Errorf("got %d %s", code, body)
	}
	for range 2 {
		if code, body := post("/api/drain"); code != 202 || body != `{"calls":0,"limit_ms":60000}`+"\n" {
			t.Errorf("got %d %s", code, body)
		}
	}
	if !s.node.server.Draining() {
		t.Error("not draining")
	}
	select {
	case <-s.asked:
	default:
		t.Error("serve does not hear of it")
	}
	if code, body := post("/api/reload"); code != 409 || !strings.Contains(body, "draining") {
		t.Errorf("reload while draining: got %d %s", code, body)
	}
}

// The connections of a client that is replaced are closed: the ones that are
// idle, and the one of a step which is still under way.
func TestReplacedClientsCloseTheirConnections(t *testing.T) {
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	release := make(chan struct{})
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Idempotency-Key") == "slow" {
			<-release
		}
		fmt.Fprintf(w, `{"call_status":"registered","synthflow_call_id":"id-%s"}`, r.Header.Get("Idempotency-Key"))
	}))
	api.Config.ConnState = func(c net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		if state == http.StateClosed {
			delete(open, c)
		} else {
			open[c] = true
		}
	}
	api.Start()
	defer api.Close()
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(open) }
	s := newReloadStage(t)
	s.write("60s", api.URL, "30s", "info")
	if _, err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := s.node.inForce.Load()
	old := before.preparers["one"]
	ask, err := before.cfg.Target("one").Prepare.Ask(template.Vars{})
	must(t, err)
	slow := make(chan error)
	go func() {
		_, err := old.Prepare(context.Background(), peers.PrepareRequest{Ask: ask, CallID: "slow"})
		slow <- err
	}()
	waitFor(t, "the slow step is under way", func() bool { return count() == 1 })
	if _, err := old.Prepare(t.Context(), peers.PrepareRequest{Ask: ask, CallID: "quick"}); err != nil || count() != 2 {
		t.Fatalf("%v, %d connections", err, count())
	}
	s.write("60s", "https://api.test", "30s", "info")
	if _, err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the idle connection is closed", func() bool { return count() == 1 })
	close(release)
	if err := <-slow; err != nil {
		t.Errorf("the step under way: %v", err)
	}
	waitFor(t, "the other one is closed too", func() bool { return count() == 0 })
}

// A file that can't be read to its end does not keep the process from
// draining, and is not put into force afterwards.
func TestDrainDoesNotWaitForAReload(t *testing.T) {
	s := newReloadStage(t)
	text := read(t, s.file)
	must(t, os.Remove(s.file))
	must(t, unix.Mkfifo(s.file, 0o600))
	failed := make(chan error)
	go func() {
		_, err := s.Reload(context.Background())
		failed <- err
	}()
	waitFor(t, "the file is being read", func() bool { return len(s.told.all()) == 1 })
	if _, err := s.Drain(); err != nil {
		t.Error(err)
	}
	if s.leave(t.Context()) {
		t.Error("calls are left")
	}
	must(t, os.WriteFile(s.file, []byte(text), 0o600))
	if err := <-failed; !errors.Is(err, errDraining) || s.fake.times != 0 {
		t.Errorf("got %v, reloaded %d times", err, s.fake.times)
	}
	if states := s.told.all(); !strings.HasPrefix(states[len(states)-1], "STOPPING=1") {
		t.Errorf("the supervisor heard %q", states)
	}
}

// Nor does a store that is slow to take the consumers of the new configuration.
func TestDrainDoesNotWaitForConsumers(t *testing.T) {
	s := newReloadStage(t)
	if _, err := s.node.store.SetConsumers(t.Context(), "webhook:gone"); err != nil {
		t.Fatal(err)
	}
	must(t, s.node.store.Put(t.Context(), record.Record{ID: "1", EndedAt: record.TimeOf(time.Now())}))
	told, free := false, false
	hears := func(message string) {
		if message == "outbox of a removed consumer deleted" {
			told, free = true, s.mu.TryLock()
			if free {
				s.mu.Unlock()
			}
		}
	}
	s.hears.Store(&hears)
	if _, err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !told || !free {
		t.Errorf("told: %t, the operator is free meanwhile: %t", told, free)
	}
}

// A file that is valid with its own section sip, but not with the one that the
// process has for life, is refused.
func TestReloadRefusesWhatTheProcessCannotDo(t *testing.T) {
	s := newReloadStage(t)
	ca := siptest.AuthorityFile(t)
	text := read(t, s.file)
	replaced := func(olds ...string) string { return strings.NewReplacer(olds...).Replace(text) }
	withoutUDP := strings.NewReplacer("udp://", "tcp://", "prepare:", "transport: tcp, prepare:").Replace(text)
	for _, tt := range []struct{ name, running, file, says string }{
		{
			"certificates", text, replaced("drain_timeout", "tls: {client_ca: "+ca+"}, drain_timeout",
				"sources: [127.0.0.2]", "certificates: [pbx.example.com]"),
			"trunks[0]: certificates are asked for, but the process runs without sip.tls.client_ca",
		},
		{"udp target", withoutUDP, text, "targets[0]: is called over udp, which the process runs without"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			running, err := config.Parse("running.yaml", []byte(tt.running), os.LookupEnv)
			must(t, err)
			s.node.inForce.Store(&inForce{cfg: running})
			must(t, os.WriteFile(s.file, []byte(tt.file), 0o600))
			if _, err := config.Load(s.file); err != nil {
				t.Fatalf("want a file that is valid by itself: %v", err)
			}
			_, err = s.Reload(t.Context())
			var bad *admin.InvalidError
			if !errors.As(err, &bad) || !strings.Contains(strings.Join(bad.Problems, "\n"), tt.says) || s.fake.times != 0 || s.node.config() != running {
				t.Errorf("got %v, reloaded %d times; want %q", err, s.fake.times, tt.says)
			}
		})
	}
}

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}

func TestNothingBeforeTheStart(t *testing.T) {
	o := &operator{log: zerolog.Nop()}
	if _, err := o.Drain(); !errors.Is(err, errStarting) {
		t.Errorf("drain: %v", err)
	}
	if _, err := o.Reload(t.Context()); !errors.Is(err, errStarting) {
		t.Errorf("reload: %v", err)
	}
	hangups, upgrades := make(chan os.Signal, 1), make(chan os.Signal, 1)
	told := &testlog.Log{}
	o.log, o.patience, o.supervisor = zerolog.New(told), time.Minute, newSupervisor(zerolog.Nop())
	o.standsBy(t.Context(), hangups, upgrades)("east")
	if _, err := o.Drain(); !errors.Is(err, errStanding) || !strings.Contains(err.Error(), "for the seat east") {
		t.Errorf("drain of a standby: %v", err)
	}
	hangups <- syscall.SIGHUP
	waitFor(t, "SIGHUP is answered", func() bool { return strings.Contains(told.String(), "configuration not reloaded") })
	upgrades <- syscall.SIGUSR2
	waitFor(t, "SIGUSR2 is answered", func() bool { return strings.Contains(told.String(), "not upgraded") })
}

// A file that was emptied by mistake does not take every call away.
func TestReloadRefusesAnEmptyFile(t *testing.T) {
	s := newReloadStage(t)
	must(t, os.WriteFile(s.file, nil, 0o600))
	var bad *admin.InvalidError
	if _, err := s.Reload(t.Context()); !errors.As(err, &bad) || s.fake.times != 0 {
		t.Errorf("got %v, %d times", err, s.fake.times)
	}
}
