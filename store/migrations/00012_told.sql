-- +goose Up
-- What the caller was told before the agent was connected.
ALTER TABLE calls ADD COLUMN told TEXT NOT NULL DEFAULT 'null';

-- +goose Down
ALTER TABLE calls DROP COLUMN told;
