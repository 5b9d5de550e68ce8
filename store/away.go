package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// errReplaced means that another file has taken the database's place.
var errReplaced = errors.New("another file is in the place of the database")

// present checks that the database is still where its name says. A removed file still exists without a name, and
// everything written to it would be lost with the process. So present copies it back to its place.
func (w *writer) present(ctx context.Context) error {
	st, err := os.Stat(w.s.path)
	switch {
	case err == nil && os.SameFile(st, w.s.file):
		return nil
	case err == nil && st.Size() > 0:
		w.s.removeLog()
		return fmt.Errorf("store %s: %w; restart the process to use that one, or move it away", w.s.path, errReplaced)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("store %s: %w", w.s.path, err)
	}
	if err := w.putBack(ctx); err != nil {
		return fmt.Errorf("store %s: the file was removed, and can't be put back: %w; make its directory again",
			w.s.path, err)
	}
	return nil
}

// putBack writes a copy of the removed file to its place and continues with the copy.
func (w *writer) putBack(ctx context.Context) error {
	lock, err := w.s.relock()
	if err != nil {
		return err
	}
	file, err := w.copyTo(ctx, w.s.path)
	if err != nil {
		if lock != w.s.lock {
			err = errors.Join(err, lock.Close())
		}
		return err
	}
	if lock != w.s.lock {
		_ = w.s.lock.Close()
	}
	w.s.lock, w.s.file, w.s.wal = lock, file, nil
	w.close()
	w.forgetConnections()
	return w.open(ctx)
}

// database is the file that the writer has open, and the lock on its name.
type database struct {
	path      string
	lock      *os.File
	file, wal os.FileInfo // their identity, to notice another file under the name
	// held is the database's own file if it once served as the lock. It stays open: closing it would release all POSIX
	// locks (fcntl) that the process has on that file, and SQLite would not know.
	held *os.File
}

// relock returns the lock on the database's name: the current one, or a new one if the lock's file was removed, too.
func (d *database) relock() (*os.File, error) {
	held, err := d.lock.Stat()
	if err != nil {
		return nil, err
	}
	if isAt(d.lock.Name(), held) {
		return d.lock, nil
	}
	return lockFile(d.path)
}

// isAt reports whether name still refers to file.
func isAt(name string, file os.FileInfo) bool {
	st, err := os.Stat(name)
	return err == nil && os.SameFile(st, file)
}

// copyTo writes a copy of the database to path.
func (w *writer) copyTo(ctx context.Context, path string) (os.FileInfo, error) {
	if w.conn == nil {
		return nil, sql.ErrConnDone // the file was removed twice and can't be read any more
	}
	if err := create(path); err != nil {
		return nil, err
	}
	if _, err := w.conn.ExecContext(ctx, `VACUUM INTO ?`, path); err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return os.Stat(path)
}

// noteLog remembers the identity of SQLite's log.
func (d *database) noteLog() { d.wal, _ = os.Stat(d.path + "-wal") }

// removeLog removes the log of a database that was replaced. The log is still in its place, and SQLite would apply it
// to the new file and corrupt that file.
func (d *database) removeLog() {
	if d.wal != nil && isAt(d.path+"-wal", d.wal) {
		_, _ = os.Remove(d.path+"-wal"), os.Remove(d.path+"-shm")
	}
}

// hint adds advice for the operator to a write error.
func hint(path string, err error) error {
	code := (*sqlite.Error)(nil)
	if !errors.As(err, &code) {
		return err
	}
	switch code.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("store %s: %w (%w); stop the process, look with: sqlite3 %s 'PRAGMA quick_check', and restore a backup or move the file away",
			path, errCorrupt, err, path)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("store %s: %w; free space on its disk", path, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("store %s: %w; another program writes to it: end that", path, err)
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		if onReadOnly(path) {
			return fmt.Errorf("store %s: its file system is read-only: %w; see dmesg, and mount it writable", path, err)
		}
		return fmt.Errorf("store %s: %w; check its disk, and the rights of the file and its directory", path, err)
	}
	return err
}

// onReadOnly reports whether the directory of a file is on a file system that is mounted read-only.
func onReadOnly(path string) bool {
	var system unix.Statfs_t
	return unix.Statfs(filepath.Dir(path), &system) == nil && system.Flags&unix.ST_RDONLY != 0
}
