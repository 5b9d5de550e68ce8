package operate

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"flowbridge/admin"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/store/record"
	"flowbridge/telemetry/live"
)

// fakeServer is a server with one live and one finished call.
type fakeServer struct {
	ordered []string
	placed  admin.Origination
	invalid bool
	local   admin.Rights // without a token, where there are tokens
	filed   string       // the same, as the file has it; empty: it is left out

	mu  sync.Mutex
	log strings.Builder
}

func (f *fakeServer) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.Write(line)
}

// logged takes the lines of the log so far.
func (f *fakeServer) logged() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.log.Reset()
	return f.log.String()
}

var began = record.TimeOf(time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC))

func (f *fakeServer) Live(context.Context) []admin.Call {
	return []admin.Call{{Record: record.Record{ID: "live", StartedAt: began, Trunk: "carrier", From: "+15075550100\x1b", To: "+15075785607", Talk: &record.Talk{
		Confidence: record.TalkGood, FirstAgentMS: new(int64(700)), Turns: &record.Durations{N: 4, P50: 810, P95: 2400}, Ignored: new(int64(3)),
	}}, Phase: "bridged"}}
}

func (f *fakeServer) Find(ctx context.Context, id string) (admin.Call, bool) {
	c := f.Live(ctx)[0]
	return c, id == c.ID
}

func (f *fakeServer) List(context.Context, record.Filter) ([]record.Record, string, error) {
	return nil, "", nil
}

func (f *fakeServer) Get(_ context.Context, id string) (record.Record, bool, error) {
	return record.Record{
		ID: "done", StartedAt: began, AnsweredAt: began, EndedAt: began, Disposition: "answered", Cause: "caller_hangup", EndedBy: "caller",
		Talk:     &record.Talk{Confidence: record.TalkGood},
		Attempts: []record.Attempt{{Target: "broken", PrepareStatus: 503, Cause: "prepare_failed", MS: 105}},
	}, id == "done", nil
}

func (f *fakeServer) Order(ctx context.Context, id string, o admin.Order) (admin.Call, error) {
	c, ok := f.Find(ctx, id)
	if !ok {
		return c, admin.ErrNoCall
	}
	f.ordered = append(f.ordered, id+" "+string(o))
	c.Phase, c.Cause, c.EndedBy = "ending", "operator_hangup", "operator"
	return c, nil
}

func (f *fakeServer) Play(context.Context, string, admin.PlayRequest) (admin.Call, error) {
	return admin.Call{}, admin.ErrNoCall
}

func (f *fakeServer) Press(ctx context.Context, id string, d admin.DigitsRequest) (admin.Call, error) {
	c, ok := f.Find(ctx, id)
	if !ok {
		return c, admin.ErrNoCall
	}
	f.ordered = append(f.ordered, fmt.Sprintf("%s %+v", id, d))
	return c, nil
}

func (f *fakeServer) Transfer(ctx context.Context, id, by string, r admin.TransferRequest) (admin.Call, error) {
	c, ok := f.Find(ctx, id)
	if !ok {
		return c, admin.ErrNoCall
	}
	if r.To != "4711" {
		return c, &admin.RefusedError{Problem: "not a number or host that may be called", Remedy: "see transfer_numbers", Status: 403}
	}
	f.ordered = append(f.ordered, fmt.Sprintf("%s %+v", id, r))
	c.Transfer = &record.Transfer{To: r.To, By: by, State: "dialing"}
	return c, nil
}

func (f *fakeServer) SetVariables(ctx context.Context, id, by string, all map[string]string) (admin.Call, error) {
	c, ok := f.Find(ctx, id)
	if !ok {
		return c, admin.ErrNoCall
	}
	f.ordered = append(f.ordered, fmt.Sprintf("%s by %s: %v", id, by, all))
	c.Variables = maps.Clone(all)
	maps.DeleteFunc(c.Variables, func(_, value string) bool { return value == "" })
	return c, nil
}

func (f *fakeServer) Called(string) (string, error) { return "", admin.ErrNoCall }

func (f *fakeServer) Variables(context.Context, string) (any, error) { return nil, admin.ErrNoCall }

