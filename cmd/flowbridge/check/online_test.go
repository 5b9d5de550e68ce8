package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/locate"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/config/template"
)

// answering is a SIP peer over UDP that answers what comes with these lines;
// none: with silence. ignore is how many requests it lets pass first.
func answering(t *testing.T, status string, ignore int) string {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = conn.Close(); <-done })
	go func() {
		defer close(done)
		b := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if ignore--; ignore >= 0 || status == "" || !strings.Contains(string(b[:n]), "\r\nVia: SIP/2.0/UDP ") {
				continue
			}
			for s := range strings.SplitSeq(status, "|") {
				_, _ = conn.WriteToUDPAddrPort([]byte(answerTo(string(b[:n]), s)), from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

// answerTo is a response to a request.
func answerTo(request, status string) string {
	head := ""
	for line := range strings.SplitSeq(request, "\r\n") {
		for _, name := range []string{"Via:", "From:", "To:", "Call-ID:", "CSeq:"} {
			if strings.HasPrefix(line, name) {
				head += line + "\r\n"
			}
		}
	}
	return "SIP/2.0 " + status + "\r\n" + head + "Content-Length: 0\r\n\r\n"
}

// onlineConfig is a configuration with one target.
func onlineConfig(t *testing.T, target string) *config.Config {
	t.Helper()
	return parsed(t, "sip: {listen: [\"udp://127.0.0.1:5060\", \"tcp://127.0.0.1:5060\"]}\ntargets: [{name: t, "+target+"}]")
}

func (p prober) lines(t *testing.T, cfg *config.Config) string {
	t.Helper()
	var b strings.Builder
	for _, f := range p.probe(t.Context(), cfg) {
		b.WriteString(f.text() + "\n")
	}
	return b.String()
}

func noLookup(context.Context, string) ([]netip.Addr, error) {
	return nil, errors.New("nothing is looked up in tests")
}

// What answers at all is there, whatever it says; what does not is named with
// what to do.
func TestOnlineOptions(t *testing.T) {
	// No other socket is at this address, so none takes the port.
	closed, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 9, 8, 7)})
	if err != nil {
		t.Fatal(err)
	}
	nowhere := closed.LocalAddr().String()
	_ = closed.Close()
	for _, c := range []struct {
		what, at string
		want     []string
	}{
		{"200", answering(t, "200 OK", 0), []string{"ok      t", "200 OK"}},
		{"403", answering(t, "403 Forbidden", 0), []string{"ok      t", "403 Forbidden"}},
		{"after a loss", answering(t, "200 OK", 1), []string{"ok      t", "200 OK"}},
		{"any transport", answering(t, "200 OK", 1) + `", transport: "auto`, []string{"ok      t", "over udp: 200 OK"}},
		{"100 first", answering(t, "100 Trying|404 Not Found", 0), []string{"ok      t", "404 Not Found"}},
		{"control characters", answering(t, "200 O\x1bK", 0), []string{"200 O?K"}},
		{"silence", answering(t, "", 0), []string{"FAILED  t", "no answer to OPTIONS from 127.0.0.1", "allow-list"}},
		{"100 only", answering(t, "100 Trying", 0), []string{"FAILED  t", "no answer"}},
		{"nobody", nowhere, []string{"FAILED  t", "nothing listens at " + nowhere}},
	} {
		t.Run(c.what, func(t *testing.T) {
			p := prober{lookup: noLookup, timeout: time.Minute}
			if strings.Contains(c.want[len(c.want)-1], "no answer") || c.what == "silence" {
				p.timeout = time.Second
			}
			got := p.lines(t, onlineConfig(t, `kind: sip, uri: "sip:a@`+c.at+`"`))
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("got\n%swant %q in it", got, want)
				}
			}
		})
	}
}

// Over TCP, too; another protocol is not SIP.
func TestOnlineTCP(t *testing.T) {
	p := prober{lookup: noLookup, timeout: time.Minute}
	for speaks, want := range map[string]string{
		"SIP/2.0": "over tcp: 200 OK", "HTTP/1.1": "is not SIP", "": "no answer to OPTIONS",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			b := make([]byte, 4096)
			n, _ := conn.Read(b)
			if speaks != "" {
				_, _ = conn.Write([]byte("\r\n\r\n" + strings.Replace(answerTo(string(b[:n]), "200 OK"), "SIP/2.0 200", speaks+" 200", 1)))
			}
			_, _ = conn.Read(b) // until the prober goes
		}()
		if p.timeout = time.Minute; speaks == "" {
			p.timeout = time.Second
		}
		got := p.lines(t, onlineConfig(t, `kind: sip, uri: "sip:a@`+l.Addr().String()+`", transport: tcp`))
		if !strings.Contains(got, want) {
			t.Errorf("%s: got %s", speaks, got)
		}
		_ = l.Close()
		<-done
	}
	got := p.lines(t, onlineConfig(t, `kind: sip, uri: "sip:a@127.0.0.1:1", transport: tcp`))
	if !strings.Contains(got, "127.0.0.1:1 refuses connections") {
		t.Errorf("got %s", got)
	}
}

