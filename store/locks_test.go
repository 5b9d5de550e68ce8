package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// posixLocks returns the number of fcntl locks on a file.
func posixLocks(t *testing.T, path string) (n int) {
	t.Helper()
	st, err := os.Stat(path)
	must(t, err)
	inode, _ := st.Sys().(*syscall.Stat_t)
	locks, err := os.ReadFile("/proc/locks")
	must(t, err)
	for line := range strings.Lines(string(locks)) {
		if f := strings.Fields(line); len(f) > 5 && f[1] == "POSIX" && strings.HasSuffix(f[5], fmt.Sprintf(":%d", inode.Ino)) {
			n++
		}
	}
	return n
}

// A database that is opened while a reader uses it keeps SQLite's locks. Without them, another process that opens and
// closes the database removes its log, and later commits are lost with the process.
func TestLocksOfADatabaseThatIsOpenedLate(t *testing.T) {
	for _, name := range []string{"full", "read-only, and the lock is the database"} {
		t.Run(name, func(t *testing.T) {
			path, remount := diskOf(t)
			full := name == "full"
			if full {
				fillDisk(t, filepath.Dir(path))
			} else {
				must(t, os.Remove(path+".lock"))
				remount(unix.MS_RDONLY, "")
			}
			s, err := Open(t.Context(), path)
			must(t, err)
			defer func() { _ = s.Leave() }()
			if full {
				must(t, os.Remove(filepath.Join(filepath.Dir(path), "filler")))
			} else {
				remount(0, "")
			}
			reader, err := s.pool().Conn(t.Context())
			must(t, err)
			defer reader.Close()
			var n int
			must(t, reader.QueryRowContext(t.Context(), `SELECT count(*) FROM calls`).Scan(&n))
			if posixLocks(t, path) == 0 {
				t.Fatal("the reader has no lock")
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			must(t, s.Put(ctx, sample("late")))
			if posixLocks(t, path) == 0 {
				t.Error("the locks are gone")
			}
			if other, err := Open(t.Context(), path); err == nil {
				t.Error("a second process has it, too", other.Leave())
			}
		})
	}
}
