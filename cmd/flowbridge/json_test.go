package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// With --json the output is one JSON object, for success and failure.
func TestJSON(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"demo", "--json"}, 0, []string{`"ok":true`, `"x_ei":"X-EI: S.`, `"cause":"caller_hangup"`, `"greeting_likeness":`}},
		{[]string{"demo", "--calls", "2", "--json"}, 0, []string{`"ok":true`, `"calls":2`, `"failed":0`}},
		{[]string{"version", "--json"}, 0, []string{`"version":`, `"revision":`, `"go":"go1`}},
		{[]string{"healthcheck", "--url", "http://127.0.0.1:1", "--json"}, 1, []string{`"ready":false`, `"error":`}},
	} {
		out, code := run(t, tt.args...)
		object, _, _ := strings.Cut(out, "\nflowbridge: ")
		var got map[string]any
		if err := json.Unmarshal([]byte(object), &got); err != nil || code != tt.code {
			t.Errorf("%v: exit code %d, %v\n%s", tt.args, code, err, out)
			continue
		}
		compact, err := json.Marshal(got)
		must(t, err)
		for _, want := range tt.want {
			if !strings.Contains(string(compact), want) {
				t.Errorf("%v: %s is not in\n%s", tt.args, want, compact)
			}
		}
	}
}