func (f *fakeServer) Originate(_ context.Context, o admin.Origination) (admin.Call, error) {
	if o.Trunk != "carrier" {
		return admin.Call{}, &admin.RefusedError{Status: 400, Problem: "there is no trunk " + o.Trunk, Remedy: "name one of trunks in trunk"}
	}
	f.placed = o
	return admin.Call{Record: record.Record{ID: "done", To: o.To, Trunk: o.Trunk, Talk: &record.Talk{Confidence: "noisy", Reason: "background"}}, Phase: "dialing"}, nil
}

func (f *fakeServer) Drain() (admin.Drained, error) {
	return admin.Drained{Calls: 3, LimitMS: 60000}, nil
}

func (f *fakeServer) Upgrade(context.Context) (admin.Upgraded, error) {
	return admin.Upgraded{PID: 4242, Version: "1.2.3", Calls: 3, Connections: 1, Sockets: 14, PauseMS: 20, TookMS: 150}, nil
}

func (f *fakeServer) Reload(context.Context) (admin.Reloaded, error) {
	if f.invalid {
		return admin.Reloaded{}, &admin.InvalidError{Problems: []string{"f.yaml:3: trunks[0].soures: unknown key"}}
	}
	return admin.Reloaded{Trunks: 1, Targets: 2, Routes: 3, NeedRestart: []string{"sip"}}, nil
}

func (f *fakeServer) Configuration() (any, error) { return nil, admin.ErrNoCall }

func (f *fakeServer) Stats() live.Stats {
	return live.Stats{Media: live.Media{Engine: "kernel", Detail: "tcx on eth0"}}
}

func (f *fakeServer) Targets() []live.Target {
	half := 0.5
	return []live.Target{
		{
			Name: "synthflow", Kind: "synthflow", Address: "sip:x@\x1b", Health: live.HealthFailing, Calls: 3, MaxCalls: 200, Attempts: 4, Failed: 2, AnswerRatio: &half, Prepare: &live.Latency{P50: 12.4, P95: 812}, Turns: &live.Latency{P50: 900, P95: 2100},
			LastError: &live.TargetError{At: began, Cause: "prepare_failed", Call: "done", Text: "its API answered 503 Service Unavailable"},
		},
		{Name: "pbx", Kind: "trunk", Health: live.HealthIdle},
		{Name: "pinged", Kind: "sip", Health: live.HealthFailing, Circuits: []live.Circuit{{State: live.CircuitClosed, Ping: "no answer to OPTIONS"}}},
	}
}

func (f *fakeServer) History(bool) live.History { return live.History{} }

func (f *fakeServer) LogLevel() admin.LogLevel {
	return admin.LogLevel{Level: "info", Configured: "info"}
}

func (f *fakeServer) SetLogLevel(level string, during time.Duration) admin.LogLevel {
	return admin.LogLevel{Level: level, Configured: "info", Until: record.TimeOf(began.Add(during))}
}

