package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A database on another machine has to show a certificate.
func TestDatabasesInTheClear(t *testing.T) {
	for url, want := range map[string]bool{
		"postgres://u@db.example/f":                                     true,
		"postgres://u@db.example/f?sslmode=disable":                     true,
		"postgres://u@db.example/f?sslmode=require":                     true,
		"postgres://u@db.example/f?sslmode=require&sslrootcert=/ca.pem": false,
		"postgres://u@db.example/f?sslmode=verify-ca":                   false,
		"postgres://u@10.0.0.5:5432/f?sslmode=verify-full":              false,
		"postgres://u@127.0.0.1:5432,10.0.0.5:5432/f?sslmode=prefer":    true,
		"postgres://u@127.0.0.1:5432,[::1]:5432,localhost/f":            false,
		"postgres://u@db.example/f?host=/run/postgresql":                false,
		"postgres://u@/f?host=::1":                                      false,
		"postgres://u@/f?host=127.0.0.1,192.0.2.5":                      true,
	} {
		if got := unsureDSN(url); got != want {
			t.Errorf("%s: %t", url, got)
		}
	}
}

// The URL of the database is a secret, so nothing of it is ever shown.
func TestFleetURL(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dsn")
	for url, want := range map[string]string{
		"postgres://flowbridge:hush@db.example:5432/flowbridge":                  "",
		"postgresql://flowbridge:hush@db.example/flowbridge?sslmode=verify-full": "",
		"postgres://flowbridge:hush@/flowbridge?host=/run/postgresql":            "",
		"postgres://flowbridge:hush@a,b/flowbridge":                              "",
		"mysql://flowbridge:hush@db.example/flowbridge":                          "does not begin with postgres://",
		"postgres://flowbridge:hush@db.example":                                  "names no database",
		"postgres://flowbridge:hush@db.example/":                                 "names no database",
		"postgres://flowbridge:hush@/flowbridge":                                 "names no host",
		"postgres://flowbridge:hu%zzsh@db.example/flowbridge":                    "is not well-formed",
		"hush":                              "does not begin with postgres://",
		"host=db.example password=hush":     "a space",
		"'postgres://u:hush@db/flowbridge'": "quotes",
	} {
		if err := os.WriteFile(file, []byte(url+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := Parse("f.yaml", []byte("fleet: {dsn_file: "+file+", caps: true, node: edge-1}"), nil)
		switch {
		case want == "" && (err != nil || cfg.Fleet.DSN.Reveal() != url || !cfg.Fleet.Caps || !cfg.Fleet.On()):
			t.Errorf("%s: %v", url, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "f.yaml:1: fleet.dsn_file")):
			t.Errorf("%s: got %v; want %q", url, err, want)
		case err != nil && strings.Contains(err.Error(), "hush"):
			t.Errorf("the error shows the password: %v", err)
		}
	}
}
