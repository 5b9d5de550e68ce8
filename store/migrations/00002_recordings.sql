-- +goose Up
-- The files that a call was recorded to, as JSON.
ALTER TABLE calls ADD COLUMN recordings TEXT NOT NULL DEFAULT '[]';

-- +goose Down
ALTER TABLE calls DROP COLUMN recordings;