// listening starts a server's admin API and gives a configuration file that names it.
func listening(t *testing.T, f *fakeServer, at admin.Address, tokens ...admin.Token) (file string) {
	t.Helper()
	dir := t.TempDir()
	l, err := admin.Listen(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	local := admin.RightsOperate
	listen, admins := l.Addr().String(), ""
	if at.Socket != "" {
		listen = "unix://" + at.Socket
	}
	for _, tok := range tokens {
		local = f.local
		secret := filepath.Join(dir, tok.Name)
		if err := os.WriteFile(secret, []byte(tok.Secret), 0o600); err != nil {
			t.Fatal(err)
		}
		admins += fmt.Sprintf("{name: %s, file: %q, rights: %s},", tok.Name, secret, map[admin.Rights]string{admin.RightsRead: "read", admin.RightsOperate: "operate"}[tok.Rights])
	}
	s := admin.Server(admin.New(admin.Options{
		Calls: f, Records: f, Control: f, Operator: f, Figures: f, Leveller: f,
		Access: func() admin.Access { return admin.Access{Tokens: tokens, Local: local} }, Log: zerolog.New(f),
	}), zerolog.Nop())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	file = filepath.Join(dir, "flowbridge.yaml")
	filed := ""
	if f.filed != "" {
		filed = ", local: " + f.filed
	}
	text := fmt.Sprintf("admin: {listen: %q, tokens: [%s]%s}\ntargets: [{name: x, kind: synthflow, prepare: {token_env: NOT_SET_ANYWHERE}}]\n", listen, strings.TrimSuffix(admins, ","), filed)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// run executes one of the commands.
func run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	root := cli.Root()
	root.AddCommand(Calls(), Targets(&cobra.Command{Use: "try"}), Log(), Drain(), Reload(), Healthcheck(), Seat(), Status())
	var out bytes.Buffer
	code := cli.Run(t.Context(), root, args, &out, &out)
	return out.String(), code
}

// wants runs commands, each with the configuration, and compares the exit code and what the output must have.
func wants(t *testing.T, file string, commands map[string]string) {
	t.Helper()
	for command, want := range commands {
		out, code := run(t, append(strings.Fields(command), "--config", file)...)
		wantCode, says, _ := strings.Cut(want, " ")
		if fmt.Sprint(code) != wantCode || !strings.Contains(out, says) {
			t.Errorf("%s: exit code %d:\n%s\nwant %s", command, code, out, want)
		}
	}
}

// The commands find the API by the file, need no other section of it, and say what the API says.
func TestCommands(t *testing.T) {
	f := &fakeServer{}
	file := listening(t, f, admin.Address{TCP: "127.0.0.1:0"})
	wants(t, file, map[string]string{
		"log level":                 "0 info\n",
		"log level debug --for 5m":  "0 debug until 2026-11-20T08:05:00.000Z, then info",
		"log level trace":           "2 use one of debug, info, warn, error",
		"log level debug --for 48h": "1 for is not a time of at most 24h",
		"targets list": "0 synthflow  synthflow  failing                         3/200  4         2       50%       12/812      -          900/2100  sip:x@?\n" +
			"pbx        trunk      idle                            0      0         0       -         -           -          -         \n" +
			"pinged     sip        failing (no answer to OPTIONS)  0 ",
		"targets list --json":         `0 "text": "its API answered 503 Service Unavailable"`,
		"calls list":                  "0 +15075550100?  +15075785607",
		"calls list --json":           `0 "phase": "bridged"`,
		"calls show live":             "0 call       live, bridged",
		"calls show done":             "0 answered, caller_hangup, by caller, status 0\ncause      flowbridge help caller_hangup\nids        SIP -, to the target -, of the platform -\nattempt    broken: prepare 503, status -, cause prepare_failed, 105 ms\ncaller     0 packets in, 0 out, 0 lost, 0 late, jitter 0.0 ms\ntarget     0 packets in, 0 out",
		"calls show live ":            "0 talk       good; agent heard after 0.7 s; 4 answers, p50 0.8 s, p95 2.4 s; 3 ignored",
		"calls show done --json":      `0 "phase": "ended"`,
		"calls show none":             `1 there is no call "none"; take an id from flowbridge calls list, or that of a finished call from flowbridge cdr list`,
		"calls hangup none":           `1 there is no call "none"; take an id from flowbridge calls list`,
		"calls show":                  "2 flowbridge: wrong usage: flowbridge calls show: ID is missing",
		"calls hangup":                "2 flowbridge: wrong usage: flowbridge calls hangup: ID... is missing",
		"calls hangup done":           "0 done: ended by caller, caller_hangup",
		"calls hangup none live":      "1 live: ended by operator, operator_hangup",
		"calls hangup live --json":    `0 "cause": "operator_hangup"`,
		"drain":                       "0 draining: 3 calls are left, for up to 1m0s",
		"drain --json":                `0 "calls": 3`,
		"reload":                      "0 warning: changes of sip take effect after a restart, or by flowbridge upgrade, which ends no call\nreloaded: 1 trunk, 2 targets, 3 routes",
		"healthcheck":                 "0 ready",
		"healthcheck --json":          `0 "ready": true`,
		"calls list --url ftp://a":    "2 write http://127.0.0.1:8080",
		"calls list --url http://a/b": "1 ", // nobody there
		"healthcheck --url http://127.0.0.1:1/readyz --json": `1 "ready": false`,
	})
	if got := strings.Join(f.ordered, ", "); got != "live hangup, live hangup" {
		t.Errorf("hung up: %s", got)
	}
	f.invalid = true
	wants(t, file, map[string]string{"reload": "2 f.yaml:3: trunks[0].soures: unknown key"})
}

// Over a Unix socket they need no flags either.
func TestCommandsOverUnixSocket(t *testing.T) {
	dir := t.TempDir()
	file := listening(t, &fakeServer{}, admin.Address{Socket: filepath.Join(dir, "admin.sock")})
	wants(t, file, map[string]string{"calls list": "0 live", "calls hangup live": "0 operator_hangup", "healthcheck": "0 ready"})
}

// They send a token of the file that this user may read and that is good for it, or the one that is named.
func TestCommandsSendATokenOfTheFile(t *testing.T) {
	file := listening(t, &fakeServer{}, admin.Address{TCP: "127.0.0.1:0"}, admin.Token{Name: "bob", Secret: "bbb", Rights: admin.RightsRead}, admin.Token{Name: "anna", Secret: "aaa", Rights: admin.RightsOperate})
	bob, anna := filepath.Join(filepath.Dir(file), "bob"), filepath.Join(filepath.Dir(file), "anna")
	wants(t, file, map[string]string{
		"calls list": "0 live", "calls hangup live": "0 operator_hangup",
		"calls list --token-file " + bob: "0 live", "calls hangup live --token-file " + bob: "1 may only read",
		"drain --token-file /none": "2 --token-file",
	})
	if err := os.Remove(anna); err != nil {
		t.Fatal(err)
	}
	wants(t, file, map[string]string{"calls list": "0 live", "calls hangup live": "1 name a file with a token by --token-file"})
}

// They send no token where admin.local has the right, because the log then names the user. They send one if the server, which
// may have read another file, refuses that.
func TestCommandsAreTheUsersOwn(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	self := "user " + me.Username
	for _, tt := range []struct {
		name   string
		local  admin.Rights
		filed  string
		socket bool
		by     string
	}{
		{"over a Unix socket", admin.RightsOperate, "operate", true, self},
		{"over loopback", admin.RightsOperate, "operate", false, "local"},
		{"the right is another one", admin.RightsRead, "read", true, "anna"},
		{"there is no right", admin.RightsNone, "", true, "anna"},
		{"the server has another file, with read", admin.RightsRead, "operate", true, "anna"},
		{"the server has another file, with none", admin.RightsNone, "operate", true, "anna"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, at := &fakeServer{local: tt.local, filed: tt.filed}, admin.Address{TCP: "127.0.0.1:0"}
			if tt.socket {
				at = admin.Address{Socket: filepath.Join(t.TempDir(), "admin.sock")}
			}
			file := listening(t, f, at, admin.Token{Name: "anna", Secret: "aaa", Rights: admin.RightsOperate})
			wants(t, file, map[string]string{"calls hangup live": "0 operator_hangup"})
			if got := f.logged(); !strings.Contains(got, `"by":"`+tt.by+`"`) || !strings.Contains(got, "operator request") {
				t.Errorf("want by %s:\n%s", tt.by, got)
			}
			wants(t, file, map[string]string{"calls hangup live --token-file " + filepath.Join(filepath.Dir(file), "anna"): "0 operator_hangup"})
			if got := f.logged(); !strings.Contains(got, `"by":"anna"`) || strings.Contains(got, "refused") {
				t.Errorf("the token that is named: %s", got)
			}
		})
	}
}

// Another server is told from Flowbridge, and a redirect does not get the token.
func TestNoFlowbridge(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/calls/") {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
			return
		}
		http.Error(w, "hello", http.StatusTeapot)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	at := "http://" + l.Addr().String()
	for _, args := range [][]string{{"calls", "list", "--url", at}, {"calls", "show", "x", "--url", at}} {
		if out, code := run(t, args...); code != 1 || !strings.Contains(out, "is it Flowbridge's admin API?") {
			t.Errorf("%v: %d %s", args, code, out)
		}
	}
}

// healthcheck --wait asks until the server is ready, and no longer than it is told.
func TestHealthcheckWaits(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer s.Close()
	if out, code := run(t, "healthcheck", "--url", s.URL, "--wait", "1h"); code != 0 || out != "ready\n" || asked != 3 {
		t.Errorf("exit code %d after %d requests\n%s", code, asked, out)
	}
	if out, code := run(t, "healthcheck", "--url", "http://127.0.0.1:1", "--wait", "1ms"); code != 1 || !strings.Contains(out, "refused") {
		t.Errorf("nobody there: exit code %d\n%s", code, out)
	}
}
