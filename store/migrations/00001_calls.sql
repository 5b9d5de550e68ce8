-- +goose Up
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

-- One row for each call that has not ended: its record so far, as JSON.
CREATE TABLE live (
    id         TEXT PRIMARY KEY,
    written_at TEXT NOT NULL,
    record     TEXT NOT NULL
) WITHOUT ROWID;

-- One row for each call that has ended.
CREATE TABLE calls (
    id                 TEXT NOT NULL UNIQUE,
    node               TEXT NOT NULL,
    trunk              TEXT NOT NULL,
    route              TEXT NOT NULL,
    target             TEXT NOT NULL,
    direction          TEXT NOT NULL,
    "from"             TEXT NOT NULL,
    "to"               TEXT NOT NULL,
    sip_call_id        TEXT NOT NULL,
    target_sip_call_id TEXT NOT NULL,
    synthflow_call_id  TEXT NOT NULL,
    started_at         TEXT NOT NULL,
    ringing_at         TEXT,
    prepared_at        TEXT,
    dialed_at          TEXT,
    answered_at        TEXT,
    ended_at           TEXT,
    setup_ms           INTEGER NOT NULL,
    duration_ms        INTEGER NOT NULL,
    disposition        TEXT NOT NULL,
    sip_status         INTEGER NOT NULL,
    q850               INTEGER NOT NULL,
    cause              TEXT NOT NULL,
    ended_by           TEXT NOT NULL,
    codec              TEXT NOT NULL,
    attempts           TEXT NOT NULL,
    media              TEXT NOT NULL
);

CREATE INDEX calls_started ON calls (started_at, id);

-- +goose Down
DROP TABLE calls;
DROP TABLE live;
DROP TABLE meta;
