//go:build e2e

package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// program is the program under test, built once. predecessor is the program that a stage's server runs until it is
// killed or upgraded. It is the same program, or an earlier version: predecessorEnv names a directory with that
// version's program (flowbridge) and source.
var program, predecessor, predecessorSource = "", "", "../../.."

const predecessorEnv = "FLOWBRIDGE_E2E_PREDECESSOR"

// raceBuilt says that the binary has the race detector. raceEnv keeps the race detector from waiting a second at each
// exit.
var raceBuilt = os.Getenv("FLOWBRIDGE_E2E_RACE") != ""

const raceEnv = "GORACE=atexit_sleep_ms=0"

// A test takes one of the places to run, because it mostly waits. Tests that listen for seconds take one of the seats.
// Tests with a browser or a compiler, which compute all the time, take one of the cores.
var (
	places = make(chan struct{}, 2*runtime.GOMAXPROCS(0))
	seats  = make(chan struct{}, runtime.GOMAXPROCS(0))
	cores  = make(chan struct{}, runtime.GOMAXPROCS(0))
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	for _, tool := range []string{"sipp", "baresip", "kamailio", "tshark", "prometheus", "promtool", "chromium", "man"} {
		if _, err := exec.LookPath(tool); err != nil {
			return 1, fmt.Errorf("%s is missing: apt-get install sip-tester baresip-core kamailio tshark prometheus chromium man-db", tool)
		}
	}
	dir, err := os.MkdirTemp("", "flowbridge-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if program = os.Getenv(pinsEnv); program == "" {
		program = filepath.Join(dir, "flowbridge")
		if err := build(); err != nil {
			return 1, err
		}
	}
	predecessor = program
	if dir := os.Getenv(predecessorEnv); dir != "" {
		predecessor, predecessorSource = filepath.Join(dir, "flowbridge"), filepath.Join(dir, "source")
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "1000"); err != nil { // the places limit the number
		return 1, err
	}
	defer func() { closeBrowser() }()
	return m.Run(), nil
}

func build() error {
	args := []string{"build", "-o", program}
	if raceBuilt {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "flowbridge/cmd/flowbridge")...).CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

// patience ends a test that hangs. It does not say how long anything should take: everything that works takes less,
// even if other programs keep the kernel busy for a minute.
const patience = 5 * time.Minute

// eventually waits until a condition is true.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if !within(patience, holds) {
		t.Fatalf("after %v still not: %s", patience, what)
	}
}

// within reports whether a condition became true in time.
func within(limit time.Duration, holds func() bool) bool {
	pause := 10 * time.Millisecond
	for end := time.Now().Add(limit); !holds(); time.Sleep(pause) {
		if time.Now().After(end) {
			return false
		}
		pause = min(pause*5/4, 200*time.Millisecond) // some conditions read all of a growing file
	}
	return true
}

// replaceOnce replaces a text that must occur exactly once.
func replaceOnce(t *testing.T, text, old, replacement string) string {
	t.Helper()
	if n := strings.Count(text, old); n != 1 {
		t.Fatalf("%q is there %d times", old, n)
	}
	return strings.Replace(text, old, replacement, 1)
}

// must fails the test at once if there is an error.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
