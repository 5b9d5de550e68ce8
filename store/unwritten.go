package store

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// unwrittenName is the file for finished calls that Close could not write to the database: one record in each line, as
// JSON. The next Open takes them up.
func unwrittenName(path string) string { return path + ".unwritten.jsonl" }

// saveUnwritten writes records beside the database, or, if that can't be, where temporary files go. It returns the file.
func saveUnwritten(path string, records []Record) (file string, err error) {
	var errs []error
	for _, name := range []string{unwrittenName(path), filepath.Join(os.TempDir(), fmt.Sprintf("flowbridge-%d.unwritten.jsonl", os.Getpid()))} {
		if err := appendRecords(name, records); err != nil {
			errs = append(errs, err)
			continue
		}
		return name, nil
	}
	return "", errors.Join(errs...)
}

func appendRecords(name string, records []Record) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var line []byte
	out := bufio.NewWriter(f)
	for i := range records {
		line = append(appendRecord(line[:0], &records[i]), '\n')
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
	return errors.Join(out.Flush(), f.Sync())
}

// takeUnwritten moves the records that an earlier process could not write into the database, and returns their number. The
// file is removed when they are committed. A line that can't be read, because the disk was full, is left out.
func (s *Store) takeUnwritten(ctx context.Context) (taken int, err error) {
	f, err := os.Open(unwrittenName(s.path))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // it was only read
	err = keepAll(ctx, s.db, s.consumers, func(_ *sql.Tx, keep func(Record) (bool, error)) error {
		for lines := bufio.NewReader(f); ; {
			line, readErr := lines.ReadBytes('\n')
			var r Record
			if json.Unmarshal(line, &r) == nil && r.ID != "" {
				fresh, err := keep(r)
				if err != nil {
					return err
				}
				if fresh {
					taken++
				}
			}
			if readErr != nil { // the end
				return nil
			}
		}
	})
	if err != nil {
		return 0, err
	}
	return taken, os.Remove(unwrittenName(s.path))
}
