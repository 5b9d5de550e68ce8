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

// directory is the directory of an archive. While its lock is held, no other process writes to it. Any goroutine may
// call its methods.
type directory struct {
	name string // constant

	mu    sync.Mutex // guards the fields below
	root  *os.Root
	lock  *os.File
	given *os.File // another process's lock for the first open; may be nil
}

// open creates the directory if it is missing, and locks it. The caller holds mu, or no other goroutine knows d yet. If
// open fails, d is unchanged.
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
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
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

// files returns the current directory, for opening, renaming and removing files.
func (d *directory) files() *os.Root {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.root
}

// create creates a file with mode 0600, and its directories. It recreates the archive's directory if that was removed.
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
		return nil, err // not the nil *os.File, which would make a medium that is not nil
	}
	return f, nil
}

// gone reports whether an error means that a file or its directory no longer exists.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, os.ErrClosed) }

func createIn(root *os.Root, name string) (*os.File, error) {
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return nil, err
	}
	return root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// renew recreates the directory if it is missing and no other goroutine has recreated it since the caller used root.
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
	_ = errors.Join(root.Close(), lock.Close()) // the old directory is gone, so errors don't matter
	return nil
}

// there reports whether the open directory still has its name.
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
