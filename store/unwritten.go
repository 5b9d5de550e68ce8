package store

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"flowbridge/store/record"
)

// unwrittenName returns the name of the file for finished calls that Close could not write to the database: one record
// per line, as JSON. The next Open reads it.
func unwrittenName(path string) string { return path + ".unwritten.jsonl" }

// saveUnwritten writes records beside the database or, if that fails, to a directory that outlives the process. It
// returns the file's name.
func saveUnwritten(path string, records []record.Record) (file string, err error) {
	var errs []error
	for _, name := range append([]string{unwrittenName(path)}, spareNames()...) {
		if err := appendRecords(name, records); err != nil {
			errs = append(errs, err)
			continue
		}
		return name, nil
	}
	return "", errors.Join(errs...)
}

// spareNames returns names for a file that can't be written beside the database. A systemd service has its own
// directories, named in variables (systemd.exec(5)); its temporary directory may be removed when it stops.
func spareNames() (names []string) {
	for _, dir := range []string{os.Getenv("STATE_DIRECTORY"), os.Getenv("RUNTIME_DIRECTORY"), os.TempDir()} {
		dir, _, _ = strings.Cut(dir, ":")
		if dir != "" { // a variable may have several; take the first
			names = append(names, filepath.Join(dir, fmt.Sprintf("flowbridge-%d.unwritten.jsonl", os.Getpid())))
		}
	}
	return names
}

func appendRecords(name string, records []record.Record) (err error) {
	f, err := openOwn(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var line []byte
	out := bufio.NewWriter(f)
	for i := range records {
		line = append(record.AppendRecord(line[:0], &records[i]), '\n')
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
	return errors.Join(out.Flush(), f.Sync())
}

// takeUnwritten moves the records that an earlier process could not write into the database, and returns their number.
// It removes the file once they are committed. If the file can't be read to its end, it sets the file aside. An
// incomplete line, from a full disk, is left out.
func (s *Store) takeUnwritten(ctx context.Context) (taken int, err error) {
	name := unwrittenName(s.path)
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // it was only used for reading
	var unread error
	err = keepAll(ctx, s.db, s.consumers, func(_ *sql.Tx, keep func(record.Record) (bool, error)) (err error) {
		unread, err = eachRecord(f, func(r record.Record) error {
			fresh, err := keep(r)
			if err == nil && fresh {
				taken++
			}
			return err
		})
		return err
	})
	if err != nil {
		return 0, err
	}
	if unread == nil {
		return taken, os.Remove(name)
	}
	aside := asideName(name)
	s.lost = errors.Join(s.lost,
		fmt.Errorf("finished calls of an earlier process can't be read: %w; what can be is written, and the file is %s now",
			unread, aside))
	return taken, os.Rename(name, aside)
}

// eachRecord calls do with each record of a file until do returns an error. unread says why the rest can't be read.
func eachRecord(from io.Reader, do func(record.Record) error) (unread, err error) {
	for lines := bufio.NewReader(from); ; {
		line, readErr := lines.ReadBytes('\n')
		var r record.Record
		if json.Unmarshal(line, &r) == nil && r.ID != "" {
			if err := do(r); err != nil {
				return nil, err
			}
		}
		if errors.Is(readErr, io.EOF) {
			return nil, nil
		}
		if readErr != nil {
			return readErr, nil
		}
	}
}
