-- +goose Up
-- What orders have set.
ALTER TABLE calls ADD COLUMN variables TEXT NOT NULL DEFAULT 'null';

-- +goose Down
ALTER TABLE calls DROP COLUMN variables;
