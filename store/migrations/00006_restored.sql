-- +goose Up
-- How often another process went on with the call.
ALTER TABLE calls ADD COLUMN restored INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE calls DROP COLUMN restored;
