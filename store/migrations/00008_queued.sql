-- +goose Up
-- How long the caller waited for a place at a target, in milliseconds.
ALTER TABLE calls ADD COLUMN queued_ms INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE calls DROP COLUMN queued_ms;
