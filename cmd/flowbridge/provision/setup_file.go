package provision

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/aymanbagabas/go-udiff"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/internal/yamledit"
)

// setupFile is the configuration file.
type setupFile struct {
	path string // with symbolic links followed
	name string // as the user wrote it
	old  []byte // nil if there is none
	mode fs.FileMode

	owner *syscall.Stat_t // nil for a new file

	head  string // replaces the old text, before the additions; empty: it stays
	parse func(file string, text []byte, env func(string) (string, bool)) (*config.Config, error)
}

func openSetupFile(name string) (*setupFile, error) {
	path, err := filepath.EvalSymlinks(name)
	if errors.Is(err, fs.ErrNotExist) {
		return &setupFile{path: name, name: name, mode: 0o640, parse: config.Parse}, nil
	}
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, cli.Usage("%s is not a regular file", name)
	}
	owner, _ := st.Sys().(*syscall.Stat_t)
	text, err := cli.ReadFile(path)
	return &setupFile{path: path, name: name, old: text, mode: st.Mode().Perm(), owner: owner, parse: config.Parse}, err
}

type writer struct {
	out     io.Writer
	dryRun  bool
	allowed func() (bool, error) // called after the change was shown; reports whether to write it
}

// apply shows the changes, writes them, and returns the resulting configuration.
func (f *setupFile) apply(all []addition, env func(string) (string, bool), w writer) (*config.Config, error) {
	text, cfg, err := f.edited(all, env)
	if errors.Is(err, yamledit.ErrForm) {
		return nil, f.byHand(all, w.out)
	}
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		_, err := fmt.Fprintf(w.out, "%s has it already\n", f.name)
		return cfg, err
	}
	label := f.name
	if f.old == nil {
		label = "/dev/null"
	}
	fmt.Fprint(w.out, udiff.Unified(label, f.name, string(f.old), string(text)))
	if w.dryRun {
		return cfg, nil
	}
	switch yes, err := w.allowed(); {
	case err != nil:
		return nil, err
	case !yes:
		return nil, errNotWritten
	}
	if err := f.write(text); err != nil {
		return nil, fmt.Errorf("%s: %w; nothing was written", f.name, err)
	}
	_, err = fmt.Fprintf(w.out, "wrote %s; a running flowbridge takes it with `flowbridge reload`\n", f.name)
	return cfg, err
}

// edited returns the text with the additions, and its configuration. The error is yamledit.ErrForm if the text can't be
// edited.
func (f *setupFile) edited(all []addition, env func(string) (string, bool)) (text []byte,
	cfg *config.Config, err error,
) {
	if text = []byte(f.head); f.head == "" {
		text = slices.Clone(f.old)
	}
	for _, a := range all {
		if text, err = yamledit.Prepend(text, a.key, a.element); err != nil {
			return nil, nil, err
		}
	}
	if cfg, err = f.parse(f.name, text, env); err != nil {
		return nil, nil, fmt.Errorf("with the additions the configuration would not be valid, so nothing was written:\n%w",
			err)
	}
	return text, cfg, nil
}

// byHand prints the additions so that the operator can paste them.
func (f *setupFile) byHand(all []addition, out io.Writer) error {
	for _, a := range all {
		fmt.Fprintf(out, "at the beginning of the list %s:\n", a.key)
		for i, line := range strings.Split(strings.TrimRight(a.element, "\n"), "\n") {
			lead := "    "
			if i == 0 {
				lead = "  - "
			}
			fmt.Fprintln(out, lead+line)
		}
	}
	how := ", and repeat the command"
	if slices.ContainsFunc(all, func(a addition) bool { return strings.Contains(a.element, newModelID) }) {
		how = " with the id that flowbridge synthflow assistant create gives in the place of " + newModelID +
			", and repeat the command with --model-id"
	}
	return fmt.Errorf("%s can't be edited as text, because a list is in brackets or uses an alias, so nothing was done: "+
		"write each element of these lists on a line of its own (- name: …), and repeat the command; or add the above by hand%s", f.name, how)
}

// write replaces the file in one step, so that a reader, or a crash, never sees half of it. Mode and owner stay.
func (f *setupFile) write(text []byte) error {
	dir := filepath.Dir(f.path)
	tmp, err := os.CreateTemp(dir, ".flowbridge-*.yaml")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails after the rename
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Chmod(f.mode), f.keepOwner(tmp), tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	if err := f.unchanged(); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), f.path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (f *setupFile) keepOwner(tmp *os.File) error {
	if f.owner == nil {
		return nil
	}
	return tmp.Chown(int(f.owner.Uid), int(f.owner.Gid))
}

// unchanged returns an error if the file was changed since it was read.
func (f *setupFile) unchanged() error {
	now, err := cli.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) && f.old == nil {
		return nil
	}
	if err != nil {
		return err
	}
	if f.old == nil || !bytes.Equal(now, f.old) {
		return errors.New("another program has changed it: repeat the command")
	}
	return nil
}

// isBlank reports whether a file contains only comments.
func isBlank(text []byte) bool {
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}
