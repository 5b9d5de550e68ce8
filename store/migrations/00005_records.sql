-- +goose Up
-- What other places have yet to get: one row for each consumer and each change of a finished call. AUTOINCREMENT never
-- gives a number twice, so a late word about a row that is gone can't mean another one.
CREATE TABLE outbox (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    consumer   TEXT NOT NULL,
    call_id    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    created_at TEXT NOT NULL,
    due_at     TEXT NOT NULL DEFAULT '',
    tries      INTEGER NOT NULL DEFAULT 0,
    reason     TEXT NOT NULL DEFAULT ''
);

CREATE INDEX outbox_due ON outbox (consumer, due_at, seq);
CREATE INDEX outbox_call ON outbox (consumer, call_id, seq);

-- A list of calls is a walk through this index. It holds what a list may be filtered by, so that the rows themselves, which
-- are ten times as large, are read for hits only.
DROP INDEX calls_started;
CREATE INDEX calls_search ON calls (started_at, id, trunk, target, route, direction, disposition, cause, "from", "to", lead);
CREATE INDEX calls_sip ON calls (sip_call_id) WHERE sip_call_id <> '';

-- The ids of a call that its columns don't have: the Call-IDs of attempts that came to nothing, and a report's own id.
CREATE TABLE other_ids (
    other TEXT NOT NULL,
    id    TEXT NOT NULL,
    PRIMARY KEY (other, id)
) WITHOUT ROWID;

CREATE INDEX other_ids_call ON other_ids (id);

INSERT OR IGNORE INTO other_ids (other, id)
    SELECT json_extract(a.value, '$.sip_call_id'), calls.id FROM calls, json_each(calls.attempts) AS a
    WHERE json_extract(a.value, '$.sip_call_id') NOT IN ('', calls.target_sip_call_id);
INSERT OR IGNORE INTO other_ids (other, id)
    SELECT json_extract(report, '$.call_id'), id FROM reports WHERE json_extract(report, '$.call_id') <> '';

-- +goose StatementBegin
CREATE TRIGGER calls_deleted AFTER DELETE ON calls BEGIN
    DELETE FROM other_ids WHERE id = old.id;
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER calls_deleted;
DROP TABLE other_ids;
DROP INDEX calls_sip;
DROP INDEX calls_search;
CREATE INDEX calls_started ON calls (started_at, id);
DROP TABLE outbox;
