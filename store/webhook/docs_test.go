package webhook

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// example returns a code block of the guide.
func example(t *testing.T, language string) string {
	t.Helper()
	guide, err := os.ReadFile("../../docs/guides/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindStringSubmatch(string(guide))
	if m == nil {
		t.Fatalf("the guide has no example in %s", language)
	}
	return m[1]
}

// TestGuide runs the guide's examples. Each must accept what Sign signs, and refuse another body, an old time and
// another secret.
func TestGuide(t *testing.T) {
	now, old := strconv.FormatInt(time.Now().Unix(), 10), strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
	const body = `{"event":"call.ended","record":{"from":"+1 \"é\n"}}`
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	python := write("verify.py", "import sys\n"+example(t, "python")+
		"print('good' if verify(sys.argv[1].encode(), sys.argv[2], sys.argv[3], open(sys.argv[4], 'rb').read()) else 'bad')\n")
	program := write("main.go", "package main\nimport (\"crypto/hmac\";\"crypto/sha256\";\"encoding/hex\";\"fmt\";\"os\";\"strconv\";\"time\")\n"+
		example(t, "go")+"func main() {\nbody, _ := os.ReadFile(os.Args[4])\nif verify([]byte(os.Args[1]), os.Args[2], os.Args[3], body) { fmt.Println(\"good\") } else { fmt.Println(\"bad\") }\n}\n")
	binary := filepath.Join(dir, "verify")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	shell := write("verify.sh", "SECRET=$1 TIMESTAMP=$2 SIGNATURE=$3\ncd \"$(dirname \"$4\")\"\n"+example(t, "sh"))
	for _, tc := range []struct {
		name, secret, at, body string
		good, ages             bool
	}{
		{"right", "s3cret", now, body, true, false},
		{"another body", "s3cret", now, body + " ", false, false},
		{"another secret", "other", now, body, false, false},
		{"old", "s3cret", old, body, false, true},
	} {
		file := write("body.json", tc.body)
		args := []string{tc.secret, tc.at, Sign("s3cret", tc.at, []byte(body)), file}
		for language, command := range map[string][]string{"python": {"python3", python}, "go": {binary}, "sh": {"sh", shell}} {
			out, err := exec.CommandContext(t.Context(), command[0], append(command[1:], args...)...).CombinedOutput()
			if err != nil && language != "sh" {
				t.Fatalf("%s: %v: %s", language, err, out)
			}
			want := tc.good || tc.ages && language == "sh" // the sh example ignores the time
			if got := strings.TrimSpace(string(out)) == "good"; got != want {
				t.Errorf("%s, %s: %s", tc.name, language, out)
			}
		}
	}
}
