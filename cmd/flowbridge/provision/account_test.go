package provision

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/sim/synthflow"
	"flowbridge/sim/vapi"
)

const (
	accountToken  = "tok-3b7e91"
	trunkPassword = "dflkvn23REFD#@"
)

// secretFile writes a secret into a file of its own.
func secretFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// cliStep is one command and what it has to say. Words with a ! before them must not be there.
type cliStep struct {
	args []string
	code int
	says []string
}

func checkOutput(t *testing.T, step cliStep, out string, code int) {
	t.Helper()
	if code != step.code {
		t.Errorf("%v: exit code %d, want %d\n%s", step.args, code, step.code, out)
	}
	for _, words := range step.says {
		if not, isNot := strings.CutPrefix(words, "!"); isNot && strings.Contains(out, not) || !isNot && !strings.Contains(out, words) {
			t.Errorf("%v: %q\n%s", step.args, words, out)
			return
		}
	}
}

// account is an account at a platform, which a stand-in has.
type account struct {
	*testing.T
	platform, url string
}

// run runs a command of the platform against the account. No secret may be in what it prints.
func (a account) run(args ...string) (string, int) {
	a.Helper()
	args = append([]string{a.platform}, append(args, "--api", a.url)...)
	out, code := run(a.T, args...)
	for _, secret := range []string{accountToken, trunkPassword} {
		if strings.Contains(out, secret) {
			a.Errorf("%q is in the output of %v:\n%s", secret, args, out)
		}
	}
	return out, code
}

func (a account) steps(all []cliStep) {
	a.Helper()
	for _, step := range all {
		out, code := a.run(step.args...)
		checkOutput(a.T, step, out, code)
	}
}

// made runs a command that creates something, and gives its id.
func (a account) made(args ...string) string {
	a.Helper()
	out, code := a.run(append(args, "--json")...)
	_, id, _ := strings.Cut(out, `"id": "`)
	id, _, _ = strings.Cut(id, `"`)
	if code != 0 || !strings.Contains(out, `"outcome": "created"`) || id == "" {
		a.Fatalf("%v: exit code %d\n%s", args, code, out)
	}
	return id
}

func newSynthflow(t *testing.T) (account, *synthflow.Platform) {
	t.Helper()
	p, err := synthflow.Start(t.Context(), synthflow.Options{Token: accountToken, Account: synthflow.Account{Workspaces: []string{"W"}}, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	t.Setenv("SYNTHFLOW_TOKEN", accountToken)
	return account{t, "synthflow", p.APIURL()}, p
}

func newVapi(t *testing.T) (account, *vapi.Platform) {
	t.Helper()
	p, err := vapi.Start(t.Context(), vapi.Options{Key: accountToken, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	t.Setenv("VAPI_TOKEN", accountToken)
	return account{t, "vapi", p.APIURL()}, p
}

// unasked is an account that nothing may be sent to.
func unasked(t *testing.T, platform string) account {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("sent %s %s", r.Method, r.URL) }))
	t.Cleanup(s.Close)
	t.Setenv("SYNTHFLOW_TOKEN", accountToken)
	t.Setenv("VAPI_TOKEN", accountToken)
	return account{t, platform, s.URL}
}

// A command that went to the platform's page says so, with any flags.
func TestCommandsThatThereAreNot(t *testing.T) {
	for _, platform := range []string{"synthflow", "vapi"} {
		for _, args := range [][]string{{"number", "list", "--json"}, {"assistant", "update", "x", "--name", "y"}, {"assistant", "list"}, {"assistant", "attach"}} {
			unasked(t, platform).steps([]cliStep{{args, 2, []string{
				"there is no flowbridge " + platform + " " + args[0] + " " + args[1] + ": the platform's page does that", "deleted and created again",
			}}})
		}
	}
}
