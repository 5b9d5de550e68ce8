package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

const upsertNote = `INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`

// Note stores a short text under a name, replacing an earlier one.
func (s *Store) Note(ctx context.Context, name, value string) error {
	return s.do(ctx, "note "+name, func(wctx context.Context, c *sql.Conn) error {
		_, err := c.ExecContext(wctx, upsertNote, "note_"+name, value)
		return err
	})
}

// Noted returns the text under a name, or "".
func (r *Reader) Noted(ctx context.Context, name string) (value string, err error) {
	if err := r.ready(ctx); err != nil {
		return "", fmt.Errorf("note %s: %w", name, err)
	}
	err = r.pool().QueryRowContext(ctx, `SELECT value FROM meta WHERE name = ?`, "note_"+name).Scan(&value)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("note %s: %w", name, err)
	}
	return value, nil
}
