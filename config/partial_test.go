package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A command that reads one section works with a file whose other sections can't be used here, and without secrets.
func TestLoadSections(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`
store: {path: calls.db}
admin:
  listen: unix:///run/flowbridge/admin.sock
  token_file: "${NOT_SET_ANYWHERE}/token"
  tokens: [{name: anna, file: /not/there, rights: operate}]
targets: [{name: b, kind: synthflow, prepare: {token_env: NOT_SET_ANYWHERE}}, {name: c}]
trunks: [{name: a, sourcse: x}]
`)
	if _, err := Load(file); err == nil {
		t.Fatal("the file is right")
	}
	c, err := LoadSections(file, "store", "admin")
	if err != nil {
		t.Fatal(err)
	}
	if c.Store.Path != "calls.db" || c.Admin.Listen.Socket != "/run/flowbridge/admin.sock" || c.Admin.Local != rightsNone || c.Admin.Token != "" ||
		len(c.Admin.Tokens) != 1 || c.Admin.Tokens[0].Token != "" || len(c.Targets) != 0 {
		t.Errorf("got %+v %+v", c.Store, c.Admin)
	}
	if got := Names(file, "targets"); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("targets: %v", got)
	}
	if got := Names(file, "routes"); got != nil {
		t.Errorf("routes: %v", got)
	}
	write(`store: {path: "${NOT_SET_ANYWHERE}"}`)
	if _, err := LoadSections(file, "store"); err == nil || !strings.Contains(err.Error(), "NOT_SET_ANYWHERE is not set") {
		t.Errorf("a section that is used: %v", err)
	}
	if _, err := LoadSections(file, "admin"); err != nil {
		t.Errorf("a section that is not used: %v", err)
	}
	for _, text := range []string{"[", "a: [b", "- x"} {
		write(text)
		if _, err := LoadSections(file, "store"); err == nil {
			t.Errorf("%s is read", text)
		}
		if got := Names(file, "targets"); got != nil {
			t.Errorf("%s: %v", text, got)
		}
	}
	if got := Names(filepath.Join(file, "none"), "targets"); got != nil {
		t.Errorf("no file: %v", got)
	}
}

// The name - stands for standard input, which can be read once.
func TestStandardInput(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stdin
	os.Stdin = in
	t.Cleanup(func() { os.Stdin = before; _ = in.Close() })
	if _, err := out.WriteString("store: {path: calls.db}\nlog: {level: loud}\n"); err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	if _, err := Load(Stdin); err == nil || !strings.HasPrefix(err.Error(), "standard input:2: log.level") {
		t.Errorf("got %v", err)
	}
	if _, err := Reload(Stdin, &Config{}); err == nil || !strings.Contains(err.Error(), "a second time") {
		t.Errorf("reload: %v", err)
	}
}
