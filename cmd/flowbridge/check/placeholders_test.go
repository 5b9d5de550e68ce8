package check

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestPlaceholders: what a profile leaves to the operator is named with its key and line until it is replaced, and nothing else is.
func TestPlaceholders(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []flaw // Line and Key
	}{
		"pasted": {
			"targets:\n  - name: a\n    uri: sip:+1@SUBDOMAIN.example\n    prepare: {body: '{\"agent\": \"AGENT_ID\"}'}\n",
			[]flaw{{Line: 3, Key: "targets[0].uri"}, {Line: 4, Key: "targets[0].prepare.body"}},
		},
		"replaced":                 {"targets:\n  - name: a\n    uri: sip:+1@flow.example\n", nil},
		"from the environment":     {"targets:\n  - auth: {username: '${SIP_USERNAME}', password_file: /run/USERNAME}\n", nil},
		"a variable's name":        {"targets:\n  - prepare: {token_env: X_AGENT_ID}\n", nil},
		"an example of the answer": {"targets:\n  - prepare: {example: '{\"id\": \"AGENT_ID\"}'}\n", nil},
		"elsewhere":                {"trunks:\n  - name: USERNAME\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "f.yaml")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var got []flaw
			for _, f := range placeholders(file) {
				got = append(got, flaw{Line: f.Line, Key: f.Key})
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %+v", got)
			}
		})
	}
}