// endless is a peer that sends the same again and again, after a beginning.
type endless struct {
	beginning, again string
	sent             int
}

func (e *endless) Read(b []byte) (int, error) {
	if e.sent > 100<<20 {
		return 0, errors.New("more was read than anybody needs")
	}
	n := copy(b, e.beginning)
	e.beginning = e.beginning[n:]
	for n < len(b) {
		n += copy(b[n:], e.again)
	}
	e.sent += n
	return n, nil
}

// Whatever a peer sends, little of it is read and less kept.
// The registrars of a trunk are tried, or its proxy instead of them.
func TestOnlineRegistrars(t *testing.T) {
	at := answering(t, "405 Method Not Allowed", 0)
	for more, want := range map[string]string{
		"registrars: [\"" + at + "\"]":                                  "ok      line                 options  " + at + " answers over udp: 405",
		"registrars: [nowhere.invalid], outbound_proxy: \"" + at + "\"": "ok      line                 options  " + at + " answers over udp: 405",
		"registrars: [nowhere.invalid]":                                 "FAILED  line                 dns      nowhere.invalid can't be looked up",
	} {
		cfg := parsed(t, "sip: {listen: [\"udp://127.0.0.1:5060\"]}\ntrunks: [{name: line, dial_auth: {username: a, password_env: P}, register: {"+more+"}}]\ntargets: [{name: t, kind: sip, uri: \"sip:a@127.0.0.1:9\"}]")
		cfg.Targets = nil
		if got := (prober{lookup: noLookup, timeout: time.Second}).lines(t, cfg); !strings.Contains(got, want) {
			t.Errorf("%s:\n%s; want %s", more, got, want)
		}
	}
}

func TestAwaitStreamIsBounded(t *testing.T) {
	for name, peer := range map[string]*endless{
		"one line":    {beginning: "SIP/2.0 ", again: "x"},
		"headers":     {beginning: "SIP/2.0 200 OK\r\n", again: "X-A: " + strings.Repeat("x", 10<<10) + "\r\n"},
		"keep-alives": {again: "\r\n"},
		"provisional": {again: "SIP/2.0 100 Trying\r\nCall-ID: id\r\n\r\n"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		status, err := awaitStream(peer, "id")
		runtime.ReadMemStats(&after)
		if !errors.Is(err, errNotSIP) {
			t.Errorf("%s: got %q, %v", name, status, err)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; peer.sent > 128<<10 || grown > 2<<20 {
			t.Errorf("%s: read %d bytes, allocated %d", name, peer.sent, grown)
		}
	}
	long := "\r\nSIP/2.0 180 Ringing\r\nCall-ID: id\r\n\r\nSIP/2.0 200 OK\r\nX-A: " + strings.Repeat("x", 15<<10) + "\r\nCall-ID: id\r\n\r\n"
	if status, err := awaitStream(strings.NewReader(long), "id"); err != nil || status != "200 OK" {
		t.Errorf("got %q, %v", status, err)
	}
}

// A name that can't be found is said to be so, and the one of Synthflow's older
// documents is replaced.
func TestOnlineDNS(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&net.DNSError{IsNotFound: true}, "the name sipin.synthflow.ai has no address; check the spelling; Synthflow's current documents name sip.synthflow.ai instead: write region: global"},
		{&net.DNSError{IsTimeout: true}, "no name server answers about sipin.synthflow.ai"},
		{errors.New("broken"), "sipin.synthflow.ai can't be looked up: broken"},
		{nil, "has no address"},
	} {
		p := prober{timeout: time.Second, lookup: func(context.Context, string) ([]netip.Addr, error) { return nil, c.err }}
		if got := p.lines(t, onlineConfig(t, `kind: synthflow`)); !strings.Contains(got, c.want) {
			t.Errorf("%v: got %s", c.err, got)
		}
	}
	at := netip.MustParseAddrPort(answering(t, "200 OK", 0))
	p := prober{timeout: 10 * time.Second, lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("2001:db8::1"), at.Addr()}, nil
	}}
	got := p.lines(t, onlineConfig(t, fmt.Sprintf(`kind: sip, uri: "sip:a@pbx.test:%d"`, at.Port())))
	if !strings.Contains(got, "pbx.test is 2001:db8::1, 127.0.0.1") || !strings.Contains(got, "200 OK") {
		t.Errorf("got %s", got)
	}
}

