-- +goose Up
-- What the verification of the caller says.
ALTER TABLE calls ADD COLUMN verstat TEXT NOT NULL DEFAULT '';
ALTER TABLE calls ADD COLUMN attest TEXT NOT NULL DEFAULT '';
ALTER TABLE calls ADD COLUMN orig_id TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE calls DROP COLUMN orig_id;
ALTER TABLE calls DROP COLUMN attest;
ALTER TABLE calls DROP COLUMN verstat;
