package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"flowbridge/b2bua/transport"
	"flowbridge/cmd/flowbridge/cli"
)

func TestMain(m *testing.M) {
	transport.SetProcessDefaults()
	os.Exit(m.Run())
}

// run executes a command line and returns its output and exit code.
func run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	code := cli.Run(t.Context(), command(), args, &out, &out)
	return out.String(), code
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	must(t, os.WriteFile(bad, []byte("trunk: []\nlog: {level: loud}\n"), 0o600))
	good := filepath.Join("../..", "docs/examples/simulator.yaml")
	t.Setenv("SYNTHFLOW_TOKEN", "secret")
	for _, tt := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"version", []string{"version"}, 0, cli.Version()},
		{"check a bad file", []string{"check", "-c", bad}, 2, "log.level"},
		{"check a good file", []string{"check", "-c", good}, 0, "1 trunk, 1 target, 1 route: valid"},
		{"help on a command", []string{"help", "calls", "show"}, 0, "flowbridge calls show ID"},
		{"help on a cause", []string{"help", "no_route"}, 0, "carrier got: 404"},
		{"help on a mistyped cause", []string{"help", "no_ruote"}, 2, "did you mean no_route?"},
		{"unknown command", []string{"dial"}, 2, `has no command "dial"; did you mean flowbridge call?`},
		{"unknown flag", []string{"serve", "--port", "1"}, 2, "unknown flag"},
		{"superfluous argument", []string{"serve", "now"}, 2, "--help"},
		{"no configuration", []string{"serve", "--config", filepath.Join(dir, "none.yaml")}, 2, "none.yaml"},
		{"all errors at once", []string{"serve", "-c", bad}, 2, "log.level"},
		{"calls out of range", []string{"demo", "--calls", "0"}, 2, "1 to 2000"},
		{"unknown fault", []string{"simulate", "synthflow", "--fault", "lazy"}, 2, "lazy"},
		{"user without password", []string{"simulate", "synthflow", "--sip-user", "a"}, 2, "password"},
		{"unknown algorithm", []string{"simulate", "synthflow", "--sip-user", "a", "--sip-password", "b", "--sip-algorithm", "md4"}, 2, "md4"},
		{"another platform's fault", []string{"simulate", "vapi", "--fault", "failed"}, 2, "Synthflow"},
		{"no database", []string{"cdr", "list", "--db", filepath.Join(dir, "none.db")}, 1, "none.db"},
		{"bad time", []string{"cdr", "list", "--db", "x", "--since", "today"}, 2, "2h"},
		{"bad disposition", []string{"cdr", "list", "--db", "x", "--disposition", "lost"}, 2, "no_answer"},
		{"bad limit", []string{"cdr", "list", "--db", "x", "--limit", "5000"}, 2, "1 to 1000"},
		{"no fleet", []string{"fleet", "-c", good}, 2, "flowbridge fleet needs fleet.dsn_file"},
		{"nobody there", []string{"healthcheck", "--url", "http://127.0.0.1:1/readyz"}, 1, "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, code := run(t, tt.args...)
			if code != tt.code || !strings.Contains(out, tt.says) {
				t.Errorf("exit code %d, want %d; output, which should say %q:\n%s", code, tt.code, tt.says, out)
			}
		})
	}
}

// check calls standard input by that name instead of a file's.
func TestCheckOfStandardInput(t *testing.T) {
	in, err := os.Open(writeYAML(t, "trunks: [{name: a, sources: [0.0.0.0/0]}]\ntargets: [{name: b, kind: sip, uri: \"sip:1@127.0.0.1\"}]\nroutes: [{targets: [b]}]\n"))
	must(t, err)
	before := os.Stdin
	os.Stdin = in
	t.Cleanup(func() { os.Stdin = before; _ = in.Close() })
	out, code := run(t, "check", "--config", "-")
	if code != 0 || !strings.Contains(out, "standard input: 1 trunk, 1 target, 1 route: valid") || !strings.Contains(out, "warning: standard input:1: trunks[0]") || strings.Contains(out, "-:") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// Without a configuration, a command asks the default address, and says so if there is no answer. The context is
// cancelled at once, because a test can't be sure that nothing listens there.
func TestGuessedAddress(t *testing.T) {
	t.Chdir(t.TempDir())
	done, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	if code := cli.Run(done, command(), []string{"calls", "list"}, &out, &out); code != 1 || !strings.Contains(out.String(), "there is no flowbridge.yaml here") {
		t.Errorf("exit code %d\n%s", code, out.String())
	}
}

// TestEveryCommandHasAnExample: --help of each command shows an example.
func TestEveryCommandHasAnExample(t *testing.T) {
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		for _, one := range c.Commands() {
			if one.Example == "" && one.Name() != "help" && one.Name() != "completion" {
				t.Errorf("%s has no example", one.CommandPath())
			}
			check(one)
		}
	}
	check(command())
}

// TestDemoHolds runs the first command of the README.
func TestDemoHolds(t *testing.T) {
	out, code := run(t, "demo")
	if code != 0 || !strings.Contains(out, "all of it held") || !strings.Contains(out, "X-EI: S.") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// must fails the test at once if there is an error.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