// A host without a port is tried where its records lead, by their transports.
func TestOnlineByRecords(t *testing.T) {
	at := netip.MustParseAddrPort(answering(t, "200 OK", 0))
	p := prober{timeout: 10 * time.Second, locate: func(_ context.Context, q locate.Query) ([]locate.Hop, error) {
		if q.Host != "pbx.test" {
			return nil, fmt.Errorf("look up %s: %w", q.Host, locate.ErrNotFound)
		}
		return []locate.Hop{{Transport: q.Transport, Addr: at}}, nil
	}}
	got := p.lines(t, onlineConfig(t, `kind: sip, uri: "sip:a@pbx.test"`))
	if !strings.Contains(got, fmt.Sprintf("pbx.test leads to udp://%v", at)) || !strings.Contains(got, "200 OK") {
		t.Errorf("got %s", got)
	}
	if got = p.lines(t, onlineConfig(t, `kind: sip, uri: "sip:a@nowhere.test"`)); !strings.Contains(got, "name not found; check the spelling") {
		t.Errorf("got %s", got)
	}
}

// Failing online is exit code 1, and a broken file 2.
func TestCheckOnline(t *testing.T) {
	file := filepath.Join(t.TempDir(), "flowbridge.yaml")
	text := "trunks: [{name: a, sources: [192.0.2.1]}]\ntargets: [{name: t, kind: sip, uri: \"sip:1@" + answering(t, "200 OK", 0) + "\"}]\nroutes: [{targets: [t]}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		found finding
		code  int
	}{{finding{Target: "t", OK: true, Detail: "yes"}, 0}, {finding{Target: "t", Detail: "no", Remedy: "do this"}, cli.ExitFailed}} {
		for _, asJSON := range []bool{false, true} {
			var out strings.Builder
			err := check(&out, file, roomy(), asJSON, func(*config.Config) []finding { return []finding{c.found} })
			if (err != nil) != (c.code != 0) || (err != nil && cli.ExitCode(err) != c.code) || !strings.Contains(out.String(), c.found.Detail) {
				t.Errorf("got %v\n%s", err, out.String())
			}
		}
	}
}

// An IPv6 host is one whole, and the port that a transport has where none is written.
func TestSampleURI(t *testing.T) {
	for target, want := range map[string]string{
		`kind: sip, uri: "sip:a@[::1]"`:                            "::1 5060",
		`kind: sip, uri: "sip:a@[2001:db8::1]:5070;transport=udp"`: "2001:db8::1 5070",
		`kind: sip, uri: "sip:a@h.example", transport: tls`:        "h.example 5061",
		`kind: sip, uri: "sip:a@h.example:99;lr", transport: tcp`:  "h.example 99",
		`kind: vapi, region: eu, uri: "sip:a@sip.eu.vapi.ai"`:      "sip.eu.vapi.ai 5060",
	} {
		_, host, port, err := sampleURI(&onlineConfig(t, target).Targets[0])
		if got := fmt.Sprint(host, " ", port); got != want || err != nil {
			t.Errorf("%s: got %s, %v; want %s", target, got, err, want)
		}
	}
}

