-- +goose Up
ALTER TABLE calls ADD COLUMN trace_id TEXT NOT NULL DEFAULT '';

CREATE INDEX calls_trace ON calls (trace_id) WHERE trace_id <> '';

-- +goose Down
DROP INDEX calls_trace;
ALTER TABLE calls DROP COLUMN trace_id;
