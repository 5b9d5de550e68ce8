-- +goose Up
ALTER TABLE calls ADD COLUMN lead TEXT NOT NULL DEFAULT '';
ALTER TABLE calls ADD COLUMN external_id TEXT NOT NULL DEFAULT '';

CREATE INDEX calls_synthflow ON calls (synthflow_call_id) WHERE synthflow_call_id <> '';
CREATE INDEX calls_target_sip ON calls (target_sip_call_id) WHERE target_sip_call_id <> '';
CREATE INDEX calls_external ON calls (external_id) WHERE external_id <> '';

-- What a platform said of a call after its end, by our id of the call: the first report of a call counts.
CREATE TABLE reports (
    id          TEXT PRIMARY KEY,
    received_at TEXT NOT NULL,
    report      TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX reports_received ON reports (received_at);

-- +goose Down
DROP TABLE reports;
DROP INDEX calls_external;
DROP INDEX calls_target_sip;
DROP INDEX calls_synthflow;
ALTER TABLE calls DROP COLUMN external_id;
ALTER TABLE calls DROP COLUMN lead;
