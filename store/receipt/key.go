package receipt

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// keyName is the file with the seed of the node's key. It is as secret as the signalling key beside the database.
const keyName = "key"

var errKey = errors.New("this key did not sign the receipts in the directory")

// readKey reads the node's key. The first start makes it. The caller holds the lock.
func readKey(dir string) (ed25519.PrivateKey, error) {
	name := filepath.Join(dir, keyName)
	seed, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		var names []string
		if names, err = segments(dir); err == nil && len(names) > 0 {
			err = fmt.Errorf("%s: %w: put it back from a backup, or move the directory away and restart: "+
				"new receipts then begin a chain of their own", name, errKey)
		}
		if err == nil {
			seed = make([]byte, ed25519.SeedSize)
			_, _ = rand.Read(seed) // never fails
			err = writeFile(dir, keyName, seed)
		}
	}
	if err == nil && len(seed) != ed25519.SeedSize {
		err = fmt.Errorf("%s has %d bytes: %w", name, len(seed), errKey)
	}
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// writeFile writes a new file so that a kill or a loss of power leaves the whole file or none.
func writeFile(dir, name string, text []byte) error {
	fresh := filepath.Join(dir, name+".new")
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(text); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(fresh, filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(err, ignoreNotExist(os.Remove(fresh)))
	}
	return syncDir(dir)
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
