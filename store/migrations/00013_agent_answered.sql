-- +goose Up
-- When the first agent answered a call whose caller was told something.
ALTER TABLE calls ADD COLUMN agent_answered_at TEXT;

-- +goose Down
ALTER TABLE calls DROP COLUMN agent_answered_at;
