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

// directory is that of an archive, which nobody else writes into as long as it is
// held. Its methods may be called from any goroutine.
type directory struct {
	name string // constant

	mu   sync.Mutex // guards what follows
	root *os.Root
	lock *os.File
}

// open makes the directory if it is missing, and locks it. The caller holds mu, or no other goroutine knows d yet. If
// open fails, d is as it was.
func (d *directory) open() error {
	if err := os.MkdirAll(d.name, 0o700); err != nil {
		return err
	}
	lock, err := lockFile(filepath.Join(d.name, ".lock"))
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

// lockFile is held by the one process that writes into a directory.
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

// files is where files are opened, renamed and removed now.
func (d *directory) files() *os.Root {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.root
}

// create makes a new file, which only we may read, and its directories. A
// directory that somebody removed meanwhile is made anew.
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

// gone says whether an error means that a file, or the directory that it was in, is
// not there any more.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, os.ErrClosed) }

func createIn(root *os.Root, name string) (*os.File, error) {
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return nil, err
	}
	return root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// renew makes the directory anew, unless it is there, or another goroutine did so
// since the caller used root. The files in what was removed are lost.
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

// there says whether the directory that is held is the one of that name.
func (d *directory) there() bool {
	held, err := d.root.Stat(".")
	named, missing := os.Stat(d.name)
	return err == nil && missing == nil && os.SameFile(held, named)
}

// close gives the directory up.
func (d *directory) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return errors.Join(d.root.Close(), d.lock.Close())
}