// A configuration that a platform would not take as it is meant is warned of.
func TestPlatformWarnings(t *testing.T) {
	for target, want := range map[string]string{
		`kind: synthflow`: "",
		`kind: synthflow, headers: {X-EI: "S.abc;E.{{.SIPCallID}};"}`:                                                       "",
		`kind: synthflow, headers: {X-EI: "{{.SIPCallID}}"}`:                                                                "",
		`kind: synthflow, headers: {X-EI: '{{.Header "X-None"}}'}`:                                                          "",
		`kind: synthflow, headers: {X-Customer.Name: a}`:                                                                    "makes no variable of the header X-Customer.Name",
		`kind: vapi, uri: "sip:a@b.example", headers: {X-: a}`:                                                              "makes no variable of the header X-",
		`kind: vapi, uri: "sip:a@b.example", headers: {x-first_name: a, X-Two-2: b}`:                                        "",
		`kind: synthflow, headers: {X-EI: "a b c"}`:                                                                         `X-EI would be "a b c"`,
		`kind: synthflow, prepare: {token_env: T, workspace_id: w, model_id: m}`:                                            "no header tells the platform",
		`kind: synthflow, prepare: {token_env: T, workspace_id: w, model_id: m}, headers: {X-EI: "S.{{.Prepare.CallID}};"}`: "",
		`kind: synthflow, prepare: {token_env: T, model_id: m}, headers: {X-EI: "S.{{.Prepare.CallID}};"}`:                  "prepare has no workspace_id",
		`kind: synthflow, prepare: {token_env: T, workspace_id: w}, headers: {X-EI: "S.{{.Prepare.CallID}};"}`:              "prepare has no model_id",
		`kind: synthflow, headers: {X-EI: "S.abc"}`:                                                                         `X-EI would be "S.abc"`,
		`kind: synthflow, headers: {X-EI: "S:abc"}`:                                                                         `X-EI would be "S:abc"`,
		`kind: synthflow, headers: {X-EI: "abc;"}`:                                                                          `X-EI would be "abc;"`,
		`kind: synthflow, headers: {Customer: "a", Diversion: "b"}`:                                                         "makes no variable of the header Customer",
		`kind: synthflow, uri: "sip:a@sip.synthflow.ai"`:                                                                    "documents 32681 for udp",
		`kind: synthflow, uri: "sip:a@sip.synthflow.ai:32681", transport: tls`:                                              "documents 32682 for tls",
		`kind: vapi, uri: "sip:a@sip.vapi.ai:32681"`:                                                                        "documents 5060 for udp",
		`kind: vapi, uri: "sip:a@sip.vapi.ai"`:                                                                              "",
		`kind: sip, uri: "sip:a@sip.synthflow.ai", headers: {Customer: a}`:                                                  "",
		`kind: synthflow, uri: "sip:{{.To.Number}}@h.example:32681"`:                                                        "uri names .To",
		`kind: synthflow, prepare: {token_env: T, to_number: "{{.To.Number}}", from_number: "{{.From.Number}}"}`:            "prepare.to_number names .To",
		`kind: vapi, uri: "sip:a@[::1]:32681"`:                                                                              "",
		`kind: vapi, uri: "sip:a@SIP.VAPI.AI:32681"`:                                                                        "SIP.VAPI.AI is called at port 32681",
	} {
		cfg := onlineConfig(t, target)
		cfg.Routes = []config.Route{{Targets: []string{"t"}, Direction: template.DirectionOutbound}}
		got := fmt.Sprint(platformWarnings(cfg))
		if (want == "") != (got == "[]") || !strings.Contains(got, want) {
			t.Errorf("%s: got %s; want %q", target, got, want)
		}
	}
}

// FuzzFinalStatus: whatever answers, what is shown of it is one short printable
// line.
func FuzzFinalStatus(f *testing.F) {
	f.Add("SIP/2.0 200 OK\r\nCall-ID: id\r\n\r\n", "id")
	f.Add("SIP/2.0 100 Trying\r\nCall-ID: id\r\n\r\n", "id")
	f.Add("SIP/2.0 \x1b[31m\r\nid", "id")
	f.Add("HTTP/1.1 200 OK\r\nid", "id")
	f.Fuzz(func(t *testing.T, message, id string) {
		status, final := finalStatus(message, id)
		if !final && status != "" || len(status) > 80 || strings.ContainsFunc(status, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q: got %q, %v", message, status, final)
		}
	})
}

// Hooks without authentication are warned of.
func TestHookWarnings(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := `
targets: [{name: a, kind: synthflow, uri: "sip:a@127.0.0.1", prepare: {api: "https://api.test", token_env: T}}]
hooks:
  listen: "127.0.0.1:0"
  twilio: {targets: [a]}
  vapi: {rules: [{assistant_id: x}]}
  synthflow: {secret_file: ` + secret + `}
`
	h := parsed(t, text).Hooks
	if got := hookWarnings(&h); len(got) != 2 || !strings.Contains(got[0].Problem, "hooks.twilio") || !strings.Contains(got[1].Problem, "hooks.vapi") {
		t.Errorf("got %+v", got)
	}
	h.Twilio.AuthToken, h.Vapi.Secret = "a", "b"
	if got := append(hookWarnings(&h), hookWarnings(&parsed(t, "{}").Hooks)...); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}
