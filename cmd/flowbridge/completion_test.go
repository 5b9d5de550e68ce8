package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowbridge/store"
	"flowbridge/store/record"
)

// A shell completes flags with the names in the configuration, even if the configuration is not valid.
func TestCompletion(t *testing.T) {
	file := writeYAML(t, "trunks: [{name: carrier}, {name: pbx}]\ntargets: [{name: synthflow, prepare: {token_env: NOT_SET_ANYWHERE}}]\n")
	for command, want := range map[string]string{
		"cdr list --trunk":                     "carrier pbx",
		"cdr list --target":                    "synthflow",
		"cdr list --disposition":               strings.Join(record.Dispositions(), " "),
		"explain --trunk":                      "carrier pbx",
		"explain --target":                     "synthflow",
		"synthflow number show --target":       "synthflow",
		"synthflow setup --trunk":              "carrier pbx",
		"vapi assistant show --target":         "synthflow",
		"calls show --url http://127.0.0.1:1 ": "", // nobody to ask
	} {
		args := append([]string{"__complete"}, strings.Fields(command)...)
		args = append(args[:len(args)-1], "--config", file, args[len(args)-1], "")
		out, code := run(t, args...)
		words, _, _ := strings.Cut(out, ":4\n") // no names of files
		if got := strings.Join(strings.Fields(words), " "); code != 0 || got != want {
			t.Errorf("%s: exit code %d, %q; want %q", command, code, got, want)
		}
	}
}

// cdr list needs only the section store: a token that is not set, or a mistake in another section, does not stop
// it.
func TestRecordsNeedTheStoreAlone(t *testing.T) {
	db := filepath.Join(t.TempDir(), "calls.db")
	s, err := store.Open(t.Context(), db)
	must(t, err)
	at := record.TimeOf(time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC))
	must(t, s.Put(context.Background(), record.Record{ID: "a", Trunk: "carrier", StartedAt: at, EndedAt: at, Disposition: record.DispositionFailed}))
	must(t, s.Close())
	file := writeYAML(t, "store: {path: %q}\ntargets: [{name: a, kind: synthflow, prepare: {token_env: NOT_SET_ANYWHERE}}]\ntrunks: [{name: a, soures: x}]\n", db)
	if out, code := run(t, "cdr", "list", "--config", file); code != 0 || !strings.Contains(out, "carrier") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}
