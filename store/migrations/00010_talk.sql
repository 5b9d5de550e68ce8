-- +goose Up
-- What the conversation was like.
ALTER TABLE calls ADD COLUMN talk TEXT NOT NULL DEFAULT 'null';

-- +goose Down
ALTER TABLE calls DROP COLUMN talk;
