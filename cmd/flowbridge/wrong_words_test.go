package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"flowbridge/cmd/flowbridge/cli"
)

// TestWrongWords: a wrong command line says in our words what was meant, and exits with 2.
func TestWrongWords(t *testing.T) {
	for line, want := range map[string]string{
		"chek":                     "did you mean flowbridge check?",
		"calls end 1":              "did you mean flowbridge calls hangup?",
		"cdr show 1":               "did you mean flowbridge calls show?",
		"log debug":                "did you mean flowbridge log level debug?",
		"check my.yaml":            "did you mean --config my.yaml?",
		"call +15075550100":        "did you mean --to sip:+15075550100@HOST?",
		"call sip:1@192.0.2.1":     "did you mean --to sip:1@192.0.2.1?",
		"serve --conf x":           "did you mean --config?",
		"serve --cofnig x":         "did you mean --config?",
		"demo --calls x":           `--calls "x": write a whole number`,
		"call --seconds 1.5":       "write a",
		"backup":                   "FILE is missing",
		"backup a b":               "takes FILE, not 2 arguments",
		"calls hangup":             "ID... is missing",
		"calls list extra":         "takes no argument",
		"nope --help":              `flowbridge has no command "nope"`,
		"calls nope --help":        "its commands are dtmf",
		"calls shwo -h":            "did you mean flowbridge calls show?",
		"help quxquxqux":           `nothing here is about "quxquxqux"`,
		"synthflow number show":    "number",
		"cdr list --limit 1e3":     "write a whole number",
		"explain --timeout abc -h": "",
	} {
		var out bytes.Buffer
		code := cli.Run(context.Background(), command(), strings.Fields(line), &out, &out)
		text := out.String()
		if want != "" && (code != cli.ExitUsage || !strings.Contains(text, want)) ||
			strings.Contains(text, "strconv") || strings.Contains(text, "arg(s)") {
			t.Errorf("%s: exit code %d, want 2 and %q:\n%s", line, code, want, text)
		}
	}
	for _, line := range []string{"--help", "calls --help", "calls hangup --help", "help calls hangup"} {
		var out bytes.Buffer
		if code := cli.Run(context.Background(), command(), strings.Fields(line), &out, &out); code != 0 {
			t.Errorf("%s: exit code %d:\n%s", line, code, out.String())
		}
	}
}
