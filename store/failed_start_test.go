package store

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// limitEnv is set for a child process that opens a database while no file may exceed a length in bytes.
const limitEnv = "FLOWBRIDGE_STORE_LIMIT"

// openLimited runs in that child. The child exits as if it were killed.
func openLimited(path, limit string) {
	n, err := strconv.ParseUint(limit, 10, 64)
	if err == nil {
		signal.Ignore(unix.SIGXFSZ)
		err = unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: n, Max: n})
	}
	if err == nil {
		_, err = Open(context.Background(), path)
	}
	if err != nil {
		fmt.Fprint(os.Stdout, "failed: ", err)
	}
}

// A start that fails because the disk is full at some step leaves the journal's calls to the next start, even if the
// database is damaged.
func TestFailedStart(t *testing.T) {
	for name, damage := range map[string]func(b []byte) []byte{
		"whole": func(b []byte) []byte { return b },
		"damaged": func(b []byte) []byte {
			for at := 4096; at < len(b); at += 4096 {
				if page := b[at : at+4096]; !bytes.Contains(page, []byte("signal_key")) && !bytes.Contains(page, []byte("CREATE TABLE")) {
					copy(page, bytes.Repeat([]byte("damage! "), 512))
				}
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, s := openNew(t)
			mustPut(t, s, sample("done"))
			for i := range 3 {
				s.Journal(sample(fmt.Sprint("call", i)), []byte("a state"))
			}
			kill(t, s)
			b, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, damage(b), 0o600)
			}
			must(t, err)
			for _, limit := range []int{0, 4096, 32_768, 100_000, 300_000} {
				startLimited(t, path, limit)
			}
			s = openTest(t, path)
			want := []string{"call0 a state", "call1 a state", "call2 a state"}
			if got := leftOf(s); !slices.Equal(got, want) || len(s.Interrupted) != 0 {
				t.Errorf("left are %q, %d interrupted; want %q", got, len(s.Interrupted), want)
			}
		})
	}
}

// startLimited opens the database in a child process. If that fails, the journal must be unchanged.
func startLimited(t *testing.T, path string, limit int) {
	t.Helper()
	before, err := readJournal(path)
	must(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+path, limitEnv+"="+strconv.Itoa(limit))
	said, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	t.Logf("at most %d bytes: %s", limit, said)
	after, err := readJournal(path)
	if err != nil || len(said) > 0 && !slices.EqualFunc(before.texts[:], after.texts[:], bytes.Equal) {
		t.Errorf("%v, or the journal was changed by a start that failed at %d bytes", err, limit)
	}
}
