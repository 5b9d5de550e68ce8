package recording

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// directory is that of an archive. No other process writes into it while it is held. Any goroutine may call its
// methods.
type directory struct {
	name string // constant

	mu    sync.Mutex // guards what follows
	root  *os.Root
	lock  *os.File
	given *os.File // the lock of another process, for the first open; nil: there is none
}

// open makes the directory if it is missing, and locks it. The caller holds mu, or no other goroutine knows d yet. If
// open fails, d is as it was.
func (d *directory) open() error {
	if err := os.MkdirAll(d.name, 0o700); err != nil {
		return err
	}
	lock, err := d.given, error(nil)
	d.given = nil
	if lock == nil {
		lock, err = lockFile(filepath.Join(d.name, ".lock"))
	}
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(d.name)
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	d.root, d.lock = root, lock
	return nil
}

func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// files is the current directory for opening, renaming and removing files.
func (d *directory) files() *os.Root {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.root
}

// create makes a new file with mode 0600, and its directories. It makes the archive's directory again if that was
// removed.
func (d *directory) create(name string) (medium, error) {
	root := d.files()
	f, err := createIn(root, name)
	if gone(err) {
		if err := d.renew(root); err != nil {
			return nil, err
		}
		f, err = createIn(d.files(), name)
	}
	if err != nil {
		return nil, err // not a nil *os.File, which is a medium
	}
	return f, nil
}

// gone reports whether an error means that a file or its directory is no longer there.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, os.ErrClosed) }

func createIn(root *os.Root, name string) (*os.File, error) {
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return nil, err
	}
	return root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// renew makes the directory again, unless it is there, or another goroutine has done so since the caller used root.
// The files in the removed directory are lost.
func (d *directory) renew(root *os.Root) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.root != root || d.there() {
		return nil
	}
	lock := d.lock
	if err := d.open(); err != nil {
		return err
	}
	_ = errors.Join(root.Close(), lock.Close()) // there is nothing left in it to lose
	return nil
}

// there reports whether the directory that is held still has its name.
func (d *directory) there() bool {
	held, err := d.root.Stat(".")
	named, missing := os.Stat(d.name)
	return err == nil && missing == nil && os.SameFile(held, named)
}

func (d *directory) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return errors.Join(d.root.Close(), d.lock.Close())
}
